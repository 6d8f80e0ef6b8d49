/** What is tracked makes of the priority that was configured the one that counts now. Pure. */
import { FAREWELL_PRIORITY, OWNER_PRIORITY } from './packet.js';
import type { Tracked } from './settings.js';

export type Standing =
  | { readonly kind: 'fit'; readonly priority: number }
  /** `cause`: the name of what is not well. */
  | { readonly kind: 'fault'; readonly cause: string };

/** What is not in `states` is well: nobody has said otherwise. Weights only lower it. The owner's priority never changes. */
export function standing(
  priority: number,
  tracked: readonly Tracked[],
  states: ReadonlyMap<string, boolean>,
): Standing {
  let left = priority;
  for (const { name, weight } of tracked) {
    if (states.get(name) !== false) continue;
    if (weight === 'fault') return { kind: 'fault', cause: name };
    left -= weight;
  }
  if (priority === OWNER_PRIORITY) return { kind: 'fit', priority };
  // Above that of a farewell, which nobody yields to.
  const least = Math.min(priority, FAREWELL_PRIORITY + 1);
  return { kind: 'fit', priority: Math.max(least, left) };
}

/** What is tracked makes of the priority that was configured the one that counts now. Pure. */
import { LEAST_PRIORITY } from '../../config/least-priority.js';
import { FAREWELL_PRIORITY, OWNER_PRIORITY } from './packet.js';
import type { Tracked } from './settings.js';

export type Standing =
  | { readonly kind: 'fit'; readonly priority: number }
  /** `cause`: the name of what is not well. */
  | { readonly kind: 'fault'; readonly cause: string };

/** What is left of a priority at least: 2 to 9, one for each 32 of it. */
const LEVEL = 5;

/** Whether a priority is that of a unit that has lost what it needs, and holds only if nobody else does. */
export function isUnfit(priority: number): boolean {
  return priority < LEAST_PRIORITY && priority !== FAREWELL_PRIORITY;
}

/**
 * What is not in `states` is well: nobody has said otherwise. Weights only lower it, and of two units
 * that have lost everything the one that was stronger still is (where they differed by 32). The owner's
 * priority never changes.
 */
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
  const least = Math.min(priority, FAREWELL_PRIORITY + 1 + (priority >> LEVEL));
  return { kind: 'fit', priority: Math.max(least, left) };
}

/**
 * Whether a slot on trial is as good as the one before it: the unit as it is, held against the unit
 * as it was. Pure; times are given, in milliseconds.
 *
 * Invariant: a slot is good when nothing was missing for a while without a break, and bad when that
 * has not come within the time limit; it is never both, and the verdict does not change.
 */
import { z } from 'zod';

export const pictureSchema = z.strictObject({
  /** Interfaces that carry. */
  links: z.array(z.string()),
  /** Of services, held here whether or not virtual routers move them. */
  addresses: z.array(z.string()),
  /** Virtual routers that are master or backup. */
  routers: z.array(z.string()),
  /** Interfaces with the fast path. */
  datapath: z.array(z.string()),
  /** Whether there are workers that serve. */
  workers: z.boolean(),
  /** Whether the other unit of the pair is heard. */
  pair: z.boolean(),
  /** Members that are up, by pool. */
  pools: z.record(z.string(), z.number()),
});
export type Picture = z.output<typeof pictureSchema>;

/** How long all must be well. */
export const HOLD_MS = 20_000;
/** How long a slot may take until then. */
export const LIMIT_MS = 5 * 60_000;
/** Named in a sentence. */
const NAMED = 4;

/** What there was and is not any more, clauses; empty: all is there. */
export function missing(before: Picture, now: Picture): string[] {
  const found: string[] = [];
  const lost = (what: string, was: readonly string[], is: readonly string[]): void => {
    const gone = was.filter((one) => !is.includes(one));
    if (gone.length === 0) return;
    const more = gone.length > NAMED ? ` and ${gone.length - NAMED} more` : '';
    found.push(`${what} ${gone.slice(0, NAMED).join(', ')}${more}`);
  };
  lost('no link on', before.links, now.links);
  lost('not held:', before.addresses, now.addresses);
  lost('virtual routers that are down:', before.routers, now.routers);
  lost('no fast path on', before.datapath, now.datapath);
  if (before.workers && !now.workers) found.push('no worker serves');
  if (before.pair && !now.pair) found.push('the other unit is not heard');
  // Members come and go by themselves: what counts is that the unit still reaches them by and large.
  const poor = Object.entries(before.pools)
    .filter(([pool, up]) => (now.pools[pool] ?? 0) < Math.ceil(up / 2))
    .map(([pool]) => pool);
  lost('fewer than half of the members are up in', poor, []);
  return found;
}

export interface JudgeState {
  readonly began: number;
  /** Since when nothing is missing; null: something is. */
  readonly wellSince: number | null;
  readonly verdict: 'waiting' | 'good' | 'bad';
  /** What was missing last. */
  readonly missing: readonly string[];
}

export const beginJudging = (now: number): JudgeState => ({
  began: now,
  wellSince: null,
  verdict: 'waiting',
  missing: [],
});

/** `found`: null when the unit cannot even be looked at. */
export function judge(
  state: JudgeState,
  now: number,
  found: readonly string[] | null,
  { holdMs = HOLD_MS, limitMs = LIMIT_MS } = {},
): JudgeState {
  if (state.verdict !== 'waiting') return state;
  const lacking = found ?? ['the unit does not answer'];
  const wellSince = lacking.length > 0 ? null : (state.wellSince ?? now);
  const next = { ...state, wellSince, missing: lacking };
  if (wellSince !== null && now - wellSince >= holdMs) return { ...next, verdict: 'good' };
  return now - state.began >= limitMs ? { ...next, verdict: 'bad' } : next;
}

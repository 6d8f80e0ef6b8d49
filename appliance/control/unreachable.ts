/** Which members no frame can reach, in words. Pure. */
import type { L4Pool } from './tables.js';
import { memberState } from './views.js';

/** How many reasons a sentence names before it only counts. */
const REASONS_NAMED = 3;

/** Members of a pool that no frame can reach, in one sentence; null when there are none. */
export function unreachable(pool: L4Pool): string | null {
  const lost = pool.members.filter(
    (member) => member.nextHop === null && memberState(member) === 'DOWN',
  );
  if (lost.length === 0) return null;
  const reasons = [...new Set(lost.map((member) => member.reason))];
  const named = reasons.slice(0, REASONS_NAMED).join('; ');
  const more = reasons.length > REASONS_NAMED ? '; …' : '';
  return `${lost.length} of ${pool.members.length} members of pool ${pool.name} take no traffic: ${named}${more}`;
}

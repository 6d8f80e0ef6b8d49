/**
 * Members that are down, grouped by what they have in common: a server that is dead in
 * five pools, or a pool none of whose members can be reached, is one line to read.
 *
 * Invariant: pure, and every member that is down is in exactly one cause.
 */
import type { MemberRow } from '../api/contract.js';
import { clean, plural } from './format.js';

export interface Cause {
  readonly members: readonly MemberRow[];
  /** A sentence without its full stop. */
  readonly text: string;
  /** When the first of them went down, milliseconds since 1970. */
  readonly since: number;
}

/** Largest first. `rows` are all members, also those that are well. */
export function causesOf(rows: readonly MemberRow[]): Cause[] {
  let left = rows.filter(({ state }) => state === 'DOWN');
  const causes: Cause[] = [];
  while (left.length > 0) {
    const members = largestGroup(left);
    left = left.filter((row) => !members.includes(row));
    const since = Math.min(...members.map((row) => row.since));
    causes.push({ members, text: describe(members, rows), since });
  }
  return causes;
}

/** Those of one pool, or those at one address, that are down for the same reason. */
function largestGroup(rows: readonly MemberRow[]): MemberRow[] {
  const groups = new Map<string, MemberRow[]>();
  for (const row of rows) {
    for (const key of [`pool ${row.pool}`, `address ${row.address}`]) {
      const full = `${key} ${reasonOf(row)}`;
      const group = groups.get(full);
      if (group === undefined) groups.set(full, [row]);
      else group.push(row);
    }
  }
  return [...groups.values()].reduce((most, group) => (group.length > most.length ? group : most));
}

/** Without the member's own address, which differs where the cause does not. */
function reasonOf({ reason, address }: MemberRow): string {
  return reason.replace(` for ${address}`, '').replaceAll(address, 'its address');
}

function describe(members: readonly MemberRow[], rows: readonly MemberRow[]): string {
  const [first] = members;
  if (first === undefined) return '';
  const why = clean(reasonOf(first));
  if (members.length === 1) {
    return `member ${clean(first.member)} of pool ${clean(first.pool)} is down: ${why}`;
  }
  if (members.every(({ pool }) => pool === first.pool)) {
    const all = rows.filter(({ pool }) => pool === first.pool).length;
    return `pool ${clean(first.pool)}: ${members.length} of ${plural(all, 'member')} are down: ${why}`;
  }
  const pools = [...new Set(members.map(({ pool }) => clean(pool)))].sort().join(', ');
  return `${clean(first.address)} is down in ${members.length} pools (${pools}): ${why}`;
}

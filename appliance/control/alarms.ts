/** What somebody should look at now. Pure. */
import type { Alarm, PendingConfirm } from '../api/contract.js';
import type { AttachOutcome } from '../l4/attach.js';
import type { Tables } from './tables.js';
import { memberState } from './views.js';

export interface AlarmInput {
  readonly tables: Tables | undefined;
  readonly outcomes: readonly AttachOutcome[];
  readonly netProblems: readonly string[];
  readonly pending: PendingConfirm | null;
  /** Why the last run failed; null when it did not. */
  readonly failure: Error | null;
  readonly memberSince: ReadonlyMap<string, number>;
  /** About files of access lists. */
  readonly access?: readonly Alarm[];
}

export function alarms(input: AlarmInput): Alarm[] {
  const found: Alarm[] = [];
  if (input.failure !== null) {
    found.push({
      code: 'apply-failed',
      severity: 'error',
      message: `The fast path does not match the configuration: ${input.failure.message}. It is tried again by itself.`,
      since: null,
    });
  }
  for (const problem of input.netProblems) {
    found.push({ code: 'apply-failed', severity: 'error', message: problem, since: null });
  }
  for (const outcome of input.outcomes) {
    if (!outcome.degraded) continue;
    found.push({
      code: 'tier-degraded',
      severity: outcome.attachment === null ? 'error' : 'warning',
      message: `${outcome.interface.name}: ${outcome.why}`,
      since: null,
    });
  }
  found.push(...poolAlarms(input), ...(input.access ?? []));
  if (input.pending !== null) {
    found.push({
      code: 'confirm-pending',
      severity: 'warning',
      message:
        `Revision ${input.pending.revision} goes back in ${input.pending.secondsLeft} s ` +
        'unless it is confirmed (weir confirm).',
      since: null,
    });
  }
  return found;
}

function poolAlarms({ tables, memberSince }: AlarmInput): Alarm[] {
  const found: Alarm[] = [];
  for (const [name, pool] of tables?.l4.pools ?? []) {
    if (pool.lookup.length === 0) {
      found.push({
        code: 'pool-down',
        severity: 'error',
        message: `Pool ${name} has no member that can serve: packets for its services are dropped.`,
        since: null,
      });
    }
    for (const member of pool.members) {
      if (memberState(member) !== 'DOWN') continue;
      const since = memberSince.get(member.id) ?? null;
      const unresolved = member.nextHop === null;
      found.push({
        code: unresolved ? 'next-hop-unresolved' : 'member-down',
        severity: 'warning',
        message: `Member ${member.key} of pool ${name} is down: ${member.reason}.`,
        since,
      });
    }
  }
  return found;
}

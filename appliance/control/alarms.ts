/** What somebody should look at now. Pure. */
import type { Alarm, PendingConfirm } from '../api/contract.js';
import { capital } from '../config/words.js';
import type { TierHealth } from '../l7/supervisor/worker-tier.js';
import type { AttachOutcome } from '../l4/attach.js';
import type { DroppingLog } from './proxy-watch.js';
import type { L4Pool, Tables } from './tables.js';
import { needsNextHops, usedPools } from './used-pools.js';
import { memberState } from './views.js';
import { FULL } from './watch/limits.js';

export interface AlarmInput {
  readonly tables: Tables | undefined;
  readonly outcomes: readonly AttachOutcome[];
  readonly netProblems: readonly string[];
  readonly pending: PendingConfirm | null;
  /** Why the last run failed; null when it did not. */
  readonly failure: Error | null;
  readonly memberSince: ReadonlyMap<string, number>;
  /** What is wrong with the expressions of pools, by pool. */
  readonly weightProblems: ReadonlyMap<string, string>;
  /** Tables of the fast path, as far as they are counted. */
  readonly usage?: readonly {
    readonly name: string;
    readonly entries: number | null;
    readonly limit: number;
  }[];
  /** How the workers of the proxy are; left out: there are none. */
  readonly proxy?: Omit<TierHealth, 'logs'> & { readonly dropping: readonly DroppingLog[] };
  /** About files of access lists. */
  readonly access?: readonly Alarm[];
  /** About certificates. */
  readonly certificates?: readonly Alarm[];
  /** About the other unit. */
  readonly pair?: readonly Alarm[];
  /** About virtual routers. */
  readonly roles?: readonly Alarm[];
  /** About those who are told. */
  readonly alerts?: readonly Alarm[];
  /** About what is watched beside: limits, disks, clocks, members that flap. */
  readonly watches?: readonly Alarm[];
}

const REMEDY: Readonly<Record<string, string>> = {
  flows:
    'New flows that need an entry are about to be dropped; look at weir show drops, and at what opens so many.',
};

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
      object: outcome.interface.name,
      since: null,
    });
  }
  found.push(
    ...proxyAlarms(input),
    ...poolAlarms(input),
    ...(input.access ?? []),
    ...(input.certificates ?? []),
    ...(input.pair ?? []),
    ...(input.roles ?? []),
    ...(input.alerts ?? []),
    ...(input.watches ?? []),
  );
  for (const [pool, problem] of input.weightProblems) {
    found.push({
      code: 'weights-failed',
      severity: 'warning',
      message: `The expression of pool ${pool} gives no weight: ${problem}. Its members keep the weights that they have.`,
      object: pool,
      since: null,
    });
  }
  for (const { name, entries, limit } of input.usage ?? []) {
    if (entries === null || limit === 0 || entries < FULL * limit) continue;
    found.push({
      code: 'table-full',
      severity: 'warning',
      message: `The table ${name} of the fast path is nearly full: ${entries} of ${limit} entries. ${REMEDY[name] ?? 'Remove what is not needed, or use a hardware profile with more.'}`,
      object: name,
      since: null,
    });
  }
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

/** One whose beginning nobody knows. */
export function alarm(
  code: Alarm['code'],
  severity: Alarm['severity'],
  message: string,
  object?: string,
): Alarm {
  return { code, severity, message, since: null, ...(object === undefined ? {} : { object }) };
}

function proxyAlarms({ proxy }: AlarmInput): Alarm[] {
  if (proxy === undefined) return [];
  const { unable, notListening, failing, places, dropping } = proxy;
  const found: Alarm[] = [];
  const add = (...of: Parameters<typeof alarm>): void => {
    found.push(alarm(...of));
  };
  if (unable !== null) {
    add('proxy-unavailable', 'error', `No service of the proxy is served. ${unable}`);
  }
  for (const { service, message } of notListening) {
    add('not-listening', 'error', `${capital(message)}.`, service);
  }
  if (failing > 0) {
    add(
      'worker-failing',
      failing < places ? 'warning' : 'error',
      `${failing} of ${places} workers of the proxy end soon after each start: see "weir show events --kind worker" and the log of the daemon.`,
    );
  }
  for (const { to, dropped, last } of dropping) {
    found.push({
      code: 'access-log',
      severity: 'warning',
      message: `Lines of the access log ${to} were dropped, ${dropped} so far: "weir show events --kind worker" says why.`,
      object: to,
      since: last,
    });
  }
  return found;
}

function poolAlarms({ tables, memberSince }: AlarmInput): Alarm[] {
  const found: Alarm[] = [];
  if (tables === undefined) return found;
  for (const [name, pool] of usedPools(tables)) {
    const standing = tables.standings.get(name);
    const byFrames = needsNextHops(tables, name);
    const standIn = standing === undefined || standing.servedBy === name ? null : standing.servedBy;
    if (standIn !== null) {
      found.push({
        code: 'pool-short',
        severity: 'warning',
        message: `Pool ${name} has ${standing?.serving ?? 0} of ${standing?.needed ?? 1} members that it needs: pool ${standIn} takes its new flows.`,
        object: name,
        since: null,
      });
    } else if (pool.lookup.length === 0) {
      found.push({
        code: 'pool-down',
        severity: 'error',
        message: `Pool ${name} has no member that can serve: ` + fate(pool.whenDown, byFrames),
        object: name,
        since: null,
      });
    } else if (standing?.muster === 'all') {
      found.push({
        code: 'pool-short',
        severity: 'error',
        message: `Pool ${name} has ${standing.serving} of ${standing.needed} members that it needs: members that are down are used all the same.`,
        object: name,
        since: null,
      });
    } else if (standing?.muster === 'few') {
      found.push({
        code: 'pool-short',
        severity: 'warning',
        message: `Pool ${name} has ${standing.serving} of ${standing.needed} members that it needs: these take all new flows.`,
        object: name,
        since: null,
      });
    }
    for (const member of pool.members) {
      if (memberState(member) !== 'DOWN') continue;
      const since = memberSince.get(member.id) ?? null;
      const unresolved = byFrames && member.nextHop === null;
      found.push({
        code: unresolved ? 'next-hop-unresolved' : 'member-down',
        severity: 'warning',
        message: `Member ${member.key} of pool ${name} is down: ${member.reason}.`,
        object: `${name}/${member.key}`,
        since,
      });
    }
  }
  return found;
}

function fate(whenDown: L4Pool['whenDown'], byFrames: boolean): string {
  if (whenDown === 'reset') {
    return byFrames
      ? 'new TCP flows for its services are reset, others dropped.'
      : 'connections to its services are reset.';
  }
  return byFrames
    ? 'packets for its services are dropped.'
    : 'requests for its services are refused.';
}

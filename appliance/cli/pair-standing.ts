/** What two units have in common, a line each: for `pair status`. */
import type { PairFlows, PairShared, PairStanding } from '../api/contract.js';
import { perSecond, plural, quantity } from './format.js';

export function standingLines(standing: PairStanding): [string, string][] {
  const { configuration, flows, clients, shared, routers, failovers } = standing;
  const { revision, id, message, superseded } = configuration;
  const known = id === null ? '' : ` (shared id ${id.slice(0, 8)})`;
  const lines: [string, string][] = [
    ['Config', `revision ${revision ?? 'none'}${known}: ${message}`],
  ];
  const [last] = superseded;
  if (last !== undefined) {
    const where = last.unit === '' ? 'both units' : last.unit;
    const list = superseded.map((one) => one.revision).join(', ');
    lines.push([
      'Gave way',
      `${superseded.length === 1 ? 'revision' : 'revisions'} ${list} (the last by ${last.author} on ${where}): ` +
        `weir history --changes shows, weir rollback ${last.revision} brings back`,
    ]);
  }
  lines.push(['Flows', flowText(flows)]);
  if (clients.told + clients.taken > 0) {
    const { told, taken } = clients;
    const text = `members that clients stick to: ${quantity(told)} told, ${quantity(taken)} taken`;
    lines.push(['Clients', text]);
  }
  lines.push(['Shared', sharedText(shared)]);
  const roles = [
    routerLine(routers) ?? 'no virtual router',
    ...(failovers.length > 0 ? [`told to give up ${failovers.join(', ')}`] : []),
  ];
  lines.push(['Roles', roles.join('; ')]);
  return lines;
}

function flowText(flows: PairFlows): string {
  const { told, complete, known, toldPerSecond, takenPerSecond, lag, untold, refused } = flows;
  if (flows.problem !== null) return flows.problem;
  const state =
    told && complete
      ? 'each unit knows those of the other'
      : complete
        ? 'the other unit does not know all of this one'
        : told
          ? 'this unit does not know all of the other one'
          : 'neither unit knows all of the other';
  const reasons = Object.entries(refused).map(([reason, count]) => `${reason} ${quantity(count)}`);
  return [
    state,
    ...(known === null ? [] : [`${quantity(known)} known`]),
    `${perSecond(toldPerSecond)} told, ${perSecond(takenPerSecond)} taken`,
    ...(lag > 1000 ? [`the other unit is ${Math.round(lag / 1000)} s behind`] : []),
    ...(untold > 0 ? [`${quantity(untold)} ends untold`] : []),
    ...(reasons.length > 0 ? [`lost: ${reasons.join(', ')}`] : []),
  ].join(', ');
}

const SHARED: Readonly<Record<PairShared['state'], string>> = {
  'in-step': 'in step',
  'catching-up': 'catching up',
  away: 'the other unit is away',
};

const KINDS: Readonly<Record<string, readonly [one: string, many?: string]>> = {
  certificate: ['certificate'],
  'acme-account': ['ACME account'],
  'ticket-key': ['ticket key'],
  'cookie-secret': ['cookie secret'],
  access: ['access entry', 'access entries'],
  user: ['user'],
  token: ['token'],
};

function sharedText({ state, waiting, notTaken, kinds }: PairShared): string {
  const counts = kinds
    .filter(({ entries }) => entries > 0)
    .map(({ name, entries }) => plural(entries, ...(KINDS[name] ?? ([name] as const))));
  return [
    `${SHARED[state]}: ${counts.join(', ')}`,
    ...(waiting > 0 ? [`${waiting} waiting`] : []),
    ...(notTaken > 0 ? [`${notTaken} refused: weir show events --kind pair`] : []),
  ].join('; ');
}

/** One line of `weir status`; null: there are none. */
export function routerLine(counts: {
  readonly master: number;
  readonly backup: number;
  readonly down: number;
}): string | null {
  const { master, backup, down } = counts;
  const total = master + backup + down;
  if (total === 0) return null;
  const rest = [
    ...(backup > 0 ? [`backup of ${backup}`] : []),
    ...(down > 0 ? [`${down} down`] : []),
  ];
  return [`master of ${master} of ${plural(total, 'virtual router')}`, ...rest].join(', ');
}

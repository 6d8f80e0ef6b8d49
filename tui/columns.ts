/**
 * The columns of the tables of services, pools and members, most important first.
 *
 * Invariant: a state is a word with a sign before it, never a colour alone.
 */
import type {
  MemberRow,
  MemberState,
  PoolRow,
  ServiceRow,
  ServiceState,
} from '../appliance/api/contract.js';
import {
  bitsPerSecond,
  duration,
  endpoint,
  milliseconds,
  perSecond,
} from '../appliance/cli/format.js';
import { sparkline } from '../appliance/cli/sparkline.js';
import type { Look, Style } from './frame.js';
import { sampleOf, type History } from './history.js';
import type { Column } from './table.js';

export interface ColumnContext {
  readonly look: Pick<Look, 'unicode'>;
  readonly now: number;
  readonly history: History;
}

type StateWord = ServiceState | MemberState;

const STATES: Readonly<
  Record<StateWord, readonly [sign: string, ascii: string, style: Style, rank: number]>
> = {
  DOWN: ['✖', 'x', 'bad', 0],
  DEGRADED: ['◐', '!', 'warning', 1],
  DRAINING: ['◐', '-', 'warning', 2],
  DISABLED: ['○', 'o', 'dim', 3],
  UP: ['●', '+', 'good', 4],
};

export function stateText({ unicode }: Pick<Look, 'unicode'>, word: StateWord): string {
  // A newer daemon may know a state that this dashboard does not.
  const known: (typeof STATES)[StateWord] | undefined = STATES[word];
  return `${(unicode ? known?.[0] : known?.[1]) ?? '?'} ${word}`;
}

export function stateStyle(word: StateWord): Style {
  const known: (typeof STATES)[StateWord] | undefined = STATES[word];
  return known?.[2] ?? 'bold';
}

export function stateRank(word: StateWord): number {
  const known: (typeof STATES)[StateWord] | undefined = STATES[word];
  return known?.[3] ?? 0;
}

type Traffic = Parameters<typeof sampleOf>[0];

const SPARK_WIDTH = 20;

function traffic<Row extends Traffic>(
  context: ColumnContext,
  name: (row: Row) => string,
): Column<Row>[] {
  return [
    {
      title: 'FLOWS/S',
      align: 'right',
      width: 7,
      value: (row) => perSecond(sampleOf(row).connections),
      order: (row) => sampleOf(row).connections,
    },
    {
      title: 'BITS/S',
      align: 'right',
      width: 10,
      value: (row) => bitsPerSecond(sampleOf(row).bits),
      order: (row) => sampleOf(row).bits,
      goes: 3,
    },
    {
      title: 'REQ/S',
      align: 'right',
      width: 7,
      value: ({ proxy }) => (proxy === null ? '-' : perSecond(proxy.rates.requestsPerSecond)),
      order: (row) => sampleOf(row).requests,
      goes: 5,
    },
    {
      title: '5XX/S',
      align: 'right',
      width: 6,
      value: ({ proxy }) => (proxy === null ? '-' : perSecond(proxy.rates.errorsPerSecond)),
      order: (row) => sampleOf(row).errors,
      style: (row) => (sampleOf(row).errors > 0 ? 'bad' : 'plain'),
      goes: 6,
    },
    {
      title: 'P99',
      align: 'right',
      width: 6,
      value: ({ proxy }) =>
        proxy === null || proxy.latency === null ? '-' : milliseconds(proxy.latency.p99),
      order: ({ proxy }) => proxy?.latency?.p99 ?? -1,
      goes: 7,
    },
    {
      title: 'BITS, LAST 20 S',
      value: (row) =>
        sparkline(context.look, context.history.values(name(row), 'bits'), SPARK_WIDTH),
      order: (row) => sampleOf(row).bits,
      style: () => 'accent',
      width: SPARK_WIDTH,
      goes: 8,
    },
  ];
}

export const trackOf = {
  service: (name: string): string => `service ${name}`,
  pool: (name: string): string => `pool ${name}`,
  member: (pool: string, member: string): string => `member ${pool}/${member}`,
};

export function serviceColumns(context: ColumnContext): Column<ServiceRow>[] {
  return [
    { title: 'SERVICE', value: ({ name }) => name, shrinkTo: 10 },
    {
      title: 'STATE',
      value: ({ state }) => stateText(context.look, state),
      style: ({ state }) => stateStyle(state),
      order: ({ state }) => stateRank(state),
    },
    {
      title: 'MEMBERS',
      align: 'right',
      value: ({ membersServing, membersTotal }) => `${membersServing}/${membersTotal}`,
      order: ({ membersServing }) => membersServing,
    },
    {
      title: 'TIER',
      value: ({ tier }) => tier,
      style: ({ tier }) => (tier === 'none' ? 'bad' : 'plain'),
    },
    {
      title: 'LISTEN',
      value: ({ address, port, protocol }) => `${endpoint(address, port)}/${protocol}`,
      shrinkTo: 17,
      goes: 1,
    },
    {
      title: 'POOL',
      // Another pool that stands in is what one wants to know first.
      value: ({ pool, servedBy }) => (servedBy === pool ? pool || '-' : `${servedBy} for ${pool}`),
      style: ({ pool, servedBy }) => (servedBy === pool ? 'plain' : 'warning'),
      shrinkTo: 8,
      goes: 4,
    },
    ...traffic<ServiceRow>(context, ({ name }) => trackOf.service(name)),
  ];
}

export function poolColumns(context: ColumnContext): Column<PoolRow>[] {
  const count = (title: string, of: (row: PoolRow) => number, style: Style): Column<PoolRow> => ({
    title,
    align: 'right',
    value: (row) => String(of(row)),
    order: of,
    style: (row) => (of(row) > 0 ? style : 'plain'),
  });
  return [
    { title: 'POOL', value: ({ name }) => name, shrinkTo: 10 },
    count('UP', ({ membersUp }) => membersUp, 'good'),
    count('DOWN', ({ membersDown }) => membersDown, 'bad'),
    count('DRAINING', ({ membersDraining }) => membersDraining, 'warning'),
    count('DISABLED', ({ membersDisabled }) => membersDisabled, 'dim'),
    { title: 'ALGORITHM', value: ({ algorithm }) => algorithm, shrinkTo: 10, goes: 2 },
    { title: 'MONITOR', value: ({ monitor }) => monitor ?? '-', goes: 1 },
    {
      title: 'SERVICES',
      value: ({ services }) => services.join(', ') || '-',
      shrinkTo: 8,
      goes: 4,
    },
    ...traffic<PoolRow>(context, ({ name }) => trackOf.pool(name)),
  ];
}

export function memberColumns(context: ColumnContext, withPool: boolean): Column<MemberRow>[] {
  const pool: Column<MemberRow> = { title: 'POOL', value: ({ pool }) => pool, shrinkTo: 8 };
  return [
    ...(withPool ? [pool] : []),
    { title: 'MEMBER', value: ({ member }) => member, shrinkTo: 16 },
    {
      title: 'STATE',
      value: ({ state }) => stateText(context.look, state),
      style: ({ state }) => stateStyle(state),
      order: ({ state }) => stateRank(state),
    },
    {
      title: 'SINCE',
      align: 'right',
      value: ({ since }) => duration(context.now - since),
      order: ({ since }) => -since,
      goes: 2,
    },
    { title: 'REASON', value: ({ reason }) => reason, shrinkTo: 14 },
    {
      title: 'WEIGHT',
      align: 'right',
      value: ({ weight, effectiveWeight }) =>
        weight === effectiveWeight ? String(weight) : `${rounded(effectiveWeight)} of ${weight}`,
      order: ({ weight }) => weight,
      goes: 1,
    },
    {
      title: 'PROBE',
      align: 'right',
      width: 6,
      value: ({ health }) =>
        health === null || health.latencyMs === null ? '-' : milliseconds(health.latencyMs),
      order: ({ health }) => health?.latencyMs ?? -1,
      goes: 4.5,
    },
    ...traffic<MemberRow>(context, (row) => trackOf.member(row.pool, row.member)),
  ];
}

function rounded(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toFixed(2);
}

/**
 * The columns of each table of `show`, most important first, and which of them may
 * go on a narrow terminal.
 *
 * Invariant: at 80 columns every table still shows name, state and the reason for
 * it, so nothing that is wrong is hidden by a small terminal.
 */
import type {
  Counters,
  CounterSet,
  FlowRow,
  MemberRow,
  PoolDetail,
  PoolRow,
  ServiceRow,
  TierRow,
} from '../api/contract.js';
import type { Context } from './context.js';
import {
  clean,
  duration,
  endpoint,
  milliseconds,
  paint,
  quantity,
  state,
  timestamp,
} from './format.js';
import { proxyLines } from './proxy-text.js';
import { table, type Column } from './table.js';
import { GOES, trafficColumns } from './traffic-columns.js';

/** There once a SYN was answered by a cookie. Sent, brought back, and wrong ones. */
const COOKIES: readonly Column<ServiceRow>[] = [
  {
    title: 'SYN COOKIES',
    value: ({ synCookies }) =>
      synCookies === null
        ? '-'
        : `${synCookies.on ? 'on' : 'off'} ${quantity(synCookies.sent)}/${quantity(synCookies.accepted)}/${quantity(synCookies.rejected)}`,
    colour: ({ synCookies }) => (synCookies?.on === true ? 'yellow' : null),
    dispensable: GOES.cookies,
  },
];

/** `WHY` is there while some service has no tier: then it is what one has to read. */
export function serviceColumns(
  context: Context,
  rows: readonly ServiceRow[],
): Column<ServiceRow>[] {
  const why: Column<ServiceRow> = {
    title: 'WHY',
    value: ({ tierReason }) => tierReason,
    shrinkTo: 20,
  };
  const unserved = rows.some(({ tier }) => tier === 'none');
  return [
    { title: 'SERVICE', value: ({ name }) => name, shrinkTo: 10 },
    {
      title: 'STATE',
      value: (row) => state(row.state).text(context.look),
      colour: (row) => state(row.state).colour,
    },
    {
      title: 'LISTEN',
      value: (row) => `${endpoint(row.address, row.port)}/${row.protocol}`,
      shrinkTo: 18,
    },
    {
      title: 'MEMBERS',
      align: 'right',
      value: (row) => `${row.membersServing}/${row.membersTotal}`,
    },
    {
      title: 'TIER',
      value: ({ tier }) => tier,
      colour: ({ tier }) => (tier === 'none' ? 'red' : null),
    },
    {
      title: 'FORWARDING',
      value: ({ forwarding }) => forwarding ?? '-',
      dispensable: GOES.forwarding,
    },
    {
      title: 'POOL',
      // Another pool that stands in is what one wants to know first.
      value: ({ pool, servedBy }) => (servedBy === pool ? pool || '-' : `${servedBy} for ${pool}`),
      colour: ({ pool, servedBy }) => (servedBy === pool ? null : 'yellow'),
      shrinkTo: 8,
      dispensable: GOES.pool,
    },
    ...(rows.some(({ synCookies }) => (synCookies?.sent ?? 0) > 0) ? COOKIES : []),
    ...trafficColumns(rows),
    {
      title: 'SINCE',
      align: 'right',
      value: ({ since }) => duration(context.now() - since),
      dispensable: GOES.since,
      wideOnly: true,
    },
    unserved ? why : { ...why, dispensable: GOES.packets + 1, wideOnly: true },
  ];
}

export function poolColumns(rows: readonly PoolRow[]): Column<PoolRow>[] {
  return [...poolFacts, ...trafficColumns(rows)];
}

const poolFacts: readonly Column<PoolRow>[] = [
  { title: 'POOL', value: ({ name }) => name, shrinkTo: 10 },
  { title: 'ALGORITHM', value: ({ algorithm }) => algorithm, shrinkTo: 12 },
  { title: 'MONITOR', value: ({ monitor }) => monitor ?? '-' },
  { title: 'UP', align: 'right', value: (row) => String(row.membersUp) },
  { title: 'DRAINING', align: 'right', value: (row) => String(row.membersDraining) },
  {
    title: 'DOWN',
    align: 'right',
    value: (row) => String(row.membersDown),
    colour: (row) => (row.membersDown > 0 ? 'red' : null),
  },
  { title: 'DISABLED', align: 'right', value: (row) => String(row.membersDisabled) },
  {
    title: 'SERVICES',
    value: ({ services }) => services.join(',') || '-',
    shrinkTo: 10,
    dispensable: GOES.services,
  },
];

export function memberColumns(context: Context, rows: readonly MemberRow[]): Column<MemberRow>[] {
  const traffic = trafficColumns(rows);
  return [
    { title: 'POOL', value: ({ pool }) => pool, shrinkTo: 12 },
    { title: 'MEMBER', value: ({ member }) => member, shrinkTo: 20 },
    {
      title: 'STATE',
      value: (row) => state(row.state).text(context.look),
      colour: (row) => state(row.state).colour,
    },
    {
      title: 'SINCE',
      align: 'right',
      value: ({ since }) => duration(context.now() - since),
      dispensable: GOES.memberSince,
    },
    { title: 'REASON', value: ({ reason }) => reason, shrinkTo: 20 },
    {
      title: 'WEIGHT',
      align: 'right',
      value: ({ weight }) => String(weight),
      dispensable: GOES.weight,
    },
    ...traffic.filter(({ wideOnly }) => wideOnly !== true),
    {
      title: 'HEALTH',
      value: (row) => health(row, context.now()),
      dispensable: GOES.health,
      wideOnly: true,
    },
    {
      title: 'NEXT HOP',
      value: nextHop,
      shrinkTo: 24,
      dispensable: GOES.nextHop,
      wideOnly: true,
    },
    ...traffic.filter(({ wideOnly }) => wideOnly === true),
  ];
}

/** The members of one pool, with the weight that the algorithm uses now beside that of the document. */
export function poolMemberColumns(
  context: Context,
  rows: readonly MemberRow[],
): Column<MemberRow>[] {
  const effective: Column<MemberRow> = {
    title: 'EFFECTIVE',
    align: 'right',
    value: ({ effectiveWeight }) => String(effectiveWeight),
  };
  return memberColumns(context, rows).flatMap((column) => {
    if (column.title === 'POOL') return [];
    if (column.title !== 'WEIGHT') return [column];
    const { title, align, value } = column;
    return [{ title, value, ...(align === undefined ? {} : { align }) }, effective];
  });
}

/** A pool in detail: how it is off in sentences, and its members below. */
export function poolText(context: Context, pool: PoolDetail, wide: boolean): string {
  const lines: (readonly [string, string])[] = [
    ['Algorithm', pool.algorithm],
    ['Monitor', pool.monitor ?? '-'],
    ['Services', pool.services.join(', ') || '-'],
    ['Now', pool.now],
    ['When down', pool.whenDown],
    ...(pool.proxy ? proxyLines(pool.proxy) : []),
  ];
  const open = pool.muster === 'enough';
  const body = lines.map(([name, value]) => {
    const text = clean(value);
    return `  ${name.padEnd(11)}${name === 'Now' && !open ? paint(context.look, 'yellow', text) : text}\n`;
  });
  const head = paint(context.look, 'bold', `pool ${clean(pool.name)}`);
  const members = table(
    pool.members,
    poolMemberColumns(context, pool.members),
    context.look,
    { width: context.width, wide },
    'No members.',
  );
  return `${head}\n${body.join('')}\n${members}`;
}

function health({ health: found }: MemberRow, now: number): string {
  if (found === null) return '-';
  const latency = found.latencyMs === null ? '' : ` ${milliseconds(found.latencyMs)}`;
  const age =
    found.lastProbe === null ? ' not probed yet' : ` ${duration(now - found.lastProbe)} ago`;
  return `${found.monitor}${latency}${age}`;
}

function nextHop(row: MemberRow): string {
  if (row.nextHop === null) return row.nextHopProblem ?? '-';
  const { mac, interface: name, vlan } = row.nextHop;
  return [mac, name, ...vlan.map((id) => `vlan ${id}`)].join(' ');
}

export const flowColumns: readonly Column<FlowRow>[] = [
  { title: 'PROTOCOL', value: ({ protocol }) => protocol, dispensable: 1 },
  { title: 'CLIENT', value: (row) => endpoint(row.clientAddress, row.clientPort) },
  { title: 'SERVICE', value: ({ service }) => service, shrinkTo: 10 },
  { title: 'ADDRESS', value: (row) => endpoint(row.address, row.port), dispensable: 2 },
  { title: 'POOL', value: ({ pool }) => pool, shrinkTo: 8, dispensable: 3 },
  { title: 'MEMBER', value: ({ member }) => member },
  { title: 'IDLE', align: 'right', value: ({ idleMs }) => duration(idleMs) },
];

/** One block a tier and interface: these are few, and their reasons are sentences. */
export function tierText(context: Context, rows: readonly TierRow[]): string {
  if (rows.length === 0) return 'No tier is attached to an interface.\n';
  return rows.map((row) => tierBlock(context, row)).join('\n');
}

function tierBlock(context: Context, row: TierRow): string {
  const mode = row.mode ?? 'not attached';
  const since =
    row.attachedSince === null
      ? 'never'
      : `${timestamp(row.attachedSince)} (${duration(context.now() - row.attachedSince)})`;
  const usage = row.maps.map(
    ({ name, entries, limit }) => `${name} ${entries ?? '?'}/${limit}${percent(entries, limit)}`,
  );
  const lines: [string, string][] = [
    ['Mode', row.degraded ? `${mode} (degraded)` : mode],
    ['Why', row.why],
    ['Profile', row.profile],
    ['Attached', since],
    ['Program', row.programTag ?? '-'],
    ['Tables', usage.join('\n           ') || '-'],
  ];
  const head = paint(context.look, 'bold', `${clean(row.tier)} on ${clean(row.interface)}`);
  const body = lines.map(([name, value], index) => {
    const text = value.split('\n').map(clean).join('\n');
    return `  ${name.padEnd(9)}${index === 0 && row.degraded ? paint(context.look, 'yellow', text) : text}\n`;
  });
  return `${head}\n${body.join('')}`;
}

function percent(entries: number | null, limit: number): string {
  if (entries === null || limit === 0) return '';
  const share = (entries / limit) * 100;
  return share > 0 && share < 1 ? ' (<1%)' : ` (${share.toFixed(0)}%)`;
}

export function counterText(context: Context, counters: Counters): string {
  const { totals } = counters;
  const lines: [string, number][] = [
    ['passed to the kernel', totals.passed],
    ['echo replies', totals.echoReplies],
    ['events lost', totals.eventsLost],
    ...Object.entries(counters.drops).map(([reason, count]): [string, number] => [
      `dropped: ${clean(reason)}`,
      count,
    ]),
  ];
  const width = Math.max(...lines.map(([name]) => name.length));
  const totalsText = lines.map(([name, count]) => `${name.padEnd(width)}  ${count}\n`).join('');
  const services = Object.entries(counters.services).map(([name, set]) => ({ name, set }));
  const span = duration(counters.time - counters.since);
  return `Counted over ${span}\n\n${totalsText}\n${table(services, counterColumns, context.look, { width: context.width }, 'No services.')}`;
}

const counterColumns: readonly Column<{ readonly name: string; readonly set: CounterSet }>[] = [
  { title: 'SERVICE', value: ({ name }) => name, shrinkTo: 10 },
  { title: 'FLOWS', align: 'right', value: ({ set }) => String(set.flows) },
  { title: 'PACKETS', align: 'right', value: ({ set }) => String(set.packets) },
  { title: 'BYTES', align: 'right', value: ({ set }) => String(set.bytes) },
  {
    title: 'REPLY PACKETS',
    align: 'right',
    value: ({ set }) => String(set.replyPackets),
    dispensable: 2,
  },
  {
    title: 'REPLY BYTES',
    align: 'right',
    value: ({ set }) => String(set.replyBytes),
    dispensable: 1,
  },
];

/**
 * What the lab shows on a terminal, as lines: services and members as the unit sees
 * them, beside them what the client sees, and below what happened.
 *
 * Invariant: pure, and never wider or higher than the terminal; one that is too small
 * says so instead of showing half of it.
 */
import type { EventRow, MemberRow, ServiceRow, Status } from '../../appliance/api/contract.js';
import { addressesOf } from './lab.js';
import { memberNames, type MemberName } from './topology.js';

export const smallest = { columns: 80, rows: 24 } as const;

/** What the unit says of itself. */
export interface UnitView {
  readonly status: Status;
  readonly services: readonly ServiceRow[];
  readonly members: readonly MemberRow[];
}

/** What the client saw of a service. */
export interface ClientView {
  readonly requestsPerSecond: number;
  /** Since the lab began. */
  readonly failed: number;
  /** Longest time without an answer lately, in milliseconds. */
  readonly longestGap: number;
}

export interface Scene {
  /** As last told; null before the first answer. */
  readonly unit: UnitView | null;
  /** Why the unit says nothing now; null while it answers. */
  readonly away: string | null;
  readonly clients: ReadonlyMap<string, ClientView>;
  /** Share of the client's new connections lately, from 0 to 1. */
  readonly shares: ReadonlyMap<MemberName, number>;
  readonly running: ReadonlySet<MemberName>;
  /** Oldest first. */
  readonly events: readonly EventRow[];
  readonly said: string;
  readonly showHelp: boolean;
}

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

const help = [
  '1 2 3  kill -9 the servers of that member, or start them again',
  'd      drain member-2 in every pool, or enable it again (weir set member)',
  'w      turn the weights around, and back (weir set member … --weight)',
  'a      give all members the same weight (weir apply)',
  'r      undo what the last d, w or a changed (weir rollback)',
  'k      kill -9 the daemon, and start it again two seconds later',
  'q      end the lab and remove all that it made',
  'CLIENT/S: answers a second; FAILED: since the start; GAP, NEW: of the last 10 s',
];
const keys = '1 2 3 kill  d drain  w weights  a apply  r undo  k kill daemon  q quit  ? help';

function clock(time: number): string {
  return new Date(time).toTimeString().slice(0, 8);
}

function serviceLine(row: ServiceRow, client: ClientView | undefined, away: boolean): string {
  const host = row.address.includes(':') ? `[${row.address}]` : row.address;
  return [
    row.name.padEnd(8),
    `${row.protocol} ${host}:${row.port}`.padEnd(19),
    `${row.tier} ${row.forwarding ?? ''}`.padEnd(7),
    (away ? '?' : row.state).padEnd(8),
    (away ? '-' : row.rates.packetsPerSecond.toFixed(0)).padStart(7),
    (client?.requestsPerSecond ?? 0).toFixed(0).padStart(9),
    String(client?.failed ?? 0).padStart(7),
    (client?.longestGap ?? 0).toFixed(0).padStart(6),
  ].join(' ');
}

function memberLine(name: MemberName, rows: readonly MemberRow[], scene: Scene): string {
  const away = scene.away !== null;
  const its = rows.filter((row) => addressesOf(name).includes(row.address));
  const states = [...new Set(its.map((row) => row.state))].sort().join('/');
  const weights = [...new Set(its.map((row) => row.weight))].join('/');
  const packets = its.reduce((sum, row) => sum + row.rates.packetsPerSecond, 0);
  const reason = its.find((row) => row.state !== 'UP')?.reason ?? '';
  return [
    name.padEnd(8),
    (scene.running.has(name) ? 'run' : 'dead').padEnd(7),
    (away ? '?' : states).padEnd(13),
    weights.padStart(6),
    (away ? '-' : packets.toFixed(0)).padStart(7),
    `${(100 * (scene.shares.get(name) ?? 0)).toFixed(0)} %`.padStart(5),
    ` ${away ? '' : reason}`,
  ].join(' ');
}

function headline({ unit, away }: Scene): string {
  if (away !== null) return `Weir lab   ${away}`;
  if (unit === null) return 'Weir lab';
  const { status } = unit;
  const waits =
    status.pendingConfirm === null
      ? ''
      : `   goes back in ${status.pendingConfirm.secondsLeft} s unless confirmed`;
  return `Weir lab   unit ${status.unit}   revision ${status.revision ?? 'none'}   ${status.membersServing} of ${status.membersTotal} members serve${waits}`;
}

function body(scene: Scene, room: number): string[] {
  const away = scene.away !== null;
  const services = scene.unit?.services ?? [];
  const members = scene.unit?.members ?? [];
  const lines = [
    headline(scene),
    '',
    'SERVICE  LISTEN              HOW     STATE     PKTS/S  CLIENT/S  FAILED GAP MS',
    ...[...services]
      .sort((a, b) => a.name.localeCompare(b.name))
      .map((row) => serviceLine(row, scene.clients.get(row.name), away)),
    '',
    'MEMBER   SERVERS STATE         WEIGHT  PKTS/S   NEW  WHY',
    ...memberNames.map((name) => memberLine(name, members, scene)),
    '',
  ];
  const left = Math.max(0, room - lines.length);
  if (scene.showHelp) return [...lines, ...help.slice(0, left)];
  const events = left === 0 ? [] : scene.events.slice(-left);
  return [...lines, ...events.map((event) => `${clock(event.time)} ${event.message}`)];
}

function cut(line: string, columns: number): string {
  const characters = [...line];
  return characters.length <= columns ? line : `${characters.slice(0, columns - 1).join('')}…`;
}

/** Exactly `rows` lines. The last column stays free: some terminals wrap when it is written. */
export function screen(scene: Scene, { columns, rows }: Size): string[] {
  if (columns < smallest.columns || rows < smallest.rows) {
    const lines = [
      `The lab needs ${smallest.columns}×${smallest.rows}.`,
      `This terminal: ${columns}×${rows}.`,
      'Enlarge it, or press q.',
    ];
    return lines.slice(0, rows).map((line) => cut(line, Math.max(1, columns - 1)));
  }
  const lines = body(scene, rows - 2).slice(0, rows - 2);
  while (lines.length < rows - 2) lines.push('');
  return [...lines, scene.said, keys].map((line) => cut(line, columns - 1));
}

/** The pair as people read it. Pure. */
import type { PairLink, PairPath, PairView } from '../api/contract.js';
import type { Context } from './context.js';
import { clean, duration, milliseconds, paint, timestamp } from './format.js';
import { standingLines } from './pair-standing.js';
import { table, type Column } from './table.js';

export function statusText(
  context: Pick<Context, 'look' | 'now' | 'width'>,
  view: PairView,
): string {
  const lines: [string, string][] = [['Unit', view.unit]];
  if (view.fingerprint !== null) lines.push(['Key', view.fingerprint]);
  lines.push(['Peer', peerText(view)]);
  if (view.peer !== null) {
    lines.push(['Peer key', view.peer.fingerprint]);
    if (view.unacknowledged > 0) lines.push(['Waiting', `${view.unacknowledged} messages`]);
  }
  if (view.standing !== null) lines.push(...standingLines(view.standing));
  if (view.invitation !== null) {
    const { expires, addresses, wrongCodes } = view.invitation;
    const tries = wrongCodes === 0 ? '' : `, ${wrongCodes} wrong codes`;
    const left = duration(Math.max(0, expires - context.now()));
    lines.push(['Invites', `at ${addresses.join(', ')} for ${left}${tries}`]);
  }
  const refused = Object.entries(view.refused).filter(([, count]) => count > 0);
  if (refused.length > 0) {
    lines.push(['Refused', refused.map(([reason, count]) => `${reason} ${count}`).join(', ')]);
  }
  const text = lines.map(([name, value]) => `${name.padEnd(9)} ${clean(value)}\n`).join('');
  const problem =
    view.problem === null ? '' : `${paint(context.look, 'red', `error: ${clean(view.problem)}`)}\n`;
  if (view.peer === null) return text + problem;
  const room = { width: context.width };
  const links = table(view.links, columns(context), context.look, room, 'No links.');
  const none =
    'No heartbeats yet: both units must have been heard once, in a network that both are in.';
  return `${text}${problem}\n${links}\n${table(view.paths, pathColumns(context), context.look, room, none)}`;
}

function pathColumns(context: Pick<Context, 'now'>): readonly Column<PairPath>[] {
  return [
    { title: 'PATH', value: ({ path }) => path, shrinkTo: 10 },
    { title: 'INTERFACE', value: (row) => row.interface },
    {
      title: 'STATE',
      value: ({ heard }) => (heard === null ? '-' : heard ? 'heard' : 'SILENT'),
      colour: ({ heard }) => (heard === null ? null : heard ? 'green' : 'red'),
    },
    {
      title: 'SINCE',
      value: ({ since }) => (since === null ? '-' : duration(Math.max(0, context.now() - since))),
      align: 'right',
    },
    { title: 'FROM', value: ({ remote }) => remote },
    { title: 'TO', value: ({ local }) => local },
  ];
}

function peerText({ peer, together, problem }: PairView): string {
  if (peer === null) return 'none: see weir pair invite';
  const state = problem !== null ? 'not usable' : together ? 'heard' : 'NOT HEARD';
  return `${peer.name}, ${state}, paired since ${timestamp(peer.since)}`;
}

function columns(context: Pick<Context, 'now'>): readonly Column<PairLink>[] {
  return [
    { title: 'LINK', value: ({ address }) => address },
    {
      title: 'STATE',
      value: ({ up, active }) => (up ? (active ? 'up, in use' : 'up') : 'DOWN'),
      colour: ({ up }) => (up ? 'green' : 'red'),
    },
    {
      title: 'SINCE',
      value: ({ since }) => (since === null ? '-' : duration(Math.max(0, context.now() - since))),
      align: 'right',
    },
    {
      title: 'RTT',
      value: ({ rtt }) => (rtt === null ? '-' : milliseconds(rtt)),
      align: 'right',
    },
    {
      title: 'WHY',
      value: ({ up, reason }) => (up ? '-' : (reason ?? 'no answer yet')),
      shrinkTo: 20,
    },
  ];
}

/** Which unit of a pair holds which addresses: as a table, and in few lines for the overview. */
import type { RouterRow, Status } from '../../appliance/api/contract.js';
import { duration } from '../../appliance/cli/format.js';
import { routerLine } from '../../appliance/cli/pair-standing.js';
import { fit, heading, span, widthOf, type Line, type Style } from '../frame.js';
import { type Model } from '../model.js';
import { answerOf } from '../topics.js';
import type { Column } from '../table.js';
import { whole } from './tiers.js';

export function routerColumns(now: number): Column<RouterRow>[] {
  return [
    { title: 'ROUTER', value: ({ router }) => router, shrinkTo: 10 },
    {
      title: 'ROLE',
      value: ({ role, failover }) => (failover ? `${role}, given up` : role),
      style: ({ role }) => ROLE_STYLES[role],
    },
    {
      title: 'PRIO',
      align: 'right',
      value: ({ priority }) => (priority === null ? '-' : String(priority)),
      style: (row) =>
        (row.priority ?? row.configuredPriority) < row.configuredPriority ? 'warning' : 'plain',
    },
    {
      title: 'SINCE',
      align: 'right',
      value: ({ since }) => (since === null ? '-' : duration(Math.max(0, now - since))),
    },
    {
      title: 'MASTER',
      value: ({ role, master }) => (role === 'master' ? 'this unit' : (master?.address ?? '-')),
      goes: 2,
    },
    { title: 'ADDRESSES', value: ({ addresses }) => addresses.join(' '), shrinkTo: 12 },
    {
      title: 'WHY',
      value: ({ why, unwell }) => [why, ...unwell].join(', '),
      shrinkTo: 12,
      goes: 3,
    },
  ];
}

const ROLE_STYLES: Readonly<Record<RouterRow['role'], Style>> = {
  master: 'good',
  backup: 'plain',
  down: 'bad',
};

/** Of these the screen Pair tells all. */
const OVERVIEW_COLUMNS: ReadonlySet<string> = new Set(['ROUTER', 'ROLE', 'MASTER', 'ADDRESSES']);

const PEER: Readonly<
  Record<NonNullable<Status['replication']>['state'], readonly [words: string, style: Style]>
> = {
  'in-step': ['in step', 'plain'],
  'catching-up': ['catching up', 'plain'],
  away: ['AWAY', 'bad'],
  refused: ['REFUSES the configuration', 'bad'],
};

function peerOf({ replication }: Status): readonly [words: string, style: Style] {
  if (replication === null) return ['no other unit', 'plain'];
  const [words, style] = PEER[replication.state];
  return [`${replication.peer} ${words}`, style];
}

/** In one line: the other unit, and what this one is of each virtual router, or of how many. */
export function pairLine(model: Model, status: Status, width: number): Line {
  const { look } = model;
  const [words, style] = peerOf(status);
  const head: Line = [span(look, 'Pair ', 'accent'), span(look, ` ${words}`, style)];
  const rows = answerOf(model, 'routers').value ?? [];
  const parts = (['master', 'backup', 'down'] as const).flatMap((role) => {
    const named = rows.filter((row) => row.role === role).map(({ router }) => router);
    return named.length === 0 ? [] : [`${role}${role === 'down' ? '' : ' of'} ${named.join(', ')}`];
  });
  const named: Line = [...head, span(look, parts.length === 0 ? '' : `; ${parts.join('; ')}`)];
  if (widthOf(named) <= width) return named;
  return fit(look, [...head, span(look, `; ${routerLine(status.routers) ?? ''}`)], width);
}

/** A part of the screen: each virtual router with its role, and where its addresses are. */
export function pairBlock(model: Model, status: Status, width: number, most: number): Line[] {
  const { look } = model;
  const rows = answerOf(model, 'routers').value ?? [];
  const shown = rows.length <= most ? rows : rows.slice(0, Math.max(0, most - 1));
  const columns = routerColumns(model.now).filter(({ title }) => OVERVIEW_COLUMNS.has(title));
  const hidden = rows.length - shown.length;
  return [
    heading(look, 'Pair', width, peerOf(status)[0]),
    ...(shown.length === 0
      ? [[span(look, 'No virtual routers: this unit holds its addresses itself.', 'dim')]]
      : whole(model, shown, columns, width)),
    ...(hidden === 0 ? [] : [[span(look, `and ${hidden} more: 8`, 'dim')]]),
  ];
}

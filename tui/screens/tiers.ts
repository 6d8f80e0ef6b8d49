/**
 * The tiers: what carries traffic, in which mode and why, the workers of the proxy, and what is
 * dropped for which reason.
 */
import type { DropRow, ServiceRow, WorkerRow } from '../../appliance/api/contract.js';
import {
  bitsPerSecond,
  duration,
  perSecond,
  plural,
  quantity,
} from '../../appliance/cli/format.js';
import { heading, span, wrap, type Line } from '../frame.js';
import { sampleOf, sum } from '../history.js';
import { type Model } from '../model.js';
import { answerOf } from '../topics.js';
import { FRESH_TABLE, tableLines, type Column } from '../table.js';

/** One line a tier that serves something: `none` is one too, and a problem. */
export function carried(model: Model, services: readonly ServiceRow[]): Line[] {
  const { look } = model;
  const names = [...new Set(services.map(({ tier }) => tier))];
  return names.map((name) => {
    const served = services.filter(({ tier }) => tier === name);
    const now = sum(served.map(sampleOf));
    const where = (answerOf(model, 'tiers').value ?? [])
      .filter(({ tier, mode }) => tier === name && mode !== null)
      .map((row) => `${row.interface} ${row.mode}${row.degraded ? ' (degraded)' : ''}`);
    const traffic = [
      `${perSecond(now.connections)} flows`,
      ...(name === 'proxy' ? [`${perSecond(now.requests)} requests`] : []),
      bitsPerSecond(now.bits),
    ].join('  ');
    return [
      span(look, name.padEnd(6), name === 'none' ? 'bad' : 'bold'),
      span(look, ` ${plural(served.length, 'service')}  ${traffic}`),
      span(look, where.length === 0 ? '' : `  ${where.join(', ')}`, 'dim'),
    ];
  });
}

export function tierScreen(model: Model, width: number): Line[] {
  const { look } = model;
  const services = answerOf(model, 'services').value ?? [];
  return [
    heading(look, 'Carried now', width),
    ...carried(model, services),
    [],
    ...interfaces(model, width),
    ...workerLines(model, width),
    ...drops(model, width),
  ];
}

function interfaces(model: Model, width: number): Line[] {
  const { look, now } = model;
  const { value, problem } = answerOf(model, 'tiers');
  if (value === null) return problem === null ? [] : [[span(look, problem, 'bad')], []];
  if (value.length === 0) return [[span(look, 'No tier is attached to an interface.')], []];
  return value.flatMap((row) => {
    const mode = row.mode ?? 'not attached';
    const since = row.attachedSince === null ? '' : `, for ${duration(now - row.attachedSince)}`;
    const tables = row.maps.map(
      ({ name, entries, limit }) =>
        `${name} ${entries === null ? '?' : quantity(entries)}/${quantity(limit)}`,
    );
    const facts: readonly (readonly [string, string])[] = [
      ['Mode', `${mode}${row.degraded ? ' (degraded)' : ''}${since}`],
      ['Why', row.why],
      ['Profile', row.profile],
      ['Tables', tables.join(', ') || '-'],
    ];
    return [
      heading(look, `${row.tier} on ${row.interface}`, width),
      ...factLines(model, facts, width, row.degraded ? 'Mode' : ''),
      [],
    ];
  });
}

/** Names and values below each other; a long value goes on in further lines. */
export function factLines(
  { look }: Pick<Model, 'look'>,
  facts: readonly (readonly [name: string, value: string])[],
  width: number,
  warned = '',
): Line[] {
  const indent = Math.max(9, ...facts.map(([name]) => name.length));
  return facts.flatMap(([name, value]) =>
    wrap(value, Math.max(20, width - indent - 3)).map((part, index): Line => [
      span(look, `  ${(index === 0 ? name : '').padEnd(indent)} `, 'dim'),
      span(look, part, name === warned ? 'warning' : 'plain'),
    ]),
  );
}

export function workerLines(model: Model, width: number): Line[] {
  const { look, now } = model;
  const rows = answerOf(model, 'workers').value ?? [];
  if (rows.length === 0) return [];
  const columns: Column<WorkerRow>[] = [
    { title: 'WORKER', align: 'right', value: ({ worker }) => String(worker) },
    { title: 'STATE', value: ({ state }) => state },
    { title: 'PID', align: 'right', value: ({ pid }) => String(pid) },
    { title: 'CPU', align: 'right', value: ({ cpu }) => (cpu === null ? 'any' : String(cpu)) },
    { title: 'CLIENTS', align: 'right', value: ({ clients }) => quantity(clients) },
    { title: 'REQ/S', align: 'right', width: 7, value: (row) => perSecond(row.requestsPerSecond) },
    { title: 'SINCE', align: 'right', value: ({ since }) => duration(now - since) },
    {
      title: 'RESTARTS',
      align: 'right',
      value: ({ restarts }) => String(restarts),
      style: ({ restarts }) => (restarts > 0 ? 'warning' : 'plain'),
    },
  ];
  return [heading(look, 'Workers of the proxy', width), ...whole(model, rows, columns, width), []];
}

function drops(model: Model, width: number): Line[] {
  const { look } = model;
  const all = answerOf(model, 'drops').value;
  if (all === null) return [];
  const rows = all
    .filter(({ total }) => total > 0)
    .sort((a, b) => b.perSecond - a.perSecond || b.total - a.total);
  const columns: Column<DropRow>[] = [
    { title: 'REASON', value: ({ reason }) => reason },
    {
      title: 'NOW',
      align: 'right',
      width: 8,
      value: (row) => perSecond(row.perSecond),
      style: (row) => (row.perSecond > 0 ? 'warning' : 'plain'),
    },
    { title: 'TOTAL', align: 'right', value: ({ total }) => quantity(total) },
  ];
  return [
    heading(look, 'Dropped packets', width),
    ...(rows.length === 0
      ? [[span(look, 'None so far.', 'dim')]]
      : whole(model, rows, columns, width)),
  ];
}

/** All rows of a table that is part of a longer screen. */
export function whole<Row>(
  { look }: Pick<Model, 'look'>,
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  width: number,
): Line[] {
  const height = rows.length + 1;
  return tableLines(look, { rows, columns, width, height, state: FRESH_TABLE, selected: null });
}

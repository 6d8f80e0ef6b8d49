/**
 * Live traffic: clients and URLs with the most of it, the newest flows, requests as they end.
 */
import type {
  ClientTop,
  LiveFlow,
  LiveRequest,
  LiveTop,
  UrlTop,
} from '../../appliance/api/contract.js';
import { LIVE_VIEWS, type LiveView } from '../../appliance/api/live-contract.js';
import {
  bitsPerSecond,
  clock,
  duration,
  milliseconds,
  perSecond,
} from '../../appliance/cli/format.js';
import { logWords } from '../../appliance/cli/live-text.js';
import { fit, span, wrap, type Line, type Style } from '../frame.js';
import { livePath, viewOf, type LiveNews } from '../live.js';
import type { Model } from '../model.js';
import { FRESH_TABLE, tableLines, type Column } from '../table.js';

const TITLES: Readonly<Record<LiveView, string>> = {
  clients: 'Clients',
  urls: 'URLs',
  flows: 'Flows',
  log: 'Log',
};

const ORDERS = { hits: 'by requests', bits: 'by traffic', errors: 'by errors' } as const;

export function liveScreen(model: Model, width: number, height: number): Line[] {
  const { look, live } = model;
  const view = viewOf(model.place);
  const notes = [
    view === 'clients' || view === 'urls' ? ORDERS[live.order] : '',
    live.filter === '' ? '' : `'${live.filter}'`,
    live.paused ? 'PAUSED, Space goes on' : '',
    'v: next, /: filter',
  ].filter(Boolean);
  const tabs = LIVE_VIEWS.flatMap((one): Line => [
    span(
      look,
      one === view ? `[${TITLES[one]}]` : ` ${TITLES[one]} `,
      one === view ? 'bold' : 'plain',
    ),
  ]);
  const head = fit(look, [...tabs, span(look, `  ${notes.join(', ')}`, 'dim')], width);
  const { news, path, problem } = live;
  if (problem !== null && path === livePath(model)) {
    return [head, ...wrap(problem, width).map((text): Line => [span(look, text, 'bad')])];
  }
  // Another view's are not shown while this one's are awaited.
  if (news?.type !== view) return [head, [span(look, 'Looking …', 'dim')]];
  return [head, ...newsLines(model, news, width, height - 1)];
}

function newsLines(model: Model, news: LiveNews, width: number, height: number): Line[] {
  const { look, live } = model;
  const tabled = <R>(rows: readonly R[], columns: readonly Column<R>[], none: string): Line[] =>
    rows.length === 0
      ? [[span(look, none)]]
      : tableLines(look, {
          ...{ rows: rows.slice(live.back), columns, width, height },
          ...{ state: FRESH_TABLE, selected: null },
        });
  switch (news.type) {
    case 'clients':
      return tabled(news.rows, CLIENTS, 'Nobody came since this is looked at.');
    case 'urls':
      return tabled(news.rows, URLS, 'No request ended since this is looked at.');
    case 'flows':
      return tabled(news.rows, flowColumns(news.time), 'No flow of the fast path began lately.');
    case 'log': {
      if (live.lines.length === 0) {
        return [[span(look, 'No request ended since this is looked at.')]];
      }
      const more = news.skipped > 0 ? 1 : 0;
      const end = live.lines.length - live.back;
      const seen = live.lines.slice(Math.max(0, end - (height - more)), end);
      const lines = seen.map((row): Line => fit(look, logLine(model, row), width));
      if (more === 0) return lines;
      const rest = `${Math.round(news.skipped)} more in the last second`;
      return [...lines, [span(look, rest, 'dim')]];
    }
  }
}

const failing = ({ errorsPerSecond }: LiveTop): Style => (errorsPerSecond > 0 ? 'bad' : 'plain');

const RATES = {
  connections: {
    title: 'CONNS',
    align: 'right',
    width: 7,
    goes: 1,
    value: (row: LiveTop) => perSecond(row.connectionsPerSecond),
  },
  others: [
    {
      title: 'REQUESTS',
      align: 'right',
      width: 8,
      value: (row: LiveTop) => perSecond(row.requestsPerSecond),
    },
    {
      title: 'ERRORS',
      align: 'right',
      width: 7,
      style: failing,
      value: (row: LiveTop) => perSecond(row.errorsPerSecond),
    },
    {
      title: 'TRAFFIC',
      align: 'right',
      width: 11,
      goes: 2,
      value: (row: LiveTop) =>
        row.bitsPerSecond === null ? '-' : bitsPerSecond(row.bitsPerSecond),
    },
  ],
} as const;

const CLIENTS: readonly Column<ClientTop>[] = [
  { title: 'CLIENT', value: ({ client }) => client, width: 15 },
  RATES.connections,
  ...RATES.others,
  { title: 'SERVICE', value: ({ service }) => service, shrinkTo: 8 },
];

const URLS: readonly Column<UrlTop>[] = [
  { title: 'URL', value: ({ host, path }) => `${host ?? ''}${path}`, shrinkTo: 16 },
  ...RATES.others,
  {
    title: 'MEAN',
    align: 'right',
    width: 6,
    goes: 3,
    value: ({ meanMs }) => (meanMs === null ? '-' : milliseconds(meanMs)),
  },
  {
    title: 'LAST',
    align: 'right',
    value: ({ status }) => (status === 0 ? '-' : String(status)),
    style: statusStyle,
  },
  { title: 'SERVICE', value: ({ service }) => service, shrinkTo: 8, goes: 4 },
];

function flowColumns(time: number): readonly Column<LiveFlow>[] {
  return [
    { title: 'AGE', align: 'right', width: 6, value: (row) => duration(time - row.time) },
    { title: 'CLIENT', value: ({ protocol, client }) => `${protocol} ${client}`, shrinkTo: 18 },
    { title: 'SERVICE', value: ({ service }) => service, shrinkTo: 8 },
    { title: 'MEMBER', value: ({ member }) => member, shrinkTo: 12 },
    { title: 'WAY', value: ({ forwarding }) => forwarding ?? '-', goes: 2 },
    { title: 'STATE', value: ({ state }) => state, width: 7 },
    {
      title: 'IDLE',
      align: 'right',
      width: 4,
      goes: 1,
      value: ({ idleMs }) => (idleMs === null ? '-' : duration(idleMs)),
    },
  ];
}

function statusStyle({ status }: { readonly status: number }): Style {
  if (status >= 500) return 'bad';
  return status >= 400 ? 'warning' : 'plain';
}

function logLine({ look }: Model, row: LiveRequest): Line {
  return [
    span(look, `${clock(row.time)} `, 'dim'),
    span(look, `${row.status === 0 ? '  -' : row.status} `, statusStyle(row)),
    span(look, logWords(row)),
  ];
}

/**
 * `top`: who and what makes the traffic now, as long as somebody looks.
 *
 * Invariant: what clients sent (URLs, user agents) reaches the terminal through `clean` only.
 */
import { Argument, Option, type Command } from 'commander';
import type {
  ClientTop,
  LiveFlow,
  LiveMessage,
  LiveRequest,
  LiveTop,
  UrlTop,
} from '../api/contract.js';
import { LIVE_ORDERS, LIVE_VIEWS, type LiveOrder, type LiveView } from '../api/live-contract.js';
import { examples, wholeNumber } from './arguments.js';
import { clientOf, type Context, wantsJson } from './context.js';
import { CliError, EXIT } from './exit-codes.js';
import { bitsPerSecond, clock, duration, milliseconds, paint, perSecond } from './format.js';
import { logWords } from './live-text.js';
import { table, type Column } from './table.js';

interface TopOptions {
  readonly once?: boolean;
  readonly seconds: number;
  readonly by: LiveOrder;
  readonly filter?: string;
}

type News = Exclude<LiveMessage, { readonly type: 'hello' }>;

export function addTopCommand(program: Command, context: Context): void {
  program
    .command('top')
    .addArgument(new Argument('[view]', 'what to look at').choices(LIVE_VIEWS).default('clients'))
    .summary('who and what makes the traffic now')
    .description(
      'Shows, once a second until interrupted: clients and URLs with the most traffic, the newest\n' +
        'flows of the fast path, or requests as they end. With --json: one JSON object a line.\n' +
        'The daemon gathers this only while somebody looks.',
    )
    .option('--once', 'look for some seconds, print once, and end')
    .option('--seconds <number>', 'with --once: look so long', wholeNumber(1, 600), 3)
    .addOption(
      new Option('--by <order>', 'clients, urls: the most of what')
        .choices(LIVE_ORDERS)
        .default('hits'),
    )
    .option('--filter <words>', 'only what all these words hold for')
    .addHelpText(
      'after',
      `${examples(
        ['weir top', 'clients with the most requests, connections, flows'],
        ['weir top urls --by errors', 'which URLs fail?'],
        ['weir top flows --filter service:mail', 'the newest of one service'],
        ['weir top log --filter "status:5xx !path:/health"', 'requests that fail, as they end'],
        ['weir top clients --once --json', 'for programs'],
      )}\n\nFilters: words that are looked for anywhere, and service:NAME, client:PREFIX, member:TEXT,\nstatus:404 or status:5xx, method:GET, path:TEXT; ! before one turns it around.`,
    )
    .action(async (view: LiveView, options: TopOptions, command: Command) => {
      const { once, seconds, by, filter } = options;
      const json = wantsJson(command);
      const aborter = new AbortController();
      const lines: LiveRequest[] = [];
      const run = { done: false };
      const query = { view, order: by, ...(filter === undefined ? {} : { filter }) };
      await clientOf(command, context).stream<LiveMessage>(
        { path: '/v1/live', query },
        (message) => {
          if (message.type === 'hello' || run.done) return;
          if (once !== true) {
            show(context, message, json);
            return;
          }
          if (message.type === 'log') lines.push(...message.rows);
          if (message.type !== 'flows' && message.seconds < seconds) return;
          run.done = true;
          const last = message.type === 'log' ? { ...message, rows: lines } : message;
          if (json) context.out(`${JSON.stringify(last)}\n`);
          else context.say(textOf(context, last));
          aborter.abort();
        },
        aborter.signal,
      );
      if (run.done) return;
      throw new CliError(EXIT.unreachable, 'The daemon ended the stream: it was stopped.');
    });
}

function show(context: Context, message: News, json: boolean): void {
  if (json) context.out(`${JSON.stringify(message)}\n`);
  else if (message.type === 'log') context.say(logText(context, message));
  // ECMA-48 §8.3.21 (CUP), §8.3.39 (ED): a terminal shows the newest in place.
  else
    context.say(`${context.width === null ? '' : '\u001b[H\u001b[J'}${textOf(context, message)}`);
}

function textOf(context: Context, message: News): string {
  const room = { width: context.width };
  switch (message.type) {
    case 'clients':
      return table(message.rows, CLIENTS, context.look, room, 'Nobody came meanwhile.');
    case 'urls':
      return table(message.rows, URLS, context.look, room, 'No request ended meanwhile.');
    case 'flows':
      return table(
        message.rows,
        flowColumns(message.time),
        context.look,
        room,
        'No flow began lately.',
      );
    case 'log':
      return message.rows.length === 0
        ? 'No request ended meanwhile.\n'
        : logText(context, message);
  }
}

const RATES: readonly Column<LiveTop>[] = [
  { title: 'CONNS', align: 'right', value: (row) => perSecond(row.connectionsPerSecond) },
  { title: 'REQUESTS', align: 'right', value: (row) => perSecond(row.requestsPerSecond) },
  { title: 'ERRORS', align: 'right', value: (row) => perSecond(row.errorsPerSecond) },
  {
    title: 'TRAFFIC',
    align: 'right',
    value: (row) => (row.bitsPerSecond === null ? '-' : bitsPerSecond(row.bitsPerSecond)),
  },
];

const CLIENTS: readonly Column<ClientTop>[] = [
  { title: 'CLIENT', value: ({ client }) => client },
  ...RATES,
  { title: 'SERVICE', value: ({ service }) => service, shrinkTo: 8, dispensable: 1 },
];

const URLS: readonly Column<UrlTop>[] = [
  { title: 'URL', value: ({ host, path }) => `${host ?? ''}${path}`, shrinkTo: 16 },
  ...RATES.slice(1),
  {
    title: 'MEAN',
    align: 'right',
    value: ({ meanMs }) => (meanMs === null ? '-' : milliseconds(meanMs)),
  },
  { title: 'LAST', align: 'right', value: ({ status }) => (status === 0 ? '-' : String(status)) },
  { title: 'SERVICE', value: ({ service }) => service, shrinkTo: 8, dispensable: 1 },
];

function flowColumns(time: number): readonly Column<LiveFlow>[] {
  return [
    { title: 'AGE', align: 'right', value: (row) => duration(time - row.time) },
    { title: 'CLIENT', value: ({ protocol, client }) => `${protocol} ${client}` },
    { title: 'SERVICE', value: ({ service }) => service, shrinkTo: 8 },
    { title: 'MEMBER', value: ({ member }) => member },
    { title: 'WAY', value: ({ forwarding }) => forwarding ?? '-', dispensable: 2 },
    { title: 'STATE', value: ({ state }) => state },
    {
      title: 'IDLE',
      align: 'right',
      value: ({ idleMs }) => (idleMs === null ? '-' : duration(idleMs)),
      dispensable: 1,
    },
  ];
}

function logText(context: Context, message: News & { readonly type: 'log' }): string {
  const more = message.skipped > 0 ? `(${Math.round(message.skipped)} more)\n` : '';
  return message.rows.map((row) => logLine(context, row)).join('') + more;
}

function logLine(context: Context, row: LiveRequest): string {
  const status = row.status === 0 ? '  -' : String(row.status);
  const colour = row.status >= 500 ? 'red' : row.status >= 400 ? 'yellow' : null;
  const painted = colour === null ? status : paint(context.look, colour, status);
  return `${paint(context.look, 'dim', clock(row.time))} ${painted} ${logWords(row)}\n`;
}

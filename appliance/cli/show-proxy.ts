/**
 * `show service|routes|workers`: layer 7 from the service down to the processes that carry it.
 *
 * Invariant: as `show`.
 */
import type { Command } from 'commander';
import type { RouteRow, ServiceDetail, WorkerRow } from '../api/contract.js';
import { examples } from './arguments.js';
import { answer, clientOf, type Context } from './context.js';
import {
  bitsPerSecond,
  clean,
  duration,
  endpoint,
  milliseconds,
  paint,
  perSecond,
  quantity,
  state,
} from './format.js';
import { proxyLines, type Line } from './proxy-text.js';
import { table, type Column } from './table.js';

interface WideOption {
  readonly wide?: boolean;
}

const WIDE = ['--wide', 'every column in full, however wide the terminal is'] as const;

export function addService(show: Command, context: Context): void {
  show
    .command('service')
    .argument('<service>', 'name of the service')
    .summary('one service: tier, traffic, and its routes')
    .description(
      'Shows one service: which tier serves it and why, its pools and traffic. Of a proxied one also\n' +
        'answers by class, how long they take, what was refused and why, and its routes.',
    )
    .option(...WIDE)
    .addHelpText('after', examples(['weir show service shop', 'how does it do?']))
    .action(async (name: string, { wide }: WideOption, command: Command) => {
      const service = await clientOf(command, context).json<ServiceDetail>({
        path: `/v1/services/${encodeURIComponent(name)}`,
      });
      await answer(command, context, service, () => serviceText(context, service, wide === true));
    });
}

export function addRoutes(show: Command, context: Context): void {
  show
    .command('routes')
    .argument('[service]', 'only those of this service')
    .summary('routes of proxied services, and who takes them')
    .description(
      'Lists the routes of proxied services in the order in which they are tried: conditions in short,\n' +
        'where each leads, requests a second, its share of the requests of its service, and how long\n' +
        'they take. Shares and durations are of the last ten to twenty seconds.',
    )
    .option(...WIDE)
    .addHelpText(
      'after',
      `${examples(
        ['weir show routes', 'of all services'],
        ['weir show routes shop', 'how much does the canary get?'],
      )}\n\nIn conditions | is "or", ~ a regular expression, and * at the end of a value any rest.`,
    )
    .action(async (service: string | undefined, { wide }: WideOption, command: Command) => {
      const rows = await clientOf(command, context).json<RouteRow[]>({
        path: '/v1/routes',
        query: { service },
      });
      await answer(command, context, rows, () => routeText(context, rows, wide === true));
    });
}

export function addWorkers(show: Command, context: Context): void {
  show
    .command('workers')
    .summary('processes that serve layer 7')
    .description(
      'Lists the worker processes of the proxy: core, state, connections of clients, requests a second,\n' +
        'since when, and how often one died and was replaced. One that drains takes no new connections\n' +
        'and ends when it has none left, after a minute at the latest.',
    )
    .addHelpText(
      'after',
      examples(
        ['weir show workers', 'all of them'],
        ['weir show events --kind worker', 'what became of them'],
        ['weir restart workers', 'replace them, without losing a connection'],
      ),
    )
    .action(async (_options: object, command: Command) => {
      const rows = await clientOf(command, context).json<WorkerRow[]>({ path: '/v1/workers' });
      await answer(command, context, rows, () => workerText(context, rows));
    });
}

export function workerText(context: Context, rows: readonly WorkerRow[]): string {
  const none = "No workers run. If a service needs the proxy, 'weir status' says why.";
  return table(rows, workerColumns(context), context.look, { width: context.width }, none);
}

function workerColumns(context: Context): Column<WorkerRow>[] {
  return [
    { title: 'WORKER', align: 'right', value: ({ worker }) => String(worker) },
    { title: 'PID', align: 'right', value: ({ pid }) => String(pid) },
    { title: 'CPU', align: 'right', value: ({ cpu }) => (cpu === null ? 'any' : String(cpu)) },
    {
      title: 'STATE',
      value: (row) => row.state,
      colour: (row) => (row.state === 'serving' ? 'green' : 'yellow'),
    },
    { title: 'CLIENTS', align: 'right', value: ({ clients }) => quantity(clients) },
    { title: 'REQ/S', align: 'right', value: (row) => perSecond(row.requestsPerSecond) },
    { title: 'SINCE', align: 'right', value: ({ since }) => duration(context.now() - since) },
    {
      title: 'RESTARTS',
      align: 'right',
      value: ({ restarts }) => quantity(restarts),
      colour: ({ restarts }) => (restarts > 0 ? 'yellow' : null),
    },
  ];
}

const routeColumns: readonly Column<RouteRow>[] = [
  { title: 'SERVICE', value: ({ service }) => service, shrinkTo: 8 },
  { title: 'ROUTE', value: ({ route }) => route, shrinkTo: 8 },
  { title: 'WHEN', value: ({ conditions }) => conditions || 'always', shrinkTo: 16 },
  { title: 'TO', value: (row) => `${row.action} ${row.target}`, shrinkTo: 10 },
  {
    title: 'REQ/S',
    align: 'right',
    value: ({ proxy }) => perSecond(proxy.rates.requestsPerSecond),
  },
  { title: 'SHARE', align: 'right', value: ({ share }) => shareText(share) },
  {
    title: '5XX/S',
    align: 'right',
    value: ({ proxy }) => perSecond(proxy.rates.errorsPerSecond),
    colour: ({ proxy }) => (proxy.rates.errorsPerSecond > 0 ? 'red' : null),
    dispensable: 3,
  },
  { title: 'P50', align: 'right', value: (row) => time(row, 'p50'), dispensable: 2 },
  { title: 'P99', align: 'right', value: (row) => time(row, 'p99'), dispensable: 1 },
  {
    title: 'REQUESTS',
    align: 'right',
    value: ({ proxy }) => quantity(proxy.totals.requests),
    dispensable: 4,
    wideOnly: true,
  },
];

function time({ proxy: { latency } }: RouteRow, which: 'p50' | 'p99'): string {
  return latency === null ? '-' : milliseconds(latency[which]);
}

function shareText(share: number | null): string {
  if (share === null) return '-';
  const percent = share * 100;
  // Few are not none.
  if (percent > 0 && percent < 0.1) return '<0.1%';
  return `${percent > 0 && percent < 9.95 ? percent.toFixed(1) : percent.toFixed(0)}%`;
}

function routeText(context: Context, rows: readonly RouteRow[], wide: boolean): string {
  const none = 'No routes: no service needs the proxy.';
  return table(rows, routeColumns, context.look, { width: context.width, wide }, none);
}

export function serviceText(context: Context, service: ServiceDetail, wide: boolean): string {
  const { look } = context;
  const word = state(service.state);
  const { pool, servedBy, rates, proxy } = service;
  const lines: Line[] = [
    ['Listen', `${endpoint(service.address, service.port)}/${service.protocol}`],
    ['Tier', service.forwarding === null ? service.tier : `${service.tier} ${service.forwarding}`],
    ['Why', service.tierReason],
    ['Pool', servedBy === pool ? pool || '-' : `${servedBy} for ${pool}`],
    ['Serving', `${service.membersServing} of ${service.membersTotal} members`],
    ...(proxy
      ? proxyLines(proxy)
      : [
          [
            'Traffic',
            `${perSecond(rates.flowsPerSecond)} flows, ${perSecond(rates.packetsPerSecond)} packets, ${bitsPerSecond(rates.bitsPerSecond)}`,
          ] as const,
        ]),
  ];
  const head = `${paint(look, 'bold', `service ${clean(service.name)}`)}  ${paint(look, word.colour, word.text(look))}\n`;
  const body = lines.map(([name, value]) => `  ${name.padEnd(9)} ${clean(value)}\n`).join('');
  if (service.routes.length === 0) return head + body;
  const columns = routeColumns.filter(({ title }) => title !== 'SERVICE');
  const room = { width: context.width, wide };
  return `${head}${body}\n${table(service.routes, columns, look, room, '')}`;
}

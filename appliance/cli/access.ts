/**
 * `access`: who may use the services. Lists belong to the document; here they are looked at and
 * tried, and entries are made that end by themselves.
 *
 * Invariant: an entry made here always has an end; what shall stay is written into the document.
 */
import { InvalidArgumentError, type Command } from 'commander';
import type {
  AccessTestRow,
  AccessView,
  AccessVerdict,
  TemporaryAccessRow,
} from '../api/contract.js';
import { examples } from './arguments.js';
import { answer, clientOf, type Context } from './context.js';
import { duration, quantity, timestamp } from './format.js';
import { table, type Column } from './table.js';

const DAY_MS = 86_400_000;
const UNITS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: DAY_MS };

/** `30m`, `7d`: from a second to a year. Milliseconds. */
export function parseSpan(text: string): number {
  const match = /^(\d{1,6})([smhd])$/.exec(text);
  const span = Number(match?.[1]) * (UNITS[match?.[2] ?? ''] ?? Number.NaN);
  if (!(span >= 1000 && span <= 365 * DAY_MS)) {
    throw new InvalidArgumentError('Give a time from 1s to 365d, such as 30m, 1h or 7d.');
  }
  return span;
}

interface EntryOptions {
  readonly for: number;
  readonly service?: string;
  readonly comment?: string;
}

export function addAccessCommands(program: Command, context: Context): void {
  const access = program
    .command('access')
    .helpCommand(false)
    .summary('who may use the services')
    .description(
      'Shows and tries access lists, and makes entries that end by themselves.\n' +
        'The longest prefix that holds a client decides. Of equal ones a temporary entry wins over\n' +
        'a list, and deny over allow.',
    )
    .addHelpText(
      'after',
      examples(
        ['weir access show', 'lists and temporary entries'],
        ['weir access test 192.0.2.7', 'may this client come?'],
        ['weir access deny 192.0.2.0/24 --for 1h', 'not from here, for a while'],
      ),
    );

  access
    .command('show')
    .summary('lists, their files, and temporary entries')
    .description(
      'Shows the access lists, what is wrong with their files, and the temporary entries.',
    )
    .addHelpText('after', examples(['weir access show', 'lists and temporary entries']))
    .action(async (_options: object, command: Command) => {
      const view = await clientOf(command, context).json<AccessView>({ path: '/v1/access' });
      await answer(command, context, view, () => viewText(context, view));
    });

  access
    .command('test')
    .summary('may this client come?')
    .description('Says what each service does with a client, and which prefix decides.')
    .argument('<address>', "the client's address")
    .option('--service <service>', 'only this service')
    .addHelpText(
      'after',
      examples(
        ['weir access test 192.0.2.7', 'on every service'],
        ['weir access test 192.0.2.7 --service shop', 'on one'],
      ),
    )
    .action(async (address: string, options: { readonly service?: string }, command: Command) => {
      const rows = await clientOf(command, context).json<AccessTestRow[]>({
        path: '/v1/access/test',
        query: { address, service: options.service },
      });
      await answer(command, context, rows, () =>
        table(rows, testColumns, context.look, { width: context.width }, 'No services.'),
      );
    });

  for (const verdict of ['deny', 'allow'] as const) addEntry(access, verdict, context);

  access
    .command('remove')
    .summary('take a temporary entry away')
    .description('Takes a temporary entry away before it ends.')
    .argument('<prefix>', 'ADDRESS/LENGTH, or an address alone')
    .option('--service <service>', 'the one of this service')
    .addHelpText('after', examples(['weir access remove 192.0.2.0/24', 'let them come again']))
    .action(async (prefix: string, options: { readonly service?: string }, command: Command) => {
      const view = await clientOf(command, context).json<AccessView>({
        method: 'DELETE',
        path: '/v1/access/entries',
        query: { prefix, service: options.service },
      });
      await answer(command, context, view, () => `Removed the temporary entry ${prefix}.\n`);
    });

  access
    .command('reload')
    .summary('read the files of the lists again')
    .description('Reads the files of the access lists again. They are also read when they change.')
    .addHelpText('after', examples(['weir access reload', 'now']))
    .action(async (_options: object, command: Command) => {
      const view = await clientOf(command, context).json<AccessView>({
        method: 'POST',
        path: '/v1/access/reload',
      });
      await answer(command, context, view, () => viewText(context, view));
    });
}

function addEntry(access: Command, verdict: AccessVerdict, context: Context): void {
  const done = verdict === 'deny' ? 'Denied' : 'Allowed';
  access
    .command(verdict)
    .summary(`${verdict} a prefix for a while`)
    .description(
      `Makes a temporary entry to ${verdict} a prefix. It is in force at once, also for flows that\n` +
        'there are, survives a restart, and is no part of the configuration.',
    )
    .argument('<prefix>', 'ADDRESS/LENGTH, or an address alone')
    .requiredOption('--for <time>', 'how long, such as 30m, 1h or 7d', parseSpan)
    .option('--service <service>', 'only for this service')
    .option('--comment <text>', 'why')
    .addHelpText(
      'after',
      examples([
        `weir access ${verdict} 192.0.2.0/24 --for 1h --comment abuse`,
        'on every service',
      ]),
    )
    .action(async (prefix: string, options: EntryOptions, command: Command) => {
      const row = await clientOf(command, context).json<TemporaryAccessRow>({
        method: 'POST',
        path: '/v1/access/entries',
        json: {
          prefix,
          verdict,
          'for-ms': options.for,
          service: options.service,
          comment: options.comment,
        },
      });
      await answer(
        command,
        context,
        row,
        () =>
          `${done} ${row.prefix} on ${row.service ?? 'every service'} until ${timestamp(row.expires)}.\n`,
      );
    });
}

function viewText(context: Context, view: AccessView): string {
  const room = { width: context.width };
  const lists = table(view.lists, listColumns, context.look, room, 'No access lists.');
  const temporary = table(
    view.temporary,
    temporaryColumns(Date.now()),
    context.look,
    room,
    'No temporary entries.',
  );
  const used = `${quantity(view.entries)} of ${quantity(view.limit)} entries in the fast path are used.`;
  return `${lists}\n${temporary}\n${used}\n`;
}

const listColumns: readonly Column<AccessView['lists'][number]>[] = [
  { title: 'LIST', value: ({ name }) => name, shrinkTo: 10 },
  { title: 'PREFIXES', align: 'right', value: ({ prefixes }) => quantity(prefixes) },
  { title: 'ALLOWED BY', value: ({ allowedBy }) => allowedBy.join(',') || '-', shrinkTo: 10 },
  { title: 'DENIED BY', value: ({ deniedBy }) => deniedBy.join(',') || '-', shrinkTo: 10 },
  {
    title: 'READ',
    value: ({ loaded }) => (loaded === null ? '-' : timestamp(loaded)),
    dispensable: 2,
  },
  {
    title: 'EXPIRES',
    value: ({ expires }) => (expires === null ? '-' : timestamp(expires)),
    dispensable: 1,
  },
  {
    title: 'FILE',
    value: ({ file, problem }) => problem ?? file ?? '-',
    colour: ({ problem }) => (problem === null ? null : 'red'),
    shrinkTo: 16,
  },
];

function temporaryColumns(now: number): readonly Column<TemporaryAccessRow>[] {
  return [
    { title: 'PREFIX', value: ({ prefix }) => prefix },
    { title: 'VERDICT', value: ({ verdict }) => verdict },
    { title: 'SERVICE', value: ({ service }) => service ?? 'every', shrinkTo: 8 },
    { title: 'LEFT', align: 'right', value: ({ expires }) => duration(Math.max(0, expires - now)) },
    { title: 'AUTHOR', value: ({ author }) => author, shrinkTo: 6, dispensable: 1 },
    { title: 'COMMENT', value: ({ comment }) => comment, shrinkTo: 8 },
  ];
}

const testColumns: readonly Column<AccessTestRow>[] = [
  { title: 'SERVICE', value: ({ service }) => service, shrinkTo: 10 },
  {
    title: 'VERDICT',
    value: ({ verdict }) => verdict,
    colour: ({ verdict }) => (verdict === 'deny' ? 'red' : 'green'),
  },
  { title: 'PREFIX', value: ({ prefix }) => prefix ?? '-' },
  { title: 'BECAUSE', value: ({ because }) => because, shrinkTo: 16 },
];

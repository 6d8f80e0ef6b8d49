/**
 * `alerts`: who is told when something happens, how that goes, and whether it would work now.
 *
 * Invariant: exit status 0 of `alerts test` says that every target took the test.
 */
import type { Command } from 'commander';
import type { AlertTargetRow, AlertTest, AlertTestRow } from '../api/contract.js';
import { examples } from './arguments.js';
import { answer, clientOf, type Context } from './context.js';
import { EXIT } from './exit-codes.js';
import { clean, duration, paint, timestamp, type Colour } from './format.js';
import { table, type Column } from './table.js';

/** Longer than any target may take. */
const TEST_MS = 75_000;

export function addAlertCommands(program: Command, context: Context): void {
  const alerts = program
    .command('alerts')
    .helpCommand(false)
    .summary('who is told when something happens')
    .description(
      'Lists the targets of alerts, which the document declares under "alerts": where they lead to, the\n' +
        'last delivery, how many alerts wait, how many were given up, and below the table what went\n' +
        'wrong last. Counts are since the daemon started.',
    )
    .option('--check', `end with exit status ${EXIT.attention} while a target fails`)
    .addHelpText(
      'after',
      examples(
        ['weir alerts', 'do they arrive?'],
        ['weir alerts test', 'send a test to all'],
        ['weir alerts test ops', 'to one'],
      ),
    )
    .action(async ({ check }: { readonly check?: boolean }, command: Command) => {
      const rows = await clientOf(command, context).json<AlertTargetRow[]>({ path: '/v1/alerts' });
      await answer(command, context, rows, () => targetsText(context, rows));
      if (check === true && rows.some(({ state }) => state === 'failing')) {
        process.exitCode = EXIT.attention;
      }
    });

  alerts
    .command('test')
    .summary('send a test now, and say what came back')
    .description(
      'Sends a test to each target at once, whatever waits for it, and prints what each answered. Ends\n' +
        'with status 1 when one did not take it. Datagrams and collectors of syslog do not answer: for\n' +
        'those it says only that the test was sent.',
    )
    .argument('[target...]', 'names of targets; else all')
    .addHelpText(
      'after',
      examples(['weir alerts test', 'all of them'], ['weir alerts test ops chat', 'two of them']),
    )
    .action(async (targets: readonly string[], _options: object, command: Command) => {
      const done = await clientOf(command, context, TEST_MS).json<AlertTest>({
        method: 'POST',
        path: '/v1/alerts/test',
        json: { targets },
      });
      await answer(command, context, done, () =>
        done.tests.map((row) => testText(context, row)).join(''),
      );
      if (!done.ok) process.exitCode = EXIT.failure;
    });
}

function testText({ look }: Context, { target, ok, message, durationMs }: AlertTestRow): string {
  const word = ok ? paint(look, 'green', 'ok') : paint(look, 'red', 'failed');
  return `${clean(target)}: ${word} after ${durationMs} ms: ${clean(message)}\n`;
}

const COLOURS: Readonly<Record<AlertTargetRow['state'], Colour | null>> = {
  idle: null,
  well: 'green',
  failing: 'red',
};

function targetsText(context: Context, rows: readonly AlertTargetRow[]): string {
  const none = 'Nobody is told: declare a target under "alerts" in the document.';
  const room = { width: context.width };
  const errors = rows.flatMap(({ name, lastError }) =>
    lastError === null
      ? []
      : [`${clean(name)}, ${timestamp(lastError.time)}: ${clean(lastError.message)}\n`],
  );
  const below = errors.length === 0 ? '' : `\nLast errors:\n  ${errors.join('  ')}`;
  return table(rows, columns(context), context.look, room, none) + below;
}

function columns(context: Context): Column<AlertTargetRow>[] {
  const ago = (time: number | null): string =>
    time === null ? '-' : duration(context.now() - time);
  return [
    { title: 'TARGET', value: ({ name }) => name, shrinkTo: 8 },
    { title: 'TYPE', value: ({ type }) => type },
    { title: 'STATE', value: ({ state }) => state, colour: ({ state }) => COLOURS[state] },
    { title: 'FROM', value: ({ severity }) => severity, dispensable: 2 },
    { title: 'DELIVERED', align: 'right', value: ({ delivered }) => String(delivered) },
    { title: 'LAST', align: 'right', value: ({ lastDelivery }) => ago(lastDelivery) },
    { title: 'WAITING', align: 'right', value: ({ waiting }) => String(waiting) },
    {
      title: 'DROPPED',
      align: 'right',
      value: ({ dropped }) => String(dropped),
      colour: ({ dropped }) => (dropped > 0 ? 'yellow' : null),
    },
    {
      title: 'NEXT TRY',
      align: 'right',
      value: ({ nextTry }) =>
        nextTry === null ? '-' : duration(Math.max(0, nextTry - context.now())),
      dispensable: 1,
    },
    { title: 'TO', value: ({ to }) => to, shrinkTo: 12, dispensable: 3 },
  ];
}

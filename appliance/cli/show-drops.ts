/**
 * `show drops`: packets that the fast path dropped, by reason, with the last of each.
 *
 * Invariant: it is always said how many of them are not shown as single packets, since the fast
 * path tells only a sample.
 */
import type { Command } from 'commander';
import type { DropRow } from '../api/contract.js';
import { examples, wholeNumber } from './arguments.js';
import { answer, clientOf, type Context } from './context.js';
import { clean, paint, perSecond, quantity, timestamp } from './format.js';
import { table, type Column } from './table.js';

interface DropOptions {
  readonly samples: number;
  readonly all?: boolean;
}

export function addDrops(show: Command, context: Context): void {
  show
    .command('drops')
    .summary('dropped packets by reason, and the last of each')
    .description(
      'Shows for each reason how many packets were dropped, how many a second now, and the last\n' +
        'that were told as events. Only a sample is: NOT SHOWN counts the rest since the daemon started.',
    )
    .option(
      '--samples <number>',
      'at most so many packets for each reason',
      wholeNumber(0, 1000),
      3,
    )
    .option('--all', 'also reasons for which nothing was dropped')
    .addHelpText(
      'after',
      examples(
        ['weir show drops', 'why are packets dropped?'],
        ['weir show drops --samples 20', 'with more of them'],
      ),
    )
    .action(async ({ samples, all }: DropOptions, command: Command) => {
      const rows = await clientOf(command, context).json<DropRow[]>({
        path: '/v1/drops',
        query: { samples },
      });
      const shown = all === true ? rows : rows.filter(({ total }) => total > 0);
      await answer(
        command,
        context,
        rows,
        () =>
          table(shown, columns, context.look, { width: context.width }, 'Nothing was dropped.') +
          shown.map((row) => sampleText(context, row)).join(''),
      );
    });
}

function sampleText(context: Context, { samples }: DropRow): string {
  return samples
    .map(
      (event) => `${paint(context.look, 'dim', timestamp(event.time))}  ${clean(event.message)}\n`,
    )
    .join('');
}

const columns: readonly Column<DropRow>[] = [
  { title: 'REASON', value: ({ reason }) => reason },
  { title: 'DROPPED', align: 'right', value: ({ total }) => quantity(total) },
  { title: 'PER SECOND', align: 'right', value: (row) => perSecond(row.perSecond) },
  { title: 'SHOWN', align: 'right', value: ({ shown }) => quantity(shown) },
  { title: 'NOT SHOWN', align: 'right', value: ({ notShown }) => quantity(notShown) },
];

/**
 * What was: `history`, and the way back: `rollback`.
 *
 * Invariant: a rollback is a new revision with an old document; nothing that
 * happened leaves the history.
 */
import type { Command } from 'commander';
import type { ApplyResult, RevisionRow } from '../api/contract.js';
import { changeOptions, type ChangeOptions } from './apply.js';
import { examples, parseRevision, wholeNumber } from './arguments.js';
import { changeLines, describeChange, summary, warnOfChange } from './changes.js';
import { answer, clientOf, type Context } from './context.js';
import { namingErrorsOf } from './document-file.js';
import { clean, paint, timestamp } from './format.js';
import { table, type Column } from './table.js';

const COLUMNS: readonly Column<RevisionRow>[] = [
  { title: 'REVISION', align: 'right', value: ({ revision }) => String(revision) },
  { title: 'TIME', value: ({ time }) => timestamp(time) },
  { title: 'AUTHOR', value: ({ author }) => author, shrinkTo: 8 },
  { title: 'CHANGES', value: summary },
  { title: 'COMMENT', value: ({ comment }) => comment, shrinkTo: 12 },
];

/** Where a revision was made and, if the other unit of the pair does not have it, that. */
function whereIs({ shared }: RevisionRow): string {
  if (shared === null) return 'this unit';
  const unit = shared.unit === '' ? 'both' : shared.unit;
  return shared.state === 'both'
    ? unit
    : `${unit}, ${shared.state === 'here' ? 'here only' : 'superseded'}`;
}

/** Without a pair there is nothing to say. */
function columns(rows: readonly RevisionRow[]): readonly Column<RevisionRow>[] {
  if (rows.every(({ shared }) => shared === null)) return COLUMNS;
  return COLUMNS.toSpliced(3, 0, { title: 'MADE ON', value: whereIs });
}

interface HistoryOptions {
  readonly limit: number;
  readonly before?: number;
  readonly changes?: boolean;
}

export function addHistoryCommands(program: Command, context: Context): void {
  program
    .command('history')
    .summary('list the revisions, newest first')
    .description(
      'Lists the revisions of the configuration: who changed what, when and why. Newest first.',
    )
    .option('--limit <number>', 'at most so many', wholeNumber(1, 10_000), 20)
    .option('--before <revision>', 'only those older than this one', parseRevision)
    .option('--changes', 'show each change')
    .addHelpText(
      'after',
      examples(
        ['weir history', 'the latest 20'],
        ['weir history --changes --limit 1', 'what did the last change do?'],
      ),
    )
    .action(async (options: HistoryOptions, command: Command) => {
      const rows = await clientOf(command, context).json<RevisionRow[]>({
        path: '/v1/revisions',
        query: { limit: options.limit, before: options.before },
      });
      await answer(command, context, rows, () =>
        options.changes === true && rows.length > 0
          ? withChanges(context, rows)
          : table(rows, columns(rows), context.look, { width: context.width }, 'No revisions.'),
      );
    });

  changeOptions(
    program
      .command('rollback')
      .summary('bring an earlier revision back')
      .description('Commits the document of an earlier revision as a new revision.')
      .argument('<revision>', "number, see 'weir history'", parseRevision),
  )
    .addHelpText(
      'after',
      examples(
        ['weir rollback 11', 'as it was in revision 11'],
        ['weir rollback 11 --confirm 2m', 'for two minutes, unless confirmed'],
      ),
    )
    .action(async (to: number, options: ChangeOptions, command: Command) => {
      const result = await namingErrorsOf(`revision ${to}`, () =>
        clientOf(command, context).json<ApplyResult>({
          method: 'POST',
          path: '/v1/config/rollback',
          json: { to, comment: options.comment, 'confirm-ms': options.confirm },
          ifMatch: options.ifMatch,
        }),
      );
      await answer(command, context, result, (value) =>
        describeChange(context, `Rolled back to the document of revision ${to}`, value),
      );
      warnOfChange(context, result);
    });
}

async function withChanges(context: Context, rows: readonly RevisionRow[]): Promise<string> {
  const blocks: string[] = [];
  for (const row of rows) {
    const head = `Revision ${row.revision}  ${timestamp(row.time)}  ${clean(row.author)}`;
    const comment = row.comment === '' ? '' : `  ${clean(row.comment)}\n`;
    const changes = await changeLines(context, row.changes);
    blocks.push(`${paint(context.look, 'bold', head)}\n${comment}${changes}`);
  }
  return blocks.join('\n');
}

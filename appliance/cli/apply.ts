/**
 * Documents in and out of the unit: `apply`, `confirm`, `diff`, `export`.
 *
 * Invariant: the text goes to the daemon as it is, so that its errors name the
 * lines of the file; nothing is checked or changed on the way.
 */
import type { Command } from 'commander';
import { writeFile } from 'node:fs/promises';
import type {
  ApplyResult,
  ConfigView,
  ConfirmResult,
  DiffResult,
  RevisionDetail,
} from '../api/contract.js';
import { examples, parseDuration, parseIfMatch, parseRevision } from './arguments.js';
import { changeLines, describeChange, onBoth, warn, warnOfChange } from './changes.js';
import { answer, clientOf, type Context, wantsJson } from './context.js';
import { namingErrorsOf, readDocument, refuseEmpty } from './document-file.js';
import { CliError, EXIT, whyNot } from './exit-codes.js';
import { plural } from './format.js';

/** Options of every command that changes the unit. */
export interface ChangeOptions {
  readonly comment?: string;
  readonly confirm?: number;
  readonly ifMatch?: number;
}

export function changeOptions(command: Command): Command {
  return command
    .option('--comment <text>', 'why, for the history')
    .option(
      '--confirm <time>',
      "go back by itself unless 'weir confirm' follows within this time",
      parseDuration,
    )
    .option(
      '--if-match <revision>',
      'only if this revision is still the current one',
      parseIfMatch,
    );
}

export function addDocumentCommands(program: Command, context: Context): void {
  addApply(program, context);
  addConfirm(program, context);
  addDiff(program, context);
  addExport(program, context);
}

function addApply(program: Command, context: Context): void {
  changeOptions(
    program
      .command('apply')
      .summary('make a document the configuration of the unit')
      .description(
        'Checks the whole document, commits it as one revision and shows what that changes.\n' +
          'Either all of it takes effect or nothing does. Established flows stay with their members\n' +
          'as long as those serve or drain.',
      )
      .argument('<file>', "the document (YAML or JSON), '-' for stdin")
      .option('--dry-run', 'check and show only, change nothing'),
  )
    .addHelpText(
      'after',
      examples(
        ['weir apply weir.yaml --dry-run', 'what would change?'],
        ['weir apply weir.yaml --comment "two more members"', 'commit'],
        ['weir apply weir.yaml --confirm 60s', "goes back after 60 s without 'weir confirm'"],
        ['weir apply weir.yaml --if-match 12', 'only on top of revision 12'],
        ['weir export | sed s/8080/8081/ | weir apply -', 'edit in a pipe'],
      ),
    )
    .action(
      async (file: string, options: ChangeOptions & { dryRun?: boolean }, command: Command) => {
        const document = await readDocument(file);
        refuseEmpty(document);
        const result = await namingErrorsOf(document.name, () =>
          clientOf(command, context).json<ApplyResult>({
            method: 'PUT',
            path: '/v1/config',
            query: {
              'dry-run': options.dryRun === true ? 'true' : undefined,
              'confirm-ms': options.confirm,
              comment: options.comment,
            },
            yaml: document.text,
            ifMatch: options.ifMatch,
          }),
        );
        await answer(command, context, result, (value) =>
          describeChange(context, 'Applied', value),
        );
        warnOfChange(context, result);
      },
    );
}

function addConfirm(program: Command, context: Context): void {
  program
    .command('confirm')
    .summary('keep the change that waits for confirmation')
    .description(
      "Keeps the revision that was applied with '--confirm': it no longer goes back by itself.",
    )
    .addHelpText(
      'after',
      examples(['weir apply weir.yaml --confirm 60s && weir confirm', 'still reachable? keep it']),
    )
    .action(async (_options: object, command: Command) => {
      const result = await clientOf(command, context).json<ConfirmResult>({
        method: 'POST',
        path: '/v1/config/confirm',
      });
      await answer(
        command,
        context,
        result,
        ({ revision, replication }) =>
          `Confirmed: revision ${revision} stays.\n${onBoth(replication)}`,
      );
      warnOfChange(context, result);
    });
}

function addDiff(program: Command, context: Context): void {
  program
    .command('diff')
    .summary('show what applying a document would change')
    .description(
      'Compares a document with the current configuration. Members are told apart by address and port.',
    )
    .argument('<file>', "the document (YAML or JSON), '-' for stdin")
    .addHelpText('after', examples(['weir diff weir.yaml', '+ added, - removed, ~ changed']))
    .action(async (file: string, _options: object, command: Command) => {
      const document = await readDocument(file);
      refuseEmpty(document);
      const result = await namingErrorsOf(document.name, () =>
        clientOf(command, context).json<DiffResult>({
          method: 'POST',
          path: '/v1/config/diff',
          yaml: document.text,
        }),
      );
      await answer(command, context, result, async ({ revision, changes }) =>
        changes.length === 0
          ? `No difference to revision ${revision ?? 'none'}.\n`
          : `${plural(changes.length, 'difference')} to revision ${revision ?? 'none'}:\n` +
            (await changeLines(context, changes)),
      );
      warn(context, result.warnings);
    });
}

interface ExportOptions {
  readonly revision?: number;
  readonly output?: string;
}

function addExport(program: Command, context: Context): void {
  program
    .command('export')
    .summary('print the configuration as a document')
    .description(
      "Prints the current configuration, or an earlier revision's, as YAML that 'weir apply' takes.",
    )
    .option('--revision <number>', 'this revision instead of the current one', parseRevision)
    .option('--output <file>', 'write there instead of to stdout')
    .addHelpText(
      'after',
      examples(
        ['weir export --output weir.yaml', 'save the current configuration'],
        ['weir export --revision 12', 'as it was in revision 12'],
      ),
    )
    .action(async (options: ExportOptions, command: Command) => {
      const text = await exported(options, command, context);
      if (options.output === undefined) {
        context.out(text);
        return;
      }
      try {
        // Documents may hold secrets: for the owner alone unless the file is there already.
        await writeFile(options.output, text, { mode: 0o600 });
      } catch (cause) {
        throw new CliError(
          EXIT.failure,
          `Cannot write ${options.output}: ${whyNot(cause)}.`,
          undefined,
          cause,
        );
      }
    });
}

async function exported(
  options: ExportOptions,
  command: Command,
  context: Context,
): Promise<string> {
  const client = clientOf(command, context);
  const path = options.revision === undefined ? '/v1/config' : `/v1/revisions/${options.revision}`;
  if (wantsJson(command)) {
    const view = await client.json<ConfigView | RevisionDetail>({ path });
    return `${JSON.stringify(view, null, 2)}\n`;
  }
  const text = await client.text({ path, accept: 'application/yaml' });
  if (text !== '') return text;
  throw new CliError(
    EXIT.notFound,
    "There is no configuration yet: nothing was ever applied. Start with 'weir apply FILE'.",
  );
}

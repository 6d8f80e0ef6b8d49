/**
 * `backup`, `restore`: one encrypted file with all that a unit is.
 *
 * Invariant: a passphrase comes from the terminal, without echo, or from stdin; it is in no option, since
 * the list of processes shows those.
 */
import { Option, type Command } from 'commander';
import type { BackupView, RestorePlan, RestoreResult } from '../api/contract.js';
import { examples } from './arguments.js';
import { askYes, terminalThere } from './ask.js';
import { PASSPHRASE_OPTION, readPassphrase } from './password-input.js';
import { changeLines } from './changes.js';
import { answer, clientOf, wantsJson, type Context } from './context.js';
import { CliError, EXIT } from './exit-codes.js';
import { clean, plural, timestamp } from './format.js';
import { readWholeFile, writeWholeFile } from './secret-file.js';

/** scrypt, a large history, and a document that is executed. */
const PATIENCE_MS = 600_000;

interface Options {
  readonly passphraseStdin?: boolean;
  readonly configurationOnly?: boolean;
  readonly replace?: boolean;
  readonly yes?: boolean;
  readonly comment?: string;
}

export function addBackupCommands(program: Command, context: Context): void {
  const backup = withPassphrase(
    program
      .command('backup')
      .helpCommand(false)
      .summary('write an encrypted backup of this unit')
      .description(
        'Writes the whole unit into one file that a passphrase closes: the configuration with its\n' +
          'history, certificates and accounts with their keys, temporary access entries. Not the pair:\n' +
          'two boxes with the key of one unit would both pass for it. Root only.',
      ),
  )
    .argument('<file>', 'a new file')
    .option('--configuration-only', 'only the present document, without keys')
    .option('--replace', 'also in the place of a file that is there')
    .addHelpText(
      'after',
      examples(
        ['weir backup /root/unit.weirbackup', 'asks for a passphrase twice'],
        ['weir backup unit.weirbackup --passphrase-stdin < pass', 'from a script'],
        ['weir backup show unit.weirbackup', 'what is in it'],
      ),
    )
    .action(async (file: string, options: Options, command: Command) => {
      const passphrase = await readPassphrase(context, options, true);
      const scope = options.configurationOnly === true ? 'configuration' : 'unit';
      const bytes = await clientOf(command, context, PATIENCE_MS).octets({
        ...{ method: 'POST', path: '/v1/system/backup', json: { scope }, passphrase },
      });
      await writeWholeFile(file, bytes, { replace: options.replace === true });
      await answer(
        command,
        context,
        { file, bytes: bytes.length, scope },
        () =>
          `Wrote ${clean(file)}, ${bytes.length} bytes. Without its passphrase nobody can read it.\n`,
      );
    });

  backup
    .command('show')
    .summary('what is in a backup, and what restoring it would change')
    .description('Lists what a backup has, and what restoring it on this unit would change.')
    .argument('<file>', 'the backup')
    .addHelpText('after', examples(['weir backup show unit.weirbackup', 'changes nothing']))
    .action(async (file: string, _options: Options, command: Command) => {
      const options = command.optsWithGlobals<Options>();
      const bytes = await readWholeFile(file);
      const passphrase = await readPassphrase(context, options, false);
      const view = await inspect(command, context, bytes, passphrase, options);
      await answer(command, context, view, () => viewText(context, view));
    });

  withPassphrase(
    program
      .command('restore')
      .summary('restore a backup')
      .description(
        'Checks a backup whole, shows what it changes, asks, and restores all of it or nothing: the\n' +
          'configuration as one new revision, keys encrypted for this machine. What the backup lacks stays.\n' +
          'What was there is kept as a backup with the same passphrase. Root only.',
      ),
  )
    .argument('<file>', 'the backup')
    .option('--configuration-only', 'of a whole backup only the document')
    .option('--yes', 'do not ask')
    .addOption(new Option('--comment <text>', 'why, for the history'))
    .addHelpText(
      'after',
      examples(
        ['weir restore unit.weirbackup', 'shows, asks, restores'],
        ['weir restore unit.weirbackup --configuration-only', 'leaves certificates alone'],
        ['weir restore unit.weirbackup --yes --passphrase-stdin < pass', 'from a script'],
      ),
    )
    .action(async (file: string, options: Options, command: Command) => {
      if (options.yes !== true && (options.passphraseStdin === true || !terminalThere())) {
        throw new CliError(
          EXIT.usage,
          'There is nobody to ask whether to restore: look with "weir backup show", then add --yes.',
        );
      }
      const bytes = await readWholeFile(file);
      const passphrase = await readPassphrase(context, options, false);
      const view = await inspect(command, context, bytes, passphrase, options);
      if (view.restore.refusal !== null) {
        throw new CliError(EXIT.invalid, `It cannot be restored: ${view.restore.refusal}`);
      }
      if (options.yes !== true) {
        context.say(await viewText(context, view));
        if (!(await askYes(context, 'Restore this?'))) {
          throw new CliError(EXIT.failure, 'Nothing was restored.');
        }
      }
      const result = await clientOf(command, context, PATIENCE_MS).json<RestoreResult>({
        method: 'POST',
        path: '/v1/system/restore',
        query: { ...onlyConfiguration(options), comment: options.comment },
        octets: bytes,
        passphrase,
      });
      await answer(command, context, result, () => resultText(result));
      if (!wantsJson(command)) {
        for (const warning of result.warnings) context.err(`warning: ${clean(warning)}\n`);
      }
    });
}

function withPassphrase(command: Command): Command {
  return command.option(...PASSPHRASE_OPTION);
}

function onlyConfiguration(options: Options): { 'configuration-only': string | undefined } {
  return { 'configuration-only': options.configurationOnly === true ? 'true' : undefined };
}

function inspect(
  command: Command,
  context: Context,
  octets: Buffer,
  passphrase: string,
  options: Options,
): Promise<BackupView> {
  return clientOf(command, context, PATIENCE_MS).json<BackupView>({
    method: 'POST',
    path: '/v1/system/inspect',
    query: onlyConfiguration(options),
    octets,
    passphrase,
  });
}

async function viewText(context: Context, view: BackupView): Promise<string> {
  const what = view.scope === 'unit' ? 'the whole unit' : 'the configuration';
  const parts = view.parts.map(
    ({ title, entries }) => `  ${title}\n${entries.map((one) => `    ${clean(one)}\n`).join('')}`,
  );
  return (
    `Backup of ${what} ${clean(view.unit)}, ${timestamp(view.time)}, by ${clean(view.author)}, Weir ${clean(view.version)}\n` +
    `${parts.join('')}${await planText(context, view.restore)}`
  );
}

async function planText(
  context: Context,
  { changes, notes, refusal }: RestorePlan,
): Promise<string> {
  if (refusal !== null) return `It cannot be restored here: ${clean(refusal)}\n`;
  const document =
    changes.length === 0
      ? '  the configuration stays as it is\n'
      : `  ${plural(changes.length, 'change')} of the configuration\n${await changeLines(context, changes)}`;
  return `Restoring it here\n${document}${notes.map((one) => `  ${clean(one)}\n`).join('')}`;
}

function resultText({ revision, changes, notes, copy }: RestoreResult): string {
  const document =
    revision === null
      ? 'The configuration is as it was.'
      : `Revision ${revision}: ${plural(changes.length, 'change')}.`;
  return `Restored. ${document}\n${notes.map((one) => `  ${clean(one)}\n`).join('')}What was there before: weir restore ${clean(copy)}, with the same passphrase.\n`;
}

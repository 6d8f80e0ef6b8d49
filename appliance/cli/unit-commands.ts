/**
 * `support-bundle`, `factory-reset`, `reboot`, `power-off`: the unit as a machine.
 *
 * Invariant: nothing is erased before the name of the unit was given.
 */
import type { Command } from 'commander';
import type { PowerAction, SystemView } from '../api/contract.js';
import { examples } from './arguments.js';
import { askLine, askYes, terminalThere } from './ask.js';
import { answer, clientOf, type Context } from './context.js';
import { CliError, EXIT } from './exit-codes.js';
import { clean } from './format.js';
import { writeWholeFile } from './secret-file.js';

const PATIENCE_MS = 120_000;

export function addUnitCommands(program: Command, context: Context): void {
  addSupportBundle(program, context);
  addFactoryReset(program, context);
  addPower(program, context, {
    name: 'reboot',
    action: 'reboot',
    summary: 'reboot the host',
    does: 'Reboots the host',
  });
  addPower(program, context, {
    name: 'power-off',
    action: 'off',
    summary: 'turn the host off',
    does: 'Turns the host off',
  });
}

function addSupportBundle(program: Command, context: Context): void {
  program
    .command('support-bundle')
    .summary('write what somebody who helps needs to know')
    .description(
      'Writes an archive (tar, gzip): what the API says, facts of the kernel, the last of the logs, and a\n' +
        'manifest. Without keys, passwords, tokens and cookies; look through it before you give it away.\n' +
        'Root only.',
    )
    .argument('<file>', 'a new file, such as weir.tar.gz')
    .option('--mask-addresses', "clients' addresses become names that differ in each bundle")
    .option('--replace', 'also in the place of a file that is there')
    .addHelpText(
      'after',
      examples(['weir support-bundle /tmp/weir.tar.gz --mask-addresses', 'to give away']),
    )
    .action(
      async (
        file: string,
        options: { readonly maskAddresses?: boolean; readonly replace?: boolean },
        command: Command,
      ) => {
        const bytes = await clientOf(command, context, PATIENCE_MS).octets({
          method: 'POST',
          path: '/v1/system/support-bundle',
          json: { 'mask-addresses': options.maskAddresses === true },
        });
        await writeWholeFile(file, bytes, { replace: options.replace === true });
        const written = { file, bytes: bytes.length };
        await answer(
          command,
          context,
          written,
          () => `Wrote ${clean(file)}, ${bytes.length} bytes.\n`,
        );
      },
    );
}

function addFactoryReset(program: Command, context: Context): void {
  program
    .command('factory-reset')
    .summary('erase everything: the unit begins as a new one')
    .description(
      'Ends all services and erases configuration, history, certificates with their keys, the pair and\n' +
        'access logs. The daemon then begins as on a new box. Asks for the name of the unit. What was\n' +
        'begun is finished, also after a loss of power. Root only.',
    )
    .option('--yes-erase <name>', 'do not ask: the name of the unit')
    .option('--keep-logs', 'leave the access logs')
    .addHelpText(
      'after',
      examples(
        ['weir factory-reset', 'asks for the name'],
        ['weir factory-reset --yes-erase lb1', 'from a script'],
      ),
    )
    .action(
      async (
        options: { readonly yesErase?: string; readonly keepLogs?: boolean },
        command: Command,
      ) => {
        const client = clientOf(command, context, PATIENCE_MS);
        const name = options.yesErase ?? (await typedName(command, context));
        const result = await client.json<object>({
          method: 'POST',
          path: '/v1/system/factory-reset',
          json: { name, 'keep-logs': options.keepLogs === true },
        });
        await answer(
          command,
          context,
          result,
          () => `${clean(name)} is being erased, and begins as a new unit.\n`,
        );
      },
    );
}

async function typedName(command: Command, context: Context): Promise<string> {
  if (!terminalThere()) {
    throw new CliError(
      EXIT.usage,
      'There is nobody to ask: give the name of the unit with --yes-erase NAME.',
    );
  }
  const { unit } = await clientOf(command, context).json<SystemView>({ path: '/v1/system' });
  context.err(
    `Everything that ${clean(unit)} keeps is erased, and its services end. This cannot be undone.\n`,
  );
  const typed = await askLine(context, `Type the name of the unit (${clean(unit)}) to go on: `);
  if (typed === unit) return typed;
  throw new CliError(EXIT.failure, `That is not ${clean(unit)}: nothing was erased.`);
}

function addPower(
  program: Command,
  context: Context,
  {
    name,
    action,
    summary,
    does,
  }: {
    readonly name: string;
    readonly action: PowerAction;
    readonly summary: string;
    readonly does: string;
  },
): void {
  program
    .command(name)
    .summary(summary)
    .description(
      `${does}, if the daemon was started with --power. In a pair the other unit takes over. Root only.`,
    )
    .option('--yes', 'do not ask')
    .addHelpText('after', examples([`weir ${name}`, 'asks first']))
    .action(async (options: { readonly yes?: boolean }, command: Command) => {
      if (options.yes !== true) {
        if (!terminalThere()) throw new CliError(EXIT.usage, 'There is nobody to ask: add --yes.');
        if (!(await askYes(context, `Really ${summary}?`))) {
          throw new CliError(EXIT.failure, 'Nothing was done.');
        }
      }
      const result = await clientOf(command, context).json<object>({
        method: 'POST',
        path: '/v1/system/power',
        json: { action },
      });
      await answer(command, context, result, () => 'The host was told to.\n');
    });
}

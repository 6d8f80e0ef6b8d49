/**
 * `upgrade`: another version of the whole unit, from one signed file.
 *
 * Invariant: it ends when the unit is about to reboot, or when it is clear that it will not; what comes of
 * the reboot is for `upgrade status`.
 */
import type { Command } from 'commander';
import { resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { UpgradeView } from '../api/contract.js';
import { examples } from './arguments.js';
import { askYes, terminalThere } from './ask.js';
import { answer, clientOf, type Context, wantsJson } from './context.js';
import { CliError, EXIT } from './exit-codes.js';
import { phaseText, upgradeFacts } from './upgrade-text.js';

/** The unit reads the whole bundle before it answers. */
const VERIFY_MS = 10 * 60_000;
const LOOK_MS = 500;

interface UpgradeOptions {
  readonly allowOlder?: boolean;
  readonly pair?: boolean;
  readonly yes?: boolean;
}

export function addUpgradeCommands(program: Command, context: Context): void {
  const upgrade = program
    .command('upgrade')
    .helpCommand(false)
    .summary('another version of the whole unit')
    .description(
      'Writes an update bundle to the slot that does not run, and boots that slot once. It stays when\n' +
        'links, addresses, the pair, the fast path, workers and members are as before; else the unit\n' +
        'goes back to the slot from before by itself, within minutes.',
    )
    .argument('[file]', 'the bundle, on this unit')
    .option('--pair', 'the other unit of the pair first, then this one')
    .option('--allow-older', 'a version that is older than this one, too')
    .option('--yes', 'do not ask')
    .addHelpText(
      'after',
      examples(
        ['weir upgrade /data/weir-0.2.0.update', 'this unit'],
        [
          'weir upgrade /data/weir-0.2.0.update --pair',
          'both, without losing a connection of layer 4',
        ],
        ['weir upgrade status', 'what is in the slots, how the last one ended'],
        ['weir upgrade back', 'the other slot, as it is'],
      ),
    )
    .action(async (file: string | undefined, options: UpgradeOptions, command: Command) => {
      if (file === undefined) {
        throw new CliError(EXIT.usage, 'Name the bundle, or say status or back.');
      }
      const question = `Upgrade ${options.pair === true ? 'both units' : 'this unit'} with ${file} and reboot?`;
      await sure(context, options, question);
      const json = {
        file: resolve(file),
        'allow-older': options.allowOlder === true,
        pair: options.pair === true,
      };
      await order(command, context, '/v1/upgrade', json);
    });

  upgrade
    .command('status')
    .summary('slots, versions, and what is under way')
    .description(
      'Shows what is in the slots, which one boots, and how the latest upgrade stands or ended.',
    )
    .addHelpText('after', examples(['weir upgrade status', 'one look']))
    .action(async (_options: object, command: Command) => {
      const view = await clientOf(command, context).json<UpgradeView>({ path: '/v1/upgrade' });
      await answer(command, context, view, () => statusText(view));
    });

  upgrade
    .command('back')
    .summary('boot the other slot, as it is')
    .description(
      'Boots the slot that does not run, with the version that it has, and judges it like a new one.\n' +
        'Databases that this version changed in their layout are as that version left them; those from\n' +
        'now are kept beside. On a terminal it asks first. Root only.',
    )
    .option('--yes', 'do not ask')
    .addHelpText('after', examples(['weir upgrade back', 'the version from before']))
    .action(async (options: UpgradeOptions, command: Command) => {
      await sure(context, options, 'Go back to the other slot and reboot?');
      await order(command, context, '/v1/upgrade/back', {});
    });
}

async function sure(context: Context, { yes }: UpgradeOptions, question: string): Promise<void> {
  if (yes === true || !terminalThere() || (await askYes(context, question))) return;
  throw new CliError(EXIT.failure, 'Nothing was changed.');
}

async function order(
  command: Command,
  context: Context,
  path: string,
  json: object,
): Promise<void> {
  const client = clientOf(command, context, VERIFY_MS);
  let view = await client.json<UpgradeView>({ method: 'POST', path, json });
  let told = '';
  for (;;) {
    const text = phaseText(view);
    if (!wantsJson(command) && text !== told) context.err(`${text}\n`);
    told = text;
    if (['idle', 'armed', 'rebooting'].includes(view.phase)) break;
    await pause(LOOK_MS);
    view = await client.json<UpgradeView>({ path: '/v1/upgrade' });
  }
  if (view.problem !== null) throw new CliError(EXIT.failure, view.problem);
  await answer(command, context, view, () =>
    view.phase === 'armed'
      ? 'Reboot this unit now: its daemon must not do so (--power). Then see "weir upgrade status".\n'
      : view.phase === 'rebooting'
        ? 'The unit reboots. See "weir upgrade status" in a few minutes.\n'
        : statusText(view),
  );
}

function statusText(view: UpgradeView): string {
  const facts = upgradeFacts(view);
  const width = Math.max(...facts.map(([name]) => name.length)) + 2;
  return facts.map(([name, text]) => `${name.padEnd(width)}${text}\n`).join('');
}

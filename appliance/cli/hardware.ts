/**
 * `hardware`: the machine and its network cards, what each should be set to, and the commands for
 * what is not.
 */
import type { Command } from 'commander';
import type { HardwareReport } from '../api/contract.js';
import { examples } from './arguments.js';
import { answer, clientOf, type Context } from './context.js';
import { hardwareText } from './hardware-text.js';

export function addHardwareCommand(program: Command, context: Context): void {
  program
    .command('hardware')
    .summary('the machine and its network cards, and how to set them')
    .description(
      'Shows the machine, and of each interface that could carry traffic: driver, hardware profile,\n' +
        'XDP mode, queues, rings, receive hash and offloads as they are and as they should be, with the\n' +
        'commands for what is not. Nothing is changed.',
    )
    .addHelpText(
      'after',
      examples(
        ['weir hardware', 'the whole report'],
        ['weir hardware | grep ethtool', 'only what to run'],
        [
          "weir hardware --json | jq '.interfaces[] | {name, profile, mode}'",
          'for programs: one object an interface',
        ],
      ),
    )
    .action(async (_options: object, command: Command) => {
      const report = await clientOf(command, context).json<HardwareReport>({
        path: '/v1/hardware',
      });
      await answer(command, context, report, () => hardwareText(context, report));
    });
}

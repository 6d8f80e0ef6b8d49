/**
 * `pair prefer`: which unit is in front, as a change of the document of both.
 *
 * Invariant: on a terminal nothing is changed before it was said what will move.
 */
import type { Command } from 'commander';
import type { PreferResult } from '../api/contract.js';
import { examples } from './arguments.js';
import { askYes, terminalThere } from './ask.js';
import { describeChange, warnOfChange } from './changes.js';
import { answer, clientOf, wantsJson, type Context } from './context.js';
import { namingErrorsOf } from './document-file.js';
import { CliError, EXIT } from './exit-codes.js';
import { clean, duration } from './format.js';

interface PreferOptions {
  readonly share?: string;
  readonly yes?: boolean;
  readonly dryRun?: boolean;
  readonly comment?: string;
}

export function addPairPrefer(pair: Command, context: Context): void {
  pair
    .command('prefer')
    .summary('choose the unit that is in front')
    .description(
      'Changes the document of both units, as a revision: that unit has all service addresses while both\n' +
        'are well (active-passive); with "none" each has a share of them again. With --share, one share\n' +
        '(even, odd), or a virtual router with its group. Says what will move; on a terminal it asks first.',
    )
    .argument('<unit>', 'name of a unit, or none')
    .option('--share <name>', 'even, odd, or a virtual router or group')
    .option('--yes', 'do not ask')
    .option('--dry-run', 'show only what would change and move')
    .option('--comment <text>', 'why, for the history')
    .addHelpText(
      'after',
      examples(
        ['weir pair prefer weir-a', 'it has everything, the other one stands by'],
        ['weir pair prefer none', 'each has a share again'],
        ['weir pair prefer weir-b --share even', 'weir-b the even ones, the other the odd ones'],
        ['weir pair prefer weir-b --share gateway', 'one virtual router, with its group'],
      ),
    )
    .action(async (unit: string, options: PreferOptions, command: Command) => {
      const ask = (dryRun: boolean): Promise<PreferResult> =>
        namingErrorsOf('configuration', () =>
          clientOf(command, context).json<PreferResult>({
            method: 'POST',
            path: '/v1/routers/prefer',
            json: {
              unit: unit === 'none' ? null : unit,
              share: options.share ?? null,
              'dry-run': dryRun,
              comment: options.comment,
            },
          }),
        );
      if (
        options.dryRun !== true &&
        options.yes !== true &&
        terminalThere() &&
        !wantsJson(command)
      ) {
        const planned = await ask(true);
        if (planned.change.changes.length > 0) {
          context.say(await preferText(context, planned));
          if (!(await askYes(context, 'Do that?'))) {
            throw new CliError(EXIT.failure, 'Nothing was changed.');
          }
        }
      }
      const done = await ask(options.dryRun === true);
      await answer(command, context, done, () => preferText(context, done));
      warnOfChange(context, done.change);
    });
}

async function preferText(context: Context, result: PreferResult): Promise<string> {
  const { change, moves, preempt, preemptDelay } = result;
  const when = preempt
    ? `while both units are well, after ${duration(preemptDelay)}`
    : 'not before the unit that has them yields: preempt is off, see weir pair failover';
  const lines = moves.map(({ address, from, to }) => {
    return `  ${address}  ${from === null ? 'nowhere' : clean(from)} → ${clean(to)}\n`;
  });
  const said =
    lines.length === 0 ? 'No address moves.\n' : `What moves, ${when}:\n${lines.join('')}`;
  return (await describeChange(context, 'Set', change)) + said;
}

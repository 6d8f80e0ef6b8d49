/**
 * `pair failover`: which unit holds the shared addresses, by hand.
 *
 * Invariant: it says what came of it: who still holds what.
 */
import type { Command } from 'commander';
import type { FailoverResult } from '../api/contract.js';
import { examples } from './arguments.js';
import { answer, clientOf, type Context } from './context.js';
import { CliError, EXIT } from './exit-codes.js';
import { plural } from './format.js';
import { routerText } from './show-routers.js';

interface FailoverOptions {
  readonly all?: boolean;
  readonly cancel?: boolean;
}

export function addPairRoles(pair: Command, context: Context): void {
  pair
    .command('failover')
    .argument('[router]', 'virtual router or group that this unit gives up')
    .summary('let the other unit have the addresses')
    .description(
      'Gives up what this unit holds of a virtual router, with its group, or of all of them. The other\n' +
        'unit takes over while this one still serves, so nothing is lost; if no other unit is there, this\n' +
        'one goes on. It stays a backup while the other one lives, until --cancel: restarts change nothing.',
    )
    .option('--all', 'all virtual routers')
    .option('--cancel', 'no longer: this unit takes its addresses back, after preempt-delay')
    .addHelpText(
      'after',
      examples(
        ['weir pair failover --all', 'before maintenance of this unit'],
        ['weir pair failover --all --cancel', 'after it'],
        ['weir pair failover shared/even', 'one share only'],
        ['weir show routers', 'who holds what?'],
      ),
    )
    .action(async (router: string | undefined, options: FailoverOptions, command: Command) => {
      const all = options.all === true;
      if (all === (router !== undefined)) {
        throw new CliError(
          EXIT.usage,
          'Name one virtual router or group, or say --all: weir show routers lists them.',
        );
      }
      const cancel = options.cancel === true;
      const done = await clientOf(command, context).json<FailoverResult>({
        method: 'POST',
        path: '/v1/routers/failover',
        json: { router: router ?? null, cancel },
      });
      await answer(command, context, done, () => failoverText(context, done, cancel));
      if (done.remaining.length > 0) process.exitCode = EXIT.attention;
    });
}

function failoverText(context: Context, done: FailoverResult, cancel: boolean): string {
  const { routers, remaining } = done;
  const kept = remaining.length;
  const said = cancel
    ? 'The failover is over: this unit takes its addresses back after preempt-delay.'
    : kept === 0
      ? 'This unit has given them up.'
      : `No other unit took over, so this one still holds the addresses of ${plural(kept, 'virtual router')}.`;
  return `${said}\n${routerText(context, routers, false)}`;
}

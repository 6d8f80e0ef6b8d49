/**
 * `restart workers`: new processes for layer 7, such as after an upgrade of Weir.
 *
 * Invariant: it ends when every worker was replaced, or says why not.
 */
import type { Command } from 'commander';
import type { WorkerRestart } from '../api/contract.js';
import { examples } from './arguments.js';
import { answer, clientOf, type Context } from './context.js';
import { plural } from './format.js';
import { workerText } from './show-proxy.js';

export function addRestartCommands(program: Command, context: Context): void {
  const restart = program
    .command('restart')
    .helpCommand(false)
    .summary('replace the processes that serve layer 7')
    .description('Replaces processes of the unit while it serves.')
    .addHelpText('after', examples(['weir restart workers', 'without losing a connection']));

  restart
    .command('workers')
    .summary('replace the workers of the proxy, one after the other')
    .description(
      'Replaces all workers of the proxy, one after the other, and waits until that is done. A new\n' +
        'one takes over the sockets before the old one lets go of them; the old one finishes what it\n' +
        'has begun, for a minute at most. Services of the fast path have nothing to do with it.',
    )
    .addHelpText(
      'after',
      examples(
        ['weir restart workers', 'all of them'],
        ['weir show workers', 'the new ones, and old ones that still have connections'],
      ),
    )
    .action(async (_options: object, command: Command) => {
      const done = await clientOf(command, context).json<WorkerRestart>({
        method: 'POST',
        path: '/v1/workers/restart',
      });
      await answer(command, context, done, () => restartText(context, done));
    });
}

function restartText(context: Context, { replaced, durationMs, workers }: WorkerRestart): string {
  const left = workers.filter(({ state }) => state === 'draining').length;
  const time = `${(durationMs / 1000).toFixed(1)} s`;
  const old = left === 0 ? '' : `; ${left} of the old ones still end what they began`;
  return `Replaced ${plural(replaced, 'worker')} within ${time}${old}:\n${workerText(context, workers)}`;
}

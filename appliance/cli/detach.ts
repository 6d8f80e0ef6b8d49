/**
 * `detach`: takes the unit out of the network, which stopping the daemon does not do.
 *
 * Invariant: it works only while no daemon runs, and the configuration stays in its store.
 */
import type { Command } from 'commander';
import { DEFAULT_DAEMON_OPTIONS } from '../api/daemon-options.js';
import { examples } from './arguments.js';
import { answer, type Context } from './context.js';
import { CliError, EXIT } from './exit-codes.js';

interface Options {
  readonly stateDir: string;
  readonly runDir: string;
  readonly bpfDir: string;
}

export function addDetachCommand(program: Command, context: Context): void {
  const defaults = DEFAULT_DAEMON_OPTIONS;
  program
    .command('detach')
    .summary('take the fast path off this unit')
    .description(
      'Takes the program off every interface, forgets its tables, ends the workers of layer 7 and\n' +
        'removes the service addresses. Traffic for the services ends. Needs root, and that no daemon\n' +
        'runs: stopping one leaves the fast path and the workers at work. The configuration stays, and the next daemon puts everything back.',
    )
    .option('--state-dir <path>', 'where the configuration is kept', defaults.stateDir)
    .option('--run-dir <path>', 'where the daemon had its socket', defaults.runDir)
    .option('--bpf-dir <path>', 'where the fast path is pinned', defaults.bpfDir)
    .addHelpText('after', examples(['weir detach', 'after the daemon was stopped']))
    .action(async (options: Options, command: Command) => {
      const report = await detach(options, context);
      await answer(command, context, report, () => {
        const { interfaces, addresses, workers } = report;
        if (interfaces.length + addresses.length + workers === 0) return 'Nothing was attached.\n';
        const from = interfaces.length === 1 ? '1 interface' : `${interfaces.length} interfaces`;
        const removed =
          addresses.length === 0 ? '' : `, removed the addresses ${addresses.join(', ')}`;
        const ended = workers === 0 ? '' : `, ended ${workers} workers`;
        return `Detached from ${from}${ended}${removed}.\n`;
      });
    });
}

async function detach(options: Options, context: Context) {
  const complain = (_fields: object, text?: string): void => {
    if (text !== undefined) context.err(`weir: ${text}\n`);
  };
  const quiet = (): void => undefined;
  try {
    const { detachUnit } = await import('../control/detach.js');
    return await detachUnit(options, {
      debug: quiet,
      info: quiet,
      warn: complain,
      error: complain,
    });
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CliError(EXIT.failure, `Cannot detach: ${why}`, undefined, cause);
  }
}

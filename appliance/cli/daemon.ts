/**
 * `daemon`: runs the control daemon in the foreground, as systemd or a terminal
 * wants it.
 *
 * Invariant: this is the only place of the CLI that reaches the daemon's code, and
 * it does so by a dynamic import, so that no other command loads any of it.
 */
import { type Command, Option } from 'commander';
import { join, resolve } from 'node:path';
import {
  DEFAULT_DAEMON_OPTIONS,
  LOG_LEVELS,
  type DaemonOptions,
  type LogLevel,
  type RunningDaemon,
  type StartDaemon,
} from '../api/daemon-options.js';
import { examples } from './arguments.js';
import type { Context, GlobalOptions } from './context.js';
import { CliError, EXIT } from './exit-codes.js';

interface Options extends GlobalOptions {
  readonly stateDir: string;
  readonly runDir: string;
  readonly bpfDir: string;
  readonly group: string;
  readonly consoleUser?: string;
  readonly logLevel: LogLevel;
  readonly power?: 'systemctl';
  readonly tune?: boolean;
  readonly ownNetwork?: boolean;
  readonly systemFiles?: string;
  readonly slots?: string;
  readonly updateKeys?: string;
}

export function addDaemonCommand(program: Command, context: Context): void {
  const defaults = DEFAULT_DAEMON_OPTIONS;
  program
    .command('daemon')
    .summary('run the control daemon')
    .description(
      'Runs the control daemon in the foreground until SIGTERM or SIGINT. The fast path is\n' +
        'pinned: traffic keeps flowing while the daemon is stopped, and the next one adopts it.\n' +
        'Needs root and Linux 6.1 or newer.',
    )
    .option('--state-dir <path>', 'where the configuration is kept', defaults.stateDir)
    .option('--run-dir <path>', 'where the socket is made', defaults.runDir)
    .option('--bpf-dir <path>', 'where the fast path is pinned', defaults.bpfDir)
    .option('--group <name>', 'group that may use the socket', defaults.group)
    .option('--console-user <name>', 'whose peers at the socket are the console: they log in')
    .option('--tune', 'set network cards as their profiles advise, before the fast path is on them')
    .option('--own-network', 'the network of this host is for Weir to set (unit.network)')
    .option(
      '--system-files <path>',
      'root of the files of this host that are for Weir to write (resolvers, time, name, keyboard)',
    )
    .option('--slots <path>', 'folder that says where the slots of this unit are, for upgrades')
    .option('--update-keys <file>', 'public keys that updates are signed with (PEM)')
    .addOption(
      new Option('--log-level <level>', 'how much to log')
        .choices(LOG_LEVELS)
        .default(defaults.logLevel),
    )
    .addOption(
      new Option('--power <how>', 'let Weir reboot this host and turn it off').choices([
        'systemctl',
      ]),
    )
    .addHelpText(
      'after',
      examples(
        ['weir daemon', 'as an appliance does'],
        ['weir daemon --log-level warn', 'only what somebody should look at'],
      ),
    )
    .action(async (_options: object, command: Command) => {
      await run(daemonOptions(command.optsWithGlobals<Options>(), context));
    });
}

function daemonOptions(options: Options, context: Context): DaemonOptions {
  const { stateDir, runDir, bpfDir, group, logLevel, consoleUser = null, power } = options;
  const { WEIR_SOCKET: named } = context.environment;
  const socket = options.socket ?? (named || join(runDir, 'weir.sock'));
  const { slots, updateKeys, ownNetwork = false, tune = false, systemFiles } = options;
  if ((slots === undefined) !== (updateKeys === undefined)) {
    throw new CliError(
      EXIT.usage,
      'Give --slots and --update-keys together: without keys no update is trusted.',
    );
  }
  return {
    ...{ stateDir, runDir, bpfDir, group, consoleUser, logLevel, socket, ownNetwork, tune },
    ...(systemFiles === undefined ? {} : { systemFiles: resolve(systemFiles) }),
    ...(power === undefined ? {} : { power }),
    ...(slots === undefined || updateKeys === undefined ? {} : { slots, updateKeys }),
  };
}

async function run(options: DaemonOptions): Promise<void> {
  const stopped = stopSignal().then(() => true);
  const main = await import('../main.js');
  const startDaemon: StartDaemon = main.startDaemon;
  // Once, but for factory resets.
  for (let ending = false; !ending;) {
    let daemon: RunningDaemon;
    try {
      daemon = await startDaemon(options);
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new CliError(EXIT.failure, `The daemon cannot start: ${why}`, undefined, cause);
    }
    ending = await Promise.race([stopped, daemon.restarts.then(() => false)]);
    await daemon.close();
  }
}

/** Resolves at the first signal; a second one no longer waits for a proper end. */
function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    let asked = false;
    const onSignal = (): void => {
      if (asked) process.exit(EXIT.failure);
      asked = true;
      resolve();
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
  });
}

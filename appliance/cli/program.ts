/**
 * The whole command line, as commander's tree. No command runs from here; weir.ts
 * does that.
 *
 * Invariant: commander never ends the process itself: what it has to say comes out
 * as an exception, and weir.ts decides the exit status.
 */
import { Command, Option } from 'commander';
import { DEFAULT_SOCKET, type ErrorBody } from '../api/contract.js';
import { version } from '../api/version.js';
import { addAccessCommands } from './access.js';
import { addDocumentCommands } from './apply.js';
import { addAlertCommands } from './alerts.js';
import { examples } from './arguments.js';
import { addBackupCommands } from './backup.js';
import { addCertCommands } from './cert.js';
import { isCalled } from './complete.js';
import { addCompletionCommands } from './completion.js';
import type { Context } from './context.js';
import { addDaemonCommand } from './daemon.js';
import { addDetachCommand } from './detach.js';
import { CliError, EXIT, EXIT_CODE_HELP } from './exit-codes.js';
import { paint } from './format.js';
import { addHardwareCommand } from './hardware.js';
import { addHistoryCommands } from './history.js';
import { addLanguageCommands } from './language.js';
import { addPairCommands } from './pair.js';
import { addReachCommands } from './reach.js';
import { addRestartCommands } from './restart.js';
import { addSetCommands } from './set.js';
import { addShowCommands } from './show.js';
import { addStatusCommand } from './status.js';
import { addTestCommands } from './test.js';
import { addTopCommand } from './top.js';
import { addUnitCommands } from './unit-commands.js';
import { addTuiCommand } from './tui.js';
import { addLoginCommands } from './login.js';
import { addUserCommands } from './user.js';
import { addUpgradeCommands } from './upgrade.js';

export function createProgram(context: Context): Command {
  const program = new Command('weir')
    .description(
      'Weir, a load balancer: an XDP fast path and a layer-7 proxy, programmed by one document.',
    )
    .version(version(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'how to use this')
    .addOption(
      new Option(
        '--socket <path>',
        `the daemon's socket (default: $WEIR_SOCKET, or ${DEFAULT_SOCKET})`,
      ),
    )
    .option('--json', 'print JSON, a stable interface')
    .exitOverride()
    .showSuggestionAfterError()
    .helpCommand(false)
    .configureHelp({ showGlobalOptions: true, subcommandTerm: (command) => command.name() })
    .configureOutput({
      writeOut: (text) => context.say(text),
      writeErr: (text) => context.err(text),
      outputError: (text) => context.err(usageError(context, text)),
      getOutHelpWidth: () => context.width ?? 100,
      getErrHelpWidth: () => context.width ?? 100,
      getOutHasColors: () => context.look.colour,
      getErrHasColors: () => context.look.colour,
    })
    .addHelpText(
      'after',
      `${examples(
        ['weir status', 'is the unit well?'],
        ['weir lint weir.yaml', 'is this document valid?'],
        ['weir apply weir.yaml --dry-run', 'what would it change?'],
        ['weir apply weir.yaml --confirm 60s', 'commit; goes back unless confirmed'],
        ['weir show services', 'what is served, by which tier'],
        ['weir set member web 10.0.1.11:8080 draining', 'take a member out gently'],
      )}\n\n${EXIT_CODE_HELP}`,
    );

  program.commandsGroup('Look:');
  addStatusCommand(program, context);
  addTuiCommand(program, context);
  addShowCommands(program, context);
  addTopCommand(program, context);
  addTestCommands(program, context);
  addReachCommands(program, context);
  addAlertCommands(program, context);
  addHardwareCommand(program, context);
  program.commandsGroup('Change:');
  addDocumentCommands(program, context);
  addSetCommands(program, context);
  addAccessCommands(program, context);
  addCertCommands(program, context);
  addPairCommands(program, context);
  addRestartCommands(program, context);
  addHistoryCommands(program, context);
  program.commandsGroup('Who may:');
  addLoginCommands(program, context);
  addUserCommands(program, context);
  program.commandsGroup('The unit:');
  addBackupCommands(program, context);
  addUnitCommands(program, context);
  addUpgradeCommands(program, context);
  program.commandsGroup('Write documents:');
  addLanguageCommands(program, context);
  program.commandsGroup('Run:');
  addDaemonCommand(program, context);
  addDetachCommand(program, context);
  addCompletionCommands(program, context);
  addHelpCommand(program);
  return program;
}

/** What commander says of a wrong command line: `error: …`, perhaps with a suggestion below. */
function usageError(context: Context, text: string): string {
  const message = text.replace(/^error: /, '').trimEnd();
  if (context.json) {
    const body: ErrorBody = { error: { code: 'bad-request', message } };
    return `${JSON.stringify(body)}\n`;
  }
  return `${paint(context.look, 'red', 'weir:')} ${message}\nSee 'weir --help', or --help after a command.\n`;
}

/** commander's own takes one word, and has none for a command that is not there. */
function addHelpCommand(program: Command): void {
  program
    .command('help')
    .summary('how to use a command')
    .description('Shows how to use a command, as --help after it does.')
    .argument('[command...]', 'its words, such as: show members')
    .addHelpText('after', examples(['weir help show members', 'as weir show members --help']))
    .action((words: readonly string[]) => {
      let command = program;
      for (const word of words) {
        const next = command.commands.find((one) => isCalled(one, word));
        if (next === undefined) {
          const known = command.createHelp().visibleCommands(command);
          const names = known.map((one) => one.name()).join(', ');
          throw new CliError(
            EXIT.usage,
            `There is no command '${words.join(' ')}'. ${names === '' ? `'${command.name()}' has none below it` : `There are ${names}`}.`,
          );
        }
        command = next;
      }
      command.outputHelp();
    });
}

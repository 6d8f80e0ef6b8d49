/**
 * The whole command line, as commander's tree. No command runs from here; weir.ts
 * does that.
 *
 * Invariant: commander never ends the process itself: what it has to say comes out
 * as an exception, and weir.ts decides the exit status.
 */
import { Command, Option } from 'commander';
import { DEFAULT_SOCKET } from '../api/contract.js';
import { version } from '../api/version.js';
import { addDocumentCommands } from './apply.js';
import { examples } from './arguments.js';
import { addCompletionCommands } from './completion.js';
import type { Context } from './context.js';
import { addDaemonCommand } from './daemon.js';
import { addDetachCommand } from './detach.js';
import { EXIT_CODE_HELP } from './exit-codes.js';
import { addHistoryCommands } from './history.js';
import { addLanguageCommands } from './language.js';
import { addSetCommands } from './set.js';
import { addShowCommands } from './show.js';
import { addStatusCommand } from './status.js';

export function createProgram(context: Context): Command {
  const program = new Command('weir')
    .description('Weir, a load balancer: an XDP fast path programmed by one document.')
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
    .configureHelp({ showGlobalOptions: true, subcommandTerm: (command) => command.name() })
    .configureOutput({
      writeOut: (text) => context.out(text),
      writeErr: (text) => context.err(text),
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
  addShowCommands(program, context);
  program.commandsGroup('Change:');
  addDocumentCommands(program, context);
  addSetCommands(program, context);
  addHistoryCommands(program, context);
  program.commandsGroup('Write documents:');
  addLanguageCommands(program, context);
  program.commandsGroup('Run:');
  addDaemonCommand(program, context);
  addDetachCommand(program, context);
  addCompletionCommands(program, context);
  program.addHelpCommand(
    new Command('help').argument('[command]').helpOption(false).description('how to use a command'),
  );
  return program;
}

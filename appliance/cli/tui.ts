/**
 * `tui`, also called `dash`: the dashboard on a terminal, or its overview as text.
 *
 * Invariant: this is the only place of the CLI that reaches the dashboard's code, and it does so by a
 * dynamic import, so that no other command loads any of it.
 */
import { type Command, Option } from 'commander';
import type { RunDashboard } from '../../tui/main.js';
import type { LookWishes } from '../../tui/look.js';
import type { PrintOverview } from '../../tui/once.js';
import { examples } from './arguments.js';
import { clientOf, wantsJson, type Context } from './context.js';
import { CliError, EXIT } from './exit-codes.js';

interface Options extends LookWishes {
  readonly once?: boolean;
  readonly mouse?: boolean;
  readonly firstSetUp?: boolean;
}

export function addTuiCommand(program: Command, context: Context): void {
  program
    .command('tui')
    .alias('dash')
    .summary('the dashboard, on a terminal')
    .description(
      'Opens the dashboard: what is wrong, traffic, services, pools, members, events; the configuration\n' +
        'edited in forms or as YAML, its history, the pair, certificates, the system. Needs a terminal of\n' +
        '60x15 or more; ? shows the keys.\n' +
        "With --once its overview as plain text instead, on anything. 'dash' is the same command.",
    )
    .option('--once', 'print the overview as text and end')
    .option('--ascii', 'no signs beyond ASCII (default: by locale and terminal)')
    .option('--no-ascii', 'with the signs of UTF-8, whatever locale and terminal say')
    .addOption(
      new Option(
        '--colour <number>',
        'how many colours (default: by TERM; none when NO_COLOR is set)',
      ).choices(['none', '16', '256']),
    )
    .option('--mouse', 'with the mouse (M switches it): clicks and the wheel')
    .option('--first-set-up', 'begin with the wizard while the unit has no users')
    .addHelpText(
      'after',
      examples(
        ['weir tui', 'everything at a glance'],
        ['weir tui --ascii --colour none', 'on a serial console'],
        ['weir dash --once', 'the overview as text, for scripts and screen readers'],
      ),
    )
    .action(async (options: Options, command: Command) => {
      if (options.once === true) await once(options, command, context);
      else await dashboard(options, command, context);
    });
}

async function once(options: Options, command: Command, context: Context): Promise<void> {
  if (wantsJson(command)) {
    throw new CliError(EXIT.usage, "--once prints text: as JSON there is 'weir status --json'.");
  }
  const { socket, secret } = clientOf(command, context);
  const module = await import('../../tui/once.js');
  const overviewText: PrintOverview = module.overviewText;
  const unicode = options.ascii === undefined ? context.look.unicode : !options.ascii;
  context.out(
    await overviewText({
      socket,
      secret,
      look: { unicode, colours: 0 },
      columns: context.width ?? 100,
      now: context.now(),
    }),
  );
}

async function dashboard(options: Options, command: Command, context: Context): Promise<void> {
  const { environment } = context;
  const name = environment['TERM'] ?? '';
  if (process.stdin.isTTY !== true || process.stdout.isTTY !== true) {
    throw new CliError(
      EXIT.usage,
      "The dashboard needs a terminal as its input and output: 'weir dash --once' prints the overview as text.",
    );
  }
  if (name === '' || name === 'dumb') {
    throw new CliError(
      EXIT.usage,
      `TERM is '${name}', a terminal on which nothing can be placed: set it (vt220, linux, xterm …), or use 'weir dash --once'.`,
    );
  }
  const [{ lookOf }, module] = await Promise.all([
    import('../../tui/look.js'),
    import('../../tui/main.js'),
  ]);
  const runDashboard: RunDashboard = module.runDashboard;
  const { socket, secret } = clientOf(command, context);
  const status = await runDashboard({
    socket,
    secret,
    look: lookOf(environment, context.look.unicode, options),
    terminal: name,
    mouse: options.mouse === true,
    firstSetUp: options.firstSetUp === true,
    suspends: !environment['WEIR_NO_SUSPEND'],
  });
  // What is still open (a slow daemon's answer) is of no interest any more.
  process.exit(status);
}

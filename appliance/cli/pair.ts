/**
 * `pair`: another unit is invited, joined, looked at, left.
 *
 * Invariant: the code of an invitation is never an argument unless who typed it wanted that: other
 * users of the machine see arguments. Without it, it is asked for, or read from stdin.
 */
import type { Command } from 'commander';
import type { PairInvited, PairView } from '../api/contract.js';
import { examples } from './arguments.js';
import { askSecret, askYes, terminalThere } from './ask.js';
import { readOctets } from './cert-files.js';
import { answer, clientOf, type Context } from './context.js';
import { CliError, EXIT } from './exit-codes.js';
import { clean, paint, timestamp } from './format.js';
import { addPairPrefer } from './pair-prefer.js';
import { addPairRoles } from './pair-roles.js';
import { statusText } from './pair-text.js';

export function addPairCommands(program: Command, context: Context): void {
  const pair = program
    .command('pair')
    .helpCommand(false)
    .summary('two units that stand in for each other')
    .description(
      'Makes two units a pair: one invites, the other joins with the code that the first one printed.\n' +
        'From then on they speak over mutual TLS with keys that each knows of the other.',
    )
    .addHelpText(
      'after',
      examples(
        ['weir pair invite', 'on one unit: prints a code'],
        ['weir pair join 192.0.2.1', 'on the other: asks for the code'],
        ['weir pair status', 'who the other unit is, and the links to it'],
        ['weir pair failover --all', 'let the other unit have the addresses'],
      ),
    );
  addInvite(pair, context);
  addJoin(pair, context);
  addStatus(pair, context);
  addPairRoles(pair, context);
  addPairPrefer(pair, context);
  addLeave(pair, context);
}

function addInvite(pair: Command, context: Context): void {
  pair
    .command('invite')
    .summary('print a code that lets another unit join this one')
    .description(
      'Listens on TCP port 9347 for ten minutes and prints a code for one unit. Each address is a link\n' +
        'of the pair from then on, best over different cables. Without addresses: one of each interface.\n' +
        'Another invitation takes the place of an open one. Root only.',
    )
    .argument('[address...]', "this unit's own addresses to listen at, 1 to 8")
    .addHelpText(
      'after',
      examples(
        ['weir pair invite', 'at an address of each interface'],
        ['weir pair invite 10.0.0.1 192.168.255.1', 'two links: the LAN and a cable'],
      ),
    )
    .action(async (addresses: readonly string[], _options: object, command: Command) => {
      const invited = await clientOf(command, context).json<PairInvited>({
        method: 'POST',
        path: '/v1/pair/invite',
        json: { addresses },
      });
      await answer(command, context, invited, () => invitedText(context, invited));
    });
}

function invitedText(context: Context, invited: PairInvited): string {
  const { unit, code, fingerprint, addresses, port, expires } = invited;
  const [first = ''] = addresses;
  return (
    `Code         ${paint(context.look, 'bold', code)}\n` +
    `Unit         ${clean(unit)}\n` +
    `Fingerprint  ${fingerprint}\n` +
    `Listens at   ${addresses.join(', ')}, TCP port ${port}\n` +
    `Until        ${timestamp(expires)}, for one unit\n\n` +
    `On the other unit, type the code when it asks:\n  weir pair join ${first}\n`
  );
}

function addJoin(pair: Command, context: Context): void {
  pair
    .command('join')
    .summary('join this unit to the one that printed a code')
    .description(
      'Joins this unit to the one that listens at the address, once both have proved to know the code.\n' +
        'The code is asked for, or read from stdin when that is no terminal; given on the command line,\n' +
        'other users of this machine may see it while the command runs. Root only.',
    )
    .argument('<code-or-address>', "the code or '-', or the address alone")
    .argument('[address]', 'of the inviting unit, any that it printed')
    .addHelpText(
      'after',
      examples(
        ['weir pair join 10.0.0.1', 'asks for the code'],
        ['weir pair join 10.0.0.1 < code', 'reads it'],
        ['weir pair join 7K2MX-0V4QT-9HRWC-D1Z8N 10.0.0.1', 'all at once'],
      ),
    )
    .action(
      async (first: string, second: string | undefined, _options: object, command: Command) => {
        const code = second === undefined || first === '-' ? await readCode(context) : first;
        const address = second ?? first;
        const view = await clientOf(command, context).json<PairView>({
          method: 'POST',
          path: '/v1/pair/join',
          json: { code, address },
        });
        await answer(command, context, view, () => joinedText(view));
      },
    );
}

function joinedText({ peer }: PairView): string {
  if (peer === null) return 'Joined, and parted again by the other unit.\n';
  return (
    `Joined ${clean(peer.name)}.\n` +
    `Fingerprint  ${peer.fingerprint}\n` +
    'Compare it with what "weir pair status" says on the other unit if you are in doubt.\n'
  );
}

async function readCode(context: Context): Promise<string> {
  if (terminalThere()) return (await askSecret(context, 'Code (is not shown): ')).trim();
  const bytes = await readOctets(['-']);
  const code = bytes.toString('utf8').trim();
  bytes.fill(0);
  if (code !== '') return code;
  throw new CliError(EXIT.usage, 'There was no code on stdin: give the one that was printed.');
}

function addStatus(pair: Command, context: Context): void {
  pair
    .command('status')
    .summary('the other unit, the links to it, what both have')
    .description(
      'Shows the other unit, the links to it, how far both have the same configuration, flows, keys and\n' +
        'certificates, who is master, an open invitation, and what was refused on the port; and the paths\n' +
        'by which heartbeats come (UDP port 9348), one for each network that both are in. By these a unit\n' +
        'knows within milliseconds that the other one is dead.',
    )
    .option(
      '--check',
      `end with exit status ${EXIT.attention} unless every link is up, every path heard and the configuration in step (or the unit is not paired)`,
    )
    .addHelpText(
      'after',
      examples(
        ['weir pair status', 'one look'],
        ['weir pair status --check > /dev/null', 'for monitoring'],
      ),
    )
    .action(async ({ check }: { readonly check?: boolean }, command: Command) => {
      const view = await clientOf(command, context).json<PairView>({ path: '/v1/pair' });
      await answer(command, context, view, () => statusText(context, view));
      const well =
        view.problem === null &&
        view.links.every(({ up }) => up) &&
        view.paths.every(({ heard }) => heard !== false) &&
        inStep(view);
      if (check === true && !well) process.exitCode = EXIT.attention;
    });
}

function inStep({ standing }: PairView): boolean {
  return standing === null || standing.configuration.state === 'in-step';
}

function addLeave(pair: Command, context: Context): void {
  pair
    .command('leave')
    .summary('part this unit from the other one, or withdraw an invitation')
    .description(
      'Forgets the other unit and both keys; the other one does the same when it hears of it. Each keeps\n' +
        'its configuration. To be a pair again they must be paired anew. On a terminal it asks first.\n' +
        'Root only.',
    )
    .option('--yes', 'do not ask')
    .addHelpText(
      'after',
      examples(
        ['weir pair leave', 'alone from now on'],
        ['weir pair leave --yes', 'without asking'],
      ),
    )
    .action(async ({ yes }: { readonly yes?: boolean }, command: Command) => {
      const client = clientOf(command, context);
      const before = await client.json<PairView>({ path: '/v1/pair' });
      if (before.peer !== null && yes !== true && terminalThere()) {
        const question = `Part this unit from ${clean(before.peer.name)}?`;
        if (!(await askYes(context, question))) {
          throw new CliError(EXIT.failure, 'Nothing was changed.');
        }
      }
      const view = await client.json<PairView>({ method: 'DELETE', path: '/v1/pair' });
      await answer(command, context, view, () => leftText(before));
    });
}

function leftText({ peer, together }: PairView): string {
  if (peer === null) return 'The invitation is withdrawn.\n';
  return together
    ? `This unit and ${clean(peer.name)} are no pair any more.\n`
    : `This unit has left the pair. ${clean(peer.name)} was not heard: run "weir pair leave" there too.\n`;
}

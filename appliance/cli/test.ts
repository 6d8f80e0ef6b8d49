/**
 * `test member`: a packet through the fast path to a member, and whether it answers.
 *
 * Invariant: exit status 0 says that every service tested was answered, 1 that one was not.
 */
import type { Command } from 'commander';
import type { MemberTest, MemberTestRow } from '../api/contract.js';
import { examples } from './arguments.js';
import { answer, clientOf, type Context } from './context.js';
import { EXIT } from './exit-codes.js';
import { clean, paint } from './format.js';
import { memberPath } from './member-path.js';

export function addTestCommands(program: Command, context: Context): void {
  const test = program
    .command('test')
    .helpCommand(false)
    .summary('try the way to a member')
    .description('Tries one thing, without any traffic being led there.')
    .addHelpText('after', examples(['weir test member web 10.0.1.11:8080', 'does it answer?']));
  test
    .command('member')
    .summary('send a packet through the fast path to a member')
    .description(
      'Sends a packet through the program of the fast path to one member, whatever its state,\n' +
        'and says what came back: a TCP SYN, which is taken back with a reset, or a datagram. It\n' +
        'takes the way of the traffic, unlike a monitor. Ends with status 1 when the member does\n' +
        'not answer as it must.',
    )
    .argument('<pool>', 'name of the pool')
    .argument('<member>', 'ADDRESS:PORT, with IPv6 as [ADDRESS]:PORT')
    .option('--service <service>', 'only for this service; else for all that may use the pool')
    .addHelpText(
      'after',
      examples(
        ['weir test member web 10.0.1.11:8080', 'for each service of the pool'],
        ['weir test member web 10.0.1.11:8080 --service shop', 'for one'],
      ),
    )
    .action(
      async (
        pool: string,
        member: string,
        options: { readonly service?: string },
        command: Command,
      ) => {
        const path = await memberPath(pool, member);
        const result = await clientOf(command, context).json<MemberTest>({
          method: 'POST',
          path: `${path}/test`,
          json: { service: options.service },
        });
        await answer(command, context, result, () =>
          result.tests.map((row) => rowText(context, row)).join(''),
        );
        if (!result.ok) process.exitCode = EXIT.failure;
      },
    );
}

function rowText({ look }: Context, { service, result, text, from, left }: MemberTestRow): string {
  const word = result === 'answered' ? paint(look, 'green', 'ok') : paint(look, 'red', result);
  const way =
    left === null || from === null
      ? ''
      : `  as from ${from}; the frame left by ${left.interface} to ${left.mac}\n`;
  return `${clean(service)}: ${word}: ${clean(text)}\n${clean(way.trimEnd())}${way === '' ? '' : '\n'}`;
}

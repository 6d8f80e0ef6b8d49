/**
 * `ping`, `traceroute`, `resolve`, `try`: what the unit reaches from where it stands. The daemon asks,
 * with sockets of its own.
 *
 * Invariant: exit status 0 says that what was asked answered, 1 that it did not.
 */
import type { Command } from 'commander';
import type { PingResult, ResolveResult, TraceResult, TrialRow } from '../api/contract.js';
import { examples, wholeNumber } from './arguments.js';
import { answer, clientOf, type Context } from './context.js';
import { EXIT } from './exit-codes.js';
import { memberPath } from './member-path.js';
import { pingText, resolveText, traceText, tryText } from './reach-text.js';

export function addReachCommands(program: Command, context: Context): void {
  program
    .command('ping')
    .summary('send echo requests from the unit')
    .description('Sends echo requests from the unit, one a second, and says what came back.')
    .argument('<address>', 'IPv4 or IPv6 address')
    .option('--count <n>', 'how many, 1 to 20 (default: 4)', wholeNumber(1, 20))
    .addHelpText('after', examples(['weir ping 10.0.0.254', 'is the router there?']))
    .action(async (address: string, { count }: { readonly count?: number }, command: Command) => {
      const json = { address, ...(count === undefined ? {} : { count }) };
      const result = await clientOf(command, context).json<PingResult>({
        ...{ method: 'POST', path: '/v1/network/ping', json },
      });
      await answer(command, context, result, () => pingText(context, result));
      if (result.received === 0) process.exitCode = EXIT.failure;
    });

  program
    .command('traceroute')
    .summary('the routers on the way to an address')
    .description(
      'Sends echo requests with growing hop limits from the unit: each line is the router that\n' +
        'took one back. Routers that say nothing are "*".',
    )
    .argument('<address>', 'IPv4 or IPv6 address')
    .option('--hops <n>', 'the farthest, 1 to 64 (default: 30)', wholeNumber(1, 64))
    .addHelpText('after', examples(['weir traceroute 198.51.100.7', 'where does it end?']))
    .action(async (address: string, { hops }: { readonly hops?: number }, command: Command) => {
      const json = { address, ...(hops === undefined ? {} : { hops }) };
      const result = await clientOf(command, context).json<TraceResult>({
        ...{ method: 'POST', path: '/v1/network/traceroute', json },
      });
      await answer(command, context, result, () => traceText(context, result));
      if (!result.reached) process.exitCode = EXIT.failure;
    });

  program
    .command('resolve')
    .summary('look up a name as the unit does')
    .description(
      'Asks the resolvers of the unit for the addresses of a name, or the names of an address.',
    )
    .argument('<name>', 'a name, or an address')
    .option('--server <address>', 'ask this one instead')
    .addHelpText(
      'after',
      examples(
        ['weir resolve www.example.org', 'by the resolvers of the unit'],
        ['weir resolve www.example.org --server 10.0.0.53', 'by this one'],
      ),
    )
    .action(async (name: string, { server }: { readonly server?: string }, command: Command) => {
      const json = { name, ...(server === undefined ? {} : { server }) };
      const result = await clientOf(command, context).json<ResolveResult>({
        ...{ method: 'POST', path: '/v1/network/resolve', json },
      });
      await answer(command, context, result, () => resolveText(context, result));
      if (result.answers.length === 0) process.exitCode = EXIT.failure;
    });

  program
    .command('try')
    .summary('ask a member once, as its monitor does')
    .description(
      'Asks a member once, as the monitor of its pool does, whatever its state; by a TCP connection\n' +
        'where the pool has no monitor. Unlike "weir test member" it takes no way through the fast path.',
    )
    .argument('<pool>', 'name of the pool')
    .argument('<member>', 'ADDRESS:PORT, with IPv6 as [ADDRESS]:PORT')
    .addHelpText('after', examples(['weir try web 10.0.1.11:8080', 'what does its monitor see?']))
    .action(async (pool: string, member: string, _options: object, command: Command) => {
      const path = await memberPath(pool, member);
      const client = clientOf(command, context);
      const row = await client.json<TrialRow>({ method: 'POST', path: `${path}/try`, json: {} });
      await answer(command, context, row, () => tryText(context, row));
      if (row.outcome !== 'pass') process.exitCode = EXIT.failure;
    });
}

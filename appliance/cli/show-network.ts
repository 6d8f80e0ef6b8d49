/** `show network`: the unit's own interfaces, addresses, routes, names and time. Invariant: as `show`. */
import type { Command } from 'commander';
import type { NetworkView } from '../api/contract.js';
import { examples } from './arguments.js';
import { answer, clientOf, type Context } from './context.js';
import { networkText } from './network-text.js';

export function addNetwork(show: Command, context: Context): void {
  show
    .command('network')
    .summary("the unit's own interfaces, addresses, routes, names and time")
    .description(
      'Shows the network of the unit itself: interfaces with their addresses and who set each\n' +
        '(unit: Weir, by unit.network), routes, resolvers, time servers, time zone, and what is not\n' +
        'as the configuration wants it.',
    )
    .option('--wide', 'every column in full, however wide the terminal is')
    .addHelpText(
      'after',
      examples(
        ['weir show network', 'who set which address?'],
        ['weir ping 10.0.0.254', 'is the router there?'],
      ),
    )
    .action(async ({ wide }: { readonly wide?: boolean }, command: Command) => {
      const view = await clientOf(command, context).json<NetworkView>({ path: '/v1/network' });
      await answer(command, context, view, () => networkText(context, view, wide === true));
    });
}

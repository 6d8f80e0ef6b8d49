/** `show network`: the unit's own interfaces, addresses, routes, names and time. Invariant: as `show`. */
import type { Command } from 'commander';
import type { NetworkInterfaceRow, NetworkRouteRow, NetworkView } from '../api/contract.js';
import { examples } from './arguments.js';
import { answer, clientOf, type Context } from './context.js';
import { bytes, clean, milliseconds, paint, quantity } from './format.js';
import { table, type Column } from './table.js';

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

export function networkText(context: Context, view: NetworkView, wide: boolean): string {
  const { look, width } = context;
  const { dns, ntp, routes, routesTotal, problems } = view;
  const room = { width, wide };
  const exact = ntp.maximumErrorMs === null ? '' : `, ±${milliseconds(ntp.maximumErrorMs)}`;
  const clock =
    ntp.synchronised === null
      ? 'it is not known whether the clock is synchronised'
      : ntp.synchronised
        ? `synchronised${exact}`
        : 'not synchronised';
  const lines = [
    `Name       ${clean(view.hostName)}`,
    `Resolvers  ${clean(dns.servers.join(', ')) || 'none'}${dns.search.length === 0 ? '' : ` (search ${clean(dns.search.join(' '))})`}`,
    `Clock      ${clock}${ntp.servers.length === 0 ? '' : `, by ${clean(ntp.servers.join(', '))}`}`,
    `Time zone  ${clean(view.timeZone)}`,
    ...(view.keyboard === null ? [] : [`Keyboard   ${clean(view.keyboard)}`]),
    ...(view.host.length === 0
      ? ['Weir sets none of this: the daemon was not told that the host is its own.']
      : []),
    ...problems.map((text) => paint(look, 'red', clean(text))),
  ];
  const left = routesTotal - routes.length;
  return [
    table(view.interfaces, interfaceColumns, look, room, 'No interfaces.'),
    table(routes, routeColumns, look, room, 'No routes.') +
      (left === 0 ? '' : `${left} more routes are not shown.\n`),
    `${lines.join('\n')}\n`,
  ].join('\n');
}

function stateOf({ up, carrier }: NetworkInterfaceRow): string {
  return up ? (carrier ? 'up' : 'no link') : 'down';
}

function kindOf({ kind, vlan, master, management }: NetworkInterfaceRow): string {
  return [
    vlan === null ? kind : `vlan ${vlan.id} of ${vlan.link ?? '?'}`,
    ...(master === null ? [] : [`port of ${master}`]),
    ...(management ? ['management'] : []),
  ].join(', ');
}

const interfaceColumns: readonly Column<NetworkInterfaceRow>[] = [
  { title: 'INTERFACE', value: ({ name }) => name },
  {
    title: 'STATE',
    value: stateOf,
    colour: (row) => (stateOf(row) === 'up' ? 'green' : row.up ? 'red' : null),
  },
  { title: 'KIND', value: kindOf, shrinkTo: 8 },
  { title: 'MTU', align: 'right', value: ({ mtu }) => String(mtu), dispensable: 3 },
  { title: 'MAC', value: ({ mac }) => mac ?? '-', dispensable: 4 },
  {
    title: 'RECEIVED',
    align: 'right',
    value: ({ counters }) => (counters === null ? '-' : bytes(counters.rxBytes)),
    dispensable: 5,
  },
  {
    title: 'SENT',
    align: 'right',
    value: ({ counters }) => (counters === null ? '-' : bytes(counters.txBytes)),
    dispensable: 5,
  },
  {
    title: 'ERRORS',
    align: 'right',
    value: ({ counters: all }) =>
      all === null ? '-' : quantity(all.rxErrors + all.txErrors + all.rxDropped + all.txDropped),
    dispensable: 2,
  },
  { title: 'NEIGHBOURS', align: 'right', value: (row) => String(row.neighbours), dispensable: 6 },
  {
    title: 'ADDRESSES',
    value: ({ addresses }) => addresses.map(({ address, by }) => `${address} (${by})`).join(' '),
    shrinkTo: 20,
  },
];

const routeColumns: readonly Column<NetworkRouteRow>[] = [
  { title: 'ROUTE', value: ({ to, family }) => (to === 'default' ? `default (IPv${family})` : to) },
  { title: 'BY', value: ({ via }) => via ?? 'on the link' },
  { title: 'INTERFACE', value: (row) => row.interface },
  { title: 'METRIC', align: 'right', value: ({ metric }) => (metric === 0 ? '-' : String(metric)) },
  { title: 'SET BY', value: ({ by }) => by },
];

/** What `show network` prints, and the dashboard's screen of it. Invariant: as `show`. */
import type { NetworkInterfaceRow, NetworkRouteRow, NetworkView, SetBy } from '../api/contract.js';
import type { Context } from './context.js';
import { bytes, clean, milliseconds, paint, quantity } from './format.js';
import { table, type Column } from './table.js';

export function networkText(
  context: Pick<Context, 'look' | 'width'>,
  view: NetworkView,
  wide: boolean,
): string {
  const { look, width } = context;
  const { dns, ntp, routes, routesTotal, problems } = view;
  const room = { width, wide };
  const exact = ntp.maximumErrorMs === null ? '' : ` within ${milliseconds(ntp.maximumErrorMs)}`;
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
    table(addressRows(view), addressColumns, look, room, 'No addresses.'),
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
  { title: 'NEIGHBOURS', align: 'right', value: (row) => String(row.neighbours), dispensable: 1 },
];

interface AddressRow {
  readonly address: string;
  readonly on: string;
  readonly by: SetBy;
}

function addressRows({ interfaces }: NetworkView): AddressRow[] {
  return interfaces.flatMap(({ name, addresses }) =>
    addresses.map(({ address, by }) => ({ address, on: name, by })),
  );
}

const addressColumns: readonly Column<AddressRow>[] = [
  { title: 'ADDRESS', value: ({ address }) => address },
  { title: 'INTERFACE', value: ({ on }) => on },
  { title: 'SET BY', value: ({ by }) => by },
];

const routeColumns: readonly Column<NetworkRouteRow>[] = [
  { title: 'ROUTE', value: ({ to, family }) => (to === 'default' ? `default (IPv${family})` : to) },
  { title: 'BY', value: ({ via }) => via ?? 'on the link' },
  { title: 'INTERFACE', value: (row) => row.interface },
  { title: 'METRIC', align: 'right', value: ({ metric }) => (metric === 0 ? '-' : String(metric)) },
  { title: 'SET BY', value: ({ by }) => by },
];

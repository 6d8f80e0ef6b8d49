/** The unit's own network as people see it, from what the kernel and the files of the host say. Pure. */
import type { NetworkInterfaceRow, NetworkRouteRow, NetworkView, SetBy } from '../api/contract.js';
import type { HostKey } from '../config/support.js';
import type { Unit } from '../config/unit.js';
import type { NetworkState } from '../net/own/plan.js';
import { OWN_ADDRESS, OWN_ROUTE } from '../net/own/wire.js';
import { ADDRESS_ORIGIN, HELD_ORIGIN } from '../net/service-addresses.js';
import type { Neighbour } from '../net/wire.js';
import { macText } from './views.js';

const MOST_ROUTES = 1000;

export interface NetworkFacts {
  readonly state: NetworkState;
  readonly neighbours: readonly Neighbour[];
  readonly unit: Unit | null;
  readonly host: readonly HostKey[];
  readonly hostName: string;
  /** Text of resolv.conf(5); null: there is none. */
  readonly resolvers: string | null;
  readonly timeZone: string;
  readonly clock: { readonly synchronised: boolean; readonly maximumError: number } | null;
  readonly problems: readonly string[];
}

export function networkView(facts: NetworkFacts): NetworkView {
  const { state, unit, clock } = facts;
  const routes = state.routes.map((route) => routeRow(route, state));
  return {
    host: facts.host,
    hostName: facts.hostName,
    interfaces: state.links.map((link) => interfaceRow(link, facts)),
    routes: routes.slice(0, MOST_ROUTES),
    routesTotal: routes.length,
    dns: readResolvers(facts.resolvers ?? ''),
    ntp: {
      servers: unit?.network?.ntp?.servers ?? [],
      synchronised: clock?.synchronised ?? null,
      maximumErrorMs: clock === null ? null : clock.maximumError * 1000,
    },
    timeZone: facts.timeZone,
    keyboard: unit?.keyboard ?? null,
    problems: facts.problems,
  };
}

function interfaceRow(
  link: NetworkState['links'][number],
  { state, neighbours, unit }: NetworkFacts,
): NetworkInterfaceRow {
  const nameOf = (index: number | null): string | null =>
    state.links.find((one) => one.index === index)?.name ?? null;
  const { index, name, mac, mtu, up, running, vlan, counters } = link;
  return {
    ...{ name, mtu, up, carrier: running, counters },
    kind: link.loopback ? 'loopback' : link.kind === '' ? 'hardware' : link.kind,
    mac: mac.length === 6 && !link.loopback ? macText(mac) : null,
    master: link.master === 0 ? null : nameOf(link.master),
    vlan: vlan === null ? null : { link: nameOf(vlan.parent), id: vlan.id },
    management: unit?.network?.management === name,
    addresses: state.addresses
      .filter((one) => one.interfaceIndex === index)
      .map(({ address, prefixLength, origin }) => ({
        address: `${address}/${prefixLength}`,
        by: addressBy(origin),
      })),
    neighbours: neighbours.filter((one) => one.interfaceIndex === index && one.mac !== null).length,
  };
}

/** IFA_PROTO: IFAPROT_KERNEL_LO, _RA and _LL of if_addr.h, and marks of Weir's own. */
function addressBy(origin: number): SetBy {
  switch (origin) {
    case OWN_ADDRESS:
      return 'unit';
    case ADDRESS_ORIGIN:
      return 'service';
    case HELD_ORIGIN:
      return 'virtual-router';
    case 1:
    case 3:
      return 'kernel';
    case 2:
      return 'router-advertisement';
    default:
      return 'other';
  }
}

/** RTPROT_KERNEL, _RA and _DHCP of rtnetlink.h. */
function routeBy(origin: number): SetBy {
  switch (origin) {
    case OWN_ROUTE:
      return 'unit';
    case 2:
      return 'kernel';
    case 9:
      return 'router-advertisement';
    case 16:
      return 'dhcp';
    default:
      return 'other';
  }
}

function routeRow(
  { family, to, via, interfaceIndex, metric, origin }: NetworkState['routes'][number],
  { links }: NetworkState,
): NetworkRouteRow {
  const name = links.find(({ index }) => index === interfaceIndex)?.name ?? String(interfaceIndex);
  return { to, family, via, interface: name, metric, by: routeBy(origin) };
}

/** resolv.conf(5): of several search lines the last one counts. */
export function readResolvers(text: string): NetworkView['dns'] {
  const servers: string[] = [];
  let search: string[] = [];
  for (const line of text.split('\n')) {
    const [key, ...words] = line.trim().split(/\s+/);
    if (key === 'nameserver' && words[0] !== undefined) servers.push(words[0]);
    else if (key === 'search' || key === 'domain') search = words;
  }
  return { servers, search };
}

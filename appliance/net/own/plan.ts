/**
 * What lies between the unit's network as it is and as the document wants it. Pure.
 *
 * Invariants:
 * - Links, addresses and routes are removed or replaced only when they carry our mark.
 * - What cannot be planned yet (a VLAN before its link is there) waits for a later round; what cannot
 *   be at all is a problem with a sentence.
 * - New addresses and routes come before old ones go, wherever the kernel can hold both.
 */
import { readAddress, type IpAddress } from '../../config/address-codec.js';
import type { NetworkRoute, UnitNetworkIntent } from '../../config/network.js';
import { inPrefix } from '../prefix.js';
import type { InterfaceAddress } from '../wire.js';
import {
  bondState,
  OWN_ADDRESS,
  OWN_ROUTE,
  type BondState,
  type LinkMade,
  type OwnLink,
  type OwnRouteRow,
  type WantedRoute,
} from './wire.js';

export interface NetworkState {
  readonly links: readonly OwnLink[];
  readonly addresses: readonly InterfaceAddress[];
  readonly routes: readonly OwnRouteRow[];
}

export type NetworkStep =
  | { readonly do: 'make'; readonly name: string; readonly made: LinkMade }
  | { readonly do: 'unmake' | 'up'; readonly name: string; readonly index: number }
  | { readonly do: 'bond'; readonly name: string; readonly index: number; readonly bond: BondState }
  | {
      readonly do: 'join';
      readonly name: string;
      readonly index: number;
      readonly bond: string;
      readonly master: number;
    }
  | { readonly do: 'leave'; readonly name: string; readonly index: number }
  | { readonly do: 'mtu'; readonly name: string; readonly index: number; readonly mtu: number }
  | {
      readonly do: 'address' | 'no-address';
      readonly name: string;
      readonly index: number;
      readonly address: IpAddress;
      readonly prefixLength: number;
    }
  | {
      readonly do: 'route' | 'replace-route' | 'no-route';
      readonly route: WantedRoute;
      readonly device: string;
    };

export interface NetworkProblem {
  /** Interface, address or destination. */
  readonly subject: string;
  readonly message: string;
}

export interface NetworkPlan {
  readonly steps: readonly NetworkStep[];
  readonly problems: readonly NetworkProblem[];
}

/** Metric of an IPv6 route that names none. */
const METRIC_6 = 1024;

export function planNetwork(wanted: UnitNetworkIntent | null, state: NetworkState): NetworkPlan {
  const problems: NetworkProblem[] = [];
  const links = planLinks(wanted, state, problems);
  // On what is about to be made anew nothing can be planned yet.
  const rest: NetworkState = {
    links: state.links.filter(({ index }) => !links.anew.has(index)),
    addresses: state.addresses.filter((one) => !links.anew.has(one.interfaceIndex)),
    routes: state.routes.filter((one) => !links.anew.has(one.interfaceIndex)),
  };
  const addresses = planAddresses(wanted, rest, problems);
  const routes = planRoutes(wanted, rest, problems);
  const steps = [
    ...links.first,
    ...addresses.add,
    ...routes.add,
    ...routes.remove,
    ...addresses.remove,
    ...links.last,
  ];
  return { steps, problems };
}

/** What comes to be, and what goes: other steps of the plan come between. */
interface Halves {
  readonly add: readonly NetworkStep[];
  readonly remove: readonly NetworkStep[];
}

interface LinkSteps {
  readonly first: readonly NetworkStep[];
  readonly last: readonly NetworkStep[];
  /** Indices of those whose place another one is to take. */
  readonly anew: ReadonlySet<number>;
}

function planLinks(
  wanted: UnitNetworkIntent | null,
  { links }: NetworkState,
  problems: NetworkProblem[],
): LinkSteps {
  const interfaces = wanted?.interfaces ?? {};
  const byName = new Map(links.map((link) => [link.name, link]));
  const unmake: NetworkStep[] = [];
  const last: NetworkStep[] = [];
  const steps: NetworkStep[] = [];
  const gone = new Set<number>();
  const anew = new Set<number>();
  for (const link of links) {
    if (!link.ours || sameLink(link, interfaces[link.name], byName)) continue;
    gone.add(link.index);
    const step: NetworkStep = { do: 'unmake', name: link.name, index: link.index };
    if (!inTheWay(link, interfaces, byName)) {
      last.push(step);
      continue;
    }
    unmake.push(step);
    anew.add(link.index);
  }
  const portOf = new Map<string, string>();
  for (const [name, { bond }] of Object.entries(interfaces)) {
    for (const port of bond?.members ?? []) portOf.set(port, name);
  }
  for (const [name, one] of lowestFirst(interfaces)) {
    const link = byName.get(name);
    if (link === undefined || anew.has(link.index)) {
      const made = makingOf(name, one, byName, interfaces, problems);
      if (made !== null) steps.push({ do: 'make', name, made });
      continue;
    }
    const kind = one.bond !== undefined ? 'bond' : one.vlan !== undefined ? 'vlan' : null;
    if (kind !== null && !link.ours && !sameLink(link, one, byName)) {
      problems.push({
        subject: name,
        message: `${name} is there already, another ${link.kind === kind ? kind : 'kind of interface'} that Weir did not make: give this one another name, or remove that`,
      });
      continue;
    }
    if (one.bond !== undefined && link.ours && link.bondState !== null) {
      const bond = bondState(one.bond, byName.get(one.bond.primary ?? '')?.index ?? 0);
      const now = link.bondState;
      const hashed = one.bond.mode !== 'active-backup' && bond.hashPolicy !== now.hashPolicy;
      if (bond.monitor !== now.monitor || bond.primary !== now.primary || hashed)
        steps.push({ do: 'bond', name, index: link.index, bond });
    }
    for (const port of one.bond?.members ?? []) {
      const lower = byName.get(port);
      if (lower === undefined) {
        problems.push({ subject: port, message: `${port}, a port of ${name}, does not exist` });
      } else if (lower.master !== 0 && lower.master !== link.index) {
        const other = links.find(({ index }) => index === lower.master);
        if (other?.ours === true) continue;
        problems.push({
          subject: port,
          message: `${port} is a port of ${other?.name ?? 'another device'}, which Weir did not make: take it out there`,
        });
      } else if (lower.master === 0) {
        steps.push({ do: 'join', name: port, index: lower.index, bond: name, master: link.index });
      }
    }
    if (one.mtu !== undefined && link.mtu !== one.mtu)
      steps.push({ do: 'mtu', name, index: link.index, mtu: one.mtu });
    if (!link.up && !portOf.has(name)) steps.push({ do: 'up', name, index: link.index });
  }
  const leave = links
    .filter(({ name, master }) => {
      const bond = links.find(({ index }) => index === master);
      return bond?.ours === true && !gone.has(master) && portOf.get(name) !== bond.name;
    })
    .map(({ name, index }): NetworkStep => ({ do: 'leave', name, index }));
  // What is above goes before what carries it.
  return { first: [...unmake, ...leave, ...steps], last: last.reverse(), anew };
}

/** Whether a link that goes has the name, or the tag, of one that is to come. */
function inTheWay(
  { name, vlan }: OwnLink,
  interfaces: UnitNetworkIntent['interfaces'],
  byName: ReadonlyMap<string, OwnLink>,
): boolean {
  if (interfaces[name] !== undefined) return true;
  if (vlan === null) return false;
  return Object.values(interfaces).some(
    (one) => one.vlan?.id === vlan.id && byName.get(one.vlan.link)?.index === vlan.parent,
  );
}

/** A VLAN cannot be up before what carries it. */
function lowestFirst(
  interfaces: UnitNetworkIntent['interfaces'],
): [string, UnitNetworkIntent['interfaces'][string]][] {
  const all = Object.entries(interfaces);
  return [
    ...all.filter(([, { vlan }]) => vlan === undefined),
    ...all.filter(([, { vlan }]) => vlan !== undefined),
  ];
}

/** Whether a link is what the document wants, so that it need not be made anew. */
function sameLink(
  link: OwnLink,
  one: UnitNetworkIntent['interfaces'][string] | undefined,
  byName: ReadonlyMap<string, OwnLink>,
): boolean {
  if (one?.vlan !== undefined)
    return link.vlan?.id === one.vlan.id && link.vlan.parent === byName.get(one.vlan.link)?.index;
  if (one?.bond === undefined || link.bondState === null) return false;
  const want = bondState(one.bond, 0);
  const { mode, lacpRate } = link.bondState;
  return mode === want.mode && (one.bond.mode !== '802.3ad' || lacpRate === want.lacpRate);
}

function makingOf(
  name: string,
  one: UnitNetworkIntent['interfaces'][string],
  byName: ReadonlyMap<string, OwnLink>,
  interfaces: UnitNetworkIntent['interfaces'],
  problems: NetworkProblem[],
): LinkMade | null {
  if (one.bond !== undefined) return { kind: 'bond', bond: bondState(one.bond, 0) };
  if (one.vlan === undefined) {
    problems.push({ subject: name, message: `interface ${name} does not exist` });
    return null;
  }
  const link = byName.get(one.vlan.link);
  if (link !== undefined) return { kind: 'vlan', link: link.index, id: one.vlan.id };
  const below = interfaces[one.vlan.link];
  const waits = below?.bond !== undefined || below?.vlan !== undefined;
  problems.push({
    subject: name,
    message: waits
      ? `${name} waits for ${one.vlan.link}, which is not there`
      : `${one.vlan.link}, which ${name} is a VLAN of, does not exist`,
  });
  return null;
}

function planAddresses(
  wanted: UnitNetworkIntent | null,
  { links, addresses }: NetworkState,
  problems: NetworkProblem[],
): Halves {
  const first: NetworkStep[] = [];
  const add: NetworkStep[] = [];
  const remove: NetworkStep[] = [];
  const keep = new Set<InterfaceAddress>();
  const nameOf = new Map(links.map(({ index, name }) => [index, name]));
  const away = (one: InterfaceAddress): NetworkStep => ({
    do: 'no-address',
    name: nameOf.get(one.interfaceIndex) ?? String(one.interfaceIndex),
    index: one.interfaceIndex,
    address: { family: one.family, bytes: one.bytes, text: one.address },
    prefixLength: one.prefixLength,
  });
  for (const [name, { addresses: texts = [] }] of Object.entries(wanted?.interfaces ?? {})) {
    const index = links.find((link) => link.name === name)?.index;
    for (const text of texts) {
      const [host = '', bits = ''] = text.split('/');
      const address = readAddress(host);
      if (address === null || index === undefined) continue;
      const prefixLength = Number(bits);
      const here = addresses.filter(
        (one) => one.interfaceIndex === index && one.address === address.text,
      );
      const same = here.find((one) => one.prefixLength === prefixLength);
      if (same !== undefined) {
        keep.add(same);
        continue;
      }
      // IPv6 holds an address once on each interface, whatever its prefix length.
      for (const one of address.family === 6 ? here : []) {
        if (one.origin === OWN_ADDRESS) {
          first.push(away(one));
          keep.add(one);
          continue;
        }
        problems.push({
          subject: text,
          message: `${host} is on ${name} already with the length /${one.prefixLength}, which Weir did not give it: write that, or remove it there`,
        });
      }
      if (address.family === 4 || here.every(({ origin }) => origin === OWN_ADDRESS))
        add.push({ do: 'address', name, index, address, prefixLength });
    }
  }
  for (const one of addresses) {
    if (one.origin === OWN_ADDRESS && !keep.has(one)) remove.push(away(one));
  }
  return { add: [...first, ...add], remove };
}

function planRoutes(
  wanted: UnitNetworkIntent | null,
  { links, routes }: NetworkState,
  problems: NetworkProblem[],
): Halves {
  const add: NetworkStep[] = [];
  const keep = new Set<OwnRouteRow>();
  const nameOf = (index: number): string =>
    links.find((link) => link.index === index)?.name ?? String(index);
  for (const route of wanted?.routes ?? []) {
    const want = wantedRoute(route, wanted, links);
    if (want === null) {
      const { device = '' } = route;
      const message = `the route to ${route.to} cannot be: interface ${device} does not exist`;
      problems.push({ subject: route.to, message });
      continue;
    }
    const same = routes.filter(
      ({ family, to, metric }) =>
        family === want.family && to === want.to && metric === metricOf(want),
    );
    const fits = same.find(
      ({ via, interfaceIndex }) =>
        via === (want.via?.text ?? null) &&
        (want.interfaceIndex === 0 || want.interfaceIndex === interfaceIndex),
    );
    const ours = same.find(({ origin }) => origin === OWN_ROUTE);
    const device = want.interfaceIndex === 0 ? '' : nameOf(want.interfaceIndex);
    if (fits !== undefined) {
      keep.add(fits);
    } else if (ours !== undefined) {
      keep.add(ours);
      add.push({ do: 'replace-route', route: want, device });
    } else if (same[0] !== undefined) {
      const way = same[0].via === null ? '' : ` by ${same[0].via}`;
      problems.push({
        subject: route.to,
        message: `there is a route to ${route.to} already${way} on ${nameOf(same[0].interfaceIndex)}, which Weir did not make: remove it, or give this one another metric`,
      });
    } else add.push({ do: 'route', route: want, device });
  }
  const remove = routes
    .filter((one) => one.origin === OWN_ROUTE && !keep.has(one))
    .map((one): NetworkStep => ({
      do: 'no-route',
      route: {
        ...targetOf(one.to),
        ...{ family: one.family, interfaceIndex: one.interfaceIndex, metric: one.metric },
        via: one.via === null ? null : readAddress(one.via),
      },
      device: nameOf(one.interfaceIndex),
    }));
  return { add, remove };
}

function metricOf({ family, metric }: WantedRoute): number {
  return metric === 0 && family === 6 ? METRIC_6 : metric;
}

function targetOf(to: string): Pick<WantedRoute, 'to' | 'destination' | 'prefixLength'> {
  if (to === 'default') return { to, destination: null, prefixLength: 0 };
  const [host = '', bits = ''] = to.split('/');
  return { to, destination: readAddress(host)?.bytes ?? null, prefixLength: Number(bits) };
}

/** Null: its interface is not there. */
function wantedRoute(
  { to, via, device, metric = 0 }: NetworkRoute,
  wanted: UnitNetworkIntent | null,
  links: readonly OwnLink[],
): WantedRoute | null {
  const router = via === undefined ? null : readAddress(via);
  const name = device ?? (router === null ? undefined : deviceOf(router, wanted));
  const index = name === undefined ? 0 : links.find((link) => link.name === name)?.index;
  if (index === undefined) return null;
  const family = (via ?? to).includes(':') ? 6 : 4;
  return { ...targetOf(to), family, via: router, interfaceIndex: index, metric };
}

/** The interface of the document whose network holds a router, the longest prefix first. */
function deviceOf(router: IpAddress, wanted: UnitNetworkIntent | null): string | undefined {
  let best: { readonly name: string; readonly length: number } | undefined;
  for (const [name, { addresses = [] }] of Object.entries(wanted?.interfaces ?? {})) {
    for (const text of addresses) {
      const [host = '', bits = ''] = text.split('/');
      const network = readAddress(host)?.bytes;
      const length = Number(bits);
      if (network === undefined || !inPrefix(router.bytes, network, length)) continue;
      if (best === undefined || length > best.length) best = { name, length };
    }
  }
  return best?.name;
}

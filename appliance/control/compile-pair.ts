/**
 * Which virtual routers this unit takes part in, and which addresses of services and of full nat so
 * belong to the speaker and not to the network tier. Pure.
 *
 * Invariant: a service address belongs to one of the two, never to both; and two units with the same
 * document, that know each other's names, come to the same routers with opposite preferences.
 */
import { readAddress, type Family } from '../config/address-codec.js';
import { familyOf } from '../config/addresses.js';
import { usualPair, type Pair, type TrackingEffect, type VirtualRouter } from '../config/pair.js';
import type { Intent } from '../config/schema.js';
import { quote } from '../config/words.js';
import { MOST_ADDRESSES } from '../ha/vrrp/packet.js';
import { prefixText, type Ways } from '../net/way-watch.js';
import type { Tracked } from '../ha/vrrp/settings.js';
import type { GroupText, RouterText } from '../ha/vrrp/speaker/messages.js';

/** What is tracked, besides interfaces (`interfaceSubject`) and a failover (`failoverSubject`). */
export const TRACKED = ['datapath', 'workers', 'members', 'pools'] as const;
/** Of the unit that is to be in front, and of the other one. */
export const PREFERRED = 200;
export const OTHER = 100;
/** Takes any priority down to the least that a master may have. */
const UNFIT = 253;
/** Ids of the routers of nat addresses, from the first one on: the first unit's, the other's. */
const NAT_ID = 2;
const INTERFACE = 'interface ';
const INTERVAL_MS = 30;
const INTERVAL_2_MS = 1000;

export interface PairTables {
  /** What the speaker is told; without any it need not run. */
  readonly groups: readonly GroupText[];
  /** Addresses that the speaker answers for, or nobody does: in canonical text. */
  readonly shared: readonly string[];
  /** Interfaces whose links are tracked. */
  readonly interfaces: readonly string[];
  /** What else is tracked. */
  readonly ways: Ways;
  /** This unit takes nothing from the other one: it does not know all of its flows. */
  readonly awaitsFlows: boolean;
  /** Sentences for people. */
  readonly problems: readonly string[];
}

export const NO_PAIR: PairTables = {
  ...{ groups: [], shared: [], interfaces: [], awaitsFlows: false, problems: [] },
  ways: { routes: [], neighbours: [] },
};

/** What is known of the other unit of the pair, also while it is silent. */
export interface OtherUnit {
  readonly name: string;
  /** That full nat speaks from there, canonical. */
  readonly natAddresses: readonly string[];
  /** It is heard, and this unit knows all of its flows. */
  readonly flowsKnown: boolean;
}

export interface PairInput {
  readonly intent: Intent;
  /** Of the services that are served. */
  readonly addresses: readonly string[];
  /** Null: this one is not paired. */
  readonly other: OtherUnit | null;
  /** The interface whose network holds an address; null: none does. */
  readonly interfaceOf: (address: string) => string | null;
}

export function interfaceSubject(name: string): string {
  return `${INTERFACE}${name}`;
}

export function routeSubject(prefix: string): string {
  return `route ${prefix}`;
}

export function neighbourSubject(address: string): string {
  return `neighbour ${address}`;
}

export function failoverSubject(group: string): string {
  return `failover of ${group}`;
}

export function compilePair(input: PairInput): PairTables {
  const { intent, other } = input;
  const pair = intent.pair ?? usualPair;
  const explicit = Object.entries(pair['virtual-routers']);
  if (other === null && explicit.length === 0) return NO_PAIR;
  const problems: string[] = [];
  const services = new Set(input.addresses);
  const assigned = new Set(explicit.flatMap(([, { addresses }]) => addresses));
  const groups = explicitGroups(input, pair, problems);
  const shared = [...services].filter((address) => assigned.has(address));
  if (other !== null) {
    const free = [...services].filter((address) => !assigned.has(address));
    const peer = other.name;
    if (peer === intent.unit.name) {
      problems.push(
        `both units of the pair have the name ${quote(peer)}, so no address moves: give one of them another unit.name`,
      );
    } else {
      groups.push(...shares(input, pair, free, peer, problems));
      const used = new Set([...services, ...assigned]);
      const links = new Set(groups.flatMap(({ routers }) => routers.map((one) => one.interface)));
      const nat = natGroups(input, pair, other, { used, links: [...links].sort() }, problems);
      groups.push(...nat.groups);
      shared.push(...free, ...nat.addresses);
    }
  }
  const awaitsFlows = other !== null && !other.flowsKnown;
  const interfaces = groups.flatMap(({ tracked: all }) =>
    all.flatMap(({ name }) => (name.startsWith(INTERFACE) ? [name.slice(INTERFACE.length)] : [])),
  );
  return {
    // What the other one holds has flows that would be lost here.
    groups: awaitsFlows ? groups.map((group) => ({ ...group, preempt: 'none' })) : groups,
    shared: shared.sort(),
    interfaces: [...new Set(interfaces)].sort(),
    ways: waysOf(pair),
    awaitsFlows,
    problems,
  };
}

/** The addresses that no virtual router of the document has. */
function shares(
  input: PairInput,
  pair: Pair,
  addresses: readonly string[],
  peer: string,
  problems: string[],
): GroupText[] {
  const own = input.intent.unit.name;
  const first = firstUnit(pair, own, peer);
  if (pair.prefer !== undefined && pair.prefer !== own && pair.prefer !== peer) {
    problems.push(
      `pair.prefer names ${quote(pair.prefer)}, and the units are ${quote(own)} and ${quote(peer)}: ${quote(first)} is preferred`,
    );
  }
  const names = pair.mode === 'active-active' ? (['even', 'odd'] as const) : (['all'] as const);
  return names.flatMap((name, share): GroupText[] => {
    const some = addresses.filter((address) => name === 'all' || shareOf(address) === name);
    const vrid = pair['first-id'] + share;
    const routers = placed(input, pair, { name, what: 'service', vrid }, some, problems);
    if (routers.length === 0) return [];
    const preferred = (share === 0) === (first === own);
    return [groupText(pair, `shared/${name}`, routers, preferred ? PREFERRED : OTHER)];
  });
}

/**
 * The addresses that full nat speaks from: each unit's are its own while it is well, and the other's
 * when it is not, for the flows that have them. `links`: where clients come from; answers of members
 * would end at a unit that has lost one of these.
 */
function natGroups(
  input: PairInput,
  pair: Pair,
  other: OtherUnit,
  { used, links }: { readonly used: ReadonlySet<string>; readonly links: readonly string[] },
  problems: string[],
): { readonly groups: readonly GroupText[]; readonly addresses: readonly string[] } {
  const own = input.intent.unit.name;
  const mine = input.intent.unit['nat-addresses'] ?? [];
  const first = firstUnit(pair, own, other.name);
  const lists = [
    { unit: own, addresses: mine },
    { unit: other.name, addresses: other.natAddresses },
  ].sort((a) => (a.unit === first ? -1 : 1));
  // An address that both units name is the first one's.
  const taken = new Set(used);
  const groups = lists.flatMap(({ unit, addresses }, index): GroupText[] => {
    const free = addresses.filter((address) => !taken.has(address));
    for (const address of free) taken.add(address);
    const place = { name: `nat/${unit}`, what: 'nat', vrid: pair['first-id'] + NAT_ID + index };
    const routers = placed(input, pair, place, free, problems);
    if (routers.length === 0) return [];
    const priority = unit === own ? PREFERRED : OTHER;
    const group = groupText(pair, `nat-addresses/${unit}`, routers, priority);
    const known = new Set(group.tracked.map(({ name }) => name));
    const more = links.map(interfaceSubject).filter((name) => !known.has(name));
    return [
      { ...group, tracked: [...group.tracked, ...more.flatMap((one) => tracked(one, 'yield'))] },
    ];
  });
  return { groups, addresses: [...taken].filter((address) => !used.has(address)) };
}

/** A router for each interface and family that has some of the addresses. */
function placed(
  { intent, interfaceOf }: PairInput,
  pair: Pair,
  { name, what, vrid }: { readonly name: string; readonly what: string; readonly vrid: number },
  addresses: readonly string[],
  problems: string[],
): RouterText[] {
  const places = new Map<string, { on: string; family: Family; addresses: string[] }>();
  for (const address of [...addresses].sort()) {
    const on = interfaceOf(address) ?? intent.unit.interfaces?.[0] ?? null;
    if (on === null) {
      problems.push(
        `${what} address ${address} is in no network of this unit, so nobody holds it: name an interface in unit.interfaces, or give the unit an address of that network`,
      );
      continue;
    }
    const family = familyOf(address);
    const key = `${name}/${on}/ipv${family}`;
    const place = places.get(key) ?? { on, family, addresses: [] };
    places.set(key, place);
    if (place.addresses.length < MOST_ADDRESSES) place.addresses.push(address);
    else {
      problems.push(
        `${address} is one more than the ${MOST_ADDRESSES} that ${key} has room for, so nobody holds it: give it a virtual router of its own in pair.virtual-routers`,
      );
    }
  }
  return [...places].map(([key, place]) =>
    routerText(pair, {
      name: key,
      interface: place.on,
      vrid,
      family: place.family,
      addresses: place.addresses,
    }),
  );
}

function explicitGroups(
  { intent, other, interfaceOf }: PairInput,
  pair: Pair,
  problems: string[],
): GroupText[] {
  const own = intent.unit.name;
  const peer = other?.name ?? null;
  const members = new Map<string, { priority: number; routers: RouterText[] }>();
  for (const [name, router] of Object.entries(pair['virtual-routers'])) {
    const on = router.interface ?? interfaceOf(router.addresses[0] ?? '');
    if (on === null) {
      problems.push(
        `no network of this unit holds the first address of the virtual router ${quote(name)}: write its interface`,
      );
      continue;
    }
    const families = ([4, 6] as const).filter((family) =>
      router.addresses.some((address) => familyOf(address) === family),
    );
    const group = router.group === undefined ? name : `group/${router.group}`;
    const known = members.get(group) ?? {
      priority: priorityOf(router, pair, own, peer),
      routers: [],
    };
    members.set(group, known);
    for (const family of families) {
      known.routers.push({
        ...routerText(pair, {
          name: families.length === 1 ? name : `${name}/ipv${family}`,
          interface: on,
          vrid: router.id,
          family,
          addresses: router.addresses.filter((address) => familyOf(address) === family).sort(),
          version: router.version,
          interval: router['advertisement-interval'],
        }),
        checksum: router.checksum,
        peers: router.peers.filter((address) => familyOf(address) === family).sort(),
        password: family === 4 ? (router.password ?? null) : null,
        virtualMac: router.peers.length === 0 && (router['virtual-mac'] ?? pair['virtual-mac']),
      });
    }
  }
  return [...members].map(([name, { priority, routers }]) =>
    groupText(pair, name, routers, priority),
  );
}

function routerText(
  pair: Pair,
  router: Pick<RouterText, 'name' | 'interface' | 'vrid' | 'family' | 'addresses'> & {
    readonly version?: 2 | 3 | undefined;
    readonly interval?: number | undefined;
  },
): RouterText {
  // Version 2 has no IPv6.
  const spoken = router.version ?? pair.version;
  const usual = spoken === 2 ? INTERVAL_2_MS : INTERVAL_MS;
  return {
    ...router,
    version: router.family === 6 ? 3 : spoken,
    interval: router.interval ?? pair['advertisement-interval'] ?? usual,
    checksum: 'message',
    password: null,
    peers: [],
    virtualMac: pair['virtual-mac'],
    // The units are changed one after the other.
    otherAddresses: 'accept',
  };
}

function groupText(
  pair: Pair,
  name: string,
  routers: readonly RouterText[],
  priority: number,
): GroupText {
  return {
    name,
    routers,
    priority,
    preempt: pair.preempt ? 'weaker' : 'unfit',
    preemptDelay: pair['preempt-delay'],
    tracked: [
      ...TRACKED.flatMap((what) => tracked(what, pair.tracking[what])),
      ...Object.entries(pair.tracking.interfaces).flatMap(([on, effect]) =>
        tracked(interfaceSubject(on), effect),
      ),
      ...waysOf(pair).routes.flatMap((prefix) => tracked(routeSubject(prefix), 'yield')),
      ...waysOf(pair).neighbours.flatMap((one) => tracked(neighbourSubject(one), 'yield')),
      ...tracked(failoverSubject(name), 'yield'),
    ],
  };
}

function waysOf({ tracking }: Pair): Ways {
  return {
    routes: tracking.routes.map(prefixText),
    neighbours: tracking.neighbours.map(prefixText),
  };
}

function tracked(name: string, effect: TrackingEffect): Tracked[] {
  if (effect === 'ignore') return [];
  return [{ name, weight: effect === 'fault' ? 'fault' : UNFIT }];
}

/** Of a unit for a virtual router of the document; `peer`: of the other one's name. */
export function priorityOf(
  router: VirtualRouter,
  pair: Pair,
  own: string,
  peer: string | null,
): number {
  if (router.priorities !== undefined) return router.priorities[own] ?? OTHER;
  const preferred =
    router.prefer ?? (peer === null ? pair.prefer : firstUnit(pair, own, peer)) ?? null;
  return preferred === own ? PREFERRED : OTHER;
}

/** The one that has the even addresses. By code units, so that both come to the same. */
function firstUnit({ prefer }: Pair, own: string, peer: string): string {
  if (prefer === own || prefer === peer) return prefer;
  return own < peer ? own : peer;
}

function shareOf(address: string): 'even' | 'odd' {
  const last = readAddress(address)?.bytes.at(-1) ?? 0;
  return last % 2 === 0 ? 'even' : 'odd';
}

/**
 * The wanted member addresses with their routes and next hops: asked from the kernel, remembered,
 * asked again for those that a change may touch.
 *
 * Invariants:
 * - A next hop that did not change keeps its object, so that the compiler sees no change either.
 * - Every function that may change next hops returns the addresses whose next hop changed.
 */
import type { NextHop } from '../control/tables.js';
import { SystemError } from '../../native/ffi/libc.js';
import { formatAddress, readAddress, type IpAddress } from '../config/address-codec.js';
import { carrierOf } from './carriers.js';
import { inPrefix } from './prefix.js';
import type { Mirror } from './mirror.js';
import { neighbourKey, type NeighbourCare, type NeighbourKey } from './neighbours.js';
import {
  nextHopOf,
  routeRefusal,
  sameNextHop,
  viaOf,
  type RouteAnswer,
  type Unresolved,
  type Via,
} from './next-hop.js';
import * as wire from './wire.js';

/** Addresses as the tables spell them. */
export type RouteChanges = readonly string[];

/** errno of a socket in trouble, as opposed to an answer about a route. */
const ours: ReadonlySet<string> = new Set(['ENOBUFS', 'EBADF', 'ENOMEM', 'EMSGSIZE']);

/** More changed routes at once than this: asking for every member is cheaper than comparing. */
const MOST_PREFIXES = 32;

interface Member {
  /** As the tables spell it. */
  readonly name: string;
  readonly address: IpAddress;
  readonly text: string;
  route: RouteAnswer | null;
  via: NeighbourKey | null;
  result: NextHop | Unresolved;
}

export class MemberRoutes {
  readonly #mirror: Mirror;
  readonly #care: NeighbourCare;
  #members = new Map<string, Member>();
  readonly #suspects = new Set<Member>();
  /** Routes that changed and that nobody has compared with the members yet. */
  readonly #suspectPrefixes: wire.Route[] = [];
  #suspectEverything = false;
  #byText = new Map<string, Member[]>();
  /** Members by the neighbour that their frames go to. */
  readonly #byVia = new Map<NeighbourKey, Set<Member>>();

  constructor(mirror: Mirror, care: NeighbourCare) {
    this.#mirror = mirror;
    this.#care = care;
  }

  nextHop(name: string): NextHop | Unresolved {
    const member = this.#members.get(name);
    if (member !== undefined) return member.result;
    return { unresolved: `${name} is not watched` };
  }

  /** Indexes of the interfaces that lead to members, whether their MAC addresses are known or not. */
  interfaces(): Set<number> {
    const indexes = new Set<number>();
    for (const { route } of this.#members.values()) {
      if (route !== null && !('unresolved' in route) && route.type === wire.RTN_UNICAST) {
        indexes.add(route.interfaceIndex);
      }
    }
    return indexes;
  }

  /** Takes the complete list; looks up the routes of the new ones. */
  async want(names: readonly string[]): Promise<RouteChanges> {
    const wanted = new Map<string, Member>();
    const gone = new Set(this.#members.values());
    for (const name of names) {
      const known = this.#members.get(name);
      const member = known ?? newMember(name);
      if (member === null) continue;
      wanted.set(name, member);
      gone.delete(member);
      if (known === undefined) this.#suspects.add(member);
    }
    this.#members = wanted;
    this.#byText = new Map();
    for (const member of wanted.values()) {
      const same = this.#byText.get(member.text);
      if (same === undefined) this.#byText.set(member.text, [member]);
      else same.push(member);
    }
    for (const member of gone) {
      this.#suspects.delete(member);
      this.#setVia(member, null);
    }
    return this.refresh();
  }

  /** A route appeared or vanished. Returns whether refresh() has something to look at. */
  suspect(route: wire.Route): boolean {
    const { destination, prefixLength } = route;
    // Routes to one address come in crowds, with our own service addresses for a start.
    if (destination !== null && prefixLength === destination.length * 8) {
      return this.suspectAddress(formatAddress(destination));
    }
    this.#suspectPrefixes.push(route);
    return true;
  }

  /** The same for one address, in canonical text. */
  suspectAddress(text: string): boolean {
    const members = this.#byText.get(text) ?? [];
    for (const member of members) this.#suspects.add(member);
    return members.length > 0;
  }

  suspectAll(): void {
    this.#suspectEverything = true;
  }

  /** Asks for the routes of all suspects and works out their next hops. */
  async refresh(): Promise<RouteChanges> {
    this.#spreadSuspicion();
    const members = [...this.#suspects];
    this.#suspects.clear();
    const answers = await this.#mirror.requests.batch(
      members.map(({ address }) => ({
        type: wire.RTM_GETROUTE,
        payload: wire.encodeRouteQuery(address),
      })),
    );
    // Our own trouble says nothing about any route.
    const trouble = answers.find(
      (answer) => answer instanceof SystemError && ours.has(answer.code),
    );
    if (trouble instanceof SystemError) {
      for (const member of members) this.#suspects.add(member);
      throw trouble;
    }
    members.forEach((member, index) => {
      const answer = answers[index];
      if (answer instanceof SystemError) {
        member.route = routeRefusal(member.text, answer.code);
        return;
      }
      const message = answer?.find(({ type }) => type === wire.RTM_NEWROUTE);
      const route = message === undefined ? null : wire.decodeRoute(message.payload);
      member.route = route ?? routeRefusal(member.text, 'nothing');
    });
    // While the answers were under way some may have left.
    const present = members.filter((member) => this.#members.get(member.name) === member);
    const changes = present.filter((member) => this.#work(member)).map(({ name }) => name);
    this.#care.want(
      this.#vias(),
      (key) => this.#mirror.neighbours.get(key)?.state,
      performance.now(),
    );
    return changes;
  }

  /** An entry of the neighbour table changed, or the care's knowledge of it. */
  neighbourChanged(key: NeighbourKey): RouteChanges {
    const members = [...(this.#byVia.get(key) ?? [])];
    return members.filter((member) => this.#work(member)).map(({ name }) => name);
  }

  /** From changed routes to the members that they may touch. */
  #spreadSuspicion(): void {
    const prefixes = this.#suspectPrefixes.splice(0);
    if (this.#suspectEverything || prefixes.length > MOST_PREFIXES) {
      this.#suspectEverything = false;
      for (const member of this.#members.values()) this.#suspects.add(member);
      return;
    }
    for (const { family, destination, prefixLength } of prefixes) {
      for (const member of this.#members.values()) {
        if (member.address.family !== family) continue;
        if (destination === null || inPrefix(member.address.bytes, destination, prefixLength)) {
          this.#suspects.add(member);
        }
      }
    }
  }

  #vias(): Map<NeighbourKey, Via> {
    const vias = new Map<NeighbourKey, Via>();
    for (const key of this.#byVia.keys()) {
      const space = key.indexOf(' ');
      vias.set(key, {
        interfaceIndex: Number(key.slice(0, space)),
        address: key.slice(space + 1),
      });
    }
    return vias;
  }

  /** Works out a member's next hop; returns whether it changed. */
  #work(member: Member): boolean {
    const result = this.#resolve(member);
    if (sameNextHop(member.result, result)) return false;
    member.result = result;
    return true;
  }

  #resolve(member: Member): NextHop | Unresolved {
    if (member.route === null) return member.result;
    const { links, neighbours } = this.#mirror;
    const via = viaOf(member.text, member.route, (index) => links.get(index));
    if ('unresolved' in via) {
      this.#setVia(member, null);
      return via;
    }
    const key = neighbourKey(via);
    this.#setVia(member, key);
    const out = links.get(via.interfaceIndex);
    if (out === undefined) return { unresolved: `the interface towards ${member.text} went away` };
    const carrier = carrierOf(out, (index) => links.get(index));
    if ('unresolved' in carrier) return carrier;
    const resolution = this.#care.resolution(key);
    return nextHopOf(member.text, via, out, carrier, neighbours.get(key), resolution);
  }

  #setVia(member: Member, key: NeighbourKey | null): void {
    if (member.via === key) return;
    if (member.via !== null) {
      const siblings = this.#byVia.get(member.via);
      siblings?.delete(member);
      if (siblings?.size === 0) this.#byVia.delete(member.via);
    }
    member.via = key;
    if (key === null) return;
    const siblings = this.#byVia.get(key) ?? new Set();
    siblings.add(member);
    this.#byVia.set(key, siblings);
  }
}

function newMember(name: string): Member | null {
  const address = readAddress(name);
  if (address === null) return null;
  const text = formatAddress(address.bytes);
  return {
    name,
    address,
    text,
    route: null,
    via: null,
    result: { unresolved: `the route to ${text} is being looked up` },
  };
}

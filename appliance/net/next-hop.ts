/**
 * From a route and the neighbour table to the frame header that reaches an address. Pure.
 *
 * The route itself is the kernel's answer to RTM_GETROUTE, not a longest-prefix match of our own
 * over the dumped tables: only the kernel knows the policy rules, next-hop groups, metrics and VRFs
 * that an administrator may have set up, and its answer is what the monitors' probes follow too.
 *
 * Invariant: whatever is not a complete next hop is a sentence for people that says what is missing.
 */
import type { NextHop } from '../control/tables.js';
import { readAddress } from '../config/address-codec.js';
import type { Carrier } from './carriers.js';
import type { Link, Neighbour, Route } from './wire.js';
import { RTN_LOCAL, RTN_UNICAST } from './wire.js';

/** Why an address cannot be reached, in words: `no route to 10.0.0.9`. */
export interface Unresolved {
  readonly unresolved: string;
}

/** The neighbour that frames for an address go to: the address itself, or the router towards it. */
export interface Via {
  readonly interfaceIndex: number;
  readonly address: string;
}

/** What the kernel said about the way to an address. */
export type RouteAnswer = Route | Unresolved;

/** What is known of the attempts to resolve a neighbour. */
export interface Resolution {
  /** Attempts that ended without an answer since the last success. */
  readonly failures: number;
  /** The kernel's refusal to even ask; null when it asks. */
  readonly refusal: string | null;
}

/** Only these states have a MAC address that the kernel itself would use (NUD_VALID). */
const usable: ReadonlySet<Neighbour['state']> = new Set([
  'reachable',
  'stale',
  'delay',
  'probe',
  'noarp',
  'permanent',
]);

export function isUsable(neighbour: Neighbour | undefined): neighbour is Neighbour & {
  readonly mac: Uint8Array;
} {
  return neighbour !== undefined && usable.has(neighbour.state) && neighbour.mac?.length === 6;
}

/** The kernel's refusal of a route query, in words. Codes: fib_props in the kernel's net/ipv4/fib_semantics.c. */
export function routeRefusal(address: string, code: string): Unresolved {
  switch (code) {
    case 'ENETUNREACH':
      return { unresolved: `no route to ${address}` };
    case 'EHOSTUNREACH':
      return { unresolved: `no route to ${address} (the routing table says unreachable)` };
    case 'EACCES':
      return { unresolved: `no route to ${address} (the routing table prohibits it)` };
    case 'EINVAL':
      return { unresolved: `no route to ${address} (the routing table drops it: blackhole)` };
    default:
      return { unresolved: `no route to ${address} (the kernel answered ${code})` };
  }
}

/** The neighbour that must be known for an address; null when the route leads to none. */
export function viaOf(
  address: string,
  route: RouteAnswer,
  link: (index: number) => Link | undefined,
): Via | Unresolved {
  if ('unresolved' in route) return route;
  if (route.type === RTN_LOCAL) {
    return { unresolved: `${address} is an address of this unit itself` };
  }
  if (route.type !== RTN_UNICAST) {
    return { unresolved: `${address} is no single machine's address (broadcast or multicast)` };
  }
  const out = link(route.interfaceIndex);
  if (out === undefined) return { unresolved: `the interface towards ${address} went away` };
  const towards = `interface ${out.name} towards ${address}`;
  if (!out.up) return { unresolved: `${towards} is down` };
  if (!out.running) return { unresolved: `${towards} has no carrier` };
  if (!out.ethernet || out.loopback) return { unresolved: `${towards} is no Ethernet interface` };
  return { interfaceIndex: out.index, address: route.gateway ?? address };
}

/**
 * The frame header for an address, given its via, the interface that the route leads to, the
 * device that carries its frames, and what is known of that neighbour.
 */
export function nextHopOf(
  address: string,
  via: Via,
  out: Link,
  { device, vlan }: Carrier,
  neighbour: Neighbour | undefined,
  resolution: Resolution,
): NextHop | Unresolved {
  if (isUsable(neighbour)) {
    return {
      interfaceIndex: device.index,
      interfaceName: device.name,
      vlan,
      mac: neighbour.mac,
      // A VLAN device may have an address of its own.
      sourceMac: out.mac,
    };
  }
  const who = via.address === address ? address : `${via.address}, the router towards ${address}`;
  return {
    unresolved: `no MAC address known for ${who} (${whyUnknown(via, neighbour, resolution)})`,
  };
}

function whyUnknown(via: Via, neighbour: Neighbour | undefined, resolution: Resolution): string {
  if (resolution.refusal !== null) return `the kernel refuses to ask: ${resolution.refusal}`;
  const question = readAddress(via.address)?.family === 6 ? 'neighbour solicitation' : 'ARP';
  // A repeated question does not hide that the last one went unanswered.
  if (neighbour?.state === 'failed' || resolution.failures > 0) return `no answer to ${question}`;
  return `asking by ${question}`;
}

/** Whether two results say the same, so that the older one can keep its identity. */
export function sameNextHop(a: NextHop | Unresolved, b: NextHop | Unresolved): boolean {
  if ('unresolved' in a || 'unresolved' in b) {
    return 'unresolved' in a && 'unresolved' in b && a.unresolved === b.unresolved;
  }
  return (
    a.interfaceIndex === b.interfaceIndex &&
    a.interfaceName === b.interfaceName &&
    sameTags(a.vlan, b.vlan) &&
    sameBytes(a.mac, b.mac) &&
    sameBytes(a.sourceMac, b.sourceMac)
  );
}

/** Whether two stacks of VLAN tags are one; none given is none. */
function sameTags(a: readonly number[] = [], b: readonly number[] = []): boolean {
  return a.length === b.length && a.every((id, index) => id === b[index]);
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

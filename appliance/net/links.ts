/**
 * The interfaces and their addresses as the kernel last told them, and which interfaces belong to
 * the fast path. Source: rtnetlink(7).
 *
 * Invariant: an interface that did not change keeps its Link object.
 */
import { readAddress } from '../config/address-codec.js';
import { carrierOf } from './carriers.js';
import { inPrefix, isLinkLocal } from './prefix.js';
import { sameBytes } from './next-hop.js';
import type { InterfaceAddress, Link } from './wire.js';

export class LinkTable {
  #links = new Map<number, Link>();

  get(index: number): Link | undefined {
    return this.#links.get(index);
  }

  /** In the order of their indexes. */
  all(): readonly Link[] {
    return [...this.#links.values()].sort((a, b) => a.index - b.index);
  }

  /** Returns whether anything that we know of it changed. */
  set(link: Link): boolean {
    const known = this.#links.get(link.index);
    if (known !== undefined && sameLink(known, link)) return false;
    this.#links.set(link.index, link);
    return true;
  }

  delete(index: number): boolean {
    return this.#links.delete(index);
  }

  /** Takes a complete list. */
  replace(links: readonly Link[]): void {
    const before = this.#links;
    this.#links = new Map();
    for (const link of links) {
      const known = before.get(link.index);
      this.#links.set(link.index, known !== undefined && sameLink(known, link) ? known : link);
    }
  }
}

function sameLink(a: Link, b: Link): boolean {
  return (
    a.name === b.name &&
    a.mtu === b.mtu &&
    a.up === b.up &&
    a.running === b.running &&
    a.loopback === b.loopback &&
    a.ethernet === b.ethernet &&
    a.kind === b.kind &&
    a.master === b.master &&
    a.vlan?.parent === b.vlan?.parent &&
    a.vlan?.id === b.vlan?.id &&
    a.vlan?.protocol === b.vlan?.protocol &&
    a.bond?.mode === b.bond?.mode &&
    a.bond?.hashPolicy === b.bond?.hashPolicy &&
    sameBytes(a.mac, b.mac)
  );
}

export class AddressTable {
  #addresses = new Map<string, InterfaceAddress>();

  all(): readonly InterfaceAddress[] {
    return [...this.#addresses.values()];
  }

  set(address: InterfaceAddress): boolean {
    const key = keyOf(address);
    const known = this.#addresses.get(key);
    if (known?.origin === address.origin) return false;
    this.#addresses.set(key, address);
    return true;
  }

  delete(address: InterfaceAddress): boolean {
    return this.#addresses.delete(keyOf(address));
  }

  replace(addresses: readonly InterfaceAddress[]): void {
    this.#addresses = new Map(addresses.map((address) => [keyOf(address), address]));
  }
}

function keyOf({ interfaceIndex, address, prefixLength }: InterfaceAddress): string {
  return `${interfaceIndex} ${address}/${prefixLength}`;
}

/**
 * Index of the interface whose connected prefix holds the address, the longest prefix first; null
 * when there is none. Single addresses (/32, /128), the loopback interface and IPv6 link-local
 * prefixes connect to nothing here.
 */
export function connectedInterface(
  address: string,
  links: Pick<LinkTable, 'get'>,
  addresses: readonly InterfaceAddress[],
): number | null {
  const wanted = readAddress(address);
  if (wanted === null || isLinkLocal(wanted)) return null;
  let best: InterfaceAddress | null = null;
  for (const candidate of addresses) {
    const single = candidate.prefixLength === candidate.bytes.length * 8;
    if (single || candidate.family !== wanted.family) continue;
    if (links.get(candidate.interfaceIndex)?.loopback !== false) continue;
    if (!inPrefix(wanted.bytes, candidate.bytes, candidate.prefixLength)) continue;
    if (best === null || candidate.prefixLength > best.prefixLength) best = candidate;
  }
  return best?.interfaceIndex ?? null;
}

export interface InterfaceChoice {
  readonly interfaces: readonly Link[];
  /** What was asked for and cannot be had, with the reason. */
  readonly problems: readonly { readonly subject: string; readonly message: string }[];
}

/**
 * The interfaces of the fast path. Named ones are taken; without names, those whose connected
 * prefix holds a service or member address, and those that members are reached through. A VLAN
 * device and a port of a bond stand for the device that the program can run on.
 */
export function chooseInterfaces(options: {
  readonly names: readonly string[];
  readonly links: LinkTable;
  readonly addresses: readonly InterfaceAddress[];
  readonly serviceAddresses: readonly string[];
  /** Indexes of the interfaces that lead to members. */
  readonly towardsMembers: Iterable<number>;
}): InterfaceChoice {
  const { names, links, addresses, serviceAddresses, towardsMembers } = options;
  const chosen = new Set<Link>();
  const problems: { subject: string; message: string }[] = [];
  const choose = (link: Link): void => {
    const carrier = carrierOf(link, (index) => links.get(index));
    if ('unresolved' in carrier) problems.push({ subject: link.name, message: carrier.unresolved });
    else if (!carrier.device.loopback) chosen.add(carrier.device);
  };
  if (names.length > 0) {
    const byName = new Map(links.all().map((link) => [link.name, link]));
    for (const subject of names) {
      const link = byName.get(subject);
      if (link !== undefined) choose(link);
      else {
        const message = `interface ${subject} of unit.interfaces does not exist`;
        problems.push({ subject, message });
      }
    }
    return { interfaces: [...chosen], problems };
  }
  const indexes = new Set<number>(towardsMembers);
  for (const address of serviceAddresses) {
    const index = connectedInterface(address, links, addresses);
    if (index !== null) indexes.add(index);
  }
  for (const link of links.all()) if (indexes.has(link.index)) choose(link);
  return { interfaces: [...chosen].sort((a, b) => a.index - b.index), problems };
}

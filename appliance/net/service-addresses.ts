/**
 * Which service addresses to put on which interface, and which of ours to take away. Pure.
 *
 * Invariants:
 * - Only addresses that carry our mark (IFA_PROTO, kernel 5.18) are ever removed: whatever an
 *   administrator or another program configured stays.
 * - An address that is where it belongs is not touched.
 */
import { formatAddress, readAddress } from '../config/address-codec.js';
import { connectedInterface, type LinkTable } from './links.js';
import type { AddressBytes, InterfaceAddress, Link } from './wire.js';

/** IFA_PROTO of addresses that Weir added: `W`. No number of iproute2's rt_addrprotos. */
export const ADDRESS_ORIGIN = 0x57;

/** IFA_PROTO of addresses that move between units: `V`. The speaker puts them there. */
export const HELD_ORIGIN = 0x56;

/** Whether an address comes and goes with services, so that it says nothing of the unit's networks. */
export function movesByItself({ origin }: Pick<InterfaceAddress, 'origin'>): boolean {
  return origin === ADDRESS_ORIGIN || origin === HELD_ORIGIN;
}

export interface AddressStep {
  readonly address: AddressBytes;
  /** Canonical. */
  readonly text: string;
  readonly interfaceIndex: number;
}

export interface Problem {
  /** Address or interface name. */
  readonly subject: string;
  /** A sentence for people. */
  readonly message: string;
}

export interface AddressPlan {
  readonly add: readonly AddressStep[];
  readonly remove: readonly AddressStep[];
  /** Already there, ours or not. */
  readonly present: readonly string[];
  readonly problems: readonly Problem[];
}

export function planServiceAddresses(options: {
  readonly wanted: readonly string[];
  readonly links: LinkTable;
  readonly addresses: readonly InterfaceAddress[];
  readonly fastPath: readonly Link[];
}): AddressPlan {
  const { wanted, links, addresses, fastPath } = options;
  const others = addresses.filter(({ origin }) => origin !== ADDRESS_ORIGIN);
  const ours = addresses.filter(({ origin }) => origin === ADDRESS_ORIGIN);
  const add: AddressStep[] = [];
  const present: string[] = [];
  const problems: Problem[] = [];
  const keep = new Set<InterfaceAddress>();
  const foreign = new Set(others.map(({ address }) => address));
  const seen = new Set<string>();
  const oursByText = new Map<string, InterfaceAddress[]>();
  for (const address of ours) {
    const same = oursByText.get(address.address);
    if (same === undefined) oursByText.set(address.address, [address]);
    else same.push(address);
  }

  for (const subject of wanted) {
    const address = readAddress(subject);
    if (address === null) {
      problems.push({ subject, message: `${subject} is no IP address` });
      continue;
    }
    const text = formatAddress(address.bytes);
    if (seen.has(text)) continue;
    seen.add(text);
    if (foreign.has(text)) {
      present.push(text);
      continue;
    }
    const placed = oursByText.get(text) ?? [];
    const target = connectedInterface(text, links, others) ?? fastPath[0]?.index ?? null;
    // Without a better place it stays where it is.
    const here = placed.find(({ interfaceIndex }) => interfaceIndex === target);
    const stay = here ?? (target === null ? placed[0] : undefined);
    if (stay !== undefined) {
      keep.add(stay);
      present.push(text);
    } else if (target === null) {
      problems.push({
        subject: text,
        message: `no interface for service address ${text}: none has a connected prefix that holds it; name one in unit.interfaces`,
      });
    } else {
      add.push({ address, text, interfaceIndex: target });
    }
  }
  const remove = ours
    .filter((address) => !keep.has(address))
    .map(({ address, bytes, family, interfaceIndex }) => ({
      address: { family, bytes },
      text: address,
      interfaceIndex,
    }));
  return { add, remove, present, problems };
}

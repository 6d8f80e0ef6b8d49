/**
 * Addresses that a unit is itself known by, one of each interface. Pure.
 *
 * Invariant: single addresses (/32, /128) are never it: services and loopback have those, and they
 * may move to another unit.
 */
import { readAddress } from '../config/address-codec.js';
import { isLinkLocal } from './prefix.js';
import type { InterfaceAddress, Link } from './wire.js';

/** In the order of the interfaces; IPv4 before IPv6 on each. */
export function linkAddresses(
  links: readonly Pick<Link, 'index' | 'loopback' | 'running'>[],
  addresses: readonly Pick<
    InterfaceAddress,
    'address' | 'bytes' | 'family' | 'interfaceIndex' | 'prefixLength'
  >[],
): string[] {
  return links
    .filter(({ loopback, running }) => !loopback && running)
    .flatMap(({ index }) => {
      const own = addresses.filter(
        ({ address, bytes, interfaceIndex, prefixLength }) =>
          interfaceIndex === index && prefixLength < bytes.length * 8 && !linkLocal(address),
      );
      const chosen = own.find(({ family }) => family === 4) ?? own[0];
      return chosen === undefined ? [] : [chosen.address];
    });
}

function linkLocal(text: string): boolean {
  const address = readAddress(text);
  return address === null || isLinkLocal(address);
}

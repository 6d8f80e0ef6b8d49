/**
 * Which paths two units have to each other: one for each network that both are in. Pure.
 *
 * Invariant: what one unit chooses by its own and the other's addresses, the other one chooses by the
 * same with both ends swapped.
 */
import { readAddress } from '../../../config/address-codec.js';
import { familyOf } from '../../../config/addresses.js';
import { networkText } from '../../../net/prefix.js';
import type { PathsText } from '../speaker/messages.js';

/** An address that a unit is known by itself, which does not move. */
export interface UnitAddress {
  readonly interface: string;
  /** Canonical. */
  readonly address: string;
  readonly prefixLength: number;
}

export const MOST_PATHS = 8;

/**
 * Named by their networks, IPv4 first. A pair of interfaces has one path a family: more of them would
 * say nothing new. Of several addresses in a network, the lowest counts.
 */
export function choosePaths(
  own: readonly UnitAddress[],
  other: readonly UnitAddress[],
): PathsText['paths'] {
  const here = byNetwork(own);
  const there = byNetwork(other);
  const joined = new Set<string>();
  const paths: PathsText['paths'][number][] = [];
  for (const name of [...here.keys()].sort(inOrder)) {
    const [local, remote] = [here.get(name), there.get(name)];
    if (local === undefined || remote === undefined || local.address === remote.address) continue;
    const family = familyOf(local.address);
    const wire = `${family} ${local.interface} ${remote.interface}`;
    if (joined.has(wire) || paths.length === MOST_PATHS) continue;
    joined.add(wire);
    paths.push({
      ...{ name, interface: local.interface, family },
      ...{ local: local.address, remote: remote.address },
    });
  }
  return paths;
}

function byNetwork(addresses: readonly UnitAddress[]): ReadonlyMap<string, UnitAddress> {
  const found = new Map<string, UnitAddress>();
  for (const one of addresses) {
    const bytes = bytesOf(one.address);
    if (bytes === null || one.prefixLength > bytes.length * 8) continue;
    const network = networkText(bytes, one.prefixLength);
    const before = bytesOf(found.get(network)?.address ?? '');
    if (before === null || Buffer.compare(bytes, before) < 0) found.set(network, one);
  }
  return found;
}

function inOrder(a: string, b: string): number {
  const [six, other] = [a.includes(':'), b.includes(':')];
  if (six !== other) return six ? 1 : -1;
  return a < b ? -1 : 1;
}

function bytesOf(text: string): Uint8Array | null {
  return readAddress(text)?.bytes ?? null;
}

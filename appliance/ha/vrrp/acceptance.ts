/**
 * Whether an advertisement that could be read is one for this virtual router: what RFC 9568 §7.1
 * and RFC 3768 §7.1 look at with the router's own settings in hand. Pure.
 */
import type { Family } from '../../config/address-codec.js';
import { OWNER_PRIORITY, VRRP_HOP_LIMIT, vrrpGroups, type Advertisement } from './packet.js';
import type { Rejection } from './rejections.js';
import type { RouterSettings } from './settings.js';

/** A message as it came, with what its IP header and the socket say of it. */
export interface Arrival {
  readonly interface: string;
  readonly family: Family;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly hopLimit: number;
  /** Behind the IP header. */
  readonly message: Uint8Array;
}

export function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

export function isMulticast({ family, destination }: Arrival): boolean {
  return same(destination, vrrpGroups[family]);
}

/** A multicast message that was forwarded is nobody's of this link; a unicast peer may be further. */
export function cameFar(arrival: Arrival): boolean {
  return isMulticast(arrival) && arrival.hopLimit !== VRRP_HOP_LIMIT;
}

/** Null: it counts. `own`: the router's source address; `priority`: its own now. */
export function judge(
  advertisement: Advertisement,
  arrival: Arrival,
  router: RouterSettings,
  { own, priority }: { readonly own: Uint8Array; readonly priority: number },
): Rejection | null {
  if (advertisement.version !== router.version) return 'version';
  if (same(arrival.source, own)) return 'own-address';
  const { peers } = router;
  const awaited =
    peers.length === 0
      ? isMulticast(arrival)
      : same(arrival.destination, own) && peers.some((peer) => same(peer, arrival.source));
  if (!awaited) return 'not-a-peer';
  if (priority === OWNER_PRIORITY) return 'owner';
  if (router.version === 2) {
    const { password } = advertisement;
    const right =
      router.password === null
        ? password === null
        : password !== null && same(password, router.password);
    if (!right) return 'authentication';
    if (advertisement.interval !== router.interval) return 'interval';
  }
  const refuses = router.otherAddresses === 'refuse' && advertisement.priority !== OWNER_PRIORITY;
  return refuses && !sameAddresses(advertisement.addresses, router.addresses) ? 'addresses' : null;
}

/** In whatever order. */
export function sameAddresses(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  return a.length === b.length && same(Buffer.concat(inOrder(a)), Buffer.concat(inOrder(b)));
}

function inOrder(addresses: readonly Uint8Array[]): Uint8Array[] {
  return [...addresses].sort((one, other) => Buffer.compare(one, other));
}

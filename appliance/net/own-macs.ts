/** MAC addresses that frames for this unit have. Pure. */
import type { Link } from './wire.js';

/** RFC 9568 §7.3: of virtual routers, which move. */
const VIRTUAL = [Buffer.of(0, 0, 0x5e, 0, 1), Buffer.of(0, 0, 0x5e, 0, 2)];

/** Of every device: frames for one above an interface come in by that interface. 6 bytes each, in order. */
export function ownMacs(
  links: readonly Pick<Link, 'mac' | 'ethernet' | 'loopback'>[],
): readonly Uint8Array[] {
  const texts = links
    .filter(({ mac, ethernet, loopback }) => ethernet && !loopback && mac.length === 6)
    .map(({ mac }) => Buffer.from(mac))
    .filter((mac) => !VIRTUAL.some((start) => mac.subarray(0, 5).equals(start)))
    .map((mac) => mac.toString('hex'));
  return [...new Set(texts)].sort().map((text) => Uint8Array.from(Buffer.from(text, 'hex')));
}

/**
 * Addresses in packets as people write them (RFC 5952).
 *
 * Invariant: the same bytes always give the same text, the one that tcpdump and Node give too.
 */

export function formatIpv4(bytes: Uint8Array): string {
  return bytes.join('.');
}

/** A lab has few addresses, and asks for each of them with every packet. */
const known = new Map<string, string>();

export function formatIpv6(bytes: Buffer): string {
  const key = bytes.toString('latin1');
  const before = known.get(key);
  if (before !== undefined) return before;
  const groups = Array.from({ length: 8 }, (_, at) => bytes.readUInt16BE(2 * at).toString(16));
  // A URL's host is serialized by the same rules.
  const text = new URL(`http://[${groups.join(':')}]/`).hostname.slice(1, -1);
  known.set(key, text);
  return text;
}

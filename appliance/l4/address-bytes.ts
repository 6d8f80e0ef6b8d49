/**
 * Addresses as the tables hold them: 16 bytes in network order, IPv4 as
 * ::ffff:a.b.c.d (RFC 4291 §2.5.5.2). Texts are canonical, as everywhere in Weir.
 */
import { parseAddress } from '../config/addresses.js';

export const ADDRESS_BYTES = 16;

/** Throws RangeError for a text that is no address: whoever calls has parsed it before. */
export function addressBytes(text: string): Uint8Array {
  const address = parseAddress(text);
  if (!address.ok) throw new RangeError(address.message);
  const { family, bytes } = address.value;
  if (family === 6) return bytes;
  const mapped = new Uint8Array(ADDRESS_BYTES);
  mapped.fill(0xff, 10, 12);
  mapped.set(bytes, 12);
  return mapped;
}

/** The canonical text of 16 bytes. */
export function addressText(bytes: Uint8Array): string {
  const mapped =
    bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
  if (mapped) return bytes.subarray(12, ADDRESS_BYTES).join('.');
  const view = new DataView(bytes.buffer, bytes.byteOffset, ADDRESS_BYTES);
  const groups = Array.from({ length: 8 }, (_, index) => view.getUint16(index * 2).toString(16));
  const address = parseAddress(groups.join(':'));
  return address.ok ? address.value.text : groups.join(':');
}

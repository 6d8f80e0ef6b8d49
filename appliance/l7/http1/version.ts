/** HTTP-version, RFC 9112 §2.3 and RFC 9110 §2.5. */
import { SLASH } from './octets.js';

/** The minor version of `HTTP/1.x`, at most 1; -1 malformed, -2 another major version. */
export function readVersion(bytes: Uint8Array, start: number, end: number): number {
  if (
    end - start !== 8 ||
    bytes[start] !== 0x48 ||
    bytes[start + 1] !== 0x54 ||
    bytes[start + 2] !== 0x54 ||
    bytes[start + 3] !== 0x50 ||
    bytes[start + 4] !== SLASH ||
    bytes[start + 6] !== 0x2e
  ) {
    return -1;
  }
  const major = (bytes[start + 5] ?? 0) - 0x30;
  const minor = (bytes[start + 7] ?? 0) - 0x30;
  if (major < 0 || major > 9 || minor < 0 || minor > 9) return -1;
  if (major !== 1) return -2;
  return minor === 0 ? 0 : 1;
}

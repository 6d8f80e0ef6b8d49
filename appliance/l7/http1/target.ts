/**
 * Request targets and hosts: RFC 9112 §3.2 (the four forms), RFC 9110 §4.2 (http and
 * https), RFC 3986 §3.2.2 (hosts).
 *
 * Invariant: an authority that passes consists of octets of hosts, digits, ":" and
 * brackets only, so it can be written into any field, quoted or not.
 */
import { COLON, hexValue, hostOctet, SLASH } from './octets.js';

export const targetForm = { origin: 0, absolute: 1, authority: 2, asterisk: 3 } as const;
export type TargetForm = (typeof targetForm)[keyof typeof targetForm];

const isDigit = (c: number): boolean => c >= 0x30 && c <= 0x39;

/** Dotted IPv4 in [start, end): where it ends at most, or -1. */
function isIpv4(bytes: Uint8Array, start: number, end: number): boolean {
  let p = start;
  for (let part = 0; part < 4; part += 1) {
    if (part > 0 && bytes[p++] !== 0x2e) return false;
    let value = 0;
    const from = p;
    while (p < end && isDigit(bytes[p] ?? 0)) value = value * 10 + (bytes[p++] ?? 0) - 0x30;
    if (p === from || p - from > 3 || value > 255) return false;
  }
  return p === end;
}

/** RFC 4291 §2.2, without a zone: no name of another machine's interface belongs in a URI. */
function isIpv6(bytes: Uint8Array, start: number, end: number): boolean {
  let p = start;
  let groups = 0;
  let gap = false;
  if (end - start < 2 || end - start > 45) return false;
  if (bytes[p] === COLON) {
    if (bytes[p + 1] !== COLON) return false;
    gap = true;
    p += 2;
  }
  while (p < end) {
    const from = p;
    while (p < end && (hexValue[bytes[p] ?? 0] ?? 255) < 16) p += 1;
    if (bytes[p] === 0x2e && p < end) {
      if (!isIpv4(bytes, from, end)) return false;
      groups += 2;
      break;
    }
    if (p === from || p - from > 4) return false;
    groups += 1;
    if (p === end) break;
    if (bytes[p] !== COLON) return false;
    p += 1;
    if (p === end) return false;
    if (bytes[p] === COLON) {
      if (gap) return false;
      gap = true;
      p += 1;
    }
  }
  return gap ? groups < 8 : groups === 8;
}

/** Where the host of `host [":" port]` ends, or -1 when host or port is malformed or empty. */
export function hostEnd(bytes: Uint8Array, start: number, end: number): number {
  let p = start;
  if (bytes[p] === 0x5b && p < end) {
    while (p < end && bytes[p] !== 0x5d) p += 1;
    if (p >= end || !isIpv6(bytes, start + 1, p)) return -1;
    p += 1;
  } else {
    while (p < end && hostOctet[bytes[p] ?? 0] !== 0) p += 1;
    if (p === start || p - start > 255) return -1;
  }
  const host = p;
  if (p === end) return host;
  if (bytes[p] !== COLON) return -1;
  p += 1;
  let port = 0;
  if (end - p > 5) return -1;
  for (; p < end; p += 1) {
    const c = bytes[p] ?? 0;
    if (!isDigit(c)) return -1;
    port = port * 10 + c - 0x30;
  }
  return port > 65535 ? -1 : host;
}

const httpOctets = Uint8Array.of(0x68, 0x74, 0x74, 0x70);

/** Length of "http://" or "https://" at `start`, or 0. */
export function schemeLength(bytes: Uint8Array, start: number, end: number): number {
  let p = start;
  for (let i = 0; i < 4; i += 1) if (((bytes[p++] ?? 0) | 0x20) !== httpOctets[i]) return 0;
  if (((bytes[p] ?? 0) | 0x20) === 0x73) p += 1;
  if (bytes[p] !== COLON || bytes[p + 1] !== SLASH || bytes[p + 2] !== SLASH) return 0;
  return p + 3 <= end ? p + 3 - start : 0;
}

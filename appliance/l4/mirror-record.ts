/**
 * Records of flows as two units exchange them: the first bytes of struct weir_mirrored
 * (native/bpf/tables.h), which are the same on every unit. What follows there is the receiver's own.
 *
 * Invariant: a record that `recordWrong` lets through has only values that the fast path itself could
 * have told; the table still looks up everything that it names.
 */
import {
  FLOW_FLAG,
  FORWARDING,
  MIRROR_KIND,
  MIRROR_PASSES,
  PROTOCOL,
  mirrored,
} from './layouts.js';

/** Bytes of a record on the way. */
export const RECORD_BYTES = mirrored.offsetOf('unit_mac');
/** Nothing is kept for longer than this without a packet (RFC 5382 REQ-5, with room). */
const MOST_AGE_MS = 3 * 3600 * 1000;

export const AT = {
  source: mirrored.offsetOf('flow'),
  destination: mirrored.offsetOf('flow') + 16,
  sourcePort: mirrored.offsetOf('flow') + 32,
  destinationPort: mirrored.offsetOf('flow') + 34,
  protocol: mirrored.offsetOf('flow') + 36,
  identity: mirrored.offsetOf('identity'),
  address: mirrored.offsetOf('address'),
  port: mirrored.offsetOf('port'),
  kind: mirrored.offsetOf('kind'),
  flags: mirrored.offsetOf('flags'),
  closing: mirrored.offsetOf('closing'),
  forwarding: mirrored.offsetOf('forwarding'),
  pass: mirrored.offsetOf('pass'),
  nat: mirrored.offsetOf('nat'),
  age: mirrored.offsetOf('age_ms'),
  hash: mirrored.offsetOf('hash'),
  interface: mirrored.offsetOf('interface'),
  vlan: mirrored.offsetOf('vlan'),
  clientMac: mirrored.offsetOf('client_mac'),
  unitMac: mirrored.offsetOf('unit_mac'),
  member: mirrored.offsetOf('member'),
  local: mirrored.offsetOf('local'),
} as const;

/** What is wrong with the record at `at`; null: nothing. */
export function recordWrong(view: DataView, at: number): string | null {
  const byte = (field: keyof typeof AT): number => view.getUint8(at + AT[field]);
  const kind = byte('kind');
  const protocol = byte('protocol');
  const forwarding = byte('forwarding');
  if (kind < MIRROR_KIND.flow || kind > MIRROR_KIND.source) return 'kind';
  if (protocol !== PROTOCOL.tcp && protocol !== PROTOCOL.udp) return 'protocol';
  if (view.getUint16(at + AT.protocol + 1) !== 0 || view.getUint8(at + AT.protocol + 3) !== 0) {
    return 'padding';
  }
  const ipv4 = isMapped(view, at + AT.destination);
  if (kind !== MIRROR_KIND.source && isMapped(view, at + AT.source) !== ipv4) return 'family';
  if (byte('pass') < 1 || byte('pass') > MIRROR_PASSES) return 'pass';
  if (byte('nat') !== 0) return 'padding';
  if (view.getUint32(at + AT.age, true) > MOST_AGE_MS) return 'age';
  if (kind !== MIRROR_KIND.flow) return null;
  if (forwarding < FORWARDING.dsr || forwarding > FORWARDING['full-nat']) return 'forwarding';
  if (byte('closing') > 3) return 'closing';
  const translated = byte('flags');
  if (translated !== 0 && translated !== FLOW_FLAG.translated) return 'flags';
  const rewrites = forwarding === FORWARDING.nat || forwarding === FORWARDING['full-nat'];
  if (translated !== 0 && (protocol !== PROTOCOL.tcp || !rewrites)) return 'flags';
  const full = forwarding === FORWARDING['full-nat'];
  const port = view.getUint16(at + AT.port);
  if (full && (port === 0 || isMapped(view, at + AT.address) !== ipv4)) return 'address';
  if (!full && (port !== 0 || !isZero(view, at + AT.address))) return 'address';
  if (byte('clientMac') & 1) return 'MAC address';
  return null;
}

/** Whether 16 bytes are ::ffff:a.b.c.d. */
function isMapped(view: DataView, at: number): boolean {
  return (
    view.getUint32(at) === 0 && view.getUint32(at + 4) === 0 && view.getUint32(at + 8) === 0xffff
  );
}

function isZero(view: DataView, at: number): boolean {
  for (let word = 0; word < 16; word += 4) if (view.getUint32(at + word) !== 0) return false;
  return true;
}

/**
 * What two speakers of a pair tell each other beside VRRP: a UDP datagram with the state of each
 * group. Pure.
 *
 *     magic 4 | sender's run 16 | receiver's run 16 | number 8 | count 1 | count x (group 8, state 1, priority 1) | HMAC-SHA256 32
 *
 * Invariants:
 * - Authenticated by a key that only the pair has. The MAC also covers where the datagram comes
 *   from and goes to, so what was sent over one path says nothing about another one.
 * - A run is a random name that a speaker gives itself at its start; zeros: not known yet.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

export type GroupState = 'down' | 'backup' | 'master';

export interface GroupReport {
  readonly state: GroupState;
  readonly priority: number;
}

/** By groupKey(). A group that is missing is down, or not configured. */
export type Report = ReadonlyMap<string, GroupReport>;

export interface Heartbeat {
  /** 16 bytes each. */
  readonly sender: Uint8Array;
  readonly receiver: Uint8Array;
  /** Counts the sender's datagrams on all paths. */
  readonly number: bigint;
  readonly report: Report;
}

export interface PathEnds {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
}

export const RUN_BYTES = 16;
const MAGIC = Buffer.from('WHB1');
const NUMBER = 36;
const COUNT = 44;
const GROUPS = 45;
const GROUP_BYTES = 10;
const MAC_BYTES = 32;
/** What one datagram without fragments has room for. */
export const MOST_GROUPS = 120;
export const LONGEST_HEARTBEAT = GROUPS + MOST_GROUPS * GROUP_BYTES + MAC_BYTES;
const states: readonly GroupState[] = ['down', 'backup', 'master'];

/** Groups are named by eight bytes of a hash, as hexadecimal digits. */
export function groupKey(name: string): string {
  return createHash('sha256').update(name).digest('hex').slice(0, 16);
}

function mac(key: Uint8Array, body: Uint8Array, { source, destination }: PathEnds): Buffer {
  return createHmac('sha256', key).update(source).update(destination).update(body).digest();
}

/** Groups beyond MOST_GROUPS are left out: of them the other unit knows what VRRP says. */
export function encodeHeartbeat(heartbeat: Heartbeat, key: Uint8Array, ends: PathEnds): Buffer {
  const groups = [...heartbeat.report].slice(0, MOST_GROUPS);
  const body = Buffer.alloc(GROUPS + groups.length * GROUP_BYTES);
  MAGIC.copy(body, 0);
  body.set(heartbeat.sender, 4);
  body.set(heartbeat.receiver, 4 + RUN_BYTES);
  body.writeBigUInt64BE(heartbeat.number, NUMBER);
  body.writeUInt8(groups.length, COUNT);
  groups.forEach(([group, { state, priority }], index) => {
    const at = GROUPS + index * GROUP_BYTES;
    body.write(group, at, 'hex');
    body.writeUInt8(states.indexOf(state), at + 8);
    body.writeUInt8(priority, at + 9);
  });
  return Buffer.concat([body, mac(key, body, ends)]);
}

/** Null: it is none, or not from who has the key. */
export function decodeHeartbeat(
  datagram: Uint8Array,
  key: Uint8Array,
  ends: PathEnds,
): Heartbeat | null {
  const bytes = Buffer.from(datagram.buffer, datagram.byteOffset, datagram.length);
  const length = bytes.length - MAC_BYTES;
  if (length < GROUPS || !bytes.subarray(0, 4).equals(MAGIC)) return null;
  const count = bytes.readUInt8(COUNT);
  if (count > MOST_GROUPS || length !== GROUPS + count * GROUP_BYTES) return null;
  const body = bytes.subarray(0, length);
  if (!timingSafeEqual(mac(key, body, ends), bytes.subarray(length))) return null;
  const report = new Map<string, GroupReport>();
  for (let at = GROUPS; at < length; at += GROUP_BYTES) {
    const state = states[body.readUInt8(at + 8)];
    if (state === undefined) return null;
    report.set(body.toString('hex', at, at + 8), { state, priority: body.readUInt8(at + 9) });
  }
  return {
    sender: Uint8Array.from(body.subarray(4, 4 + RUN_BYTES)),
    receiver: Uint8Array.from(body.subarray(4 + RUN_BYTES, NUMBER)),
    number: body.readBigUInt64BE(NUMBER),
    report,
  };
}

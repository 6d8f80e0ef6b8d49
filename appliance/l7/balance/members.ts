/**
 * Members as a worker knows them: from snapshot to snapshot the same object for the same id, address
 * and port, so that connections, counts and estimates live on.
 *
 * Invariant: every `admit` that returned true is followed by one `end`.
 */
import { createHash } from 'node:crypto';
import { isIP } from 'node:net';
import { sockaddr } from '../../../native/ffi/socket-address.js';
import { writeAddress } from '../http1/proxy-protocol.js';
import type { L7Member } from '../tables.js';
import type { Ejection } from './ejection.js';
import { MemberRecord } from './member-record.js';
import type { BalanceMemory } from './memory.js';
import { BYTE_UNIT, noteFailure, noteResponse, noteUnits } from './signals.js';

/** For the mean of a member's answers: how much a new one counts. */
const MEAN_PART = 1 / 16;

export class MemberState {
  readonly id: string;
  readonly key: string;
  /** Its address as text, and as a sockaddr. */
  readonly host: string;
  readonly address: Uint8Array;
  /** Names id, address and port in tables of sticky clients; never both 0. */
  readonly tagLow: number;
  readonly tagHigh: number;
  /** Idle connections, which the engine keeps. */
  idleHead = -1;
  idleCount = 0;
  /** As the latest snapshot says. */
  weight = 0;
  takes = false;
  alive = false;
  maxConnections = 0;
  /** Who counts its failures; and what was counted. */
  ejection: Ejection | null = null;
  readonly record = new MemberRecord();
  #carry = 0;

  constructor(
    readonly memory: BalanceMemory,
    member: L7Member,
    port: number,
    readonly row: number,
  ) {
    this.id = member.id;
    this.key = member.key;
    this.host = member.address;
    this.address = sockaddrOf(member.address, port);
    const name = createHash('sha256').update(`${member.id}\n`).update(this.address).digest();
    this.tagLow = name.readInt32LE(0) | 1;
    this.tagHigh = name.readInt32LE(4);
    this.follow(member);
  }

  /** What the next snapshot says of it. */
  follow(member: L7Member): void {
    this.weight = member.weight;
    this.takes = member.takes;
    this.alive = member.state !== 'down';
    this.maxConnections = member.maxConnections;
  }

  /** Requests under way, of all workers. */
  get active(): number {
    return this.memory.counts[this.row] as number;
  }

  /** Takes the room for one request; false: there is none. */
  admit(): boolean {
    return this.memory.add(this.row, this.maxConnections);
  }

  /**
   * A request is over.
   *
   * @param micros to the head of the answer, a whole number; below 0: there was none
   * @param bytes in both directions that `transferred` was not told of
   * @param failed no connection, no answer in time, or a status of 5xx. Without this and without an
   * answer the request says nothing of the member (the client went away)
   */
  end(now: number, micros: number, bytes: number, failed: boolean): void {
    const { memory, row } = this;
    memory.subtract(row);
    const at = (now + memory.clockOffset) | 0;
    if (failed) noteFailure(memory, row, at);
    else if (micros >= 0) noteResponse(memory, row, at, micros);
    if (bytes > 0) {
      const { meanUnits } = memory;
      const mean = meanUnits[row] as number;
      meanUnits[row] = mean + (bytes / BYTE_UNIT - mean) * MEAN_PART;
      this.#count(at, bytes);
    }
    if (this.ejection !== null && (failed || micros >= 0)) this.ejection.note(this, now, failed);
  }

  /** Bytes of a long body while it runs, so that they count in time. */
  transferred(now: number, bytes: number): void {
    this.#count((now + this.memory.clockOffset) | 0, bytes);
  }

  #count(at: number, bytes: number): void {
    const all = bytes + this.#carry;
    const units = Math.floor(all / BYTE_UNIT);
    this.#carry = all - units * BYTE_UNIT;
    if (units > 0) noteUnits(this.memory, this.row, at, units);
  }
}

function sockaddrOf(text: string, port: number): Uint8Array {
  const family = isIP(text);
  if (family !== 4 && family !== 6) throw new RangeError(`"${text}" is not an IP address`);
  const address = new Uint8Array(family === 4 ? 4 : 16);
  writeAddress(address, text);
  return Uint8Array.from(sockaddr(family, address, port));
}

/** All members of a worker. */
export class Members {
  readonly #states = new Map<string, MemberState>();
  readonly #used = new Set<MemberState>();

  constructor(readonly memory: BalanceMemory) {}

  /**
   * The state of a member of the snapshot that is being taken over.
   *
   * @param port that the worker connects to: the member's own, else the service's
   * @param row in shared memory, which the supervisor gave to this id and address
   */
  of(member: L7Member, port: number, row: number): MemberState {
    const name = `${member.id} ${member.address} ${port} ${row}`;
    let state = this.#states.get(name);
    if (state === undefined) {
      state = new MemberState(this.memory, member, port, row);
      this.#states.set(name, state);
    } else state.follow(member);
    this.#used.add(state);
    return state;
  }

  /** After a snapshot: those that are in it no more. Their idle connections can be closed. */
  retire(): MemberState[] {
    const gone: MemberState[] = [];
    for (const [name, state] of this.#states) {
      if (this.#used.has(state)) continue;
      this.#states.delete(name);
      state.ejection = null;
      gone.push(state);
    }
    this.#used.clear();
    return gone;
  }
}

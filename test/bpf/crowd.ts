/**
 * Many flows of one service with several members, for tests of what becomes of them all.
 *
 * Invariant: the member that a packet went to is read from the frame that was sent, by its MAC
 * address, and from nothing that the program says of itself.
 */
import { randomInt } from 'node:crypto';
import {
  buildTable,
  choiceOf,
  usesWeights,
  type AlgorithmName,
} from '../../appliance/balance/choice.js';
import type { Datapath, MemberSpec, ServiceSpec } from './datapath.js';
import { frame, macBytes, type FrameSpec } from './packets.js';

/** Mulberry32, whole numbers of 32 bits. */
export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
}

/** Does the work with a new seed; what fails names it, and SEED repeats it. */
export async function withSeed(
  work: (next: () => number, seed: number) => void | Promise<void>,
): Promise<void> {
  const given = process.env['SEED'];
  const seed = given === undefined ? randomInt(2 ** 31) : Number(given);
  try {
    await work(random(seed), seed);
  } catch (error) {
    if (error instanceof Error) error.message = `with SEED=${seed}: ${error.message}`;
    throw error;
  }
}

export interface CrowdOptions {
  readonly algorithm?: AlgorithmName;
  readonly hash?: 'source' | 'source-destination';
  /** One of each member, whose row is its place plus one. */
  readonly weights: readonly number[];
  readonly service?: Partial<ServiceSpec>;
}

export interface Sent {
  /** Row of the member; 0: it went to none. */
  readonly row: number;
  readonly verdict: string;
  readonly data: Uint8Array;
}

export class Crowd {
  readonly service: ServiceSpec;
  readonly members: readonly MemberSpec[];
  readonly #path: Datapath;
  readonly #options: CrowdOptions;

  constructor(path: Datapath, options: CrowdOptions) {
    const { algorithm = 'maglev', weights } = options;
    this.#path = path;
    this.#options = options;
    this.members = weights.map((weight, index) => ({
      row: index + 1,
      address: `10.0.1.${index + 1}`,
      port: 0,
      mac: `02:00:00:00:01:${(index + 1).toString(16).padStart(2, '0')}`,
      sourceMac: '02:00:00:00:00:02',
      weight: usesWeights(algorithm) ? weight : Math.min(weight, 1),
    }));
    this.service = {
      id: 3,
      address: '10.0.0.53',
      port: 80,
      protocol: 'tcp',
      forwarding: 'dsr',
      table: this.table(weights),
      choice: choiceOf(algorithm, options.hash),
      ...options.service,
    };
    path.service(this.service);
    for (const member of this.members) {
      path.member(member);
      path.replySource(member.address, this.service.port, this.service.protocol);
    }
  }

  /** Rows slot by slot, as the daemon puts them; weight 0 takes no new flows. */
  table(weights: readonly number[]): number[] {
    const { algorithm = 'maglev' } = this.#options;
    const most = usesWeights(algorithm) ? Infinity : 1;
    const keyed = weights.map((weight, index) => ({
      key: `m${index + 1}`,
      weight: Math.min(weight, most),
    }));
    return Array.from(buildTable(algorithm, keyed), (at) => at + 1);
  }

  /** Of a client by its number; each has an address and a port of its own. */
  request(client: number, change: Partial<FrameSpec> = {}): FrameSpec {
    return {
      source: `198.18.${(client >> 8) & 0xff}.${client & 0xff}`,
      destination: this.service.address,
      protocol: this.service.protocol,
      sourcePort: 1024 + (client % 60_000),
      destinationPort: this.service.port,
      flags: 'A',
      ...change,
    };
  }

  send(client: number, change: Partial<FrameSpec> = {}): Sent {
    return this.sendFrame(this.request(client, change));
  }

  sendFrame(spec: FrameSpec, path: Datapath = this.#path): Sent {
    const { verdict, data } = path.run(frame(spec));
    const to = data.subarray(0, 6);
    const member = this.members.find(({ mac }) => Buffer.compare(macBytes(mac), to) === 0);
    return { row: verdict === 'tx' ? (member?.row ?? 0) : 0, verdict, data };
  }

  /** Where each of so many clients' SYNs went. */
  open(count: number, from = 0): number[] {
    return Array.from({ length: count }, (_, index) => this.send(from + index, { flags: 'S' }).row);
  }

  /** Where later packets of the same flows go. */
  more(count: number, from = 0): number[] {
    return Array.from({ length: count }, (_, index) => this.send(from + index).row);
  }

  /** The slots change as the daemon changes them (appliance/l4/slots.ts): former members are named. */
  move(table: readonly number[], before: readonly number[]): void {
    const previous = before.map((row, slot) => (row === table[slot] ? 0 : row));
    this.#path.previousSlots(this.service.id, previous);
    this.#path.table(this.service.id, table);
  }

  set(row: number, change: Partial<MemberSpec>): void {
    const member = this.members[row - 1];
    if (member === undefined) throw new Error(`there is no member ${row}`);
    this.#path.member({ ...member, ...change });
  }

  /** Entries of the flow table, both directions. */
  get entries(): number {
    return this.#path.map('flows').readAll().count;
  }

  /** Active flows by member, the first one's first. */
  get active(): number[] {
    return this.members.map(({ row }) => this.#path.active('member', row));
  }
}

/** How many of each row there are, the first one's first. */
export function tally(rows: readonly number[], members: number): number[] {
  const counts = new Array<number>(members).fill(0);
  for (const row of rows) {
    const at = counts[row - 1];
    if (at === undefined) throw new Error(`a flow went to row ${row}`);
    counts[row - 1] = at + 1;
  }
  return counts;
}

/**
 * Reads what the fast path counted and which flows it knows. Reads only; per-CPU
 * values are summed here.
 *
 * Invariant: counters are doubles, exact up to 2^53, and only grow while the tables live.
 */
import type { BpfMap } from '../../native/ffi/libbpf.js';
import type { Datapath } from './datapath.js';
import {
  cookies as cookiesLayout,
  counters as countersLayout,
  CLOSED,
  FLOW_DIRECTION,
  FLOW_FLAG,
  THEIRS,
  flow as flowLayout,
  flowKey as flowKeyLayout,
  totals as totalsLayout,
} from './layouts.js';

export interface CounterSet {
  readonly flows: number;
  readonly packets: number;
  readonly bytes: number;
  readonly replyPackets: number;
  readonly replyBytes: number;
  /** Handshakes that were answered, where replies pass through the unit, … */
  readonly answers: number;
  /** … and how long they took together, nanoseconds. */
  readonly answerNs: number;
  /** Connections that members reset, where replies pass through the unit. */
  readonly resets: number;
}

export interface CookieCounters {
  /** A flood made a CPU answer SYNs by cookies, and that is not over. */
  readonly active: boolean;
  readonly sent: number;
  readonly accepted: number;
  readonly rejected: number;
}

export interface TotalsSet {
  readonly passed: number;
  readonly echoReplies: number;
  readonly eventsLost: number;
  /** ICMP errors and TCP resets that the fast path sent by itself. */
  readonly errorsSent: number;
}

/** A flow from a client to a service, as the fast path keeps it. */
export interface KnownFlow {
  readonly clientAddress: string;
  readonly clientPort: number;
  readonly serviceAddress: string;
  readonly servicePort: number;
  readonly protocol: number;
  /** Row of the member and its generation when the flow began. */
  readonly member: number;
  readonly generation: number;
  readonly serviceRow: number;
  /** CLOCK_MONOTONIC, nanoseconds, of a recent packet. */
  readonly seenNs: bigint;
}

const BATCH = 4096;

/** Counters of rows 0 to `end` - 1. */
export function readCounters(map: BpfMap, end: number): CounterSet[] {
  return readRows(map, end, countersLayout.size).map((sums) => ({
    packets: sums[0]!,
    bytes: sums[1]!,
    flows: sums[2]!,
    replyPackets: sums[3]!,
    replyBytes: sums[4]!,
    answers: sums[5]!,
    answerNs: sums[6]!,
    resets: sums[7]!,
  }));
}

/** SYN cookies of services, rows 0 to `end` - 1; `nowNs` of CLOCK_MONOTONIC. */
export function readCookies(map: BpfMap, end: number, nowNs: number): CookieCounters[] {
  const untilNs = cookiesLayout.offsetOf('until_ns') / 8;
  const latest = readRows(map, end, cookiesLayout.size, Math.max);
  return readRows(map, end, cookiesLayout.size).map((sums, row) => ({
    active: (latest[row]?.[untilNs] ?? 0) > nowNs,
    sent: sums[4]!,
    accepted: sums[5]!,
    rejected: sums[6]!,
  }));
}

export function readTotals(map: BpfMap): TotalsSet {
  const [sums] = readRows(map, 1, totalsLayout.size);
  return {
    passed: sums![0]!,
    echoReplies: sums![1]!,
    eventsLost: sums![2]!,
    errorsSent: sums![3]!,
  };
}

/** Flows of the other unit of a pair that a packet came for here. */
export function readTakenOver(map: BpfMap): number {
  const [sums] = readRows(map, 1, totalsLayout.size);
  return sums![totalsLayout.offsetOf('taken_over') / 8]!;
}

/** Rows 0 to `end` - 1 of an array of 32-bit numbers that all CPUs share. */
export function readNumbers(map: BpfMap, end: number): Uint32Array {
  const numbers = new Uint32Array(end);
  let at = 0;
  for (const { values, count } of map.batches(Math.min(BATCH, Math.max(end, 1)))) {
    const batch = new Uint32Array(values.buffer, values.byteOffset, (count * map.valueBytes) / 4);
    const step = map.valueBytes / 4;
    for (let index = 0; index < count && at < end; index++) numbers[at++] = batch[index * step]!;
    if (at >= end) break;
  }
  return numbers;
}

/** Dropped packets by name of the reason; `none` is not one. */
export function readDrops(datapath: Datapath): Record<string, number> {
  const { dropReasons } = datapath;
  const rows = readRows(datapath.map('drops'), dropReasons.length, 8);
  const drops: Record<string, number> = {};
  dropReasons.forEach((name, reason) => {
    if (name !== 'none' && name !== 'reasons') drops[name] = rows[reason]?.[0] ?? 0;
  });
  return drops;
}

/** How far a flow is, and the time since a recent packet; `hash`: it has no entry. */
export interface FlowState {
  readonly state: 'opening' | 'open' | 'closing' | 'closed' | 'hash';
  readonly idleMs: number | null;
}

/** Of an entry; `nowNs` of CLOCK_MONOTONIC. */
export function flowStateOf(entry: Uint8Array, nowNs: bigint): FlowState {
  const { closing, flags, seen_ns } = flowLayout.decode(entry);
  const idleMs = Math.max(0, Number((nowNs - seen_ns) / 1_000_000n));
  if (closing !== 0) return { state: closing === CLOSED ? 'closed' : 'closing', idleMs };
  return { state: (flags & FLOW_FLAG.established) !== 0 ? 'open' : 'opening', idleMs };
}

/** Which flows somebody wants, by row: what does not match is not decoded. */
export interface FlowFilter {
  readonly service?: number;
  readonly members?: ReadonlySet<number>;
}

const AT = {
  direction: flowLayout.offsetOf('direction'),
  member: flowLayout.offsetOf('member'),
  service: flowLayout.offsetOf('service'),
  mirror: flowLayout.offsetOf('mirror'),
} as const;
/** Small enough that a batch is no noticeable pause for the rest of the daemon. */
const FLOW_BATCH = 1024;

/** Flows from clients, in the table's own order, a batch at a time until the caller stops asking. */
export function* readFlows(map: BpfMap, only: FlowFilter): Generator<KnownFlow[], void, void> {
  for (const batch of map.batches(FLOW_BATCH)) {
    const { values, keys } = batch;
    const view = new DataView(values.buffer, values.byteOffset, values.byteLength);
    const flows: KnownFlow[] = [];
    for (let index = 0; index < batch.count; index++) {
      const at = index * map.valueBytes;
      if (view.getUint8(at + AT.direction) !== FLOW_DIRECTION.forward) continue;
      // The other unit's own.
      if ((view.getUint8(at + AT.mirror) & THEIRS) !== 0) continue;
      if (only.service !== undefined && view.getUint32(at + AT.service, true) !== only.service) {
        continue;
      }
      if (only.members?.has(view.getUint32(at + AT.member, true)) === false) continue;
      const value = flowLayout.decode(values, at);
      const key = flowKeyLayout.decode(keys, index * map.keySize);
      flows.push({
        clientAddress: key.source,
        clientPort: key.source_port,
        serviceAddress: key.destination,
        servicePort: key.destination_port,
        protocol: key.protocol,
        member: value.member,
        generation: value.generation,
        serviceRow: value.service,
        seenNs: value.seen_ns,
      });
    }
    yield flows;
  }
}

/**
 * Rows 0 to `end` - 1 of a per-CPU array of 64-bit counters, each summed over the CPUs, or joined
 * in another way. In two halves of 32 bits each: BigInt would cost ten times as much.
 */
function readRows(
  map: BpfMap,
  end: number,
  size: number,
  join: (a: number, b: number) => number = (a, b) => a + b,
): number[][] {
  const fields = size / 8;
  const words = map.valueBytes / 4;
  const rows: number[][] = [];
  for (const batch of map.batches(Math.min(BATCH, Math.max(end, 1)))) {
    const halves = new Uint32Array(
      batch.values.buffer,
      batch.values.byteOffset,
      batch.count * words,
    );
    for (let index = 0; index < batch.count && rows.length < end; index++) {
      const sums = new Array<number>(fields).fill(0);
      const to = (index + 1) * words;
      for (let at = index * words; at < to; at += fields * 2) {
        for (let field = 0; field < fields; field++) {
          const value = halves[at + field * 2]! + halves[at + field * 2 + 1]! * 2 ** 32;
          sums[field] = join(sums[field]!, value);
        }
      }
      rows.push(sums);
    }
    if (rows.length >= end) break;
  }
  return rows;
}

/**
 * A client that asks each of some addresses every millisecond and remembers in memory which of its
 * questions were answered. In real time. Arguments: the port, and the addresses, of one family or both.
 *
 * Invariant: a gap is counted in its own times of asking, from the last question that was answered
 * before to the first that was answered after, so that a late reading of answers adds nothing. They
 * are read before the next questions: a client that woke for each would take a CPU from the units.
 */
import { readAddress } from '../../appliance/config/address-codec.js';
import {
  AF_INET,
  AF_INET6,
  receive,
  sendTo,
  SOCK_DGRAM,
  socket,
  SystemError,
} from '../../native/ffi/libc.js';
import { Poller } from '../../native/ffi/poller.js';
import { runInRealTime } from '../../native/ffi/realtime.js';
import { sockaddr, sockaddrBytes } from '../../native/ffi/socket-address.js';
import { monotonicNow, Timer } from '../../native/ffi/timer.js';

export type ToProbe = { readonly kind: 'mark' } | { readonly kind: 'gaps' };
/** A time without an answer, as CLOCK_MONOTONIC counts milliseconds. `to`: null while it lasts. */
export interface Gap {
  readonly from: number;
  readonly to: number | null;
}
export type FromProbe =
  | { readonly kind: 'ready' }
  | { readonly kind: 'marked' }
  /** For each address, in order: those since the mark. */
  | { readonly kind: 'gaps'; readonly gaps: readonly (readonly Gap[])[] };

const PERIOD_MS = 1;
const PRIORITY = 60;
/** The client itself was late. */
const LATE_MS = 3;
/** Ten minutes; the oldest are forgotten. */
const MOST = 600_000;
/** An answer that may still be under way, in milliseconds. */
const RECENT_MS = 20;

const [port = '', ...addresses] = process.argv.slice(2);
const sentAt = new Float64Array(MOST);
const answered = addresses.map(() => new Uint8Array(MOST));
let next = 0;
let mark = 0;
const say = (message: FromProbe): void => {
  process.send?.(message);
};

runInRealTime(PRIORITY);
const targets = addresses.map((text) => {
  const bytes = readAddress(text)?.bytes;
  if (bytes === undefined) throw new Error(`${text} is no address`);
  const [family, domain] = bytes.length === 4 ? ([4, AF_INET] as const) : ([6, AF_INET6] as const);
  const to = Uint8Array.from(sockaddr(family, bytes, Number(port)));
  return { fd: socket(domain, SOCK_DGRAM, 0), to };
});
const question = Buffer.alloc(64);
const answer = Buffer.alloc(64);
const from = Buffer.alloc(sockaddrBytes[6]);

/** Where an address has no route or nobody holds it, a question has no answer. */
function tried<T>(work: () => T): T | null {
  try {
    return work();
  } catch (error) {
    if (error instanceof SystemError && error.code !== 'EBADF') return null;
    throw error;
  }
}

function hear(): void {
  for (const [index, { fd }] of targets.entries()) {
    const seen = answered[index] as Uint8Array;
    while (tried(() => receive(fd, answer, from)) !== null) {
      const number = answer.readUInt32LE(0);
      if (number < next && number >= next - MOST) seen[number % MOST] = 1;
    }
  }
}

function ask(): void {
  question.writeUInt32LE(next, 0);
  sentAt[next % MOST] = monotonicNow();
  for (const [index, { fd, to }] of targets.entries()) {
    (answered[index] as Uint8Array)[next % MOST] = 0;
    tried(() => sendTo(fd, question, to));
  }
  next += 1;
}

function begin(): void {
  const poller = new Poller();
  poller.ref();
  const timer = new Timer();
  let due = monotonicNow() + PERIOD_MS;
  poller.add(timer.fd, () => {
    timer.rest();
    hear();
    ask();
    due = Math.max(due + PERIOD_MS, monotonicNow());
    timer.set(due);
  });
  timer.set(due);
  say({ kind: 'ready' });
}

function gapsOf(seen: Uint8Array): Gap[] {
  const gaps: Gap[] = [];
  const at = (number: number): number => sentAt[number % MOST] ?? 0;
  let last = -1;
  for (let number = Math.max(mark, next - MOST); number < next; number += 1) {
    if (seen[number % MOST] === 0) continue;
    const lost = last >= 0 && (number > last + 1 || at(number) - at(last) > LATE_MS);
    if (lost) gaps.push({ from: at(last), to: at(number) });
    last = number;
  }
  const since = last < 0 ? at(mark) : at(last);
  if (monotonicNow() - since > RECENT_MS) gaps.push({ from: since, to: null });
  return gaps;
}

process.on('message', (message: ToProbe) => {
  hear();
  if (message.kind === 'gaps') say({ kind: 'gaps', gaps: answered.map(gapsOf) });
  else {
    mark = Math.max(0, next - RECENT_MS);
    say({ kind: 'marked' });
  }
});
process.on('disconnect', () => process.exit(0));
begin();

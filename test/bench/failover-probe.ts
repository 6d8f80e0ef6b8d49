/**
 * The client of the failover benchmark: asks one address each millisecond and remembers in memory
 * which of its questions were answered. In real time, on a CPU of its own where there is one.
 *
 * Invariant: a gap is counted in its own times of asking, from the last question that was answered
 * before to the first that was answered after, so that a late reading of answers adds nothing.
 */
import { createSocket } from 'node:dgram';
import { Poller } from '../../native/ffi/poller.js';
import { runInRealTime } from '../../native/ffi/realtime.js';
import { monotonicNow, Timer } from '../../native/ffi/timer.js';

export type ToProbe = { readonly kind: 'mark' } | { readonly kind: 'gap' };
export type FromProbe =
  | { readonly kind: 'ready' }
  | { readonly kind: 'marked' }
  | { readonly kind: 'gap'; readonly gap: number; readonly lost: number };

const PERIOD_MS = 1;
const PRIORITY = 60;
/** Ten minutes. */
const MOST = 600_000;

const [address = '', port = ''] = process.argv.slice(2);
const sentAt = new Float64Array(MOST);
const answered = new Uint8Array(MOST);
let next = 0;
let mark = 0;
const say = (message: FromProbe): void => {
  process.send?.(message);
};

runInRealTime(PRIORITY);
const socket = createSocket('udp4');
socket.on('message', (answer) => {
  const number = answer.readUInt32LE(0);
  if (number < next) answered[number] = 1;
});
// An address that nobody holds, or that is said to be unreachable: a question without an answer.
socket.on('error', () => undefined);
socket.bind(0, () => {
  const poller = new Poller();
  poller.ref();
  const timer = new Timer();
  const question = Buffer.alloc(64);
  let due = monotonicNow() + PERIOD_MS;
  const ask = (): void => {
    timer.rest();
    const now = monotonicNow();
    if (next < MOST) {
      sentAt[next] = now;
      question.writeUInt32LE(next, 0);
      next += 1;
      socket.send(question, Number(port), address, () => undefined);
    }
    due = Math.max(due + PERIOD_MS, now);
    timer.set(due);
  };
  poller.add(timer.fd, ask);
  timer.set(due);
  say({ kind: 'ready' });
});

/** The longest time without an answer since the mark, and how many questions had none. */
function measure(): { gap: number; lost: number } {
  let [gap, lost] = [0, 0];
  let last = -1;
  for (let number = mark; number < next; number += 1) {
    if (answered[number] === 0) {
      lost += 1;
      continue;
    }
    if (last >= 0) gap = Math.max(gap, (sentAt[number] ?? 0) - (sentAt[last] ?? 0));
    last = number;
  }
  // Never answered again.
  if (last >= 0 && next - last > 1000) gap = Infinity;
  return { gap, lost };
}

process.on('message', (message: ToProbe) => {
  if (message.kind === 'gap') say({ kind: 'gap', ...measure() });
  else {
    mark = Math.max(0, next - 20);
    say({ kind: 'marked' });
  }
});
process.on('disconnect', () => process.exit(0));

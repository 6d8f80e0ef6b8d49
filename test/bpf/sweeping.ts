/**
 * One walk of the sweep (native/bpf/sweep.h) over the tables under test.
 *
 * Invariant: it is told what the daemon tells it, but for what a test changes.
 */
import { countEntries, FlowWalk, WALKER } from '../../appliance/l4/flow-walk.js';
import { sweep as layout } from '../../appliance/l4/layouts.js';
import { PATIENCE } from '../../appliance/l4/sweeper.js';
import type { BpfMap } from '../../native/ffi/bpf-map.js';
import type { Datapath } from './datapath.js';

export interface Swept {
  readonly entries: number;
  readonly removed: number;
  readonly exceptions: number;
  readonly natPorts: number;
  /** Sources that persistence remembers; left out where there are none. */
  readonly sources?: number;
}

const second = 1_000_000_000;

/**
 * @param patience seconds, of what differs from the daemon's
 * @param theirs passes whose flows of the other unit stay
 */
export async function sweep(
  path: Datapath,
  patience: Partial<Record<keyof typeof PATIENCE, number>> = {},
  theirs: { readonly pass: number; readonly next: number } | null = null,
): Promise<Swept> {
  const wanted = { ...PATIENCE, ...patience };
  const nanoseconds = (name: keyof typeof PATIENCE): bigint =>
    BigInt(wanted[name]) * BigInt(second);
  const request = layout.encode({
    now_ns: process.hrtime.bigint(),
    tcp_open_ns: nanoseconds('tcpOpen'),
    tcp_idle_ns: nanoseconds('tcpIdle'),
    tcp_closing_ns: nanoseconds('tcpClosing'),
    closed_ns: nanoseconds('closed'),
    udp_new_ns: nanoseconds('udpNew'),
    udp_idle_ns: nanoseconds('udpIdle'),
    theirs_udp_ns: nanoseconds('theirsUdp'),
    theirs_pass: theirs?.pass ?? 0,
    theirs_next: theirs?.next ?? 0,
    entries: 0n,
    removed: 0n,
    exceptions: 0n,
    full_nat: 0n,
    theirs: 0n,
    untold: 0n,
    keys: 0,
  });
  const map = (name: string): BpfMap => path.object.map(name);
  const walk = new FlowWalk(map('flows'), map('walk_keys'), WALKER.sweep);
  for (const { keys } of walk.pieces(null)) {
    layout.set(request, { keys });
    await path.object.program('weir_sweep').runSyscall(request);
  }
  const sources = await countEntries(map('persistence'));
  const { entries, removed, exceptions, full_nat: natPorts } = layout.decode(request);
  return {
    entries: Number(entries),
    removed: Number(removed),
    exceptions: Number(exceptions),
    natPorts: Number(natPorts),
    ...(sources === 0 ? {} : { sources }),
  };
}

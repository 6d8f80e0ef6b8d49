/**
 * The process that makes the load: for each task of its parent a loop with its own memory, so that
 * one measurement leaves nothing to the next, while the code stays warm.
 *
 *     started by l7-stage.ts; ends with its parent
 *
 * Invariant: CPU time, answers and latencies are of the same stretch of time.
 */
import { BufferPool } from '../../appliance/l7/ring/buffer-pool.js';
import { WorkerLoop } from '../../appliance/l7/ring/worker-loop.js';
import { sockaddr } from '../../native/ffi/socket-address.js';
import { cpuBetween, kernelShare, readCpu } from './l7-cpu.js';
import { type Load, LoadHandler } from './l7-load.js';

export interface LoadTask extends Omit<Load, 'address'> {
  readonly port: number;
  readonly warmUpMs: number;
  readonly measureMs: number;
  /** Processes whose CPU time is measured. */
  readonly pids: readonly number[];
}

export interface LoadResult {
  readonly answers: number;
  readonly seconds: number;
  /** Nanoseconds that the processes used; `ownCpu`: this one. */
  readonly cpu: number;
  /** What of it the kernel used for the processes, by the system's clock ticks. */
  readonly kernel: number;
  readonly ownCpu: number;
  /** Microseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
}

export type LoadAnswer =
  { readonly result: LoadResult; readonly error: null } | { readonly error: string };

/** Milliseconds without any answer after which the proxy is said to hang. */
const PATIENCE = 10_000;
/** Bodies from this length on are received in large pieces. */
const LARGE = 32_768;
const SPARE_SLOTS = 256;

function poolFor(load: Load): BufferPool {
  const working = LoadHandler.buffers(load);
  // A record of TLS fits into a buffer.
  if (load.tls !== null && load.bodyBytes < LARGE) {
    return new BufferPool({ size: 16_384, receiving: 4096, working: 2 * working + load.clients });
  }
  return load.bodyBytes < LARGE
    ? new BufferPool({ size: 4096, receiving: 8192, working })
    : new BufferPool({ size: 65_536, receiving: 256, working: working + 256 });
}

/** Turns until `until` holds, as long as there are answers. */
function turn(loop: WorkerLoop, handler: LoadHandler, until: () => boolean): void {
  let seen = -1;
  let moved = performance.now();
  while (!until()) {
    handler.connectMore();
    loop.turn(50);
    const progress = handler.answers + handler.connected;
    const now = performance.now();
    if (progress !== seen) {
      seen = progress;
      moved = now;
    } else if (now - moved > PATIENCE) {
      throw new Error(
        `no answer for ${PATIENCE / 1000} s, ${handler.connected} connections were made`,
      );
    }
  }
}

function measure(task: LoadTask): LoadResult {
  const address = Uint8Array.from(sockaddr(4, Uint8Array.of(127, 0, 0, 1), task.port));
  const load: Load = { ...task, address };
  const pool = poolFor(load);
  const loop = WorkerLoop.open({
    pool,
    slots: task.clients * 2 + SPARE_SLOTS,
    timers: 0,
    receiveMode: 'multishot',
  });
  if (loop instanceof Error) {
    pool.close();
    throw loop;
  }
  const handler = new LoadHandler(loop.connections, load);
  try {
    loop.serve(handler);
    turn(loop, handler, () => handler.connected >= task.clients);
    // Until everybody has had an answer and been given a cookie, and the proxy its connections.
    const warm = performance.now() + task.warmUpMs;
    turn(loop, handler, () => performance.now() >= warm && handler.answers >= 2 * task.clients);
    const own = process.cpuUsage();
    const before = readCpu(task.pids);
    const begun = performance.now();
    handler.begin();
    turn(loop, handler, () => performance.now() >= begun + task.measureMs && handler.answers > 0);
    const after = readCpu(task.pids);
    const cpu = cpuBetween(before, after);
    const seconds = (performance.now() - begun) / 1000;
    const used = process.cpuUsage(own);
    const { latencies } = handler;
    return {
      answers: handler.answers,
      seconds,
      cpu,
      kernel: cpu * kernelShare(before, after),
      ownCpu: (used.user + used.system) * 1000,
      p50: latencies.quantile(0.5),
      p99: latencies.quantile(0.99),
      p999: latencies.quantile(0.999),
    };
  } finally {
    loop.close();
    handler.close();
  }
}

function attempt(task: LoadTask): LoadAnswer {
  try {
    return { result: measure(task), error: null };
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

process.on('message', (task: LoadTask) => {
  process.send?.(attempt(task));
});

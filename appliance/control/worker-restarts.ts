/**
 * Replaces all workers because somebody asked for it.
 *
 * Invariant: one restart at a time, and each is told as an event, with its author and how it ended.
 */
import type { WorkerRestart, WorkerRow } from '../api/contract.js';
import { PortError } from '../api/port.js';
import type { EventLog } from '../telemetry/event-log.js';
import type { ProxyTier } from './proxy-watch.js';

export interface WorkerRestartsOptions {
  readonly tier: Pick<ProxyTier, 'workers' | 'restart' | 'health'>;
  readonly events: Pick<EventLog, 'append'>;
  readonly rows: () => WorkerRow[];
  /** Milliseconds of a clock that only goes forward. */
  readonly now?: () => number;
}

export class WorkerRestarts {
  readonly #options: WorkerRestartsOptions;
  #running = false;

  constructor(options: WorkerRestartsOptions) {
    this.#options = options;
  }

  async restart(author: string): Promise<WorkerRestart> {
    const { tier, events, rows, now = () => performance.now() } = this.#options;
    if (this.#running) {
      throw new PortError('conflict', 'The workers are being replaced already: wait for that.');
    }
    const { unable, failing } = tier.health;
    if (unable !== null) throw new PortError('unavailable', `No worker can serve. ${unable}`);
    if (tier.workers.length === 0) {
      if (failing > 0) {
        throw new PortError(
          'unavailable',
          'No worker serves: all end soon after each start, and are tried again by themselves. See "weir show events --kind worker" and the log of the daemon.',
        );
      }
      throw new PortError('conflict', 'There are no workers: no service needs the proxy.');
    }
    this.#running = true;
    const began = now();
    try {
      const replaced = await tier.restart();
      const durationMs = Math.round(now() - began);
      events.append({
        kind: 'worker',
        severity: 'info',
        message: `${author} replaced ${replaced === 1 ? '1 worker' : `${replaced} workers`} within ${durationMs} ms`,
        subject: { author },
      });
      return { replaced, durationMs, workers: rows() };
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      events.append({
        kind: 'worker',
        severity: 'error',
        message: `${author} could not replace all workers: ${why}`,
        subject: { author },
      });
      throw new PortError('unavailable', `Not all workers were replaced: ${why}.`, { cause });
    } finally {
      this.#running = false;
    }
  }
}

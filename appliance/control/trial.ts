/**
 * A document tried before it is applied: each member is asked once, as its monitor would ask.
 *
 * Invariant: nothing is remembered; the states of members come from the monitors alone.
 */
import type { Trial, TrialRow } from '../api/contract.js';
import { Cancellation } from '../health/cancellation.js';
import type { Probe } from '../health/probe.js';
import type { MonitorTarget } from './tables.js';

/** Members asked at a time, and in all: a trial is for a few, and a large document has its monitors. */
const AT_ONCE = 64;
const MOST = 1024;

export async function tried(
  probe: Probe,
  targets: readonly MonitorTarget[],
  warnings: readonly string[],
): Promise<Trial> {
  const waiting = targets.slice(0, MOST);
  const rows = new Array<TrialRow>(waiting.length);
  let next = 0;
  const asker = async (): Promise<void> => {
    for (let index = next++; index < waiting.length; index = next++) {
      const target = waiting[index];
      if (target !== undefined) rows[index] = await row(probe, target);
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, waiting.length) }, asker));
  const left = targets.length - waiting.length;
  const more = left === 0 ? [] : [`${left} more members were not asked.`];
  return { rows, warnings: [...warnings, ...more] };
}

/** Also one whose pool has no monitor: by a connection. */
export async function row(probe: Probe, target: MonitorTarget): Promise<TrialRow> {
  const { pool, member, settings } = target;
  const { outcome, reason, latencyMs } = await probe(target, new Cancellation());
  return { pool, member, monitor: settings.type, outcome, reason, latencyMs: latencyMs ?? null };
}

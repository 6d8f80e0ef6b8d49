/** CPU and memory of the whole unit, from /proc (proc_stat(5), proc_meminfo(5)). */
import { readFileSync } from 'node:fs';

export interface UnitLoad {
  /** Part of the time of all CPUs since the last look, 0 to 1; null for the first. */
  readonly cpu: number | null;
  /** Part of the memory that is not available to programs, 0 to 1. */
  readonly memory: number | null;
}

interface Times {
  readonly busy: number;
  readonly all: number;
}

export class LoadMeter {
  #last: Times | null = null;

  /** Throws when /proc cannot be read. */
  read(): UnitLoad {
    const now = timesOf(readFileSync('/proc/stat', 'latin1'));
    const last = this.#last;
    this.#last = now;
    const all = now === null || last === null ? 0 : now.all - last.all;
    const busy = now === null || last === null ? 0 : now.busy - last.busy;
    return {
      cpu: all > 0 ? Math.min(1, Math.max(0, busy / all)) : null,
      memory: memoryOf(readFileSync('/proc/meminfo', 'latin1')),
    };
  }
}

/** Of the line `cpu`, in ticks; null when there is none. */
export function timesOf(stat: string): Times | null {
  const line = /^cpu +([\d ]+)$/m.exec(stat)?.[1];
  if (line === undefined) return null;
  // user nice system idle iowait irq softirq steal; guests are in user and nice already.
  const times = line.trim().split(/ +/).slice(0, 8).map(Number);
  const all = times.reduce((sum, one) => sum + one, 0);
  return { all, busy: all - (times[3] ?? 0) - (times[4] ?? 0) };
}

export function memoryOf(meminfo: string): number | null {
  const kilobytes = (key: string): number =>
    Number(new RegExp(`^${key}: +(\\d+) kB$`, 'm').exec(meminfo)?.[1] ?? NaN);
  const part = 1 - kilobytes('MemAvailable') / kilobytes('MemTotal');
  return part >= 0 && part <= 1 ? part : null;
}

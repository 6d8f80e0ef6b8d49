/** Whether file systems that the unit writes to fill up. Pure, but for `diskSpace`. */
import { statfs } from 'node:fs/promises';
import type { Alarm, Severity } from '../../api/contract.js';
import type { NewEvent } from '../../telemetry/event-log.js';

/** A directory, and what its file system has for those who are not root, in bytes. */
export interface DiskSpace {
  readonly directory: string;
  readonly free: number;
  readonly size: number;
}

interface Bound {
  readonly severity: Exclude<Severity, 'info'>;
  readonly share: number;
  readonly bytes: number;
}

const GIB = 2 ** 30;
/** The smaller of share and bytes counts: a tenth of a large disk is no trouble. The gravest first. */
const BOUNDS: readonly Bound[] = [
  { severity: 'error', share: 0.03, bytes: 200 * 2 ** 20 },
  { severity: 'warning', share: 0.1, bytes: GIB },
];
/** A fifth more must be free before it is said to be over. */
const SLACK = 1.2;

interface Short {
  severity: Bound['severity'];
  readonly since: number;
  space: DiskSpace;
}

export class DiskWatch {
  readonly #short = new Map<string, Short>();

  step(spaces: readonly DiskSpace[], now: number): NewEvent[] {
    const events: NewEvent[] = [];
    const seen = new Set(spaces.map(({ directory }) => directory));
    for (const directory of this.#short.keys()) {
      if (!seen.has(directory)) this.#short.delete(directory);
    }
    for (const space of spaces) {
      const { directory } = space;
      const was = this.#short.get(directory);
      const severity = severityOf(space, was?.severity ?? null);
      if (was !== undefined) was.space = space;
      if (severity === (was?.severity ?? null)) continue;
      if (severity === null) this.#short.delete(directory);
      else if (was === undefined) this.#short.set(directory, { severity, since: now, space });
      else was.severity = severity;
      events.push({
        kind: 'disk-space',
        severity: severity ?? 'info',
        message:
          severity === null
            ? `the file system of ${directory} has room again: ${room(space)}`
            : `the file system of ${directory} is nearly full: ${room(space)}`,
        subject: { directory },
      });
    }
    return events;
  }

  alarms(): Alarm[] {
    return [...this.#short.values()].map(({ severity, since, space }) => ({
      code: 'disk-space',
      severity,
      message: `The file system of ${space.directory} is nearly full: ${room(space)}. Make room, or changes and logs can't be written any more.`,
      since,
      object: space.directory,
    }));
  }
}

function severityOf({ free, size }: DiskSpace, was: Severity | null): Bound['severity'] | null {
  for (const { severity, share, bytes } of BOUNDS) {
    const bound = Math.min(share * size, bytes);
    const already = was === severity || (was === 'error' && severity === 'warning');
    if (free < (already ? SLACK * bound : bound)) return severity;
  }
  return null;
}

function room({ free, size }: DiskSpace): string {
  const share = size === 0 ? 0 : (100 * free) / size;
  return `${(free / 2 ** 20).toFixed(0)} MiB of ${(size / GIB).toFixed(1)} GiB are free (${share.toFixed(1)} %)`;
}

/** Errors: of statfs(2). */
export async function diskSpace(directory: string): Promise<DiskSpace> {
  const { bavail, blocks, bsize } = await statfs(directory);
  return { directory, free: bavail * bsize, size: blocks * bsize };
}

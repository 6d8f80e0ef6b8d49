/**
 * The daemon's end of the access logs: which target has which number, and from the rings of the
 * workers to files and syslog.
 *
 * Invariants:
 * - A target keeps its number as long as any service wants it, across snapshots and workers; the
 *   number of one that is gone is given out again as late as possible (row-registry.ts), because
 *   requests on older snapshots still log to it.
 * - Two services with the same target write to one output.
 * - What is dropped is counted, and told at most once a minute for each target.
 */
import type { L7AccessLog } from '../tables.js';
import { LogFile } from './log-file.js';
import { liveTarget, mostTargets, type LogRingReader, type LogSink } from './log-ring.js';
import { LogSyslog } from './log-syslog.js';
import { because, type LogOutput, type TellLog } from './log-output.js';
import { noRow, type RegistryState, RowRegistry } from './row-registry.js';

const syslogPrefix = 'syslog:';
const tellEvery = 60_000;

export interface AccessLogFigures {
  readonly to: string;
  readonly lines: number;
  /** Without room in a ring, or in the output. */
  readonly dropped: number;
}

export interface AccessLogsOptions {
  readonly tell: TellLog;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

interface Target {
  readonly to: string;
  readonly output: LogOutput;
  /** By the rings. */
  dropped: number;
  /** Of all that were dropped, those that were told. */
  told: number;
  toldAt: number;
}

export class AccessLogs implements LogSink {
  private readonly tell: TellLog;
  private readonly now: () => number;
  private readonly numbers = new RowRegistry(mostTargets);
  private readonly targets = new Map<number, Target>();
  /** Hears lines of requests that somebody looks at live (live-tap.ts). */
  onLive: ((bytes: Uint8Array, start: number, end: number) => void) | null = null;
  private readonly closing = new Set<Promise<void>>();

  constructor(options: AccessLogsOptions) {
    this.tell = options.tell;
    this.now = options.now ?? Date.now;
  }

  /** Which target has which number. */
  get state(): RegistryState {
    return this.numbers.state;
  }

  /** Goes on with the numbers of an earlier daemon, before the first `configure`. */
  restore(state: RegistryState): boolean {
    return this.numbers.restore(state);
  }

  /**
   * From now on exactly these are wanted. Returns the number of each by its `to`; 0 for one that
   * cannot be: its lines are dropped. Where two say different things of one file, the larger ones
   * hold.
   */
  configure(logs: readonly L7AccessLog[]): ReadonlyMap<string, number> {
    const wanted = new Map<string, { rotateSize: number; rotateKeep: number }>();
    for (const { to, rotateSize, rotateKeep } of logs) {
      const other = wanted.get(to);
      wanted.set(to, {
        rotateSize: Math.max(rotateSize, other?.rotateSize ?? 0),
        rotateKeep: Math.max(rotateKeep, other?.rotateKeep ?? 0),
      });
    }
    const { rows, taken, left } = this.numbers.assign(wanted.keys());
    for (const { row } of taken) this.end(row);
    for (const to of left) {
      this.tell('trouble', `There are too many access logs: ${to} is not written.`);
    }
    for (const [number, { to, output }] of this.targets) {
      if (rows.get(to) !== number) output.rest();
    }
    for (const [to, number] of rows) {
      if (number !== noRow) this.prepare(number, to, wanted.get(to));
    }
    return rows;
  }

  /** Takes what the workers wrote. False: there is more, so come back soon. */
  drain(rings: readonly LogRingReader[], most?: number): boolean {
    let all = true;
    for (const ring of rings) {
      all = ring.drain(this, most) && all;
      for (const [number, target] of this.targets) target.dropped += ring.dropped(number);
    }
    for (const target of this.targets.values()) this.report(target);
    return all;
  }

  line(number: number, bytes: Uint8Array, start: number, end: number): void {
    if (number === liveTarget) this.onLive?.(bytes, start, end);
    this.targets.get(number)?.output.write(bytes, start, end);
  }

  figures(): AccessLogFigures[] {
    return [...this.targets.values()].map(({ to, output, dropped }) => ({
      to,
      lines: output.figures.lines,
      dropped: output.figures.dropped + dropped,
    }));
  }

  /** Drain the rings before. */
  async close(): Promise<void> {
    for (const number of [...this.targets.keys()]) this.end(number);
    await Promise.all(this.closing);
  }

  private prepare(
    number: number,
    to: string,
    rotation: { rotateSize: number; rotateKeep: number } | undefined,
  ): void {
    const known = this.targets.get(number)?.output;
    if (known === undefined) {
      const output = this.open(to, rotation);
      if (output !== null) {
        this.targets.set(number, { to, output, dropped: 0, told: 0, toldAt: -Infinity });
      }
    } else if (known instanceof LogFile && rotation !== undefined) known.set(rotation);
    else if (known instanceof LogSyslog) known.wake();
  }

  private open(
    to: string,
    rotation: { rotateSize: number; rotateKeep: number } | undefined,
  ): LogOutput | null {
    const { tell, now } = this;
    if (!to.startsWith(syslogPrefix)) {
      return new LogFile({ path: to, ...(rotation ?? { rotateSize: 0, rotateKeep: 0 }), tell });
    }
    try {
      return new LogSyslog({ to: to.slice(syslogPrefix.length), tell, now });
    } catch (error) {
      tell('trouble', `The access log ${to} is not written: ${because(error).words}.`);
      return null;
    }
  }

  private end(number: number): void {
    const target = this.targets.get(number);
    if (target === undefined) return;
    this.targets.delete(number);
    const done = target.output.close().finally(() => this.closing.delete(done));
    this.closing.add(done);
  }

  private report(target: Target): void {
    const dropped = target.dropped + target.output.figures.dropped;
    if (dropped === target.told || this.now() - target.toldAt < tellEvery) return;
    this.tell(
      'trouble',
      `${dropped - target.told} lines of the access log ${target.to} were dropped: they come faster than they can be written. Log a sample of the requests, or write to a faster place.`,
    );
    target.told = dropped;
    target.toldAt = this.now();
  }
}

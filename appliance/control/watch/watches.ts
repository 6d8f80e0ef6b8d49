/**
 * What the daemon watches beside its work: members that flap, limits that are hit, disks that fill,
 * clocks. Reads what there is to read, hands it to the watches, and their events to the log.
 */
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { KernelClock } from '../../../native/ffi/clock.js';
import type { Alarm, PairLink } from '../../api/contract.js';
import type { Intent } from '../../config/schema.js';
import type { EventLog, NewEvent } from '../../telemetry/event-log.js';
import type { Tables } from '../tables.js';
import { ClockWatch, type ClockLook } from './clock.js';
import { diskSpace, DiskWatch, type DiskSpace } from './disk.js';
import { FlappingWatch } from './flapping.js';
import { FillWatch, LimitWatch } from './limits.js';
import { refusals, type RefusalInput } from './refusals.js';

export interface WatchesOptions {
  readonly events: Pick<EventLog, 'append'>;
  /** Where the daemon keeps what must not be lost. */
  readonly stateDir: string;
  /** Throws SystemError. */
  readonly clock: () => KernelClock;
  readonly peer: () => { readonly name: string; readonly links: readonly PairLink[] } | null;
  readonly log: { warn(fields: object, message: string): void };
  /** Between looks at file systems; default 30 s. */
  readonly diskMs?: number;
}

/** Once a second. */
export interface Look extends RefusalInput {
  readonly intent: Intent;
  readonly tables: Tables;
  readonly usage: readonly {
    readonly name: string;
    readonly entries: number | null;
    readonly limit: number;
  }[];
}

const DISK_MS = 30_000;

export class Watches {
  readonly #options: WatchesOptions;
  readonly #flapping = new FlappingWatch();
  readonly #limits = new LimitWatch();
  readonly #fill = new FillWatch();
  readonly #disks = new DiskWatch();
  readonly #clock = new ClockWatch();
  readonly #timer: NodeJS.Timeout;
  /** What cannot be read and was told. */
  readonly #unreadable = new Set<string>();
  #directories: readonly string[];
  #spaces: readonly DiskSpace[] = [];
  #closed = false;

  constructor(options: WatchesOptions) {
    this.#options = options;
    this.#directories = [options.stateDir];
    const look = (): void => void this.#lookAtDisks();
    this.#timer = setInterval(look, options.diskMs ?? DISK_MS);
    this.#timer.unref();
    look();
  }

  /** Each file system that the unit writes to, as of the last look. */
  get disks(): readonly DiskSpace[] {
    return this.#spaces;
  }

  alarms(): Alarm[] {
    return [
      ...this.#flapping.alarms(),
      ...this.#limits.alarms(),
      ...this.#disks.alarms(),
      ...this.#clock.alarms(),
    ];
  }

  /** These were just told. */
  told(events: readonly NewEvent[]): void {
    const time = Date.now();
    this.#tell(events.flatMap((event) => this.#flapping.hear(event, time) ?? []));
  }

  look(look: Look): void {
    const now = Date.now();
    const { intent, tables, usage } = look;
    const files = Object.values(intent.services).map((service) => service['access-log']?.file);
    this.#directories = [
      ...new Set([
        this.#options.stateDir,
        ...files.flatMap((file) => (file === undefined ? [] : dirname(file))),
      ]),
    ];
    const ids = new Set([...tables.pools.values()].flatMap(({ members }) => members.map(idOf)));
    this.#tell([
      ...this.#flapping.step(now, (id) => ids.has(id)),
      ...this.#limits.step(refusals(look), now),
      ...this.#fill.step(usage),
      ...this.#clock.step(this.#clocks(), performance.now(), now),
    ]);
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
  }

  #clocks(): ClockLook {
    const peer = this.#options.peer();
    // The quickest link is the surest.
    const [best] = (peer?.links ?? [])
      .flatMap(({ clock }) => clock ?? [])
      .toSorted((a, b) => a.errorMs - b.errorMs);
    const difference = peer === null || best === undefined ? null : { ...best, peer: peer.name };
    return { synchronised: this.#synchronised(), difference };
  }

  #synchronised(): boolean | null {
    try {
      const { synchronised } = this.#options.clock();
      this.#unreadable.delete('clock');
      return synchronised;
    } catch (err) {
      this.#cannotRead('clock', err, 'The kernel does not say whether the clock is synchronised.');
      return null;
    }
  }

  async #lookAtDisks(): Promise<void> {
    const spaces: DiskSpace[] = [];
    const devices = new Set<number>();
    for (const directory of this.#directories) {
      try {
        const { dev } = await stat(directory);
        if (devices.size === devices.add(dev).size) continue;
        spaces.push(await diskSpace(directory));
        this.#unreadable.delete(directory);
      } catch (err) {
        this.#cannotRead(directory, err, `Nobody knows how full the disk of ${directory} is.`);
      }
    }
    if (this.#closed) return;
    this.#spaces = spaces;
    this.#tell(this.#disks.step(spaces, Date.now()));
  }

  #cannotRead(what: string, err: unknown, message: string): void {
    if (this.#unreadable.has(what)) return;
    this.#unreadable.add(what);
    this.#options.log.warn({ err }, message);
  }

  #tell(events: readonly NewEvent[]): void {
    for (const event of events) this.#options.events.append(event);
  }
}

function idOf({ id }: { readonly id: string }): string {
  return id;
}

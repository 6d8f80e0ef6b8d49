/**
 * The other unit's speaker as it is heard over all paths. Pure: clock and randomness are given.
 * Milliseconds of a clock that only goes forward.
 *
 * Invariants:
 * - A heartbeat counts only if it names this run as its receiver, so one of an earlier run of this
 *   speaker never does; comes from a run that was not replaced by another one; and has a higher
 *   number than the last one of that run on its path. A stranger's one that is authentic is answered
 *   once, which changes nothing here: the answer is how the other one learns the name of this run.
 * - What the other one says is the newest of what came over any path.
 */
import { same } from '../acceptance.js';
import { waitHeldUp } from '../timing.js';
import {
  decodeHeartbeat,
  encodeHeartbeat,
  RUN_BYTES,
  type Heartbeat,
  type Report,
} from './heartbeat.js';
import type { PathSettings, PathsSettings } from './settings.js';

/** Runs of the other unit that have ended, of which nothing is believed any more. */
const MOST_FORMER = 4096;
const UNKNOWN = new Uint8Array(RUN_BYTES);

interface Path {
  readonly settings: PathSettings;
  heardAt: number;
  number: bigint;
  alive: boolean;
  /** Silence was noticed so late that nobody had listened: it got its time once more. */
  waited: boolean;
}

/** Why heartbeats did not count. */
export interface PathCounts {
  readonly believed: number;
  readonly foreign: number;
  readonly replayed: number;
}

/** What is known of the other unit now. */
export interface PeerNews {
  /** Over any path. */
  readonly alive: boolean;
  /** What it said last. */
  readonly report: Report;
  /** Paths by which a heartbeat has just come. */
  readonly by: readonly PathSettings[];
  /** Milliseconds of silence after which a path is lost. */
  readonly lost: number;
}

export interface Sent {
  readonly path: PathSettings;
  readonly datagram: Buffer;
}

export class Peer {
  readonly #run: Uint8Array;
  #settings: PathsSettings;
  #paths: Path[] = [];
  #other: Uint8Array = UNKNOWN;
  readonly #former = new Set<string>();
  #number = 0n;
  #newest = 0n;
  #report: Report = new Map();
  #by: PathSettings[] = [];
  #sendAt = 0;
  #sentAt = -Infinity;
  #believed = 0;
  #foreign = 0;
  #replayed = 0;

  /** `run`: 16 random bytes, never used before. */
  constructor(settings: PathsSettings, run: Uint8Array) {
    this.#settings = settings;
    this.#run = run;
    this.configure(settings);
  }

  /** Paths that stay are not forgotten. */
  configure(settings: PathsSettings): void {
    const before = new Map(this.#paths.map((path) => [text(path.settings), path]));
    this.#settings = settings;
    this.#paths = settings.paths.map((one) => {
      return { ...(before.get(text(one)) ?? FRESH), settings: one };
    });
  }

  /** When due() or news() has something to do; Infinity: without paths. */
  get deadline(): number {
    if (this.#paths.length === 0) return Infinity;
    const lost = this.#paths.filter(({ alive }) => alive).map((path) => this.#lostAt(path));
    return Math.min(this.#sendAt, ...lost);
  }

  get alive(): boolean {
    return this.#paths.some(({ alive }) => alive);
  }

  /** Names of the paths that are alive. */
  get paths(): ReadonlyMap<string, boolean> {
    return new Map(this.#paths.map(({ settings, alive }) => [settings.name, alive]));
  }

  get counts(): PathCounts {
    return { believed: this.#believed, foreign: this.#foreign, replayed: this.#replayed };
  }

  /** The other unit takes this one for lost no sooner, if nothing more is sent. Infinity: it does not hear it. */
  get leasedUntil(): number {
    return this.alive ? this.#sentAt + this.#settings.lost : Infinity;
  }

  /** Whether the regular heartbeats are due. */
  due(now: number): boolean {
    return this.#paths.length > 0 && now >= this.#sendAt;
  }

  /** Heartbeats for all paths. */
  send(report: Report, now: number): Sent[] {
    this.#sentAt = now;
    this.#sendAt = now + this.#settings.interval;
    return this.#paths.map(({ settings }) => this.#compose(settings, this.#other, report));
  }

  /** A datagram came by a path from its other end. Returns an answer, or null. */
  receive(path: PathSettings, datagram: Uint8Array, report: Report, now: number): Sent | null {
    const found = this.#paths.find(({ settings }) => settings === path);
    const ends = { source: path.remote, destination: path.local };
    const heartbeat = decodeHeartbeat(datagram, this.#settings.key, ends);
    if (found === undefined || heartbeat === null || same(heartbeat.sender, this.#run)) {
      this.#foreign += 1;
      return null;
    }
    const sender = hex(heartbeat.sender);
    if (this.#former.has(sender)) {
      this.#replayed += 1;
      return null;
    }
    if (!same(heartbeat.receiver, this.#run)) {
      return this.#compose(path, heartbeat.sender, report);
    }
    if (!same(heartbeat.sender, this.#other)) this.#meet(heartbeat.sender);
    if (heartbeat.number <= found.number) {
      this.#replayed += 1;
      return null;
    }
    this.#believe(found, heartbeat, now);
    return null;
  }

  #believe(path: Path, { number, report }: Heartbeat, now: number): void {
    this.#believed += 1;
    path.number = number;
    path.heardAt = now;
    path.alive = true;
    path.waited = false;
    this.#by.push(path.settings);
    if (number <= this.#newest) return;
    this.#newest = number;
    this.#report = report;
  }

  /** Another run: what the former one said is over. */
  #meet(other: Uint8Array): void {
    if (!same(this.#other, UNKNOWN)) this.#former.add(hex(this.#other));
    for (const one of this.#former) {
      if (this.#former.size <= MOST_FORMER) break;
      this.#former.delete(one);
    }
    this.#other = other;
    this.#newest = 0n;
    for (const path of this.#paths) path.number = 0n;
  }

  /** As waitHeldUp(). */
  heldUp(still: number, now: number): void {
    const { interval, lost } = this.#settings;
    for (const path of this.#paths) {
      const wait = { due: this.#lostAt(path), again: path.waited };
      const held = waitHeldUp(wait, { still, now, interval, whole: lost });
      path.heardAt = held.due - lost;
      path.waited = held.again;
    }
  }

  /** What is known now; each path of `by` is told once. */
  news(now: number): PeerNews {
    for (const path of this.#paths) {
      if (!path.alive || now < this.#lostAt(path)) continue;
      if (!path.waited && now - this.#lostAt(path) >= this.#settings.interval) {
        path.heardAt = now;
        path.waited = true;
      } else path.alive = false;
    }
    const by = this.#by;
    this.#by = [];
    return { alive: this.alive, report: this.#report, by, lost: this.#settings.lost };
  }

  #lostAt({ heardAt }: Path): number {
    return heardAt + this.#settings.lost;
  }

  #compose(path: PathSettings, receiver: Uint8Array, report: Report): Sent {
    this.#number += 1n;
    const heartbeat = { sender: this.#run, receiver, number: this.#number, report };
    const ends = { source: path.local, destination: path.remote };
    return { path, datagram: encodeHeartbeat(heartbeat, this.#settings.key, ends) };
  }
}

const FRESH = { heardAt: -Infinity, number: 0n, alive: false, waited: false };

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function text({ name, interface: on, local, remote }: PathSettings): string {
  return [name, on, hex(local), hex(remote)].join(' ');
}

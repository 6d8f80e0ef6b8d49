/**
 * The memory of workers, as the daemon holds it: one region for all of them, and one for each number,
 * which outlives its process so that counters go on.
 *
 * Every worker keeps descriptors of all regions, so that memory lives as long as any worker does and
 * the next daemon can go on in it.
 *
 * Invariant: a number has one process at a time, and what the one before had counted as under way is
 * taken off first.
 */
import { fstatSync } from 'node:fs';
import { randomFillSync } from 'node:crypto';
import { close } from '../../../native/ffi/libc.js';
import { Mapping } from '../../../native/ffi/memory.js';
import { seal, sharedMemory } from '../../../native/ffi/packet-channel.js';
import type { StickyTable } from '../balance/sticky-table.js';
import { releaseWorker } from '../balance/memory.js';
import type { CounterRegion } from '../telemetry/counter-layout.js';
import { clearGauges } from '../telemetry/counter-reader.js';
import type { LogRingReader } from '../telemetry/log-ring.js';
import {
  type MemorySizes,
  OwnMemory,
  ownBytes,
  prepareShared,
  SharedMemory,
  sharedBytes,
} from '../worker/memory.js';
import { OWN_NAME, SHARED_NAME } from './orphan.js';

export interface Region {
  readonly number: number;
  readonly fd: number;
  readonly memory: OwnMemory;
  readonly log: LogRingReader;
}

interface Shared {
  readonly fd: number;
  readonly buffer: ArrayBuffer;
}

export class Regions {
  readonly #sizes: MemorySizes;
  #shared: Shared | null = null;
  #sticky: StickyTable | null = null;
  readonly #all = new Map<number, Region>();
  readonly #free: Region[] = [];
  /** A new region came to be: those who serve are to keep a descriptor of it. */
  onNew: ((region: Region) => void) | null = null;

  constructor(sizes: MemorySizes) {
    this.#sizes = sizes;
  }

  get all(): Region[] {
    return [...this.#all.values()];
  }

  get counters(): CounterRegion[] {
    return this.all.map(({ memory }) => memory.counters);
  }

  get logs(): LogRingReader[] {
    return this.all.map(({ log }) => log);
  }

  /** Throws when there is no memory, or no number left. */
  get shared(): Shared {
    if (this.#shared !== null) return this.#shared;
    const fd = fresh(SHARED_NAME, sharedBytes(this.#sizes));
    this.#shared = this.#mapShared(fd);
    prepareShared(this.#sizes, this.#shared.buffer, randomFillSync(new Int32Array(2)));
    return this.#shared;
  }

  /** Null: there is no memory yet. */
  get sticky(): StickyTable | null {
    if (this.#shared === null) return null;
    this.#sticky ??= new SharedMemory(this.#sizes, this.#shared.buffer, 0).sticky;
    return this.#sticky;
  }

  /** Tells the memory of all workers from any other; null: there is none yet. */
  get identity(): number | null {
    return this.#shared === null ? null : identityOf(this.#shared.fd);
  }

  /** For a process that is about to begin. Throws when there is no memory, or no number left. */
  take(): Region {
    const region = this.#free.pop() ?? this.#new();
    region.memory.head.fill(0);
    return region;
  }

  /** For one that is there already. */
  takeNumber(number: number): Region | null {
    const region = this.#all.get(number);
    const at = region === undefined ? -1 : this.#free.indexOf(region);
    if (region === undefined || at < 0) return null;
    this.#free.splice(at, 1);
    return region;
  }

  /** The process is gone. `used`: rows that may hold something. */
  give(region: Region, used: number): void {
    const { number, memory } = region;
    const others = this.all.filter((one) => one !== region && !this.#free.includes(one));
    releaseWorker(
      memory.balance,
      others.map((one) => one.memory.balance),
    );
    clearGauges(memory.counters, used);
    const parts = new SharedMemory(this.#sizes, this.shared.buffer, number);
    parts.buckets.releaseWorker(number);
    parts.services.releaseWorker(number);
    parts.clients.releaseWorker(number);
    this.#free.push(region);
  }

  /** Whether this is memory of these sizes, and none of our own is there yet. */
  fits(shared: number, own: ReadonlyMap<number, number>): boolean {
    return (
      this.#shared === null &&
      fstatSync(shared).size === sharedBytes(this.#sizes) &&
      [...own].every(
        ([number, fd]) =>
          number < this.#sizes.workers && fstatSync(fd).size === ownBytes(this.#sizes),
      )
    );
  }

  /** Goes on in memory that fits. The descriptors are this object's from now on. Throws SystemError. */
  adopt(shared: number, own: ReadonlyMap<number, number>): void {
    this.#shared = this.#mapShared(shared);
    for (const [number, fd] of own) this.#free.push(this.#add(number, fd));
  }

  close(): void {
    for (const { fd } of this.#all.values()) close(fd);
    if (this.#shared !== null) close(this.#shared.fd);
    this.#all.clear();
    this.#free.length = 0;
  }

  #mapShared(fd: number): Shared {
    try {
      const length = sharedBytes(this.#sizes);
      return { fd, buffer: Mapping.open(fd, { length, access: 'write' }).buffer };
    } catch (error) {
      close(fd);
      throw error;
    }
  }

  #new(): Region {
    let number = 0;
    while (this.#all.has(number)) number += 1;
    if (number >= this.#sizes.workers) {
      throw new Error(
        `there are ${number} workers already, old ones that still drain among them: wait until these have ended`,
      );
    }
    const region = this.#add(number, fresh(`${OWN_NAME}${number}`, ownBytes(this.#sizes)));
    this.onNew?.(region);
    return region;
  }

  #add(number: number, fd: number): Region {
    try {
      const { buffer } = Mapping.open(fd, { length: ownBytes(this.#sizes), access: 'write' });
      const memory = new OwnMemory(this.#sizes, this.shared.buffer, buffer);
      const region = { number, fd, memory, log: memory.logReader() };
      this.#all.set(number, region);
      return region;
    } catch (error) {
      close(fd);
      throw error;
    }
  }
}

export function identityOf(fd: number): number {
  return fstatSync(fd).ino;
}

function fresh(name: string, length: number): number {
  const fd = sharedMemory(name, length);
  try {
    seal(fd, false);
  } catch (error) {
    close(fd);
    throw error;
  }
  return fd;
}

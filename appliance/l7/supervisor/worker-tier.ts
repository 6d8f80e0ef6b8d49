/**
 * The layer-7 tier: keeps so many workers serving what the tables say.
 *
 * Invariants:
 * - A worker that dies takes along its own connections and nothing else: its sockets stay, a spare
 *   process that is already loaded takes its place, and what it had counted in shared memory is taken
 *   off before.
 * - Who takes a place serves by the latest tables before its predecessor lets go of the sockets.
 * - Nothing waits here: what is to be waited for is a promise.
 */
import { randomFillSync } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { close } from '../../../native/ffi/libc.js';
import { Mapping } from '../../../native/ffi/memory.js';
import { MOST_DESCRIPTORS, seal, sharedMemory } from '../../../native/ffi/packet-channel.js';
import type { Poller } from '../../../native/ffi/poller.js';
import { releaseWorker } from '../balance/memory.js';
import type { L7Tables } from '../tables.js';
import { type AccessLogFigures, AccessLogs } from '../telemetry/access-logs.js';
import { counter, type CounterRegion, rowDoubles } from '../telemetry/counter-layout.js';
import { clearGauges, CounterReader, type CounterSample } from '../telemetry/counter-reader.js';
import { noRow, RowRegistry, rowName, rowNames } from '../telemetry/row-registry.js';
import {
  defaultSizes,
  type MemorySizes,
  Own,
  OwnMemory,
  ownBytes,
  prepareShared,
  SharedMemory,
  sharedBytes,
} from '../worker/memory.js';
import type { FromWorker, ListenItem } from '../worker/messages.js';
import { snapshotPart, type SnapshotSource } from '../worker/snapshots.js';
import { BACKLOG, Listeners, type ListenProblem } from './listeners.js';
import { WorkerProcess } from './worker-process.js';

export interface TierEvent {
  readonly severity: 'info' | 'warning' | 'error';
  readonly message: string;
}

export interface WorkerTierOptions {
  readonly poller: Poller;
  readonly onEvent: (event: TierEvent) => void;
  /** A line for the log. */
  readonly onOutput: (pid: number, line: string) => void;
  readonly sizes?: MemorySizes;
}

export interface WorkerRow {
  readonly worker: number;
  readonly pid: number;
  readonly cpu: number | null;
  readonly state: 'starting' | 'serving' | 'draining';
  readonly clients: number;
  /** Milliseconds since 1970. */
  readonly since: number;
  /** How often the place was taken anew. */
  readonly restarts: number;
  /** All that were counted in its region, for services that there are now. */
  readonly requests: number;
}

/** What somebody should know of the whole tier. */
export interface TierHealth {
  /** Why no worker can serve; null when they can. */
  readonly unable: string | null;
  readonly notListening: readonly ListenProblem[];
  /** Places whose workers die soon after their start, again and again; of how many. */
  readonly failing: number;
  readonly places: number;
  readonly logs: readonly AccessLogFigures[];
}

/** What all workers know of a member now. */
export interface MemberLoad {
  /** Requests that it works on; of tcp and tls its connections. */
  readonly underWay: number;
  /** Decaying estimate of the time to its answer; null before the first. */
  readonly responseUs: number | null;
}

/** The region of a worker number: it outlives its process, so that counters go on. */
interface Region {
  readonly number: number;
  readonly fd: number;
  readonly memory: OwnMemory;
}

interface Worker {
  readonly process: WorkerProcess;
  region: Region | null;
  /** Its place, or -1: it is a spare, or drains. */
  index: number;
  draining: boolean;
  /** It has let go of its sockets. */
  left: boolean;
  /** What it was sent, and what it serves by. */
  sent: SnapshotSource | null;
  applied: number;
  readonly listening: Set<string>;
  since: number;
  heartbeat: number;
  silent: number;
}

interface Place {
  worker: Worker | null;
  restarts: number;
  /** Deaths in a row soon after the start. */
  early: number;
  retry: NodeJS.Timeout | null;
}

/** Milliseconds. */
const LOGS = 200;
const WATCH = 1000;
/** Seconds without a sign of life after which a worker is ended. */
const SILENT = 5;
/** Seconds that a worker may take to serve by its first tables. */
const LONGEST_START = 30;
/** A worker that lived as long did not die of its start. */
const SETTLED = 5000;
const EARLY_DEATHS = 3;
/** After those it waits: so long first, twice as long each time, and never longer than the last. */
const BACK_OFF = 250;
const MOST_BACK_OFF = 5000;
const DRAIN_LIMIT = 60_000;
const STOP_LIMIT = 2000;

export class WorkerTier {
  readonly #options: WorkerTierOptions;
  readonly #sizes: MemorySizes;
  readonly #listeners = new Listeners();
  readonly #registry: RowRegistry;
  readonly #reader = new CounterReader();
  readonly #logs: AccessLogs;
  readonly #workers = new Set<Worker>();
  readonly #regions: Region[] = [];
  readonly #free: Region[] = [];
  readonly #places: Place[] = [];
  readonly #waiting = new Set<() => void>();
  #shared: { readonly fd: number; readonly buffer: ArrayBuffer } | null = null;
  #source: SnapshotSource | null = null;
  #number = 0;
  #closed = false;
  #unable: string | null = null;
  readonly #timers: NodeJS.Timeout[];

  constructor(options: WorkerTierOptions) {
    this.#options = options;
    this.#sizes = options.sizes ?? defaultSizes;
    this.#registry = new RowRegistry(this.#sizes.rows);
    this.#logs = new AccessLogs({
      tell: (kind, message) => {
        options.onEvent({ severity: kind === 'trouble' ? 'warning' : 'info', message });
      },
    });
    this.#timers = [
      setInterval(() => {
        this.#drainLogs();
      }, LOGS),
      setInterval(() => {
        this.#watch();
      }, WATCH),
    ];
    for (const timer of this.#timers) timer.unref();
  }

  /** Services that have no socket, and what keeps the whole tier from working. */
  get problems(): readonly ListenProblem[] {
    const unable = this.#unable;
    if (unable === null) return this.#listeners.problems;
    const services = this.#source?.tables.services.keys() ?? [];
    return [...services].map((service) => ({ service, message: unable }));
  }

  get workers(): WorkerRow[] {
    return [...this.#workers]
      .filter(({ region }) => region !== null)
      .map(({ process, region, index, draining, applied, since }) => ({
        requests: region === null ? 0 : this.#requestsOf(region),
        worker: region?.number ?? 0,
        pid: process.pid,
        cpu: this.#cpuOf(index),
        state: draining ? ('draining' as const) : applied === 0 ? 'starting' : 'serving',
        clients: region?.memory.head[Own.clients] ?? 0,
        since,
        restarts: this.#places[index]?.restarts ?? 0,
      }));
  }

  get health(): TierHealth {
    const now = Date.now();
    const failing = this.#places.filter(
      ({ early, worker }) =>
        early > EARLY_DEATHS && (worker === null || now - worker.since < SETTLED),
    );
    return {
      unable: this.#unable,
      notListening: this.#listeners.problems,
      failing: failing.length,
      places: this.#places.length,
      logs: this.#logs.figures(),
    };
  }

  /** By the member's id, `POOL/MEMBERKEY`; null when the workers don't know it. */
  loadOf(id: string): MemberLoad | null {
    const row = this.#registry.rowOf(rowName.member(id));
    const balance = this.#anyBalance();
    if (balance === undefined || row === noRow) return null;
    const micros = balance.latency[row] ?? 0;
    return {
      underWay: Math.max(0, balance.counts[row] ?? 0),
      responseUs: micros > 0 ? micros : null,
    };
  }

  /** Requests that wait for room in a pool. */
  waitingFor(pool: string): number {
    const row = this.#registry.rowOf(rowName.pool(pool));
    const balance = this.#anyBalance();
    if (balance === undefined || row === noRow) return 0;
    return Math.max(0, balance.counts[balance.waitingRow(row)] ?? 0);
  }

  #requestsOf({ memory }: Region): number {
    let sum = 0;
    for (const service of this.#source?.tables.services.keys() ?? []) {
      const row = this.#registry.rowOf(rowName.service(service));
      sum += memory.counters.values[row * rowDoubles + counter.requests] ?? 0;
    }
    return sum;
  }

  #counterRegions(): CounterRegion[] {
    return this.#regions.map(({ memory }) => memory.counters);
  }

  /** What all workers have counted. */
  counters(): CounterSample {
    return this.#reader.read(this.#counterRegions(), Date.now());
  }

  /**
   * Makes the workers serve by these tables. Resolves when all of them do, or none is left to wait
   * for; connections and requests that were begun go on as they began.
   */
  async execute(tables: L7Tables): Promise<void> {
    if (this.#closed) return;
    const services = [...tables.services.values()];
    const wanted = services.length === 0 ? 0 : tables.unit.workers || availableParallelism();
    const changes = this.#registry.assign(rowNames(tables));
    this.#reader.assigned(changes, this.#counterRegions());
    const { rows } = changes;
    for (const { row, formerly } of changes.taken) {
      if (formerly !== null) this.#anyBalance()?.clearMember(row);
    }
    const before = this.#source;
    const logs = this.#logs.configure(
      services.flatMap(({ accessLog }) => (accessLog === null ? [] : [accessLog])),
    );
    this.#source = {
      tables,
      rows: before !== null && sameRows(before.rows, rows) ? before.rows : rows,
      logs,
    };
    this.#number += 1;
    this.#listeners.follow(services, wanted);
    this.#resize(wanted);
    for (const worker of this.#workers) this.#update(worker);
    await this.#applied(this.#number);
    await this.#settled(() => [...this.#workers].every((one) => !one.draining || one.left));
  }

  /**
   * Replaces all workers, one after the other, without losing a connection. Returns how many.
   *
   * @throws {Error} when new ones do not come to serve; the old one keeps its place
   */
  async restart(): Promise<number> {
    let replaced = 0;
    for (let index = 0; index < this.#places.length; index += 1) {
      const place = this.#places[index];
      const former = place?.worker ?? null;
      if (place === undefined || former === null) continue;
      const spare = await this.#spare();
      if (place.worker !== former) continue;
      this.#take(spare, index);
      await this.#settled(
        () =>
          this.#closed ||
          this.#places[index] !== place ||
          place.retry !== null ||
          // A successor that dies is replaced in turn, so whoever has the place counts.
          (place.worker !== null && place.worker.applied >= this.#number),
      );
      if (this.#closed || former.process.exited) continue;
      if (this.#places[index] !== place || place.retry === null) {
        this.#retire(former);
        replaced += 1;
        continue;
      }
      clearTimeout(place.retry);
      place.retry = null;
      place.worker = former;
      this.#unable = null;
      throw new Error(
        'new workers do not come to serve, so the old ones go on: the events and the log of the daemon say why',
      );
    }
    return replaced;
  }

  /** Ends all workers: they finish what is under way, within a moment. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const timer of this.#timers) clearInterval(timer);
    for (const { retry } of this.#places) if (retry !== null) clearTimeout(retry);
    for (const worker of this.#workers) {
      if (worker.region === null) worker.process.kill();
      else worker.process.send({ kind: 'drain', limit: STOP_LIMIT });
    }
    const late = setTimeout(() => {
      for (const { process } of this.#workers) process.kill();
    }, 2 * STOP_LIMIT);
    await this.#settled(() => this.#workers.size === 0);
    clearTimeout(late);
    this.#drainLogs();
    await this.#logs.close();
    this.#listeners.close();
    for (const { fd } of this.#regions) close(fd);
    if (this.#shared !== null) close(this.#shared.fd);
  }

  #cpuOf(index: number): number | null {
    if (index < 0) return null;
    const cores = availableParallelism();
    return this.#places.length === cores ? index : null;
  }

  #anyBalance(): OwnMemory['balance'] | undefined {
    return this.#regions[0]?.memory.balance;
  }

  /** So many places, each with a worker; a spare besides. */
  #resize(wanted: number): void {
    while (this.#places.length < wanted) {
      this.#places.push({ worker: null, restarts: 0, early: 0, retry: null });
    }
    for (const { worker, retry } of this.#places.splice(wanted)) {
      if (retry !== null) clearTimeout(retry);
      if (worker !== null) this.#retire(worker);
    }
    if (wanted === 0) {
      for (const worker of this.#workers) if (worker.region === null) worker.process.kill();
      return;
    }
    for (let index = 0; index < wanted; index += 1) {
      const place = this.#places[index];
      if (place?.worker === null && place.retry === null) this.#fill(index);
    }
    this.#keepSpare();
  }

  /** Puts a worker into a place: a spare that is loaded, or as soon as one is. */
  #fill(index: number): void {
    const spare = this.#loadedSpare() ?? this.#unloadedSpare() ?? this.#start();
    this.#take(spare, index);
    this.#keepSpare();
  }

  #loadedSpare(): Worker | undefined {
    return [...this.#workers].find(
      ({ region, process }) => region === null && process.loaded && !process.exited,
    );
  }

  #unloadedSpare(): Worker | undefined {
    return [...this.#workers].find(({ region, process }) => region === null && !process.exited);
  }

  async #spare(): Promise<Worker> {
    this.#keepSpare();
    let found = this.#loadedSpare();
    await this.#settled(() => {
      found = this.#loadedSpare();
      return found !== undefined || this.#closed;
    });
    if (found === undefined) throw new Error('the tier is closed');
    return found;
  }

  #keepSpare(): void {
    if (this.#closed || this.#places.length === 0 || this.#unloadedSpare() !== undefined) return;
    this.#start();
  }

  #start(): Worker {
    const worker: Worker = {
      process: new WorkerProcess({
        poller: this.#options.poller,
        onMessage: (message) => {
          this.#heard(worker, message);
        },
        onOutput: (line) => {
          this.#options.onOutput(worker.process.pid, line);
        },
        onExit: (how) => {
          this.#exited(worker, how);
        },
      }),
      region: null,
      index: -1,
      draining: false,
      left: false,
      sent: null,
      applied: 0,
      listening: new Set(),
      since: Date.now(),
      heartbeat: 0,
      silent: 0,
    };
    this.#workers.add(worker);
    return worker;
  }

  /** Gives a process its place, memory, tables and sockets. It reads them once it is loaded. */
  #take(worker: Worker, index: number): void {
    const place = this.#places[index];
    if (place === undefined || this.#source === null) return;
    const shared = this.#sharedMemory();
    const region = this.#free.pop() ?? this.#newRegion(shared.buffer);
    region.memory.head.fill(0);
    worker.region = region;
    worker.index = index;
    worker.since = Date.now();
    place.worker = worker;
    worker.process.send(
      {
        kind: 'begin',
        worker: region.number,
        cpu: this.#cpuOf(index),
        sizes: this.#sizes,
        connections: this.#source.tables.unit.connections,
      },
      [shared.fd, region.fd],
    );
    this.#update(worker);
  }

  #sharedMemory(): { readonly fd: number; readonly buffer: ArrayBuffer } {
    if (this.#shared !== null) return this.#shared;
    const length = sharedBytes(this.#sizes);
    const fd = sharedMemory('weir-l7', length);
    seal(fd, false);
    const { buffer } = Mapping.open(fd, { length, access: 'write' });
    prepareShared(this.#sizes, buffer, randomFillSync(new Int32Array(2)));
    this.#shared = { fd, buffer };
    return this.#shared;
  }

  #newRegion(shared: ArrayBuffer): Region {
    const number = this.#regions.length;
    if (number >= this.#sizes.workers) {
      throw new Error(`there are ${number} workers already, old ones that still drain among them`);
    }
    const length = ownBytes(this.#sizes);
    const fd = sharedMemory(`weir-l7-worker-${number}`, length);
    seal(fd, false);
    const { buffer } = Mapping.open(fd, { length, access: 'write' });
    const region = { number, fd, memory: new OwnMemory(this.#sizes, shared, buffer) };
    this.#regions.push(region);
    return region;
  }

  /** Sends a worker what it does not have yet: first the tables, then sockets that name services. */
  #update(worker: Worker): void {
    const source = this.#source;
    if (worker.region === null || worker.draining || source === null) return;
    const part = snapshotPart(this.#number, source, worker.sent);
    const bytes = Buffer.from(JSON.stringify(part));
    const fd = sharedMemory('weir-l7-snapshot', bytes.length);
    try {
      const mapping = Mapping.open(fd, { length: bytes.length, access: 'write' });
      new Uint8Array(mapping.buffer).set(bytes);
      mapping.close();
      seal(fd, true);
      worker.process.send({ kind: 'snapshot', number: this.#number, bytes: bytes.length }, [fd]);
    } finally {
      close(fd);
    }
    worker.sent = source;
    this.#giveSockets(worker);
    worker.process.send({ kind: 'sync', number: this.#number });
  }

  #giveSockets(worker: Worker): void {
    const sockets = this.#listeners.of(worker.index);
    const keys = [...worker.listening].filter((key) => !sockets.has(key));
    if (keys.length > 0) worker.process.send({ kind: 'unlisten', keys });
    for (const key of keys) worker.listening.delete(key);
    let items: ListenItem[] = [];
    let descriptors: number[] = [];
    for (const [key, { service, fd }] of sockets) {
      if (worker.listening.has(key)) continue;
      worker.listening.add(key);
      items.push({ key, service, backlog: BACKLOG });
      descriptors.push(fd);
      if (items.length < MOST_DESCRIPTORS) continue;
      worker.process.send({ kind: 'listen', items }, descriptors);
      items = [];
      descriptors = [];
    }
    if (items.length > 0) worker.process.send({ kind: 'listen', items }, descriptors);
  }

  #retire(worker: Worker): void {
    const place = this.#places[worker.index];
    if (place?.worker === worker) place.worker = null;
    worker.draining = true;
    worker.index = -1;
    worker.process.send({ kind: 'drain', limit: DRAIN_LIMIT });
  }

  #heard(worker: Worker, message: FromWorker): void {
    switch (message.kind) {
      case 'applied':
        worker.applied = message.number;
        this.#unable = null;
        break;
      case 'unable':
        this.#unable = message.sentence;
        break;
      case 'event':
        this.#tellOf(message.event);
        break;
      case 'draining':
        worker.left = true;
        break;
      case 'loaded':
    }
    this.#wake();
  }

  #tellOf(event: (FromWorker & { readonly kind: 'event' })['event']): void {
    const { onEvent } = this.#options;
    if (event.kind === 'trouble') onEvent({ severity: 'warning', message: event.message });
    else if (event.kind === 'returned') {
      onEvent({ severity: 'info', message: `${event.member} takes requests again` });
    } else {
      const why = event.why === 'failures' ? 'too many failures in a row' : 'too many failures';
      onEvent({
        severity: 'warning',
        message: `${event.member} takes no new requests for ${event.hold / 1000} s: ${why}`,
      });
    }
  }

  #exited(worker: Worker, how: string): void {
    this.#workers.delete(worker);
    const { region, index } = worker;
    if (region !== null) {
      this.#release(region);
      this.#free.push(region);
    }
    const place = this.#places[index];
    if (!this.#closed && place !== undefined && place.worker === worker) {
      place.worker = null;
      place.restarts += 1;
      place.early = Date.now() - worker.since < SETTLED ? place.early + 1 : 1;
      this.#replace(worker, index, place, how);
    } else if (!this.#closed && region === null) {
      // A spare that died before it was needed: the next look starts another one.
      if (this.#places.length > 0) this.#options.onOutput(worker.process.pid, `a spare ${how}`);
    }
    this.#wake();
  }

  #replace(worker: Worker, index: number, place: Place, how: string): void {
    const again = place.early <= EARLY_DEATHS;
    // A kernel that cannot is not asked so often.
    const pause =
      this.#unable === null
        ? Math.min(MOST_BACK_OFF, BACK_OFF * 2 ** (place.early - EARLY_DEATHS - 1))
        : MOST_BACK_OFF;
    if (this.#unable === null) {
      this.#options.onEvent({
        severity: 'error',
        message:
          `worker ${worker.process.pid} ${how}; its connections are lost` +
          (again ? ', another one takes its place' : `; the next try is in ${pause / 1000} s`),
      });
    } else if (place.early === 1) {
      this.#options.onEvent({ severity: 'error', message: this.#unable });
    }
    if (again && this.#unable === null) {
      this.#fill(index);
      return;
    }
    place.retry = setTimeout(() => {
      place.retry = null;
      if (this.#places[index] === place && place.worker === null) this.#fill(index);
    }, pause);
    place.retry.unref();
  }

  /** What a process that is gone had in shared memory. */
  #release(region: Region): void {
    const others = this.#regions.filter((one) => one !== region && !this.#free.includes(one));
    const balances = others.map(({ memory }) => memory.balance);
    releaseWorker(region.memory.balance, balances);
    clearGauges(region.memory.counters, this.#registry.used);
    const shared = this.#shared;
    if (shared === null) return;
    const parts = new SharedMemory(this.#sizes, shared.buffer, region.number);
    parts.buckets.releaseWorker(region.number);
    parts.services.releaseWorker(region.number);
    parts.clients.releaseWorker(region.number);
  }

  #drainLogs(): void {
    this.#logs.drain(this.#regions.map((region) => this.#readerOf(region)));
  }

  readonly #readers = new Map<Region, ReturnType<OwnMemory['logReader']>>();

  #readerOf(region: Region): ReturnType<OwnMemory['logReader']> {
    let reader = this.#readers.get(region);
    if (reader === undefined) {
      reader = region.memory.logReader();
      this.#readers.set(region, reader);
    }
    return reader;
  }

  /** Once a second: who gives no sign of life is ended; sockets that could not be had are tried. */
  #watch(): void {
    for (const worker of this.#workers) {
      const { region } = worker;
      if (region === null) continue;
      const heartbeat = region.memory.head[Own.heartbeat] ?? 0;
      worker.silent = heartbeat === worker.heartbeat ? worker.silent + 1 : 0;
      worker.heartbeat = heartbeat;
      // Before it serves it may be reading its tables.
      const most = worker.applied === 0 ? LONGEST_START : SILENT;
      if (worker.silent < most) continue;
      this.#options.onEvent({
        severity: 'error',
        message: `worker ${worker.process.pid} gave no sign of life for ${most} s and is ended`,
      });
      worker.process.kill();
    }
    if (this.#listeners.problems.length > 0 && this.#source !== null) {
      this.#listeners.follow(this.#source.tables.services.values(), this.#places.length);
      for (const worker of this.#workers) {
        if (worker.region !== null && !worker.draining) this.#giveSockets(worker);
      }
    }
    this.#keepSpare();
  }

  #applied(number: number): Promise<void> {
    return this.#settled(() =>
      this.#places.every(
        ({ worker, retry }) =>
          worker === null || retry !== null || worker.process.exited || worker.applied >= number,
      ),
    );
  }

  #settled(until: () => boolean): Promise<void> {
    if (until()) return Promise.resolve();
    return new Promise((resolve) => {
      const look = (): void => {
        if (!until()) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
    });
  }

  #wake(): void {
    for (const look of [...this.#waiting]) look();
  }
}

function sameRows(a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): boolean {
  if (a.size !== b.size) return false;
  for (const [name, row] of b) if (a.get(name) !== row) return false;
  return true;
}

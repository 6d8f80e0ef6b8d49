/**
 * The layer-7 tier: keeps so many workers serving what the tables say.
 *
 * Invariants:
 * - A worker that dies takes along its own connections and nothing else: its sockets stay, a spare
 *   process that is already loaded takes its place, and what it had counted in shared memory is taken
 *   off before.
 * - Who takes a place serves by the latest tables before its predecessor lets go of the sockets.
 * - Nothing waits here: what is to be waited for is a promise.
 * - Workers that an earlier daemon left serve until as many of our own do, on the same sockets and in
 *   the same memory.
 * - No failure of one worker, or lack of anything for one, gets out of a callback: it is told and tried
 *   again.
 */
import { allowedCpus } from '../../../native/ffi/affinity.js';
import { beginningOf, bootId } from '../../../native/ffi/pidfd.js';
import { close } from '../../../native/ffi/libc.js';
import { MOST_DESCRIPTORS } from '../../../native/ffi/packet-channel.js';
import type { Poller } from '../../../native/ffi/poller.js';
import type { L7Tables } from '../tables.js';
import { AccessLogs } from '../telemetry/access-logs.js';
import { counter, rowDoubles } from '../telemetry/counter-layout.js';
import { CounterReader, type CounterSample } from '../telemetry/counter-reader.js';
import { noRow, RowRegistry, rowName, rowNames } from '../telemetry/row-registry.js';
import type { StickyTable } from '../balance/sticky-table.js';
import { defaultSizes, type MemorySizes, Own } from '../worker/memory.js';
import { DRAIN_LIMIT, type FromWorker, type ListenItem, STOP_LIMIT } from '../worker/messages.js';
import type { SnapshotSource } from '../worker/snapshots.js';
import { adopt } from './adoption.js';
import { BACKLOG, Listeners, type ListenProblem } from './listeners.js';
import { OrphanProcess } from './orphan.js';
import type { PackedSecrets } from './packed-secrets.js';
import { PackedSnapshots } from './packed-snapshots.js';
import { type Region, Regions } from './regions.js';
import { layoutOf, readState, type TierState, writeState } from './tier-state.js';
import {
  downIn,
  isSpare,
  type MemberLoad,
  newWorker,
  type Place,
  serves,
  type TierEvent,
  type TierHealth,
  type Worker,
  type WorkerRow,
} from './tier-worker.js';
import { WorkerProcess } from './worker-process.js';

export type { MemberLoad, TierEvent, TierHealth, WorkerRow } from './tier-worker.js';

export interface WorkerTierOptions {
  readonly poller: Poller;
  readonly onEvent: (event: TierEvent) => void;
  /** A line for the log. */
  readonly onOutput: (pid: number, line: string) => void;
  readonly sizes?: MemorySizes;
  /** Where it is written down who the workers are; left out: the next daemon does not find them. */
  readonly stateFile?: string;
  /** These tables are about to be executed: whoever has what they name gives it now (setSecrets). */
  readonly beforeTables?: (tables: L7Tables) => void;
  /** Once, before the first socket listens. */
  readonly beforeListening?: () => void;
}

/** Milliseconds. */
const LOGS = 200;
const WATCH = 1000;
/** As long do workers tell of requests without being asked again. */
const WATCHED = 3000;
/** Seconds without a sign of life after which a worker is ended. */
const SILENT = 5;
/** A worker that lived as long did not die of its start. */
const SETTLED = 5000;
const EARLY_DEATHS = 3;
/** After those it waits: so long first, twice as long each time, and never longer than the last. */
const BACK_OFF = 250;
const MOST_BACK_OFF = 5000;
/** Seconds that a process may take to load, to serve for the first time, and beyond the limit to drain. */
const BEGIN = 30;
/** On a box that is too slow for that: twice as long after each second in which one was ended for it. */
const MOST_BEGIN = 480;
/** Milliseconds that a change of the tables waits for workers: then it is theirs alone. */
const APPLY_LIMIT = 15_000;
const SPARE_BACK_OFF = 30_000;
/** A kernel that cannot is not asked so often. */
const UNABLE_BACK_OFF = 30_000;

export class WorkerTier {
  readonly #options: WorkerTierOptions;
  readonly #sizes: MemorySizes;
  readonly #listeners = new Listeners();
  readonly #registry: RowRegistry;
  readonly #reader = new CounterReader();
  readonly #logs: AccessLogs;
  readonly #workers = new Set<Worker>();
  readonly #regions: Regions;
  readonly #places: Place[] = [];
  readonly #waiting = new Set<() => void>();
  readonly #earlier: TierState | null;
  #source: SnapshotSource | null = null;
  #secrets: PackedSecrets | null = null;
  #number = 0;
  #begun = false;
  #closed = false;
  #unable: string | null = null;
  #unableTold: string | null = null;
  #listened = false;
  #restarting: Promise<number> | null = null;
  /** Seconds. What a box needed once it needs again, so this never goes back. */
  #patience = BEGIN;
  /** Spares that died in a row; none is started before that moment. */
  #spareDeaths = 0;
  #spareHeld = 0;
  #layout = '';
  /** A lack of something was told, until it is over. */
  readonly #told = new Set<string>();
  readonly #timers: NodeJS.Timeout[];

  constructor(options: WorkerTierOptions) {
    this.#options = options;
    this.#sizes = options.sizes ?? defaultSizes;
    this.#registry = new RowRegistry(this.#sizes.rows);
    this.#regions = new Regions(this.#sizes);
    this.#regions.onNew = (region) => {
      for (const { process, region: own } of this.#workers) {
        if (own !== null && own !== region && process instanceof WorkerProcess) {
          process.send({ kind: 'keep' }, [region.fd]);
        }
      }
    };
    this.#earlier = this.#try('the state of earlier workers', () =>
      options.stateFile === undefined ? null : readState(options.stateFile),
    );
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

  /** Certificates and keys for services with TLS, and at once for those that serve already. */
  setSecrets(secrets: PackedSecrets): void {
    this.#secrets = secrets;
    if (this.#closed) return;
    this.#updateAll();
  }

  /** Resolves when all that serve have the latest of these; false: not in time. */
  async secretsTaken(): Promise<boolean> {
    const version = this.#secrets?.version ?? 0;
    const taken = (): boolean =>
      this.#places.every(
        ({ worker, retry }) =>
          retry !== null || (worker !== null && worker.secretsTaken >= version),
      );
    await this.#within(APPLY_LIMIT, taken);
    return !this.#closed && taken();
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
      .filter((worker) => !isSpare(worker))
      .map((worker) => {
        const { process, region, index, draining, applied, since } = worker;
        return {
          requests: region === null ? 0 : this.#requestsOf(region),
          worker: region?.number ?? 0,
          pid: process.pid,
          cpu: this.#cpuOf(index),
          state: draining ? ('draining' as const) : applied === 0 ? 'starting' : 'serving',
          clients: region?.memory.head[Own.clients] ?? 0,
          since,
          restarts: this.#places[index]?.restarts ?? 0,
        };
      });
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
    const balance = this.#regions.all[0]?.memory.balance;
    if (balance === undefined || row === noRow) return null;
    const micros = balance.latency[row] ?? 0;
    return {
      underWay: Math.max(0, balance.counts[row] ?? 0),
      responseUs: micros > 0 ? micros : null,
    };
  }

  /** Which member each client sticks to, of all workers; null: there were none yet. */
  get sticky(): StickyTable | null {
    return this.#regions.sticky;
  }

  /** Requests that wait for room in a pool. */
  waitingFor(pool: string): number {
    const row = this.#registry.rowOf(rowName.pool(pool));
    const balance = this.#regions.all[0]?.memory.balance;
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

  /** Members that an earlier daemon had found down, before the first `execute`. */
  get membersDown(): readonly string[] {
    return this.#earlier?.boot === bootId() ? this.#earlier.down : [];
  }

  /** What all workers have counted. */
  counters(): CounterSample {
    return this.#reader.read(this.#regions.counters, Date.now());
  }

  /** Starts so many processes (0: one for each CPU) ahead of the first tables: loading takes its time. */
  warm(workers: number): void {
    if (this.#closed || this.#begun) return;
    const wanted = workers || allowedCpus().length;
    for (let started = 0; started < wanted; started += 1) this.#start();
  }

  /**
   * Makes the workers serve by these tables. Resolves when all of them do, or none is left to wait
   * for; connections and requests that were begun go on as they began.
   */
  async execute(tables: L7Tables): Promise<void> {
    if (this.#closed) return;
    this.#options.beforeTables?.(tables);
    if (!this.#begun) this.#begin();
    const services = [...tables.services.values()];
    const wanted = services.length === 0 ? 0 : tables.unit.workers || allowedCpus().length;
    const changes = this.#registry.assign(rowNames(tables));
    this.#reader.assigned(changes, this.#regions.counters);
    const { rows } = changes;
    const balance = this.#regions.all[0]?.memory.balance;
    for (const { row, formerly } of changes.taken) {
      if (formerly !== null) balance?.clearMember(row);
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
    if (services.length > 0) this.#prepareListening();
    this.#listeners.follow(services, wanted);
    this.#resize(wanted);
    this.#updateAll();
    this.#writeState();
    await this.#within(APPLY_LIMIT, () => this.#served(this.#number));
    this.#dismissOrphans();
    await this.#within(APPLY_LIMIT, () =>
      [...this.#workers].every((one) => !one.draining || one.left),
    );
  }

  /**
   * Replaces all workers, one after the other, without losing a connection. Returns how many.
   *
   * @throws {Error} when new ones do not come to serve; the old one keeps its place
   */
  restart(): Promise<number> {
    this.#restarting ??= this.#restart().finally(() => {
      this.#restarting = null;
    });
    return this.#restarting;
  }

  /** Ends all workers: they finish what is under way, within a moment. */
  async close(): Promise<void> {
    if (!this.#stop()) return;
    for (const worker of this.#workers) {
      if (isSpare(worker)) worker.process.kill();
      else worker.process.drain(STOP_LIMIT);
    }
    const late = setTimeout(() => {
      for (const { process } of this.#workers) process.kill();
    }, 2 * STOP_LIMIT);
    await this.#settled(() => this.#workers.size === 0);
    clearTimeout(late);
    this.#writeState();
    await this.#let();
  }

  /** Leaves the workers alone: they serve on by what they know, and the next daemon finds them. */
  async leave(): Promise<void> {
    if (!this.#stop()) return;
    if (this.#begun) this.#writeState();
    for (const worker of this.#workers) {
      if (isSpare(worker)) worker.process.kill();
      worker.process.release();
    }
    this.#workers.clear();
    this.#wake();
    await this.#let();
  }

  /** False: it had been stopped already. */
  #stop(): boolean {
    if (this.#closed) return false;
    this.#closed = true;
    for (const timer of this.#timers) clearInterval(timer);
    for (const { retry } of this.#places) if (retry !== null) clearTimeout(retry);
    return true;
  }

  async #let(): Promise<void> {
    this.#drainLogs();
    await this.#logs.close();
    this.#listeners.close();
    this.#regions.close();
  }

  async #restart(): Promise<number> {
    let replaced = 0;
    for (const [index, place] of [...this.#places.entries()]) {
      const former = place.worker;
      if (former === null || this.#places[index] !== place) continue;
      let spare: Worker | undefined;
      await this.#settled(() => {
        this.#keepSpare();
        spare = this.#loadedSpare();
        return spare !== undefined || place.worker !== former || this.#closed;
      });
      // Meanwhile it died and was replaced, or its place is gone.
      if (spare === undefined || place.worker !== former || this.#closed) continue;
      const next = spare;
      if (!this.#give(next, index)) {
        place.worker = former;
        throw new Error('a worker cannot be replaced, so the old ones go on: the events say why');
      }
      const here = (): boolean => this.#places[index] === place;
      await this.#settled(
        () => this.#closed || !here() || place.retry !== null || serves(place, this.#number),
      );
      if (this.#closed) return replaced;
      if (former.process.exited) continue;
      if (here() && place.retry !== null && !former.process.exited) {
        clearTimeout(place.retry);
        place.retry = null;
        place.worker = former;
        this.#unable = null;
        throw new Error(
          'new workers do not come to serve, so the old ones go on: the events and the log of the daemon say why',
        );
      }
      this.#retire(former);
      replaced += 1;
      this.#keepSpare();
    }
    return replaced;
  }

  /** Once, before anything else: looks for workers that an earlier daemon left. */
  #begin(): void {
    this.#begun = true;
    this.#layout = layoutOf(this.#sizes);
    const earlier = this.#earlier;
    if (earlier?.boot !== bootId()) return;
    this.#number = earlier.number;
    const adopted = adopt(earlier, {
      layout: this.#layout,
      poller: this.#options.poller,
      registry: this.#registry,
      logs: this.#logs,
      regions: this.#regions,
      listeners: this.#listeners,
      attempt: (what, work) => this.#try(what, work),
      onExit: (process, how) => {
        const worker = [...this.#workers].find((one) => one.process === process);
        if (worker !== undefined) this.#exited(worker, how);
      },
    });
    for (const { process, region, since } of adopted.workers) {
      const worker = newWorker(process, true);
      Object.assign(worker, { region, since, applied: this.#number });
      this.#workers.add(worker);
    }
    if (adopted.workers.length === 0) return;
    this.#options.onEvent({
      severity: 'info',
      message:
        `took over the sockets${adopted.continued ? ' and the counters' : ''} of ${adopted.workers.length} workers of an earlier daemon` +
        (adopted.continued ? '' : '; counters and stickiness begin anew'),
    });
  }

  /** Once our own serve, those of an earlier daemon may go. */
  #dismissOrphans(): void {
    if (this.#closed || !this.#served(this.#number, false)) return;
    for (const worker of this.#workers) {
      if (worker.adopted && !worker.draining) this.#retire(worker);
    }
  }

  #prepareListening(): void {
    const { beforeListening } = this.#options;
    if (this.#listened) return;
    this.#listened = true;
    if (beforeListening !== undefined) this.#try('before the first socket', beforeListening);
  }

  /** What cannot be done now is told once, until it can: callbacks have nobody to throw to. */
  #try<T>(what: string, work: () => T): T | null {
    try {
      const result = work();
      this.#told.delete(what);
      return result;
    } catch (error) {
      if (!this.#told.has(what)) {
        this.#told.add(what);
        const why = error instanceof Error ? error.message : String(error);
        this.#options.onEvent({ severity: 'error', message: `workers: ${what}: ${why}` });
      }
      return null;
    }
  }

  #writeState(): void {
    const { stateFile } = this.#options;
    if (stateFile === undefined) return;
    this.#try('the file that names the workers cannot be written', () => {
      const workers = [...this.#workers].flatMap((worker) => {
        const { process, region, since } = worker;
        const began = isSpare(worker) ? null : beginningOf(process.pid);
        return began === null
          ? []
          : [{ pid: process.pid, began, region: region?.number ?? -1, since }];
      });
      const { owned, freed, next } = this.#registry.state;
      const logs = this.#logs.state;
      writeState(stateFile, {
        boot: bootId(),
        layout: this.#layout,
        number: this.#number,
        workers,
        shared: this.#regions.identity,
        rows: {
          owned: [...owned] as [string, number][],
          freed: [...freed] as [string, number][],
          next,
        },
        logs: {
          owned: [...logs.owned] as [string, number][],
          freed: [...logs.freed] as [string, number][],
          next: logs.next,
        },
        down: downIn(this.#source?.tables),
      });
    });
  }

  #cpuOf(index: number): number | null {
    if (index < 0) return null;
    const cpus = allowedCpus();
    return this.#places.length === cpus.length ? (cpus[index] ?? null) : null;
  }

  /** So many places, each with a worker; a spare comes when they serve. */
  #resize(wanted: number): void {
    while (this.#places.length < wanted) {
      this.#places.push({ worker: null, restarts: 0, early: 0, retry: null });
    }
    for (const { worker, retry } of this.#places.splice(wanted)) {
      if (retry !== null) clearTimeout(retry);
      if (worker !== null) this.#retire(worker);
    }
    if (wanted === 0) {
      for (const worker of this.#workers) if (isSpare(worker)) worker.process.kill();
      return;
    }
    for (let index = 0; index < wanted; index += 1) {
      const place = this.#places[index];
      if (place?.worker === null && place.retry === null) this.#fill(index);
    }
  }

  /** Puts a worker into a place: a spare that is loaded, or as soon as one is. */
  #fill(index: number): void {
    const place = this.#places[index];
    if (place === undefined || this.#closed) return;
    const spare = this.#loadedSpare() ?? this.#unloadedSpare() ?? this.#start();
    if (spare !== null) this.#give(spare, index);
    if (place.worker === null) this.#later(index, place);
  }

  #pause({ early }: Place): number {
    if (this.#unable !== null) return UNABLE_BACK_OFF;
    return Math.min(MOST_BACK_OFF, BACK_OFF * 2 ** Math.max(0, early - EARLY_DEATHS - 1));
  }

  /** Fills a place in a while. */
  #later(index: number, place: Place): void {
    if (place.retry !== null || this.#closed) return;
    place.retry = setTimeout(() => {
      place.retry = null;
      if (this.#places[index] === place && place.worker === null) this.#fill(index);
    }, this.#pause(place));
    place.retry.unref();
  }

  #loadedSpare(): Worker | undefined {
    return [...this.#workers].find((worker) => isSpare(worker) && worker.process.loaded);
  }

  #unloadedSpare(): Worker | undefined {
    return [...this.#workers].find(isSpare);
  }

  #prepare({ process, region }: Worker): void {
    if (region !== null || this.#source === null || process instanceof OrphanProcess) return;
    const { connections } = this.#source.tables.unit;
    process.send({ kind: 'prepare', sizes: this.#sizes, connections });
  }

  /** Not while one comes up that is needed now: loading takes a CPU. */
  #keepSpare(): void {
    if (this.#closed || this.#places.length === 0 || this.#unloadedSpare() !== undefined) return;
    if (this.#places.some(({ worker }) => worker?.applied === 0)) return;
    if (Date.now() >= this.#spareHeld) this.#start();
  }

  #start(): Worker | null {
    return this.#try('a worker cannot be started', () => {
      const process = new WorkerProcess({
        poller: this.#options.poller,
        onMessage: (message) => {
          this.#heard(worker, message);
        },
        onOutput: (line) => {
          this.#options.onOutput(process.pid, line);
        },
        onExit: (how) => {
          this.#exited(worker, how);
        },
      });
      const worker = newWorker(process, false);
      this.#workers.add(worker);
      return worker;
    });
  }

  /**
   * Gives a process its place, memory, tables and sockets. It reads them once it is loaded. False: it
   * cannot be, and the process stays a spare or is ended.
   */
  #give(worker: Worker, index: number): boolean {
    return this.#try('a worker cannot begin', () => this.#take(worker, index)) ?? false;
  }

  #take(worker: Worker, index: number): boolean {
    const { process } = worker;
    const place = this.#places[index];
    if (place === undefined || this.#source === null || process instanceof OrphanProcess)
      return false;
    const { shared } = this.#regions;
    const region = this.#regions.take();
    const former = place.worker;
    Object.assign(worker, { region, index, since: Date.now(), waited: 0 });
    place.worker = worker;
    this.#writeState();
    process.send(
      {
        kind: 'begin',
        worker: region.number,
        cpu: this.#cpuOf(index),
        sizes: this.#sizes,
        connections: this.#source.tables.unit.connections,
      },
      [shared.fd, region.fd],
    );
    const others = this.#regions.all.filter((one) => one !== region).map(({ fd }) => fd);
    while (others.length > 0) process.send({ kind: 'keep' }, others.splice(0, MOST_DESCRIPTORS));
    const packed = new PackedSnapshots(this.#number, this.#source);
    try {
      this.#update(worker, packed);
    } catch (error) {
      // Half of it is no use: it ends, and is no more in the place.
      worker.index = -1;
      place.worker = former;
      process.kill();
      throw error;
    } finally {
      packed.close();
    }
    return true;
  }

  /** Before the tables that name them. */
  #giveSecrets(worker: Worker, process: WorkerProcess): void {
    const secrets = this.#secrets;
    if (secrets === null || worker.secrets === secrets.version) return;
    const { fd, bytes } = secrets.pack();
    try {
      process.send({ kind: 'secrets', version: secrets.version, bytes }, [fd]);
    } finally {
      close(fd);
    }
    worker.secrets = secrets.version;
  }

  #updateAll(): void {
    if (this.#source === null) return;
    const packed = new PackedSnapshots(this.#number, this.#source);
    try {
      for (const worker of this.#workers) this.#update(worker, packed);
    } finally {
      packed.close();
    }
  }

  /** Sends a worker what it does not have yet: first the tables, then sockets that name services. */
  #update(worker: Worker, packed: PackedSnapshots): void {
    const { process } = worker;
    if (worker.region === null || worker.draining || process instanceof OrphanProcess) return;
    this.#giveSecrets(worker, process);
    if (worker.sent === packed.source) return;
    const { fd, bytes } = packed.for(worker.sent);
    process.send({ kind: 'snapshot', number: packed.number, bytes }, [fd]);
    worker.sent = packed.source;
    this.#giveSockets(worker, process);
    process.send({ kind: 'sync', number: packed.number });
  }

  #giveSockets(worker: Worker, process: WorkerProcess): void {
    const sockets = this.#listeners.of(worker.index);
    const keys = [...worker.listening].filter((key) => !sockets.has(key));
    while (keys.length > 0) {
      const some = keys.splice(0, MOST_DESCRIPTORS);
      process.send({ kind: 'unlisten', keys: some });
      for (const key of some) worker.listening.delete(key);
    }
    const wanted = [...sockets].filter(([key]) => !worker.listening.has(key));
    while (wanted.length > 0) {
      const some = wanted.splice(0, MOST_DESCRIPTORS);
      const items = some.map(([key, { service }]): ListenItem => ({
        key,
        service,
        backlog: BACKLOG,
      }));
      process.send(
        { kind: 'listen', items },
        some.map(([, { fd }]) => fd),
      );
      for (const { key } of items) worker.listening.add(key);
    }
  }

  #retire(worker: Worker): void {
    if (worker.draining) return;
    const place = this.#places[worker.index];
    if (place?.worker === worker) place.worker = null;
    worker.draining = true;
    worker.index = -1;
    worker.waited = 0;
    // An adopted one says nothing of it.
    worker.left = worker.adopted;
    this.#try('a worker cannot be told to drain', () => {
      worker.process.drain(DRAIN_LIMIT);
    });
  }

  #heard(worker: Worker, message: FromWorker): void {
    switch (message.kind) {
      case 'applied':
        worker.applied = message.number;
        this.#unable = null;
        this.#unableTold = null;
        this.#dismissOrphans();
        this.#keepSpare();
        break;
      case 'secrets':
        worker.secretsTaken = message.version;
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
        worker.waited = 0;
        this.#spareDeaths = 0;
        this.#prepare(worker);
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
    const { region, index, process } = worker;
    if (region !== null) {
      this.#try('what a worker had counted cannot be taken off', () => {
        this.#regions.give(region, this.#registry.used);
      });
    }
    const place = this.#places[index];
    if (!this.#closed && place !== undefined && place.worker === worker) {
      place.worker = null;
      place.restarts += 1;
      place.early = Date.now() - worker.since < SETTLED ? place.early + 1 : 1;
      this.#replace(worker, index, place, how);
    } else if (!this.#closed && region === null && !worker.adopted && this.#places.length > 0) {
      // A spare that died before it was needed: the next look starts another one.
      this.#spareDeaths += 1;
      if (this.#spareDeaths >= EARLY_DEATHS) this.#spareHeld = Date.now() + SPARE_BACK_OFF;
      this.#options.onOutput(process.pid, `a spare ${how}`);
    }
    if (!this.#closed && worker.adopted) this.#writeState();
    this.#wake();
  }

  #replace(worker: Worker, index: number, place: Place, how: string): void {
    const again = place.early <= EARLY_DEATHS;
    if (this.#unable === null) {
      this.#options.onEvent({
        severity: 'error',
        message:
          `worker ${worker.process.pid} ${how}; its connections are lost` +
          (again
            ? ', another one takes its place'
            : `; the next try is in ${this.#pause(place) / 1000} s`),
      });
    } else if (this.#unable !== this.#unableTold) {
      this.#unableTold = this.#unable;
      this.#options.onEvent({ severity: 'error', message: this.#unable });
    }
    if (again && this.#unable === null) this.#fill(index);
    else this.#later(index, place);
  }

  /** Lines of requests for whoever looks at them live (telemetry/live-tap.ts); null: nobody does. */
  watchRequests(hears: ((bytes: Uint8Array, start: number, end: number) => void) | null): void {
    this.#logs.onLive = hears;
    this.#drainLogs();
  }

  #drainLogs(): void {
    const until = this.#logs.onLive === null ? 0 : monotonicWord() + WATCHED || 1;
    for (const ring of this.#regions.logs) ring.watch(until | 0);
    this.#try('the access log', () => this.#logs.drain(this.#regions.logs));
  }

  /** Once a second: who gives no sign of life is ended; sockets that could not be had are tried. */
  #watch(): void {
    let late = false;
    for (const worker of this.#workers) {
      const why = worker.condemned ? null : this.#hangs(worker);
      if (why === null) continue;
      worker.condemned = true;
      late ||= !worker.draining && worker.applied === 0;
      this.#options.onEvent({
        severity: 'error',
        message: `worker ${worker.process.pid} ${why} and is ended`,
      });
      this.#try('a worker cannot be ended', () => {
        worker.process.kill();
      });
    }
    if (late) this.#patience = Math.min(2 * this.#patience, MOST_BEGIN);
    this.#try('sockets of services', () => {
      this.#listenAgain();
    });
    this.#keepSpare();
  }

  #hangs(worker: Worker): string | null {
    const { region, draining, applied, process } = worker;
    worker.waited += 1;
    if (region !== null && applied > 0) {
      const heartbeat = region.memory.head[Own.heartbeat] ?? 0;
      worker.silent = heartbeat === worker.heartbeat ? worker.silent + 1 : 0;
      worker.heartbeat = heartbeat;
      if (worker.silent >= SILENT) return `gave no sign of life for ${SILENT} s`;
    }
    const idle = isSpare(worker) && process.loaded;
    if (draining && worker.waited >= DRAIN_LIMIT / 1000 + BEGIN) return 'does not end';
    const begins = !draining && applied === 0 && !idle;
    return begins && worker.waited >= this.#patience
      ? `did not begin to serve within ${this.#patience} s`
      : null;
  }

  #listenAgain(): void {
    if (this.#listeners.problems.length === 0 || this.#source === null) return;
    this.#listeners.follow(this.#source.tables.services.values(), this.#places.length);
    for (const worker of this.#workers) {
      const { process, region, draining } = worker;
      if (region === null || draining || process instanceof OrphanProcess) continue;
      this.#giveSockets(worker, process);
    }
  }

  /** Every place has a worker that serves by this; `hopeless`: or waits for the next try. */
  #served(number: number, hopeless = true): boolean {
    return this.#places.every(
      (place) => (hopeless && place.retry !== null) || serves(place, number),
    );
  }

  /** Until then, or as long as may be waited for. */
  async #within(milliseconds: number, until: () => boolean): Promise<void> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.#wake();
    }, milliseconds);
    try {
      await this.#settled(() => late || this.#closed || until());
    } finally {
      clearTimeout(timer);
    }
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

/** Milliseconds of the clock of the workers' loops. */
function monotonicWord(): number {
  return Number(process.hrtime.bigint() / 1_000_000n) | 0;
}

function sameRows(a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): boolean {
  if (a.size !== b.size) return false;
  for (const [name, row] of b) if (a.get(name) !== row) return false;
  return true;
}

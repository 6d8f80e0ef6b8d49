/**
 * Two units with real stores, joined by a link that is made of two lists: every message waits until
 * the test delivers it, time passes when the test says so, and a unit can be killed between any two
 * steps.
 */
import { mkdtempSync, rmSync, existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Document } from '../../../../appliance/config/schema.js';
import { ConfigStore } from '../../../../appliance/config/store.js';
import { parseMessage, type Message } from '../../../../appliance/ha/replication/messages.js';
import { Replicator, type Done } from '../../../../appliance/ha/replication/replicator.js';
import type { ReplicationError } from '../../../../appliance/ha/replication/state.js';
import {
  type PeerIdentity,
  type ReplicationNews,
} from '../../../../appliance/ha/replication/state.js';

export const KEY = 'c'.repeat(64);

/** What came of a change: the number of its revision, or why there is none. */
export type Result = Done<number> | ReplicationError | Error;

export class SimulatedUnit {
  /** Its clock ahead of the time, in milliseconds: it may leap, back too. */
  ahead = 0;
  readonly name: string;
  readonly role: PeerIdentity['role'];
  readonly news: ReplicationNews[] = [];
  /** What the other unit has sent. */
  inbox: Message[] = [];
  /** Why a document cannot be executed here. */
  refuses: (document: Document) => string | null = () => null;
  store: ConfigStore;
  replicator: Replicator;
  /** The change that is under way. */
  busy = false;
  key = KEY;
  readonly #pair: TwoUnits;
  readonly #path: string;
  #timers = new Set<() => void>();
  #run = 0;

  constructor(pair: TwoUnits, name: string, role: PeerIdentity['role']) {
    this.#pair = pair;
    this.name = name;
    this.role = role;
    this.#path = join(pair.folder, `${name}.db`);
    this.store = this.#open();
    this.replicator = this.#replicator();
  }

  get other(): SimulatedUnit {
    return this === this.#pair.a ? this.#pair.b : this.#pair.a;
  }

  /** The daemon is killed and starts again; what it was about to answer is lost. */
  restart(): void {
    this.store.close();
    this.busy = false;
    this.#run += 1;
    this.#timers.clear();
    this.inbox = [];
    this.other.inbox = [];
    this.store = this.#open();
    this.replicator = this.#replicator();
    if (!this.#pair.up) return;
    this.other.replicator.linkUp();
    this.replicator.linkUp();
  }

  deliver(): boolean {
    const message = this.#pair.up ? this.inbox.shift() : undefined;
    if (message === undefined) return false;
    this.replicator.receive(parseMessage(JSON.parse(JSON.stringify(message))));
    return true;
  }

  /** Everybody who waits for the other unit waited too long. */
  tooLate(): void {
    for (const late of [...this.#timers]) late();
  }

  document(pools: Document['pools'], unit: Partial<Document['unit']> = {}): Document {
    const name = this.store.head()?.document.unit.name ?? this.name;
    return { version: 1, unit: { name, ...unit }, ...(pools === undefined ? {} : { pools }) };
  }

  commit(document: Document, author = 'ada', confirmBy: number | null = null): Promise<Result> {
    const base = this.store.head()?.number ?? 0;
    return this.#change(() =>
      this.replicator.run({
        ...{ kind: 'commit', document, author, comment: '', confirmBy, base },
        write: (recorded) =>
          this.store.commit({
            ...{ document, author, comment: '', parent: base, recorded },
            ...(confirmBy === null ? {} : { confirmBy }),
          }).number,
      }),
    );
  }

  confirm(): Promise<Result> {
    const base = this.store.head()?.number ?? 0;
    return this.#change(() =>
      this.replicator.run({
        ...{ kind: 'confirm', document: null, author: 'ada', comment: '', confirmBy: null, base },
        write: (recorded) => {
          this.store.confirm(base, recorded);
          return base;
        },
      }),
    );
  }

  /** The deadline of what waits is over. */
  expire(): void {
    const pending = this.store.pendingConfirm();
    if (pending === null) return;
    const back = this.store.revision(pending.previous).document;
    this.store.rollbackPending('weir', undefined, this.replicator.takenBack(back));
    this.replicator.announce();
  }

  close(): void {
    this.store.close();
  }

  async #change(work: () => Promise<Done<number>>): Promise<Result> {
    const run = this.#run;
    this.busy = true;
    try {
      return await work();
    } catch (error) {
      return error as Error;
    } finally {
      if (run === this.#run) this.busy = false;
    }
  }

  /** Wall-clock time as this unit has it. */
  #clock(): number {
    return this.#pair.now++ + this.ahead;
  }

  #open(): ConfigStore {
    return ConfigStore.open(this.#path, { now: () => this.#clock() });
  }

  #replicator(): Replicator {
    const run = this.#run;
    const { name, role } = this;
    return new Replicator({
      store: this.store,
      peer: () => ({ key: this.key, name: name === 'weir-a' ? 'weir-b' : 'weir-a', role }),
      unit: () => name,
      send: (message) => {
        if (run === this.#run) this.other.inbox.push(message);
      },
      check: (document) => this.refuses(document),
      onNews: (news) => {
        this.news.push(news);
      },
      now: () => this.#clock(),
      setTimer: (late) => {
        this.#timers.add(late);
        return () => this.#timers.delete(late);
      },
    });
  }
}

export class TwoUnits {
  readonly folder: string;
  readonly a: SimulatedUnit;
  readonly b: SimulatedUnit;
  up = false;
  now = 1_000_000;

  constructor() {
    const memory = '/dev/shm';
    this.folder = mkdtempSync(join(existsSync(memory) ? memory : tmpdir(), 'weir-replica-'));
    this.a = new SimulatedUnit(this, 'weir-a', 'inviter');
    this.b = new SimulatedUnit(this, 'weir-b', 'joiner');
  }

  get units(): readonly SimulatedUnit[] {
    return [this.a, this.b];
  }

  heal(): void {
    if (this.up) return;
    this.up = true;
    for (const unit of this.units) unit.replicator.linkUp();
  }

  /** What is on the way comes when the link is back, unless a daemon was restarted. */
  cut(): void {
    if (!this.up) return;
    this.up = false;
    for (const unit of this.units) unit.replicator.linkDown();
  }

  /** Delivers until nothing is on the way. */
  async settle(): Promise<void> {
    for (let round = 0; ; round++) {
      if (round > 1000) throw new Error('expected that the units come to an end, but they talk on');
      await ticks();
      const moved = this.units.map((unit) => unit.deliver());
      if (!moved.includes(true)) {
        await ticks();
        if (this.units.every(({ inbox }) => inbox.length === 0 || !this.up)) return;
      }
    }
  }

  close(): void {
    for (const unit of this.units) unit.close();
    rmSync(this.folder, { recursive: true });
  }
}

/** Everything that waits for nothing but its turn has had it. */
export async function ticks(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
}

export async function twoUnits(work: (pair: TwoUnits) => Promise<void>): Promise<void> {
  const pair = new TwoUnits();
  try {
    await work(pair);
  } finally {
    pair.close();
  }
}

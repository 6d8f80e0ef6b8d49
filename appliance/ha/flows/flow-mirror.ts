/**
 * Tells the other unit of this one's flows, and takes what it tells of its own, so that either can go
 * on with all of them.
 *
 * Sending. What happens to flows comes from the table's ring, what it had no room for, and everything
 * for a unit that has just joined, by walks; a *pass* has told all of it. Passes begin with each
 * session, every ten minutes, and when something was lost. All of it waits in the table until the
 * other unit has acknowledged what was sent before: memory is bounded by a few batches, and a slow
 * peer slows the walks down and nothing else.
 *
 * Receiving. Records are applied as they come. What was not told in a whole pass is over. When the
 * other unit has lost its tables, what it told of before is this unit's from then on.
 *
 * Invariant: nothing is taken before the other unit has said what it is, and nothing is thrown away
 * that only this unit knows.
 */
import { CHANNEL, decode, encodeAsk, encodeEnd, encodeHello, encodeRecords } from './messages.js';
import { PASSES, type Description, type FlowTable } from './flow-table.js';

/** What the mirror needs of a session of the pair (ha/pair/session.ts). */
export interface FlowChannel {
  /** Of the other daemon's run; 0: never heard. */
  readonly peerEpoch: number;
  send(channel: string, body: Buffer): Promise<void>;
  on(channel: string, listener: (body: Buffer) => void): () => void;
}

export interface FlowMirrorTiming {
  /** Between two looks at what there is to tell. */
  readonly tickMs: number;
  /** Between walks while there is nothing left to tell, … */
  readonly walkMs: number;
  /** … and between beginnings of passes. */
  readonly passMs: number;
  /** The least between passes, when something was lost. */
  readonly repeatMs: number;
}

export const FLOW_TIMING: FlowMirrorTiming = {
  tickMs: 20,
  walkMs: 1000,
  passMs: 600_000,
  repeatMs: 10_000,
};

export type FlowMirrorNews =
  /** The other unit has taken everything; once a session. */
  | { readonly what: 'synchronised' }
  /** This unit has taken everything of the other; once a session, and after each loss of it. */
  | { readonly what: 'complete' }
  | { readonly what: 'adopted'; readonly count: number }
  /** The other unit’s addresses of full nat, which this one has to hold while that one is dead. */
  | { readonly what: 'addresses'; readonly addresses: readonly string[] };

/** What stays known of the other unit while it is dead. */
export type Remembered = Pick<Description, 'table' | 'natAddresses'>;

export interface FlowMirrorOptions {
  readonly table: FlowTable;
  /** Outlives the daemon, and not the tables. */
  readonly remembered: { get(): Remembered | null; set(other: Remembered): void };
  readonly onNews?: (news: FlowMirrorNews) => void;
  readonly onError: (error: unknown) => void;
  readonly timing?: FlowMirrorTiming;
}

export interface FlowMirrorState {
  /** The other unit knows all flows of this one, but for the last moments. */
  readonly synchronised: boolean;
  /** The other unit is heard, and this one knows all of its flows, but for the last moments. */
  readonly complete: boolean;
  /** The running pass; 0: no session. */
  readonly pass: number;
  /** Passes that ended, ever. */
  readonly passes: number;
  /** Records that the other unit has taken, ever. */
  readonly told: number;
  /** Milliseconds that the oldest batch waits for its acknowledgement; 0: none waits. */
  readonly lag: number;
  /** Ends of flows that could not be told; each makes a further pass. */
  readonly untold: number;
  /** What became of records of the other unit, ever. */
  readonly received: Readonly<Record<string, number>>;
  /** Flows of the other unit that became this one's because it had lost them. */
  readonly adopted: number;
  /** Flows of the other unit, ever, that a packet came for here. */
  readonly takenOver: number;
  /** Flows of the other unit that this one knows; null: not counted yet. */
  readonly known: number | null;
  readonly problem: string | null;
}

/** Records in a message. */
const BATCH = 500;
/** Batches that may wait for their acknowledgement. */
const WINDOW = 8;
/** Batches that are sent in one look: with 20 ms between them, 50,000 records a second. */
const BATCHES_A_TICK = 2;
/** Records of a walk: half of what the table's ring holds. */
const WALK = 4096;
/** Of the time, what walks may take: while there is nothing left to tell, and while there is. */
const REST = 50;
const REST_BEHIND = 3;

export class FlowMirror {
  readonly #options: FlowMirrorOptions;
  readonly #timing: FlowMirrorTiming;
  #channel: FlowChannel | null = null;
  #silence: (() => void) | null = null;
  #timer: NodeJS.Timeout | null = null;
  /** Of the run of the other daemon that this session is with. */
  #epoch = 0;
  #pass = 0;
  #reset = false;
  /** What was said last of this unit. */
  #greeting: Buffer = Buffer.alloc(0);
  #passBegan = 0;
  /** Everything of the pass is in the ring or sent … */
  #walked = false;
  /** … and the other unit was told so. */
  #ended = false;
  #synchronised = false;
  /** It was in this session. */
  #announced = false;
  #again = false;
  #untold = 0;
  /** When each of the batches under way was sent. */
  readonly #underWay = new Set<number>();
  #walking: Promise<void> | null = null;
  #walkDue = 0;
  #other: Description | null = null;
  #complete = false;
  /** The other unit was not heard for a while: it is to tell everything anew. */
  #asks = false;
  #passes = 0;
  #told = 0;
  #adopted = 0;
  #problem: string | null = null;
  readonly #received: Record<string, number> = {};

  constructor(options: FlowMirrorOptions) {
    this.#options = options;
    this.#timing = options.timing ?? FLOW_TIMING;
    options.table.tell(0);
  }

  /** Goes by this session from now on, whatever it went by before. */
  attach(channel: FlowChannel): void {
    this.#detach();
    this.#channel = channel;
    this.#silence = channel.on(CHANNEL, (body) => {
      this.#hear(body);
    });
    this.#timer = setInterval(() => {
      this.#tick();
    }, this.#timing.tickMs);
    this.#timer.unref();
  }

  /** No link leads to the other unit: what becomes of its flows is not known here. */
  parted(): void {
    this.#complete = false;
    this.#asks = true;
  }

  /** A link leads to it again. */
  linked(): void {
    this.#followEpoch();
    this.#ask();
  }

  /** Addresses of full nat of the other unit, as far as it was ever heard. */
  get otherNatAddresses(): readonly string[] {
    return this.#options.remembered.get()?.natAddresses ?? [];
  }

  state(): FlowMirrorState {
    const oldest = Math.min(...this.#underWay);
    return {
      synchronised: this.#synchronised,
      complete: this.#complete,
      pass: this.#pass,
      passes: this.#passes,
      told: this.#told,
      lag: oldest === Infinity ? 0 : Math.round(performance.now() - oldest),
      untold: this.#options.table.untold,
      received: { ...this.#received },
      adopted: this.#adopted,
      takenOver: this.#options.table.takenOver,
      known: this.#options.table.theirs,
      problem: this.#problem,
    };
  }

  async close(): Promise<void> {
    this.#detach();
    await this.#walking;
  }

  #detach(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#silence?.();
    this.#silence = null;
    this.#channel = null;
    this.#forget();
    this.#pass = 0;
    this.#options.table.tell(0);
  }

  /** What holds for one run of the other daemon. */
  #forget(): void {
    this.#epoch = 0;
    this.#other = null;
    this.#options.table.meet(null);
    this.#underWay.clear();
    this.#greeting = Buffer.alloc(0);
    this.#synchronised = false;
    this.#announced = false;
    this.#complete = false;
    // A run that was not heard before tells everything by itself.
    this.#asks = false;
  }

  /** Whoever was heard all the time has no reason to tell anything again. */
  #ask(): void {
    if (!this.#asks || this.#other === null) return;
    this.#asks = false;
    this.#send(encodeAsk(), 0, undefined, () => {
      this.#asks = true;
    });
  }

  #tick(): void {
    this.#followEpoch();
    if (this.#epoch === 0) return;
    this.#ask();
    for (let batch = 0; batch < BATCHES_A_TICK && this.#underWay.size < WINDOW; batch++) {
      const records = this.#options.table.drain(BATCH);
      if (records.length === 0) {
        this.#drained();
        break;
      }
      this.#send(encodeRecords(records), records.length / this.#options.table.recordBytes);
    }
  }

  /** A run of the other daemon that was not heard before hears everything. */
  #followEpoch(): void {
    const epoch = this.#channel?.peerEpoch ?? 0;
    if (epoch === this.#epoch) return;
    this.#forget();
    this.#epoch = epoch;
    if (epoch === 0) return;
    this.#greet();
    this.#begin();
  }

  /** Says what this unit is, where that has changed. */
  #greet(): void {
    const greeting = encodeHello(this.#options.table.describe());
    if (greeting.equals(this.#greeting)) return;
    this.#greeting = greeting;
    this.#send(greeting, 0);
  }

  /** Nothing waits in the table: time for a walk, or for the end of the pass. */
  #drained(): void {
    const now = performance.now();
    const { table } = this.#options;
    if (table.untold !== this.#untold) {
      this.#untold = table.untold;
      this.#again = true;
    }
    if (this.#walked && !this.#ended) {
      this.#ended = true;
      this.#passes += 1;
      const pass = this.#pass;
      this.#send(encodeEnd(pass, following(pass)), 0, () => {
        if (!this.#announced) this.#tellNews({ what: 'synchronised' });
        this.#announced = true;
        this.#synchronised = true;
      });
    }
    const age = now - this.#passBegan;
    const due = age > this.#timing.passMs || (this.#again && age > this.#timing.repeatMs);
    if (this.#ended && due && this.#walking === null) this.#begin();
    if (this.#walking === null && now >= this.#walkDue) this.#walk();
  }

  #begin(): void {
    const next = following(this.#pass);
    // Its number was an earlier pass's: what still has it was not told in this one.
    this.#reset = next <= this.#pass || this.#pass === 0;
    this.#pass = next;
    this.#passBegan = performance.now();
    this.#walked = false;
    this.#ended = false;
    this.#again = false;
    this.#walkDue = 0;
    this.#options.table.tell(next);
  }

  #walk(): void {
    this.#greet();
    const pass = this.#pass;
    const reset = this.#reset;
    this.#reset = false;
    const walked = this.#options.table.walk({ most: WALK, reset });
    this.#walking = walked
      .then((report) => {
        const rest = report.milliseconds * (report.left ? REST_BEHIND : REST);
        const least = report.left ? 0 : this.#timing.walkMs;
        this.#walkDue = performance.now() + Math.max(least, rest);
        // Another pass may have begun meanwhile.
        if (pass === this.#pass && !report.left) this.#walked = true;
      })
      .catch((error: unknown) => {
        this.#reset ||= reset;
        this.#walkDue = performance.now() + this.#timing.walkMs;
        this.#options.onError(error);
      })
      .finally(() => {
        this.#walking = null;
      });
  }

  #send(body: Buffer, records: number, delivered?: () => void, lost?: () => void): void {
    const channel = this.#channel;
    const epoch = this.#epoch;
    if (channel === null) return;
    // Two batches are never sent at one time of a clock that counts microseconds.
    let sent = performance.now();
    while (this.#underWay.has(sent)) sent += 0.001;
    this.#underWay.add(sent);
    channel.send(CHANNEL, body).then(
      () => {
        if (epoch !== this.#epoch) return;
        this.#underWay.delete(sent);
        this.#told += records;
        delivered?.();
      },
      (error: unknown) => {
        if (epoch !== this.#epoch) return;
        this.#underWay.delete(sent);
        // What was in it is told again.
        this.#again = true;
        this.#synchronised = false;
        lost?.();
        const code = error instanceof Error && 'code' in error ? error.code : null;
        if (code === 'left') this.#detach();
        else if (code !== 'full' && code !== 'alone' && code !== 'restarted') {
          this.#options.onError(error);
        }
      },
    );
  }

  #hear(body: Buffer): void {
    const { table, remembered } = this.#options;
    // It may be the first word of another run.
    this.#followEpoch();
    const message = decode(body, table.recordBytes);
    if (message === null) {
      this.#count('malformed', 1);
      this.#problem = 'The other unit says something of flows that this one does not understand.';
      return;
    }
    if (message.kind === 'hello') {
      if (this.#other?.table !== message.description.table) this.#complete = false;
      this.#other = message.description;
      this.#problem = null;
      table.meet(message.description);
      const { table: name, natAddresses } = message.description;
      const before = remembered.get();
      const addresses = natAddresses.join(' ') !== (before?.natAddresses.join(' ') ?? '');
      if (addresses || before?.table !== name) remembered.set({ table: name, natAddresses });
      // Before anything that it tells now.
      if (before !== null && before.table !== name) this.#adopt();
      if (addresses) this.#tellNews({ what: 'addresses', addresses: natAddresses });
      return;
    }
    if (message.kind === 'ask') {
      this.#begin();
      return;
    }
    if (this.#other === null) {
      const many = message.kind === 'records' ? message.records.length / table.recordBytes : 1;
      this.#count('early', many);
      return;
    }
    if (message.kind === 'end') {
      const before = this.#complete;
      this.#complete = true;
      if (!before) this.#tellNews({ what: 'complete' });
      table.dropTheirs(message.pass, message.next);
      return;
    }
    for (const [name, count] of Object.entries(table.take(message.records))) {
      this.#count(name, count);
    }
  }

  /** Flows that the other unit told of, and lost, are this unit's. */
  #adopt(): void {
    const count = this.#options.table.adopt();
    this.#adopted += count;
    if (count > 0) this.#tellNews({ what: 'adopted', count });
  }

  #tellNews(news: FlowMirrorNews): void {
    this.#options.onNews?.(news);
  }

  #count(name: string, count: number): void {
    this.#received[name] = (this.#received[name] ?? 0) + count;
  }
}

function following(pass: number): number {
  return (pass % PASSES) + 1;
}

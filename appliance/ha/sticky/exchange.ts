/**
 * Which member each client of the proxy sticks to, on both units: walks over the table that the workers
 * share and tells the other unit what is new in it, and takes what that one tells.
 *
 *     message: entries of 20 bytes, little-endian: key 8 | tags of the member 8 | milliseconds left 4
 *
 * Keys are hashes of what clients are known by, tags such of members; both units come to the same. All
 * is told once when they come together, then changes, one message at a time: what waits is in the table.
 * Of two that know a client the one that saw it last is right, since that has more time left.
 *
 * Invariant: what comes changes at most which member a client comes to.
 */
import type { SessionChannel } from '../pair/session.js';

export const CHANNEL = 'sticky';
const ENTRY_BYTES = 20;
/** Entries in a message, with those of a whole set beyond. */
const PAGE = 2000;
const MOST_BYTES = ENTRY_BYTES * (PAGE + 4096);
/** Parts of the table, one each tick: all of it once a second. */
const PARTS = 10;
const TICK_MS = 100;
/** Sets between two looks at whether a message is full. */
const STEP = 64;
const LONGEST_MS = 2 ** 30;

/** A StickyTable (l7/balance). */
export interface Stickies {
  readonly sets: number;
  tell(
    first: number,
    sets: number,
    now: number,
    all: boolean,
    give: (low: number, high: number, tagLow: number, tagHigh: number, left: number) => void,
  ): void;
  take(
    low: number,
    high: number,
    tagLow: number,
    tagHigh: number,
    now: number,
    left: number,
  ): boolean;
}

export interface StickyExchangeOptions {
  /** Null: there are no workers. */
  readonly table: () => Stickies | null;
  /** The other unit said what no unit says: a clause. */
  readonly onMalformed: (why: string) => void;
  /** A word of milliseconds, of the clock that the table has. */
  readonly now?: () => number;
  readonly tickMs?: number;
}

export interface StickyState {
  /** Entries, since the daemon started. */
  readonly told: number;
  readonly taken: number;
}

export class StickyExchange {
  readonly #options: StickyExchangeOptions;
  readonly #now: () => number;
  #channel: SessionChannel | null = null;
  #silence: (() => void) | null = null;
  #timer: NodeJS.Timeout | null = null;
  #set = 0;
  /** Sets whose entries are all told, whatever was before; null: all of them, once there is a table. */
  #anew: number | null = null;
  #busy = false;
  #told = 0;
  #taken = 0;

  constructor(options: StickyExchangeOptions) {
    this.#options = options;
    this.#now = options.now ?? monotonic;
  }

  get state(): StickyState {
    return { told: this.#told, taken: this.#taken };
  }

  /** Goes by this session from now on; null: by none. */
  attach(channel: SessionChannel | null): void {
    this.#silence?.();
    this.#channel = channel;
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#silence = null;
    if (channel === null) return;
    this.#silence = channel.on(CHANNEL, (body) => {
      this.#hear(body);
    });
    this.#timer = setInterval(() => {
      this.#tick();
    }, this.#options.tickMs ?? TICK_MS);
    this.#timer.unref();
  }

  /** The other unit is heard again, or another run of its daemon is: it may know nothing. */
  together(): void {
    this.#anew = null;
  }

  close(): void {
    this.attach(null);
  }

  #tick(): void {
    const channel = this.#channel;
    const table = this.#options.table();
    if (channel === null || channel.links.length === 0 || table === null || this.#busy) return;
    const body = this.#gather(table);
    if (body.length === 0) return;
    this.#busy = true;
    channel.send(CHANNEL, body).then(
      () => {
        this.#busy = false;
        this.#told += body.length / ENTRY_BYTES;
      },
      () => {
        this.#busy = false;
        // What was in it counts as told: all again.
        this.together();
      },
    );
  }

  #gather(table: Stickies): Buffer {
    const now = this.#now();
    const entries: number[] = [];
    let anew = this.#anew ?? table.sets;
    let left = Math.ceil(table.sets / PARTS);
    while (left > 0 && entries.length < PAGE * 5) {
      const sets = Math.min(STEP, left, table.sets - this.#set);
      table.tell(this.#set, sets, now, anew > 0, (...entry) => entries.push(...entry));
      left -= sets;
      anew = Math.max(0, anew - sets);
      this.#set = (this.#set + sets) % table.sets;
    }
    this.#anew = anew;
    const body = Buffer.allocUnsafe(entries.length * 4);
    for (const [index, word] of entries.entries()) body.writeInt32LE(word, index * 4);
    return body;
  }

  #hear(body: Buffer): void {
    if (body.length === 0 || body.length % ENTRY_BYTES !== 0 || body.length > MOST_BYTES) {
      this.#options.onMalformed(`${body.length} bytes`);
      return;
    }
    const table = this.#options.table();
    if (table === null) return;
    const now = this.#now();
    for (let at = 0; at < body.length; at += ENTRY_BYTES) {
      const word = (index: number): number => body.readInt32LE(at + index * 4);
      const left = word(4);
      if (left <= 0 || left > LONGEST_MS || (word(2) | word(3)) === 0) continue;
      if (table.take(word(0), word(1), word(2), word(3), now, left)) this.#taken += 1;
    }
  }
}

/** As the workers count it (l7/ring/worker-loop.ts). */
function monotonic(): number {
  return Number(BigInt.asIntN(32, process.hrtime.bigint() / 1_000_000n));
}

/**
 * Keeps the shelves of two units equal, over the pair's session.
 *
 * When the units come together each sends the versions of all it has, and from the other's list each
 * sees what it has later itself, and sends that. Changes go at once. Entries go one at a time, each as
 * it is when its turn comes, so what waits is a set of keys and never content.
 *
 * Invariant: nothing is taken that is not later than what is here; a message that is not as it should
 * be changes nothing.
 */
import type { SessionChannel } from '../pair/session.js';
import {
  CHANNEL,
  decode,
  encode,
  MOST_VERSIONS,
  PAGE,
  SharedMessageError,
  type SharedMessage,
} from './messages.js';
import { isLater, type Entry, type Shelf, type Version } from './shelf.js';

export type SharedNews =
  /** Each unit has what the other had; once each time that they come together. */
  | { readonly what: 'equal'; readonly sent: number; readonly taken: number }
  /** An entry of the other unit could not be taken here. */
  | { readonly what: 'not-taken'; readonly key: string; readonly why: string }
  /** The other unit could not take an entry of this one. */
  | { readonly what: 'refused'; readonly key: string; readonly why: string }
  /** The other unit said what no unit says. */
  | { readonly what: 'malformed'; readonly why: string };

export interface ReplicaOptions {
  readonly shelves: readonly Shelf[];
  readonly onNews: (news: SharedNews) => void;
  readonly onError: (error: unknown) => void;
  /** Between an entry that could not be sent and the next attempt. */
  readonly retryMs?: number;
}

export interface ReplicaState {
  /** Each unit was told what the other has, and has been given all of this one's. */
  readonly inStep: boolean;
  /** Keys that the other unit is to be given. */
  readonly waiting: number;
  readonly sent: number;
  readonly taken: number;
  /** Entries that were not later than what was here. */
  readonly old: number;
  readonly notTaken: number;
  readonly malformed: number;
  /** Entries of each shelf, without what was removed. */
  readonly kinds: readonly { readonly name: string; readonly entries: number }[];
}

/** What became of a change: the other unit has it, would not take it, or is not there. */
export type Told = 'taken' | 'refused' | 'away' | 'alone';

const RETRY_MS = 1000;

export class Replica {
  readonly #options: ReplicaOptions;
  readonly #shelves: ReadonlyMap<string, Shelf>;
  readonly #due = new Set<string>();
  readonly #waiters = new Map<string, ((told: Told) => void)[]>();
  readonly #refused = new Set<string>();
  readonly #stops: (() => void)[];
  #channel: SessionChannel | null = null;
  #silence: (() => void) | null = null;
  #pumping = false;
  /** The key that is being sent. */
  #underWay: string | null = null;
  #retry: NodeJS.Timeout | null = null;
  #taking: string | null = null;
  /** The other unit's list, as far as it came; null: none has begun. */
  #list: Map<string, Version> | null = null;
  /** Both lists are compared, and not all is sent. */
  #joining = false;
  /** They were compared, and all was sent, since the other unit is heard. */
  #joined = false;
  #count = { sent: 0, taken: 0, old: 0, notTaken: 0, malformed: 0 };
  #before = { sent: 0, taken: 0 };

  constructor(options: ReplicaOptions) {
    this.#options = options;
    this.#shelves = new Map(options.shelves.map((shelf) => [shelf.name, shelf]));
    this.#stops = options.shelves.map((shelf) =>
      shelf.onChange((key) => {
        if (key !== this.#taking) this.#queue(key);
      }),
    );
  }

  get state(): ReplicaState {
    const waiting = this.#due.size + (this.#underWay === null ? 0 : 1);
    const kinds = this.#options.shelves.map((shelf) => ({
      name: shelf.name,
      entries: shelf.versions().filter(({ digest }) => digest !== '').length,
    }));
    return { inStep: this.#joined && waiting === 0, waiting, kinds, ...this.#count };
  }

  /** Goes by this session from now on; null: by none, this unit is in no pair. */
  attach(channel: SessionChannel | null): void {
    this.#silence?.();
    this.#channel = channel;
    this.#list = null;
    this.#joined = false;
    this.#due.clear();
    this.#release('alone');
    this.#silence =
      channel?.on(CHANNEL, (body) => {
        this.#receive(body);
      }) ?? null;
  }

  /** The other unit is heard again, or another run of its daemon is. */
  together(): void {
    const channel = this.#channel;
    if (channel === null) return;
    this.#joined = false;
    this.#before = { sent: this.#count.sent, taken: this.#count.taken };
    const all = this.#options.shelves.flatMap((shelf) => shelf.versions());
    const versions = all.slice(0, MOST_VERSIONS);
    for (let at = 0; at === 0 || at < versions.length; at += PAGE) {
      const page = versions.slice(at, at + PAGE);
      const last = at + PAGE >= versions.length;
      this.#say(channel, { type: 'list', first: at === 0, last, versions: page });
    }
    void this.#pump();
  }

  /** No link to the other unit is left: nobody waits for it. */
  apart(): void {
    this.#joining = false;
    this.#joined = false;
    this.#release('away');
  }

  /** Resolves when the other unit has this key as it is here, or when that will not be soon. */
  told(key: string, withinMs: number): Promise<Told> {
    const channel = this.#channel;
    if (channel === null) return Promise.resolve('alone');
    if (channel.links.length === 0) return Promise.resolve('away');
    if (!this.#due.has(key) && this.#underWay !== key)
      return Promise.resolve(this.#refused.has(key) ? 'refused' : 'taken');
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        resolve('away');
      }, withinMs);
      const waiters = this.#waiters.get(key) ?? [];
      waiters.push((told) => {
        clearTimeout(timer);
        resolve(told);
      });
      this.#waiters.set(key, waiters);
    });
  }

  close(): void {
    for (const stop of this.#stops) stop();
    this.attach(null);
    if (this.#retry !== null) clearTimeout(this.#retry);
  }

  #queue(key: string): void {
    this.#refused.delete(key);
    if (this.#channel === null) return;
    this.#due.add(key);
    void this.#pump();
  }

  async #pump(): Promise<void> {
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      for (;;) {
        const channel = this.#channel;
        const [key] = this.#due;
        if (channel === null || key === undefined) break;
        const sent = await this.#sendOne(channel, key);
        if (!sent && channel === this.#channel) break;
      }
    } catch (error) {
      this.#options.onError(error);
    } finally {
      this.#pumping = false;
    }
    this.#tellEqual();
  }

  /** Whether the next one may be tried. */
  async #sendOne(channel: SessionChannel, key: string): Promise<boolean> {
    const shelf = this.#shelfOf(key);
    let entry: Entry | undefined;
    let bytes: Buffer | null = null;
    try {
      entry = shelf?.read(key);
      if (entry !== undefined) bytes = encode({ type: 'entry', entry });
    } catch (error) {
      this.#due.delete(key);
      this.#settle(key, 'refused');
      this.#options.onNews({ what: 'refused', key, why: sentence(error) });
      return true;
    } finally {
      entry?.body.fill(0);
    }
    if (entry === undefined || bytes === null) {
      this.#due.delete(key);
      this.#settle(key, 'taken');
      return true;
    }
    // What changes from here on is due anew.
    this.#due.delete(key);
    this.#refused.delete(key);
    this.#underWay = key;
    try {
      await channel.send(CHANNEL, bytes);
    } catch {
      // The reason says when it is worth another attempt: at `together`, or when there is room again.
      if (channel === this.#channel) {
        this.#due.add(key);
        this.#again();
      }
      return false;
    } finally {
      this.#underWay = null;
      bytes.fill(0);
    }
    if (channel !== this.#channel) return false;
    this.#count.sent += 1;
    if (this.#refused.has(key)) this.#settle(key, 'refused');
    else {
      shelf?.shared?.(entry);
      if (!this.#due.has(key)) this.#settle(key, 'taken');
    }
    return true;
  }

  #again(): void {
    if (this.#retry !== null || this.#channel?.links.length === 0) return;
    this.#retry = setTimeout(() => {
      this.#retry = null;
      void this.#pump();
    }, this.#options.retryMs ?? RETRY_MS);
    this.#retry.unref();
  }

  #say(channel: SessionChannel, message: SharedMessage): void {
    // Should it not arrive, the units come together anew, and begin again.
    channel.send(CHANNEL, encode(message)).catch(() => undefined);
  }

  #receive(bytes: Buffer): void {
    try {
      this.#take(decode(bytes));
    } catch (error) {
      if (!(error instanceof SharedMessageError)) throw error;
      this.#count.malformed += 1;
      this.#options.onNews({ what: 'malformed', why: error.message });
    } finally {
      bytes.fill(0);
    }
  }

  #take(message: SharedMessage): void {
    switch (message.type) {
      case 'list':
        this.#takePage(message);
        return;
      case 'entry':
        this.#takeEntry(message.entry);
        return;
      case 'refused':
        this.#refused.add(message.key);
        this.#options.onNews({ what: 'refused', key: message.key, why: message.why });
    }
  }

  #takePage({ first, last, versions }: Extract<SharedMessage, { type: 'list' }>): void {
    if (first) this.#list = new Map();
    const list = this.#list;
    if (list === null) throw new SharedMessageError('a list that was not begun');
    if (list.size + versions.length > MOST_VERSIONS) {
      this.#list = null;
      throw new SharedMessageError(`a list of more than ${MOST_VERSIONS} versions`);
    }
    for (const version of versions) list.set(version.key, version);
    if (!last) return;
    this.#list = null;
    for (const shelf of this.#options.shelves) {
      for (const version of shelf.versions()) {
        const theirs = list.get(version.key);
        if (isLater(version, theirs)) this.#due.add(version.key);
        else if (!isLater(theirs ?? version, version)) shelf.shared?.(version);
      }
    }
    this.#joining = true;
    void this.#pump();
  }

  #takeEntry(entry: Entry): void {
    const { key } = entry;
    const shelf = this.#shelfOf(key);
    if (shelf === undefined) throw new SharedMessageError('an entry of a kind that is not shared');
    this.#taking = key;
    try {
      if (!isLater(entry, shelf.version(key))) {
        this.#count.old += 1;
        return;
      }
      shelf.take(entry);
    } catch (error) {
      this.#count.notTaken += 1;
      const why = sentence(error);
      this.#options.onNews({ what: 'not-taken', key, why });
      if (this.#channel !== null) this.#say(this.#channel, { type: 'refused', key, why });
      return;
    } finally {
      this.#taking = null;
    }
    this.#count.taken += 1;
    this.#due.delete(key);
    this.#settle(key, 'taken');
    shelf.shared?.(entry);
  }

  #tellEqual(): void {
    if (!this.#joining || this.#due.size > 0) return;
    this.#joining = false;
    this.#joined = true;
    const { sent, taken } = this.#count;
    this.#options.onNews({
      what: 'equal',
      sent: sent - this.#before.sent,
      taken: taken - this.#before.taken,
    });
  }

  #shelfOf(key: string): Shelf | undefined {
    return this.#shelves.get(key.slice(0, key.indexOf('/')));
  }

  #settle(key: string, told: Told): void {
    const waiters = this.#waiters.get(key) ?? [];
    this.#waiters.delete(key);
    for (const waiter of waiters) waiter(told);
  }

  #release(told: Told): void {
    for (const key of [...this.#waiters.keys()]) this.#settle(key, told);
  }
}

function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

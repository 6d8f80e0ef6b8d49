/**
 * Sessions of clients of TLS 1.2 that take no tickets, for all workers: one table of bounded size in
 * memory that they share, since a client comes back to whichever worker the kernel gives it to.
 *
 * What is stored is a ticket that stays here: encrypted and authenticated (AES-256-GCM) with a key that
 * follows from a ticket key, so it ends with that key and is of no use to who has the memory alone. An
 * entry that two workers wrote half each, or that a dead one left, does not open; so nothing is locked.
 *
 * Sets of eight entries, found by the id, which is random. Who comes new takes the place of one that
 * has expired, else of the one that expires first.
 *
 * Invariant: what `find` gives is what some worker kept under this id, within LIFETIME.
 */
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';
import type { SessionStore } from '../../../native/ffi/tls-stored-sessions.js';

/** Seconds; OpenSSL's own for sessions of TLS 1.2. */
const LIFETIME = 7200;
const WAYS = 8;
/** Bytes of an entry: a session is some 200, and has the client's certificate, if it showed one. */
const ENTRY = 2048;
/** Words of its head: of the id, two; length of what is sealed, 0 for none; deadline; of the key. */
const ID_LOW = 0;
const ID_HIGH = 1;
const LENGTH = 2;
const DEADLINE = 3;
const KEY = 4;
const HEAD = 32;
const NONCE = 12;
const TAG = 16;
const SEALED_HEAD = NONCE + TAG;
const ENTRY_WORDS = ENTRY / 4;
/** Octets of an id that find its place. */
const ID_LEAST = 8;

interface SealKey {
  /** Tells it from the others; by chance two may have the same. */
  readonly word: number;
  readonly key: Buffer;
}

export class SessionTable implements SessionStore {
  readonly most = ENTRY - HEAD - SEALED_HEAD;
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #mask: number;
  readonly #seconds: () => number;
  #keys: readonly SealKey[] = [];

  /** `entries`: at least so many sessions; rounded up to a power of two. */
  static bytes(entries: number): number {
    return setsFor(entries) * WAYS * ENTRY;
  }

  /** `seconds`: since 1970, as every worker has them. */
  constructor(
    buffer: ArrayBufferLike,
    offset: number,
    entries: number,
    seconds: () => number = () => Math.floor(Date.now() / 1000),
  ) {
    const sets = setsFor(entries);
    this.#words = new Int32Array(buffer, offset, sets * WAYS * ENTRY_WORDS);
    this.#bytes = new Uint8Array(buffer, offset, sets * WAYS * ENTRY);
    this.#mask = sets - 1;
    this.#seconds = seconds;
  }

  /** The first one seals from now on, all of them open; they are not kept. None: nothing is stored. */
  setKeys(ticketKeys: readonly Uint8Array[]): void {
    for (const { key } of this.#keys) key.fill(0);
    this.#keys = ticketKeys.map((ticketKey) => {
      const key = createHmac('sha256', ticketKey).update('weir stored sessions').digest();
      const name = createHmac('sha256', key).update('name').digest();
      return { word: name.readInt32LE(0), key };
    });
  }

  keep(id: Uint8Array, session: Uint8Array): void {
    const [seal] = this.#keys;
    if (seal === undefined || id.length < ID_LEAST || session.length > this.most) return;
    const nonce = randomBytes(NONCE);
    const cipher = createCipheriv('aes-256-gcm', seal.key, nonce).setAAD(id);
    const sealed = cipher.update(session);
    cipher.final();
    const now = this.#seconds();
    const entry = this.#victim(id, now);
    const words = this.#words;
    const at = entry * ENTRY_WORDS;
    words[at + LENGTH] = 0;
    const from = entry * ENTRY + HEAD;
    this.#bytes.set(nonce, from);
    this.#bytes.set(cipher.getAuthTag(), from + NONCE);
    this.#bytes.set(sealed, from + SEALED_HEAD);
    words[at + ID_LOW] = wordOf(id, 0);
    words[at + ID_HIGH] = wordOf(id, 4);
    words[at + DEADLINE] = (now + LIFETIME) | 0;
    words[at + KEY] = seal.word;
    words[at + LENGTH] = sealed.length;
  }

  find(id: Uint8Array): Uint8Array | null {
    const entry = this.#place(id);
    if (entry < 0) return null;
    const at = entry * ENTRY_WORDS;
    const length = this.#words[at + LENGTH] as number;
    const word = this.#words[at + KEY];
    const seal = this.#keys.find((one) => one.word === word);
    if (seal === undefined || length <= 0 || length > this.most) return null;
    if (this.#left(entry, this.#seconds()) <= 0) return null;
    const from = entry * ENTRY + HEAD;
    const copy = Buffer.from(this.#bytes.subarray(from, from + SEALED_HEAD + length));
    const decipher = createDecipheriv('aes-256-gcm', seal.key, copy.subarray(0, NONCE));
    decipher.setAAD(id).setAuthTag(copy.subarray(NONCE, SEALED_HEAD));
    const session = decipher.update(copy.subarray(SEALED_HEAD));
    try {
      decipher.final();
    } catch {
      // Another worker was writing there, or the id is another one that begins the same.
      session.fill(0);
      return null;
    }
    return session;
  }

  forget(id: Uint8Array): void {
    const entry = this.#place(id);
    if (entry >= 0) this.#words[entry * ENTRY_WORDS + LENGTH] = 0;
  }

  /** -1: it is nowhere. */
  #place(id: Uint8Array): number {
    if (id.length < ID_LEAST) return -1;
    const low = wordOf(id, 0);
    const high = wordOf(id, 4);
    const first = (low & this.#mask) * WAYS;
    for (let entry = first; entry < first + WAYS; entry += 1) {
      const at = entry * ENTRY_WORDS;
      if (this.#words[at + LENGTH] === 0) continue;
      if (this.#words[at + ID_LOW] === low && this.#words[at + ID_HIGH] === high) return entry;
    }
    return -1;
  }

  #victim(id: Uint8Array, now: number): number {
    const known = this.#place(id);
    if (known >= 0) return known;
    const first = (wordOf(id, 0) & this.#mask) * WAYS;
    let victim = first;
    let least = Number.POSITIVE_INFINITY;
    for (let entry = first; entry < first + WAYS; entry += 1) {
      const free = this.#words[entry * ENTRY_WORDS + LENGTH] === 0;
      const left = free ? Number.NEGATIVE_INFINITY : this.#left(entry, now);
      if (left >= least) continue;
      least = left;
      victim = entry;
    }
    return victim;
  }

  /** Seconds until its deadline. */
  #left(entry: number, now: number): number {
    return ((this.#words[entry * ENTRY_WORDS + DEADLINE] as number) - now) | 0;
  }
}

function setsFor(entries: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, entries / WAYS)));
}

function wordOf(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] as number) |
    ((bytes[at + 1] as number) << 8) |
    ((bytes[at + 2] as number) << 16) |
    ((bytes[at + 3] as number) << 24)
  );
}

/**
 * The keys of session tickets (RFC 5077 §4, RFC 8446 §4.6.1), the same for all workers: made here,
 * replaced twice a day, and kept as long where the workers outlive the daemon: in the run directory,
 * which is gone after a boot. Whoever has such a key can read what was resumed with it, so it is on
 * no disk and in no backup.
 *
 * Two units of a pair each have the keys of both.
 *
 * Invariant: the first key is at most `LIFETIME` old when it is given out, and no key is given out
 * after twice that.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { writeWhole } from '../whole-file.js';

const BYTES = 80;
const LIFETIME = 12 * 3_600_000;
const LOOK = 600_000;
/** More than two units make in the life of a key; the newest are kept. */
const MOST = 16;

export interface TicketKey {
  readonly key: Buffer;
  /** Milliseconds since 1970. */
  readonly made: number;
}

/** What is left of these, with a new one in front when that is due. Pure but for the new key. */
export function rotated(
  keys: readonly TicketKey[],
  now: number,
  make: () => Buffer = () => randomBytes(BYTES),
): readonly TicketKey[] {
  // A clock that was set back must not keep a key for ever.
  const fresh = keys.filter(({ made }) => made <= now && now - made < 2 * LIFETIME);
  const [first] = fresh;
  if (first !== undefined && now - first.made < LIFETIME) return fresh;
  return [{ key: make(), made: now }, ...fresh];
}

export interface TicketKeysOptions {
  readonly file: string;
  readonly now?: () => number;
  /** There are others. */
  readonly onChange: () => void;
  /** They cannot be written down: after a restart of the daemon sessions begin anew. */
  readonly onError: (error: unknown) => void;
}

export class TicketKeys {
  readonly #options: TicketKeysOptions;
  readonly #timer: NodeJS.Timeout;
  readonly #listeners = new Set<(key: TicketKey) => void>();
  #keys: readonly TicketKey[];

  constructor(options: TicketKeysOptions) {
    this.#options = options;
    this.#keys = read(options.file);
    this.#rotate();
    this.#timer = setInterval(() => {
      if (this.#rotate()) options.onChange();
    }, LOOK);
    this.#timer.unref();
  }

  /** The first one makes tickets, the others open them. */
  get keys(): readonly Buffer[] {
    return this.#keys.map(({ key }) => key);
  }

  /** Those of `keys` with their times, for the other unit of a pair. */
  get all(): readonly TicketKey[] {
    return this.#keys;
  }

  /**
   * Takes a key of the other unit. One of a clock that is ahead of this one is as good as new.
   *
   * @throws RangeError when it has another length
   */
  add({ key, made }: TicketKey): void {
    if (key.length !== BYTES) throw new RangeError(`A key of tickets has ${BYTES} bytes.`);
    if (this.#keys.some((one) => one.key.equals(key))) return;
    const { now = Date.now, onChange } = this.#options;
    const added = { key, made: Math.min(made, now()) };
    const keys = [...this.#keys, added].sort(
      (a, b) => b.made - a.made || Buffer.compare(b.key, a.key),
    );
    this.#keys = keys.slice(0, MOST);
    if (!this.#rotate()) this.#write();
    onChange();
  }

  /** Hears each key that is made here. Returns what ends that. */
  onNew(listener: (key: TicketKey) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #rotate(): boolean {
    const { now = Date.now } = this.#options;
    const keys = rotated(this.#keys, now());
    const [first] = keys;
    const isNew = first !== this.#keys[0];
    if (keys.length === this.#keys.length && !isNew) return false;
    this.#keys = keys;
    this.#write();
    if (isNew && first !== undefined) for (const listener of this.#listeners) listener(first);
    return true;
  }

  #write(): void {
    try {
      write(this.#options.file, this.#keys);
    } catch (error) {
      this.#options.onError(error);
    }
  }
}

/** None from a file that is absent or damaged: sessions begin anew, nothing else. */
function read(file: string): TicketKey[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return [];
  }
  return text.split('\n').flatMap((line) => {
    const [made = '', encoded = ''] = line.split(' ');
    const key = Buffer.from(encoded, 'base64');
    return key.length === BYTES && /^\d+$/.test(made) ? [{ key, made: Number(made) }] : [];
  });
}

function write(path: string, keys: readonly TicketKey[]): void {
  writeWhole(path, keys.map(({ key, made }) => `${made} ${key.toString('base64')}\n`).join(''));
}

/**
 * Passwords as they are kept: scrypt (RFC 7914) with its parameters and a salt beside the result, in the
 * form `$scrypt$ln=15,r=8,p=3$SALT$HASH` (base64 without padding), so that costs may grow later.
 *
 * Invariant: at most one hash is made at a time, since each takes 32 MiB and a while of a thread that
 * others need too; who finds too many waiting is refused.
 */
import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';

export const LEAST_PASSWORD = 10;
/** Of its UTF-8 octets. */
export const MOST_PASSWORD_BYTES = 256;

export interface Costs {
  /** Binary logarithm of N. */
  readonly ln: number;
  readonly r: number;
  readonly p: number;
}

/** 32 MiB, three times over: about a quarter of a second. */
export const COSTS: Costs = { ln: 15, r: 8, p: 3 };

const SALT_BYTES = 16;
const HASH_BYTES = 32;
const MOST_WAITING = 16;
/** What a stored hash may ask for: it may come from the other unit. */
const MOST: Costs = { ln: 17, r: 16, p: 8 };
const FORM =
  /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{22})\$([A-Za-z0-9+/]{43})$/;

export class TooManyLogins extends Error {
  override readonly name = 'TooManyLogins';
}

/** Why this cannot be a password, as a sentence; null when it can. */
export function passwordProblem(password: string, name: string): string | null {
  const text = password.normalize('NFC');
  if ([...text].length < LEAST_PASSWORD) {
    return `The password is too short: it needs ${LEAST_PASSWORD} characters or more.`;
  }
  if (Buffer.byteLength(text) > MOST_PASSWORD_BYTES) {
    return `The password is too long: ${MOST_PASSWORD_BYTES} octets are the most.`;
  }
  // Nobody could type it at every terminal, and what is pasted often ends with one.
  if (/\p{Cc}/u.test(text)) return 'The password has a control character in it.';
  if (text.toLowerCase().includes(name) && [...text].length < name.length + LEAST_PASSWORD) {
    return 'The password is little more than the name of the user.';
  }
  return null;
}

export function isHash(text: string): boolean {
  return parse(text) !== null;
}

export class Passwords {
  readonly #costs: Costs;
  readonly #nobody: string;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(costs: Costs = COSTS) {
    this.#costs = costs;
    // No password has this hash; comparing with it takes as long as with another.
    this.#nobody = form(costs, randomBytes(SALT_BYTES), randomBytes(HASH_BYTES));
  }

  /** @throws TooManyLogins */
  async hash(password: string): Promise<string> {
    const salt = randomBytes(SALT_BYTES);
    return form(this.#costs, salt, await this.#derive(password, salt, this.#costs));
  }

  /** Takes the same time when there is no such user (null). @throws TooManyLogins, Error: no hash */
  async matches(password: string, hash: string | null): Promise<boolean> {
    const stored = parse(hash ?? this.#nobody);
    if (stored === null) throw new Error('What is stored of a password is damaged.');
    const made = await this.#derive(password, stored.salt, stored.costs);
    return timingSafeEqual(made, stored.hash) && hash !== null;
  }

  #derive(password: string, salt: Buffer, { ln, r, p }: Costs): Promise<Buffer> {
    if (this.#waiting >= MOST_WAITING) {
      return Promise.reject(new TooManyLogins('Too many logins are tried at once: try again.'));
    }
    this.#waiting++;
    const turn = this.#last.then(
      () =>
        new Promise<Buffer>((resolve, reject) => {
          const N = 2 ** ln;
          const options = { N, r, p, maxmem: 256 * N * r };
          scrypt(password.normalize('NFC'), salt, HASH_BYTES, options, (error, key) => {
            if (error === null) resolve(key);
            else reject(error);
          });
        }),
    );
    // The next turn begins however this one ends; who asked hears of an error.
    this.#last = turn
      .catch(() => undefined)
      .then(() => {
        this.#waiting--;
      });
    return turn;
  }
}

function form({ ln, r, p }: Costs, salt: Buffer, hash: Buffer): string {
  return `$scrypt$ln=${ln},r=${r},p=${p}$${unpadded(salt)}$${unpadded(hash)}`;
}

function unpadded(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '');
}

function parse(text: string): { costs: Costs; salt: Buffer; hash: Buffer } | null {
  const [, ln, r, p, salt, hash] = FORM.exec(text) ?? [];
  if (salt === undefined || hash === undefined) return null;
  const costs = { ln: Number(ln), r: Number(r), p: Number(p) };
  const within = (one: keyof Costs) => costs[one] >= 1 && costs[one] <= MOST[one];
  if (!within('ln') || !within('r') || !within('p')) return null;
  return { costs, salt: Buffer.from(salt, 'base64'), hash: Buffer.from(hash, 'base64') };
}

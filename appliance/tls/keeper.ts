/**
 * Keeps the certificates that the document declares and the unit obtains by itself: obtains those
 * that are missing or whose names or key are no longer those declared, and renews in good time
 * (renewal.ts). How one is obtained an `Issuer` knows, one for each type.
 *
 * Invariant: a certificate is replaced only by one that was issued whole; while that fails the old
 * one stays, the reason is in `problems`, and it is tried again, less and less often, which a restart
 * does not forget.
 */
import { canonicalJson } from '../config/canonical.js';
import type { Certificate, CertificateType } from '../config/certificate.js';
import type { CertificateInfo, CertificateStore } from './certificate-store.js';
import type { CertificateSource, Retry } from './certificate-table.js';
import { kindOf } from './keys.js';
import { backoff, renewAt, retryAt } from './renewal.js';
import { keyOf, readCertificate } from './x509.js';

export type Declared = Certificate;

export interface Issued {
  /** DER, the certificate itself first. */
  readonly chain: Buffer[];
  /** PKCS#8; the keeper wipes it. */
  readonly key: Buffer;
}

export interface Issuer {
  /** Whether it takes a moment only, so that whoever applies a document waits for it. */
  readonly prompt: boolean;
  /** Rejects soon when `signal` aborts: what it is for is no longer wanted. */
  issue(name: string, spec: Declared, signal: AbortSignal): Promise<Issued>;
}

/** A failure whose authority says how long it wants to be left alone. */
interface Patient {
  readonly retryAfterMs: number | null;
}

/** A timer that can be taken back. */
export interface Clock {
  now(): number;
  after(milliseconds: number, act: () => void): () => void;
}

export const systemClock: Clock = {
  now: Date.now,
  after: (milliseconds, act) => {
    const timer = setTimeout(act, milliseconds);
    timer.unref();
    return () => clearTimeout(timer);
  },
};

export interface KeeperOptions {
  readonly store: CertificateStore;
  readonly issuers: Readonly<Partial<Record<CertificateType, Issuer>>>;
  readonly clock: Clock;
  /** A certificate was obtained, or could not be: a sentence. */
  readonly onEvent: (event: {
    readonly name: string;
    readonly severity: 'info' | 'error';
    readonly message: string;
  }) => void;
  /** After each look, at least once an hour. */
  readonly onLook: () => void;
  /**
   * Milliseconds that somebody else has to obtain what is due, before this unit does; left out: 0.
   * `info`: the certificate that there is.
   */
  readonly patience?: (spec: Declared, info: CertificateInfo | undefined) => number;
  /** What was not written down: a restart will not know of it. */
  readonly onError: (error: unknown) => void;
}

const LOOK_MS = 3_600_000;

interface Work {
  readonly declared: string;
  readonly cancel: AbortController;
  readonly done: Promise<void>;
}

export class CertificateKeeper {
  readonly #options: KeeperOptions;
  readonly #retries: Map<string, Retry>;
  readonly #working = new Map<string, Work>();
  /** Since when each is due. */
  readonly #dueSince = new Map<string, number>();
  #declared: Readonly<Record<string, Declared>> = {};
  /** What needs others waits until the document is executed: they ask its services for proof. */
  #held = true;
  #cancel: () => void = () => undefined;
  #closed = false;
  #looking: Promise<unknown> = Promise.resolve();

  constructor(options: KeeperOptions) {
    this.#options = options;
    this.#retries = options.store.retries();
  }

  /** Sentences by name: what could not be obtained, and why. */
  get problems(): ReadonlyMap<string, string> {
    return new Map([...this.#retries].map(([name, { message }]) => [name, message]));
  }

  /**
   * Takes up what is declared. Resolves when whatever takes a moment only was obtained, or failed;
   * the rest waits for `order`.
   */
  async follow(declared: Readonly<Record<string, Declared>>): Promise<void> {
    this.#declared = declared;
    this.#held = true;
    // What is declared anew deserves a new attempt at once, and for the old one nobody waits.
    for (const [name, retry] of this.#retries) {
      if (!this.#isDeclared(name, retry.declared)) this.#setRetry(name, null);
    }
    for (const [name, work] of this.#working) {
      if (!this.#isDeclared(name, work.declared)) {
        work.cancel.abort(new Error(`the certificate ${name} is declared in another way now`));
      }
    }
    await this.#look();
  }

  /** What was followed is executed: begins what takes longer. */
  order(): void {
    if (!this.#held || this.#closed) return;
    this.#held = false;
    void this.#look();
  }

  /**
   * Obtains a declared certificate now, whatever is left of the one there is. Resolves with null, or
   * a sentence of what went wrong.
   *
   * @throws RangeError when the unit does not obtain one of this name
   */
  async renew(name: string): Promise<string | null> {
    const spec = this.#declared[name];
    const issuer = spec === undefined ? undefined : this.#options.issuers[spec.type];
    if (spec === undefined || issuer === undefined) throw new RangeError(name);
    const { store } = this.#options;
    const generation = store.get(name)?.generation;
    const under = this.#working.get(name);
    if (under !== undefined) await under.done;
    else if (!this.#closed) await this.#obtain(name, spec, issuer, 'asked for');
    const failed = this.#retries.get(name)?.message;
    if (failed !== undefined) return failed;
    return store.get(name)?.generation === generation
      ? `certificate ${name} was not obtained: it is declared in another way now, or the unit stops`
      : null;
  }

  /** Of what is obtained here: when next (null: now), and how often in a row it failed; null of others. */
  plan(name: string): { readonly at: number | null; readonly failures: number } | null {
    const spec = this.#declared[name];
    if (spec === undefined || this.#options.issuers[spec.type] === undefined) return null;
    const at = this.#working.has(name) ? null : this.#dueAt(name, spec);
    return {
      at: at === Infinity ? null : at,
      failures: this.#retries.get(name)?.failures ?? 0,
    };
  }

  /** Resolves when nothing is under way. */
  async settled(): Promise<void> {
    await this.#looking;
    await Promise.allSettled([...this.#working.values()].map(({ done }) => done));
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancel();
    for (const { cancel } of this.#working.values()) cancel.abort(new Error('the unit stops'));
    await this.settled();
  }

  #isDeclared(name: string, declared: string): boolean {
    const now = this.#declared[name];
    return now !== undefined && canonicalJson(now) === declared;
  }

  #setRetry(name: string, retry: Retry | null): void {
    if (retry === null && !this.#retries.has(name)) return;
    if (retry === null) this.#retries.delete(name);
    else this.#retries.set(name, retry);
    try {
      this.#options.store.setRetry(name, retry);
    } catch (error) {
      this.#options.onError(error);
    }
  }

  #look(): Promise<void> {
    const look = this.#lookOnce();
    this.#looking = Promise.allSettled([this.#looking, look]);
    return look;
  }

  async #lookOnce(): Promise<void> {
    this.#cancel();
    const prompt: Promise<void>[] = [];
    for (const [name, spec] of Object.entries(this.#declared)) {
      const issuer = this.#options.issuers[spec.type];
      if (issuer === undefined || (this.#held && !issuer.prompt)) continue;
      const work = this.#settle(name, spec, issuer);
      if (issuer.prompt) prompt.push(work);
    }
    await Promise.all(prompt);
    if (this.#closed) return;
    this.#options.onLook();
    this.#schedule();
  }

  async #settle(name: string, spec: Declared, issuer: Issuer): Promise<void> {
    // What is under way may be for an earlier declaration.
    await this.#working.get(name)?.done;
    if (this.#closed || !same(this.#declared[name], spec)) return;
    const why = this.#due(name, spec);
    if (why !== null) await this.#obtain(name, spec, issuer, why);
  }

  #schedule(): void {
    this.#cancel();
    if (this.#closed) return;
    const { clock } = this.#options;
    const next = Object.entries(this.#declared).reduce(
      (soonest, [name, spec]) => Math.min(soonest, this.#dueAt(name, spec)),
      Infinity,
    );
    const wait = Math.min(LOOK_MS, Math.max(1000, next - clock.now()));
    this.#cancel = clock.after(wait, () => void this.#look());
  }

  #dueAt(name: string, spec: Declared): number {
    const { store, clock, issuers } = this.#options;
    const issuer = issuers[spec.type];
    if (issuer === undefined || this.#working.has(name)) return Infinity;
    if (this.#held && !issuer.prompt) return Infinity;
    const info = store.get(name);
    const retry = this.#retries.get(name);
    if (retry !== undefined) return retryAt(retry.at, clock.now());
    if (whyDue(name, spec, info, clock.now()) !== null) return this.#turn(name, spec, info);
    return info?.kind === 'certificate' && info.source === spec.type
      ? renewAt(info, name)
      : Infinity;
  }

  /** Why it is to be obtained now; null when it is not. */
  #due(name: string, spec: Declared): string | null {
    const { store, clock } = this.#options;
    if (this.#working.has(name)) return null;
    const retry = this.#retries.get(name);
    const now = clock.now();
    if (retry !== undefined && now < retryAt(retry.at, now)) return null;
    const info = store.get(name);
    const why = whyDue(name, spec, info, now);
    if (why === null) this.#dueSince.delete(name);
    return why !== null && now >= this.#turn(name, spec, info) ? why : null;
  }

  /** When this unit obtains what is due: at once, unless it is somebody else's turn first. */
  #turn(name: string, spec: Declared, info: CertificateInfo | undefined): number {
    const since = this.#dueSince.get(name) ?? this.#options.clock.now();
    this.#dueSince.set(name, since);
    return since + (this.#options.patience?.(spec, info) ?? 0);
  }

  #obtain(name: string, spec: Declared, issuer: Issuer, why: string): Promise<void> {
    const cancel = new AbortController();
    const done = this.#attempt(name, spec, issuer, why, cancel.signal).finally(() => {
      this.#working.delete(name);
      if (!issuer.prompt) this.#schedule();
    });
    this.#working.set(name, { declared: canonicalJson(spec), cancel, done });
    return done;
  }

  async #attempt(
    name: string,
    spec: Declared,
    issuer: Issuer,
    why: string,
    signal: AbortSignal,
  ): Promise<void> {
    const { store, clock, onEvent } = this.#options;
    let issued: Issued | null = null;
    try {
      issued = await issuer.issue(name, spec, signal);
      // One that came while the unit stops is kept: an authority does not give them without end.
      if (!same(this.#declared[name], spec)) return;
      checkIssued(spec, issued);
      const source: CertificateSource = spec.type === 'acme' ? 'acme' : 'self-signed';
      const { chain, key } = issued;
      const info = store.put({
        name,
        kind: 'certificate',
        chain,
        key,
        source,
        author: 'weir',
      });
      this.#setRetry(name, null);
      // One that is old when it comes (a wrong clock, here or there) is no reason to ask without pause.
      if (whyDue(name, spec, info, clock.now()) !== null) {
        this.#fail(name, spec, new Error('what came is to be renewed already: look at the clock'));
        return;
      }
      onEvent({ name, severity: 'info', message: `certificate ${name} was obtained (${why})` });
    } catch (error) {
      // Cancelled: no failure of the certificate's.
      if (signal.aborted) return;
      this.#fail(name, spec, error);
    } finally {
      issued?.key.fill(0);
    }
  }

  #fail(name: string, spec: Declared, error: unknown): void {
    const before = this.#retries.get(name);
    const failures = (before?.failures ?? 0) + 1;
    const asked = isPatient(error) ? error.retryAfterMs : null;
    const said = error instanceof Error ? error.message : String(error);
    const message = `certificate ${name} cannot be obtained: ${said.replace(/\.$/, '')}; it is tried again by itself`;
    const at = this.#options.clock.now() + backoff(failures, asked);
    this.#setRetry(name, { declared: canonicalJson(spec), failures, at, message });
    if (before?.message !== message) {
      this.#options.onEvent({ name, severity: 'error', message });
    }
  }
}

function isPatient(error: unknown): error is Patient {
  return (
    error instanceof Error &&
    'retryAfterMs' in error &&
    (error.retryAfterMs === null || typeof error.retryAfterMs === 'number')
  );
}

function same(one: Declared | undefined, other: Declared): boolean {
  return one !== undefined && canonicalJson(one) === canonicalJson(other);
}

/** One that is not what was asked for would be asked for again and again. */
function checkIssued(spec: Declared, { chain }: Issued): void {
  const [leaf] = chain;
  if (leaf === undefined) throw new Error('no certificate came');
  const facts = readCertificate(leaf);
  if (spec.type === 'stored') return;
  if (!sameNames(spec.names, facts.names) || kindOf(keyOf(facts)) !== spec.key) {
    throw new Error(`what came is for ${facts.names.join(', ')}, or has another kind of key`);
  }
}

function sameNames(wanted: readonly string[], seen: readonly string[]): boolean {
  return [...new Set(wanted)].sort().join() === [...new Set(seen)].sort().join();
}

/** Why a declared certificate is to be obtained; null when the one in the store will do. */
export function whyDue(
  name: string,
  spec: Declared,
  info: CertificateInfo | undefined,
  now: number,
): string | null {
  if (spec.type === 'stored') return null;
  // What somebody imported is theirs; the checks of a document refuse to declare it otherwise.
  if (info !== undefined && info.kind !== 'request' && info.source !== spec.type) return null;
  if (info?.kind !== 'certificate') return 'there was none';
  if (info.problem !== null) return 'the one in the store cannot be used';
  if (!sameNames(spec.names, info.names)) return 'its names have changed';
  if (kindOf(info.key) !== spec.key) return 'its kind of key has changed';
  return now >= renewAt(info, name) ? 'renewed in good time' : null;
}

/**
 * The certificate store: chains and private keys by name, for whoever serves them.
 *
 * Invariant: private keys leave it as buffers only, which the caller wipes; they are encrypted in
 * the file and nowhere cached. A row that cannot be used (machine key lost, damage) is there all the
 * same, with the reason in `problem`, so that it can be seen, replaced and removed.
 */
import { createHash, createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { join } from 'node:path';
import { wipingFreed } from '../../native/ffi/heap.js';
import { decode, encode, parts } from './asn1.js';
import {
  CERTIFICATES_FILE,
  CertificateTable,
  packChain,
  unpackChain,
  type CertificateKind,
  type CertificateRow,
  type CertificateSource,
  type Removed,
  type Retry,
} from './certificate-table.js';
import { CertificateError } from './errors.js';
import { describeKey, type KeyInfo } from './keys.js';
import { MachineKey } from './machine-key.js';
import { readCertificate, type CertificateFacts } from './x509.js';

export interface CertificateInfo {
  readonly name: string;
  readonly kind: CertificateKind;
  readonly subject: string;
  readonly issuer: string;
  readonly serial: string;
  /** DNS names and addresses, in lower case. */
  readonly names: readonly string[];
  /** Milliseconds since 1970; 0 of a request. */
  readonly notBefore: number;
  readonly notAfter: number;
  readonly key: KeyInfo;
  /** SHA-256, hexadecimal with colons. */
  readonly fingerprint: string;
  readonly selfSigned: boolean;
  readonly hasKey: boolean;
  readonly chainLength: number;
  readonly source: CertificateSource;
  /** Another one whenever the content is, and never one that was there before. */
  readonly generation: number;
  readonly changed: number;
  readonly author: string;
  /** Why it cannot be used; null when it can. */
  readonly problem: string | null;
}

export interface NewCertificate {
  readonly name: string;
  readonly kind: CertificateKind;
  readonly chain: readonly Buffer[];
  /** PKCS#8, which stays the caller's to wipe; `waiting`: that of the request; `kept`: the present one; `none`: of an authority that only says who is trusted. */
  readonly key: Buffer | 'waiting' | 'kept' | 'none';
  readonly source: CertificateSource;
  readonly author: string;
}

interface Entry {
  readonly info: CertificateInfo;
  readonly chain: readonly Buffer[];
  readonly sealed: Buffer | null;
}

/** When a certificate or request came to be as it is, and what it is; digest empty: it was removed. */
export interface StoredVersion extends Removed {
  readonly digest: string;
}

export interface CertificateStoreOptions {
  readonly busyTimeout?: number;
  readonly now?: () => number;
  readonly onListenerError: (error: unknown) => void;
}

export class CertificateStore {
  readonly #table: CertificateTable;
  readonly #now: () => number;
  readonly #onListenerError: (error: unknown) => void;
  readonly #live = new Map<string, Entry>();
  readonly #waiting = new Map<string, Entry>();
  readonly #listeners = new Set<(name: string, waiting: boolean) => void>();
  readonly #accountListeners = new Set<(directory: string) => void>();
  /** When what is no longer there was removed, by `place`. */
  readonly #removed = new Map<string, Removed>();
  #machineKey: MachineKey | CertificateError;

  private constructor(
    table: CertificateTable,
    machineKey: MachineKey | CertificateError,
    options: CertificateStoreOptions,
  ) {
    this.#table = table;
    this.#machineKey = machineKey;
    this.#now = options.now ?? Date.now;
    this.#onListenerError = options.onListenerError;
    for (const row of table.rows()) this.#keep(row);
    for (const one of table.removed()) this.#removed.set(placeOf(one.name, one.waiting), one);
  }

  /**
   * The store of a state directory, made when there is none. A machine key that is missing or
   * refused does not hinder that: see `problem`.
   *
   * @throws StoreError
   */
  static open(directory: string, options: CertificateStoreOptions): CertificateStore {
    const { busyTimeout } = options;
    const table = CertificateTable.open(
      join(directory, CERTIFICATES_FILE),
      busyTimeout === undefined ? {} : { busyTimeout },
    );
    try {
      const encrypted = table.rows().some(({ key }) => key !== null);
      return new CertificateStore(table, openMachineKey(directory, !encrypted), options);
    } catch (error) {
      table.close();
      throw error;
    }
  }

  /** Why no key can be used; null when the machine key is there. */
  get problem(): string | null {
    return this.#machineKey instanceof MachineKey ? null : this.#machineKey.message;
  }

  /** Certificates, authorities and requests, by name; a request comes after what it may replace. */
  list(): CertificateInfo[] {
    const names = [...new Set([...this.#live.keys(), ...this.#waiting.keys()])].sort();
    return names.flatMap((name) =>
      [this.#live.get(name), this.#waiting.get(name)].flatMap((one) =>
        one === undefined ? [] : [one.info],
      ),
    );
  }

  /** The certificate or authority of this name, else the request. */
  get(name: string): CertificateInfo | undefined {
    return (this.#live.get(name) ?? this.#waiting.get(name))?.info;
  }

  /** The request of this name that waits for its certificate. */
  request(name: string): CertificateInfo | undefined {
    return this.#waiting.get(name)?.info;
  }

  /** DER, the certificate itself first; empty for a name that has none. */
  chain(name: string): readonly Buffer[] {
    return this.#live.get(name)?.chain ?? [];
  }

  /** DER of a request (PKCS#10). */
  requestDer(name: string): Buffer | undefined {
    return this.#waiting.get(name)?.chain[0];
  }

  /**
   * PKCS#8 in DER, which the caller wipes (`fill(0)`); undefined for a name without a certificate.
   *
   * @throws CertificateError (unavailable) when it cannot be decrypted
   */
  privateKey(name: string): Buffer | undefined {
    const sealed = this.#live.get(name)?.sealed ?? null;
    return sealed === null ? undefined : this.#key().unseal(name, sealed);
  }

  /** Public keys, DER of SPKI, whose private keys are here under this name. */
  knownKeys(name: string): Buffer[] {
    return [this.#waiting.get(name), this.#live.get(name)].flatMap((one) => {
      if (one === undefined || one.info.problem !== null) return [];
      return [publicKeyOf(one)];
    });
  }

  /** Which key of this name belongs to a certificate that came without one. */
  keyFor(name: string, leaf: Buffer): 'waiting' | 'kept' | null {
    const spki = readCertificate(leaf).publicKey.export({ type: 'spki', format: 'der' });
    const fits = (one: Entry | undefined): boolean =>
      one !== undefined && one.info.problem === null && publicKeyOf(one).equals(spki);
    if (fits(this.#waiting.get(name))) return 'waiting';
    return fits(this.#live.get(name)) ? 'kept' : null;
  }

  /**
   * Puts a certificate, an authority or a request in the place of the one of this name.
   *
   * @throws CertificateError when the key does not fit, or cannot be encrypted
   */
  put(fresh: NewCertificate): CertificateInfo {
    const { name, kind, chain, source, author } = fresh;
    if (fresh.key === 'none') {
      if (kind !== 'authority') throw new CertificateError('invalid', 'There is no private key.');
      const row = this.#table.put(
        {
          name,
          kind,
          chain: packChain(chain),
          key: null,
          source,
          changed: this.#time(name),
          author,
        },
        false,
      );
      const entry = this.#keep(row);
      this.#tell(name, false);
      return entry.info;
    }
    const key = this.#key();
    const held =
      fresh.key === 'waiting'
        ? this.#waiting.get(name)
        : fresh.key === 'kept'
          ? this.#live.get(name)
          : undefined;
    const plain = typeof fresh.key === 'string' ? this.#unsealed(name, held) : fresh.key;
    let sealed: Buffer;
    try {
      checkPair(kind, chain, plain);
      sealed = key.seal(name, plain);
    } finally {
      if (plain !== fresh.key) plain.fill(0);
    }
    const endsRequest = fresh.key === 'waiting' && kind !== 'request';
    const changed = this.#time(name);
    const row = this.#table.put(
      { name, kind, chain: packChain(chain), key: sealed, source, changed, author },
      endsRequest,
    );
    const entry = this.#keep(row);
    if (endsRequest) {
      this.#waiting.delete(name);
      this.#removed.set(placeOf(name, true), { name, waiting: true, at: changed });
      this.#tell(name, true);
    }
    this.#tell(name, kind === 'request');
    return entry.info;
  }

  /** Whether there was one. `request`: that which waits, else the certificate. */
  remove(name: string, what: 'certificate' | 'request' = 'certificate'): boolean {
    const waiting = what === 'request';
    const at = this.#time(name);
    if (!this.#table.remove(name, waiting, at)) return false;
    this.#drop(name, waiting, at);
    return true;
  }

  /** Of all that is here or was removed, for the other unit of a pair. */
  versions(): StoredVersion[] {
    return [
      ...[...this.#live.values(), ...this.#waiting.values()].map(versionOf),
      ...[...this.#removed.values()].map((one) => ({ ...one, digest: '' })),
    ];
  }

  version(name: string, waiting: boolean): StoredVersion | undefined {
    const entry = (waiting ? this.#waiting : this.#live).get(name);
    if (entry !== undefined) return versionOf(entry);
    const removed = this.#removed.get(placeOf(name, waiting));
    return removed && { ...removed, digest: '' };
  }

  /** As `put` would take it, with a key that the caller wipes; undefined: it is not there. @throws CertificateError */
  stored(
    name: string,
    waiting: boolean,
  ): (NewCertificate & { readonly changed: number }) | undefined {
    const entry = (waiting ? this.#waiting : this.#live).get(name);
    if (entry === undefined) return undefined;
    const { kind, source, author, changed } = entry.info;
    const key = entry.sealed === null ? 'none' : this.#key().unseal(name, entry.sealed);
    return { name, kind, chain: entry.chain, key, source, author, changed };
  }

  /**
   * Takes what the other unit has, with the time of its change there.
   *
   * @throws CertificateError when it is damaged, or cannot be encrypted
   */
  takeStored(fresh: NewCertificate & { readonly changed: number }): void {
    const { name, kind, chain, source, author, changed } = fresh;
    const sealed = this.#sealed(fresh);
    const waiting = kind === 'request';
    const packed = packChain(chain);
    const row = this.#table.put(
      { name, kind, chain: packed, key: sealed, source, changed, author },
      false,
      true,
    );
    this.#keep(row);
    this.#tell(name, waiting);
  }

  /** What `takeStored` and `put` would refuse of it. @throws CertificateError */
  check(fresh: NewCertificate): void {
    this.#sealed(fresh);
  }

  /** Takes that the other unit has removed it. */
  takeRemoval(name: string, waiting: boolean, at: number): void {
    this.#table.remove(name, waiting, at, true);
    this.#drop(name, waiting, at);
  }

  /** Whether the other unit of a pair has had it since it changed last. */
  isShared(name: string, waiting: boolean): boolean {
    return this.#table.isShared(name, waiting);
  }

  /** The other unit has it as it is. */
  setShared(name: string, waiting: boolean): void {
    this.#table.setShared(name, waiting, true);
  }

  /** A new pair: the other unit has nothing of this one, and what was removed before is not its business. */
  forgetPair(): void {
    this.#table.forgetPair();
    this.#removed.clear();
  }

  /** Hears the name of whatever was put or removed, and whether it is a request. Returns what ends that. */
  onChange(listener: (name: string, waiting: boolean) => void): () => void {
    const entry = (name: string, waiting: boolean): void => listener(name, waiting);
    this.#listeners.add(entry);
    return () => this.#listeners.delete(entry);
  }

  /** The least number of days before its end that was told of a certificate; null for none. */
  told(fingerprint: string): number | null {
    return this.#table.told(fingerprint);
  }

  tell(fingerprint: string, days: number): void {
    this.#table.tell(fingerprint, days);
  }

  /**
   * The account at an authority, by the URL of its directory; its key as PKCS#8.
   *
   * @throws CertificateError (unavailable) when the key cannot be decrypted
   */
  account(directory: string): { readonly key: Buffer; readonly url: string | null } | null {
    const row = this.#table.account(directory);
    if (row === undefined) return null;
    return { key: this.#key().unseal(accountName(directory), row.key), url: row.url };
  }

  /** @throws CertificateError (unavailable) when the key cannot be encrypted */
  putAccount(directory: string, key: Buffer, url: string | null): void {
    const sealed = this.#key().seal(accountName(directory), key);
    const before = this.#table.account(directory)?.changed ?? -1;
    const changed = Math.max(this.#now(), before + 1);
    this.#table.putAccount(directory, { key: sealed, url, changed, digest: sha256(sealed) });
    for (const listener of [...this.#accountListeners]) listener(directory);
  }

  /** Takes an account as the other unit has it. @throws as `putAccount` */
  takeAccount(version: AccountVersion, key: Buffer, url: string | null): void {
    const { directory, changed, digest } = version;
    const sealed = this.#key().seal(accountName(directory), key);
    this.#table.putAccount(directory, { key: sealed, url, changed, digest });
  }

  removeAccount(directory: string): void {
    this.#table.removeAccount(directory);
  }

  accountVersion(directory: string): AccountVersion | undefined {
    const row = this.#table.account(directory);
    // One from before there were versions is named by how it is encrypted here: never the other unit's.
    return row && { directory, changed: row.changed, digest: row.digest || sha256(row.key) };
  }

  accountVersions(): AccountVersion[] {
    return this.#table.accounts().flatMap((directory) => this.accountVersion(directory) ?? []);
  }

  /** Hears the directory of each account that is made or changed here. Returns what ends that. */
  onAccount(listener: (directory: string) => void): () => void {
    this.#accountListeners.add(listener);
    return () => this.#accountListeners.delete(listener);
  }

  /** What could not be obtained and is to be tried again, by name; across restarts. */
  retries(): Map<string, Retry> {
    return this.#table.retries();
  }

  setRetry(name: string, retry: Retry | null): void {
    this.#table.setRetry(name, retry);
  }

  /** Forgets what was told of certificates that are gone. */
  prune(): void {
    this.#table.forgetOthers(this.list().map(({ fingerprint }) => fingerprint));
  }

  close(): void {
    this.#table.close();
  }

  #key(): MachineKey {
    if (this.#machineKey instanceof MachineKey) return this.#machineKey;
    throw this.#machineKey;
  }

  #unsealed(name: string, held: Entry | undefined): Buffer {
    if (held === undefined || held.sealed === null) {
      throw new CertificateError('not-found', `There is no private key of ${name} in the store.`);
    }
    return this.#key().unseal(name, held.sealed);
  }

  /** Null: it has no key. */
  #sealed(fresh: NewCertificate): Buffer | null {
    const { name, kind, chain, key } = fresh;
    if (key === 'none' ? kind !== 'authority' : typeof key === 'string') {
      throw new CertificateError('invalid', 'There is no private key.');
    }
    try {
      describe(kind, chain);
      if (typeof key === 'string') return null;
      checkPair(kind, chain, key);
      return this.#key().seal(name, key);
    } catch (error) {
      if (error instanceof CertificateError) throw error;
      throw new CertificateError('invalid', 'It is no certificate with its key.', error);
    }
  }

  #keep(row: CertificateRow): Entry {
    const entry = this.#entry(row);
    (row.kind === 'request' ? this.#waiting : this.#live).set(row.name, entry);
    this.#removed.delete(placeOf(row.name, row.kind === 'request'));
    return entry;
  }

  #entry(row: CertificateRow): Entry {
    let chain: Buffer[] = [];
    let what: ReturnType<typeof describe> | null = null;
    let problem: string | null = null;
    try {
      chain = unpackChain(row.chain);
      what = describe(row.kind, chain);
      if (row.key !== null) {
        const plain = this.#key().unseal(row.name, row.key);
        try {
          checkPair(row.kind, chain, plain);
        } finally {
          plain.fill(0);
        }
      }
    } catch (error) {
      problem =
        error instanceof CertificateError
          ? error.message
          : `The row of ${row.name} in the certificate store is damaged: import it again.`;
    }
    return {
      chain,
      sealed: row.key,
      info: {
        name: row.name,
        kind: row.kind,
        ...(what ?? UNREADABLE),
        hasKey: row.key !== null,
        chainLength: row.kind === 'request' ? 0 : chain.length,
        source: row.source,
        generation: row.generation,
        changed: row.changed,
        author: row.author,
        problem,
      },
    };
  }

  #drop(name: string, waiting: boolean, at: number): void {
    (waiting ? this.#waiting : this.#live).delete(name);
    this.#removed.set(placeOf(name, waiting), { name, waiting, at });
    this.#tell(name, waiting);
  }

  /** Now, and later than all that there was of this name: the order of changes outlives a clock set back. */
  #time(name: string): number {
    const before = [false, true].map((waiting) => this.version(name, waiting)?.at ?? -1);
    return Math.max(this.#now(), Math.max(...before) + 1);
  }

  #tell(name: string, waiting: boolean): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener(name, waiting);
      } catch (error) {
        this.#onListenerError(error);
      }
    }
  }
}

function placeOf(name: string, waiting: boolean): string {
  return `${waiting ? 'request' : 'certificate'} ${name}`;
}

function versionOf({ info, chain }: Entry): StoredVersion {
  const { name, kind, changed, source, hasKey } = info;
  const digest = contentDigest({ kind, source, hasKey, chain });
  return { name, waiting: kind === 'request', at: changed, digest };
}

/** The same on both units of a pair: SHA-256, hexadecimal. A key is that of its chain. */
export function contentDigest(content: {
  readonly kind: CertificateKind;
  readonly source: CertificateSource;
  readonly hasKey: boolean;
  readonly chain: readonly Buffer[];
}): string {
  const { kind, source, hasKey, chain } = content;
  const hash = createHash('sha256').update(`${kind} ${source} ${hasKey}\n`);
  for (const der of chain) hash.update(der);
  return hash.digest('hex');
}

/** An account at an authority, as two units compare it. */
export interface AccountVersion {
  /** URL of the authority's directory. */
  readonly directory: string;
  /** Milliseconds since 1970. */
  readonly changed: number;
  readonly digest: string;
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** What the key of an account is bound to; no certificate has such a name. */
function accountName(directory: string): string {
  return `account at ${directory}`;
}

function openMachineKey(directory: string, make: boolean): MachineKey | CertificateError {
  try {
    return MachineKey.open(directory, make);
  } catch (error) {
    if (error instanceof CertificateError) return error;
    throw error;
  }
}

type Described = Pick<
  CertificateInfo,
  | 'subject'
  | 'issuer'
  | 'serial'
  | 'names'
  | 'notBefore'
  | 'notAfter'
  | 'key'
  | 'fingerprint'
  | 'selfSigned'
>;

const UNREADABLE: Described = {
  subject: '',
  issuer: '',
  serial: '',
  names: [],
  notBefore: 0,
  notAfter: 0,
  key: { type: 'rsa' },
  fingerprint: '',
  selfSigned: false,
};

function describe(kind: CertificateKind, chain: readonly Buffer[]): Described {
  const [first] = chain;
  if (first === undefined) throw new RangeError('an empty chain');
  if (kind === 'request') {
    const digest = createHash('sha256').update(first).digest('hex').toUpperCase();
    return {
      ...UNREADABLE,
      key: describeKey(requestKey(first)),
      fingerprint: (digest.match(/../g) ?? []).join(':'),
    };
  }
  const facts = readCertificate(first);
  const { subject, issuer, serial, names, notBefore, notAfter, fingerprint, selfSigned } = facts;
  const key = describeKey(facts.publicKey);
  return { subject, issuer, serial, names, notBefore, notAfter, key, fingerprint, selfSigned };
}

function publicKeyOf({ info, chain }: Entry): Buffer {
  const [first] = chain;
  if (first === undefined) throw new RangeError('an empty chain');
  const key = info.kind === 'request' ? requestKey(first) : readCertificate(first).publicKey;
  return key.export({ type: 'spki', format: 'der' });
}

/** The public key in a request (RFC 2986 §4.1). */
export function requestKey(der: Buffer): KeyObject {
  const spki = parts(parts(decode(der))[0])[2];
  if (spki === undefined) throw new RangeError('a request without a key');
  return createPublicKey({ key: encode(spki), format: 'der', type: 'spki' });
}

function checkPair(kind: CertificateKind, chain: readonly Buffer[], plain: Buffer): void {
  const [first] = chain;
  if (first === undefined) throw new CertificateError('invalid', 'There is no certificate.');
  const key = wipingFreed(() => createPrivateKey({ key: plain, format: 'der', type: 'pkcs8' }));
  const facts: CertificateFacts | null = kind === 'request' ? null : readCertificate(first);
  const fits =
    facts === null
      ? createPublicKey(key).equals(requestKey(first))
      : facts.x509.checkPrivateKey(key);
  if (!fits) {
    throw new CertificateError(
      'invalid',
      'The private key does not belong to the certificate: give the key that it was made with.',
    );
  }
}

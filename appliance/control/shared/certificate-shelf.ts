/**
 * Certificates, authorities and requests as a shelf that two units share.
 *
 * Invariant: a private key that only this unit has is never replaced or removed by what comes from the
 * other: it is kept under another name first.
 */
import { z } from 'zod';
import { parseName } from '../../config/basics.js';
import { type Entry, type Shelf, type Version } from '../../ha/shared/shelf.js';
import {
  contentDigest,
  type CertificateStore,
  type NewCertificate,
} from '../../tls/certificate-store.js';
import {
  certificateKinds,
  certificateSources,
  packChain,
  unpackChain,
} from '../../tls/certificate-table.js';
import { CertificateError } from '../../tls/errors.js';

/** Whom the store names as author of what the unit obtains by itself; such a key is nobody's loss. */
const UNIT = 'weir';

const metaSchema = z.strictObject({
  kind: z.enum(certificateKinds),
  source: z.enum(certificateSources),
  author: z.string().max(256),
  /** Bytes of the chain; the key follows. */
  chain: z.int().min(1),
});

export interface CertificateShelfOptions {
  readonly store: CertificateStore;
  /** Both units had changed this one: what was here is kept under another name. */
  readonly onConflict: (name: string, kept: string, fingerprint: string) => void;
}

export function certificateKey(name: string, waiting: boolean): string {
  return `certificate/${waiting ? 'request' : 'live'}/${name}`;
}

export class CertificateShelf implements Shelf {
  readonly name = 'certificate';
  readonly #options: CertificateShelfOptions;

  constructor(options: CertificateShelfOptions) {
    this.#options = options;
  }

  versions(): Version[] {
    return this.#options.store
      .versions()
      .map(({ name, waiting, at, digest }) => ({ key: certificateKey(name, waiting), at, digest }));
  }

  version(key: string): Version | undefined {
    const { name, waiting } = certificatePlace(key);
    const found = this.#options.store.version(name, waiting);
    return found && { key, at: found.at, digest: found.digest };
  }

  read(key: string): Entry | undefined {
    const version = this.version(key);
    if (version === undefined) return undefined;
    const { name, waiting } = certificatePlace(key);
    const stored = this.#options.store.stored(name, waiting);
    if (stored === undefined) return { ...version, meta: null, body: Buffer.alloc(0) };
    const chain = packChain(stored.chain);
    const plain = typeof stored.key === 'string' ? Buffer.alloc(0) : stored.key;
    const { kind, source, author } = stored;
    const body = Buffer.concat([chain, plain]);
    plain.fill(0);
    return { ...version, meta: { kind, source, author, chain: chain.length }, body };
  }

  take(entry: Entry): void {
    const { store } = this.#options;
    const { name, waiting } = certificatePlace(entry.key);
    if (entry.meta === null) {
      this.#keepOwn(name, waiting, entry);
      store.takeRemoval(name, waiting, entry.at);
      return;
    }
    const fresh = certificateOf(entry);
    this.#keepOwn(name, waiting, entry);
    store.takeStored(fresh);
  }

  shared({ key, at, digest }: Version): void {
    const { store } = this.#options;
    const { name, waiting } = certificatePlace(key);
    const here = store.version(name, waiting);
    if (here?.at === at && here.digest === digest) store.setShared(name, waiting);
  }

  onChange(listener: (key: string) => void): () => void {
    return this.#options.store.onChange((name, waiting) => {
      listener(certificateKey(name, waiting));
    });
  }

  #keepOwn(name: string, waiting: boolean, entry: Entry): void {
    const { store, onConflict } = this.#options;
    const here = store.version(name, waiting);
    if (here === undefined || here.digest === '' || here.digest === entry.digest) return;
    if (store.isShared(name, waiting)) return;
    const own = store.stored(name, waiting);
    if (own === undefined || own.author === UNIT) return;
    try {
      const kept = freeName(name, here.digest);
      const { fingerprint } = store.put({ ...own, name: kept });
      onConflict(name, kept, fingerprint);
    } finally {
      if (typeof own.key !== 'string') own.key.fill(0);
    }
  }
}

/** Of this content: kept twice, it has one name. Names have 63 characters at most. */
function freeName(name: string, digest: string): string {
  return `${name.slice(0, 40)}-conflict-${digest.slice(0, 12)}`;
}

/** @throws CertificateError */
export function certificatePlace(key: string): {
  readonly name: string;
  readonly waiting: boolean;
} {
  const [, place, name = ''] = /^certificate\/(live|request)\/(.*)$/.exec(key) ?? [];
  if (place === undefined || !parseName(name).ok) {
    throw new CertificateError('invalid', 'A certificate whose name is none.');
  }
  return { name, waiting: place === 'request' };
}

/** The key is a part of the entry's body. @throws CertificateError */
export function certificateOf({
  key: place,
  meta,
  body,
  at,
  digest,
}: Entry): NewCertificate & { readonly changed: number } {
  const { name, waiting } = certificatePlace(place);
  const parsed = metaSchema.safeParse(meta);
  if (!parsed.success) {
    throw new CertificateError('invalid', `${name} did not come as a certificate.`);
  }
  const { kind, source, author, chain: length } = parsed.data;
  if (length > body.length || waiting !== (kind === 'request')) {
    throw new CertificateError('invalid', `${name} is cut off, or of another kind.`);
  }
  let chain: Buffer[];
  try {
    // Copies: the body is wiped by whoever has it.
    chain = unpackChain(Buffer.from(body.subarray(0, length)));
  } catch (error) {
    throw new CertificateError('invalid', `The chain of ${name} is damaged.`, error);
  }
  const key = length === body.length ? 'none' : body.subarray(length);
  if (contentDigest({ kind, source, hasKey: key !== 'none', chain }) !== digest) {
    throw new CertificateError('invalid', `${name} has another digest than it came with.`);
  }
  return { name, kind, source, author, changed: at, chain, key };
}

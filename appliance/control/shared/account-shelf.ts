/**
 * Accounts at authorities (ACME) as a shelf that two units share: either renews what the other ordered,
 * and an authority that counts accounts sees one.
 */
import { z } from 'zod';
import type { Entry, Shelf, Version } from '../../ha/shared/shelf.js';
import { AccountKey } from '../../tls/acme/account-key.js';
import type { AccountVersion, CertificateStore } from '../../tls/certificate-store.js';

const SHELF = 'acme-account';
const directorySchema = z.url({ protocol: /^https$/ }).max(400);
const metaSchema = z.strictObject({
  url: z
    .url({ protocol: /^https$/ })
    .max(2000)
    .nullable(),
});

type Accounts = Pick<
  CertificateStore,
  'account' | 'accountVersion' | 'accountVersions' | 'takeAccount' | 'onAccount'
>;

export class AccountShelf implements Shelf {
  readonly name = SHELF;
  readonly #store: Accounts;

  constructor(store: Accounts) {
    this.#store = store;
  }

  versions(): Version[] {
    return this.#store.accountVersions().flatMap((one) => {
      // What has no key among what is shared is of this unit alone.
      return directorySchema.safeParse(one.directory).success ? [versionOf(one)] : [];
    });
  }

  version(key: string): Version | undefined {
    const found = this.#store.accountVersion(directoryOf(key));
    return found && versionOf(found);
  }

  read(key: string): Entry | undefined {
    const version = this.version(key);
    const account = version === undefined ? null : this.#store.account(directoryOf(key));
    if (version === undefined || account === null) return undefined;
    return { ...version, meta: { url: account.url }, body: account.key };
  }

  take({ key, at, digest, meta, body }: Entry): void {
    const directory = directoryOf(key);
    const parsed = metaSchema.safeParse(meta);
    if (!parsed.success) throw new Error(`The account at ${directory} did not come as one.`);
    try {
      new AccountKey(body);
    } catch (cause) {
      throw new Error(`The key of the account at ${directory} is none.`, { cause });
    }
    this.#store.takeAccount({ directory, changed: at, digest }, body, parsed.data.url);
  }

  onChange(listener: (key: string) => void): () => void {
    return this.#store.onAccount((directory) => {
      listener(`${SHELF}/${directory}`);
    });
  }
}

function versionOf({ directory, changed, digest }: AccountVersion): Version {
  return { key: `${SHELF}/${directory}`, at: changed, digest };
}

/** @throws Error, a sentence */
function directoryOf(key: string): string {
  const parsed = directorySchema.safeParse(key.slice(SHELF.length + 1));
  if (parsed.success) return parsed.data;
  throw new Error('An account whose directory is none.');
}

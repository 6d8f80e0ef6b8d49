/** Certificates, authorities, requests and accounts at authorities, with their keys, as parts of a backup. */
import { z } from 'zod';
import {
  certificateKey,
  certificateOf,
  certificatePlace,
  CertificateShelf,
} from '../../control/shared/certificate-shelf.js';
import { AccountKey } from '../../tls/acme/account-key.js';
import type { CertificateStore, NewCertificate } from '../../tls/certificate-store.js';
import type { Part } from './part.js';
import type { Entry } from './records.js';

const metaSchema = z.strictObject({ digest: z.string().max(64), meta: z.unknown() });
const accountSchema = z.strictObject({
  url: z
    .url({ protocol: /^https$/ })
    .max(2000)
    .nullable(),
});
const directorySchema = z.url({ protocol: /^https?$/ }).max(400);

/** A certificate as `put` takes it. @throws Error, a sentence */
export function certificateIn({ key, meta, body }: Entry): NewCertificate {
  const parsed = metaSchema.safeParse(meta);
  if (!parsed.success) throw new Error(`${key} is no certificate.`);
  return certificateOf({ key, body, at: 0, ...parsed.data });
}

export function certificatesPart(store: CertificateStore): Part {
  const shelf = new CertificateShelf({ store, onConflict: () => undefined });
  return {
    name: 'certificates',
    title: 'certificates and requests, with their keys',
    read: () =>
      shelf.versions().flatMap(({ key, digest }) => {
        if (digest === '') return [];
        const entry = shelf.read(key);
        return entry === undefined
          ? []
          : [{ key, meta: { digest, meta: entry.meta }, body: entry.body }];
      }),
    plan(entries) {
      const done: (() => void)[] = [];
      const fresh = entries.flatMap((entry) => {
        const { name, waiting } = certificatePlace(entry.key);
        const one = certificateIn(entry);
        store.check(one);
        const here = store.version(name, waiting);
        const usable = (waiting ? store.request(name) : store.get(name))?.problem === null;
        const { digest } = metaSchema.parse(entry.meta);
        return usable && here?.digest === digest ? [] : [{ name, waiting, one, here }];
      });
      return {
        changes: fresh.map(({ name, waiting, here }) => {
          const what = waiting ? `the request ${name}` : `the certificate ${name}`;
          return `${here === undefined || here.digest === '' ? 'adds' : 'replaces'} ${what}`;
        }),
        carryOut() {
          for (const { name, waiting, one } of fresh) {
            done.push(putBack(store, name, waiting));
            store.put(one);
          }
        },
        undo() {
          for (const back of done.splice(0).reverse()) back();
        },
      };
    },
  };
}

/** Keeps what is there in memory, and puts it back when it is called. */
function putBack(store: CertificateStore, name: string, waiting: boolean): () => void {
  const shelf = new CertificateShelf({ store, onConflict: () => undefined });
  const { problem = null } = (waiting ? store.request(name) : store.get(name)) ?? {};
  // What nobody can use any more is not brought back.
  const before = problem === null ? shelf.read(certificateKey(name, waiting)) : undefined;
  return () => {
    if (before === undefined || before.meta === null) {
      store.remove(name, waiting ? 'request' : 'certificate');
      return;
    }
    store.put(certificateOf(before));
    before.body.fill(0);
  };
}

export function accountsPart(store: CertificateStore): Part {
  return {
    name: 'accounts',
    title: 'accounts at authorities (ACME), with their keys',
    read: () =>
      store.accountVersions().flatMap(({ directory }) => {
        const account = store.account(directory);
        return account === null
          ? []
          : [{ key: directory, meta: { url: account.url }, body: account.key }];
      }),
    plan(entries) {
      const done: (() => void)[] = [];
      const fresh = entries.flatMap(({ key: directory, meta, body }) => {
        const parsed = accountSchema.safeParse(meta);
        if (!parsed.success || !directorySchema.safeParse(directory).success) {
          throw new Error(`The account at ${directory} is none.`);
        }
        new AccountKey(body);
        const here = store.accountVersion(directory) && store.account(directory);
        const same = here?.key.equals(body) === true && here.url === parsed.data.url;
        here?.key.fill(0);
        return same ? [] : [{ directory, body, url: parsed.data.url }];
      });
      return {
        changes: fresh.map(({ directory }) => `takes the account at ${directory}`),
        carryOut() {
          for (const { directory, body, url } of fresh) {
            const before = store.account(directory);
            done.push(() => {
              if (before === null) store.removeAccount(directory);
              else store.putAccount(directory, before.key, before.url);
              before?.key.fill(0);
            });
            store.putAccount(directory, body, url);
          }
        },
        undo() {
          for (const back of done.splice(0).reverse()) back();
        },
      };
    },
  };
}

/**
 * What a backup of a whole unit has beside its configuration: one line each. Not among it: the pair, since
 * two boxes with the key of one unit would both pass for it; keys of session tickets, which live for a day;
 * alerts and alarms; what this box was told to give up; files of the host that the document names.
 */
import { z } from 'zod';
import { parsePrefixKey, prefixText } from '../../config/prefix-key.js';
import type { AccessEntries, AccessEntry } from '../../config/access-entries.js';
import type { CookieSecret } from '../../control/cookie-secret.js';
import type { CertificateStore } from '../../tls/certificate-store.js';
import type { UserStore } from '../../users/user-store.js';
import { accountsPart, certificatesPart } from './certificates.js';
import type { Part } from './part.js';
import { usersPart } from './users.js';

export interface UnitParts {
  readonly certificates: CertificateStore;
  readonly cookies: CookieSecret;
  readonly access: AccessEntries;
  readonly users: UserStore;
  readonly paired: () => boolean;
  /** What cookies are signed with, or who has temporary access, is another now. */
  readonly onChange: () => void;
}

export function unitParts(unit: UnitParts): Part[] {
  return [
    certificatesPart(unit.certificates),
    accountsPart(unit.certificates),
    cookiesPart(unit),
    accessPart(unit),
    usersPart('user', unit.users),
    usersPart('token', unit.users),
  ];
}

const cookieSchema = z.strictObject({ made: z.int().min(0) });

function cookiesPart({ cookies, paired, onChange }: UnitParts): Part {
  return {
    name: 'cookie-secret',
    title: 'the secret of persistence cookies',
    read: () => [{ key: 'secret', meta: { made: cookies.made }, body: cookies.copy() }],
    plan([entry]) {
      const nothing = { carryOut: () => undefined, undo: () => undefined };
      if (entry === undefined) return { changes: [], ...nothing };
      const { made } = cookieSchema.parse(entry.meta);
      if (entry.body.length !== 32) throw new Error('The secret of cookies is none.');
      const here = cookies.copy();
      if (here.equals(entry.body)) return { changes: [], ...nothing };
      // The pair would go back to the older one of the two by itself, and until then differ.
      if (paired()) {
        const kept = 'keeps the secret of persistence cookies, which is that of the pair';
        return { changes: [kept], ...nothing };
      }
      const before = cookies.made;
      return {
        changes: ['takes the secret of persistence cookies: those given here until now end'],
        carryOut() {
          cookies.replace(entry.body, made);
          onChange();
        },
        undo() {
          cookies.replace(here, before);
          onChange();
        },
      };
    },
  };
}

const time = z.int().min(0);
const accessSchema = z.strictObject({
  prefix: z.string().max(64),
  verdict: z.enum(['allow', 'deny']),
  service: z.string().max(63).nullable(),
  created: time,
  expires: time,
  author: z.string().max(256),
  comment: z.string().max(1000),
});

function accessPart({ access, onChange }: UnitParts): Part {
  return {
    name: 'access',
    title: 'temporary entries of access lists',
    read: () =>
      access.list().map((entry) => ({
        key: `${entry.prefix} ${entry.service ?? ''}`.trim(),
        meta: entry,
        body: Buffer.alloc(0),
      })),
    plan(entries) {
      const now = Date.now();
      const here = new Map(access.list().map((one) => [place(one), one]));
      const fresh = entries
        .map(({ key, meta }): AccessEntry => {
          const parsed = accessSchema.safeParse(meta);
          const prefix = parsePrefixKey(parsed.success ? parsed.data.prefix : '');
          if (!parsed.success || !prefix.ok || prefixText(prefix.value) !== parsed.data.prefix) {
            throw new Error(`${key} is no entry of access lists.`);
          }
          return parsed.data;
        })
        .filter((one) => {
          const known = here.get(place(one));
          return (
            one.expires > now && (known?.verdict !== one.verdict || known.expires !== one.expires)
          );
        });
      const done: AccessEntry[] = [];
      return {
        changes: fresh.map(
          ({ prefix, verdict, service }) =>
            `${verdict === 'deny' ? 'denies' : 'allows'} ${prefix}${service === null ? '' : ` at ${service}`} for the time that is left`,
        ),
        carryOut() {
          for (const one of fresh) {
            if (!access.put(one)) throw new Error('There are too many temporary entries.');
            done.push(one);
          }
          if (fresh.length > 0) onChange();
        },
        undo() {
          for (const one of done.splice(0).reverse()) {
            const before = here.get(place(one));
            if (before === undefined) access.remove(one.prefix, one.service);
            else access.put(before);
          }
          if (fresh.length > 0) onChange();
        },
      };
    },
  };
}

function place({ prefix, service }: AccessEntry): string {
  return `${prefix} ${service ?? ''}`;
}

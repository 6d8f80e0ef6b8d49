/**
 * Users or tokens as parts of a backup, by their hashes. Those that a backup does not have stay, so that
 * nobody is shut out by an old one.
 */
import {
  type AccountKind,
  isAccountName,
  type StoredToken,
  type StoredUser,
  tokenSchema,
  type UserStore,
  userSchema,
} from '../../users/user-store.js';
import type { Part } from './part.js';

const TITLES = { user: 'users', token: 'tokens' } as const;
const SCHEMAS = { user: userSchema, token: tokenSchema } as const;

export function usersPart(kind: AccountKind, store: UserStore): Part {
  const put = (name: string, value: StoredUser | StoredToken | null): void => {
    if (kind === 'user') store.put('user', name, value as StoredUser | null);
    else store.put('token', name, value as StoredToken | null);
  };
  return {
    name: TITLES[kind],
    title: TITLES[kind],
    read: () =>
      store.list(kind).map(({ name, hash, ...meta }) => ({
        key: name,
        meta,
        body: Buffer.from(hash, 'latin1'),
      })),
    plan(entries) {
      const fresh = entries.flatMap(({ key, meta, body }) => {
        const content = { ...(meta as object), hash: body.toString('latin1') };
        const parsed = SCHEMAS[kind].safeParse(content);
        if (!parsed.success || !isAccountName(key)) throw new Error(`${key} is no ${kind}.`);
        const here = store.get(kind, key);
        const same = here !== null && JSON.stringify(here) === JSON.stringify(parsed.data);
        return same ? [] : [{ name: key, value: parsed.data, here }];
      });
      const done: (typeof fresh)[number][] = [];
      return {
        changes: fresh.map(({ name, value, here }) => {
          const known = here === null ? 'takes' : 'replaces';
          return `${known} the ${kind} ${name}, ${value.role}`;
        }),
        carryOut() {
          for (const one of fresh) {
            done.push(one);
            put(one.name, one.value);
          }
        },
        undo() {
          for (const { name, here } of done.splice(0).reverse()) put(name, here);
        },
      };
    },
  };
}

/**
 * Users or tokens as a shelf that two units share, so that whoever may use one unit may use the other.
 *
 * Invariant: what crosses beside the name and the role is a hash, and it crosses as a secret.
 */
import type { Entry, Shelf, Version } from '../../ha/shared/shelf.js';
import {
  type AccountKind,
  contentDigest,
  isAccountName,
  type StoredToken,
  type StoredUser,
  tokenSchema,
  type UserStore,
  userSchema,
  type Versioned,
} from '../../users/user-store.js';

export class UserShelf implements Shelf {
  readonly name: AccountKind;
  readonly #store: UserStore;
  readonly #onGivenWay: (name: string) => void;
  /** Names of those that gave way, until the other unit is known to have them, or another one of that name. */
  #givingWay = new Set<string>();

  /** `onGivenWay`: that of the other unit counts now, or none, and not the one that was here. */
  constructor(kind: AccountKind, store: UserStore, onGivenWay: (name: string) => void) {
    this.name = kind;
    this.#store = store;
    this.#onGivenWay = onGivenWay;
  }

  /** This unit joins another one, whose users count. */
  giveWay(): void {
    this.#store.giveWay(this.name);
    this.#givingWay = new Set(this.#store.list(this.name).map(({ name }) => name));
  }

  versions(): Version[] {
    return this.#store.versions(this.name).map((one) => this.#versionOf(one));
  }

  version(key: string): Version | undefined {
    const found = this.#store.version(this.name, this.#nameOf(key));
    return found && this.#versionOf(found);
  }

  read(key: string): Entry | undefined {
    const found = this.#store.version(this.name, this.#nameOf(key));
    if (found === undefined) return undefined;
    const version = this.#versionOf(found);
    if (found.value === null) return { ...version, meta: null, body: Buffer.alloc(0) };
    const { hash, ...meta } = found.value;
    return { ...version, meta, body: Buffer.from(hash) };
  }

  take({ key, at, digest, meta, body }: Entry): void {
    const name = this.#nameOf(key);
    const before = this.version(key);
    this.#put(name, at, digest, meta, body);
    if (this.#givingWay.delete(name) && before?.digest !== digest) this.#onGivenWay(name);
  }

  shared({ key }: Version): void {
    this.#givingWay.delete(this.#nameOf(key));
  }

  onChange(listener: (key: string) => void): () => void {
    return this.#store.onChange((kind, name) => {
      if (kind === this.name) listener(`${kind}/${name}`);
    });
  }

  #put(name: string, at: number, digest: string, meta: unknown, body: Buffer): void {
    if (meta === null) {
      this.#store.put(this.name, name, null, at);
      return;
    }
    const content = { ...(meta as object), hash: body.toString('latin1') };
    if (this.name === 'user') {
      const user = userSchema.safeParse(content);
      if (!user.success) throw new Error(`${name} did not come as a user.`);
      this.#check(name, user.data, digest);
      this.#store.put('user', name, user.data, at);
    } else {
      const token = tokenSchema.safeParse(content);
      if (!token.success) throw new Error(`${name} did not come as a token.`);
      this.#check(name, token.data, digest);
      this.#store.put('token', name, token.data, at);
    }
  }

  #check(name: string, value: StoredUser | StoredToken, digest: string): void {
    if (contentDigest(value) !== digest) {
      throw new Error(`The ${this.name} ${name} has another digest than it came with.`);
    }
  }

  #versionOf({ name, changed, value }: Versioned<StoredUser | StoredToken>): Version {
    const digest = value === null ? '' : contentDigest(value);
    return { key: `${this.name}/${name}`, at: changed, digest };
  }

  /** @throws Error, a sentence */
  #nameOf(key: string): string {
    const name = key.slice(this.name.length + 1);
    if (key.startsWith(`${this.name}/`) && isAccountName(name)) return name;
    throw new Error(`A ${this.name} whose name is none.`);
  }
}

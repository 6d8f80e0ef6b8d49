/**
 * The keys of session tickets as a shelf that two units share: each has those of both, and the newest
 * makes tickets on both, so a session goes on wherever the client comes to.
 */
import { createHash } from 'node:crypto';
import type { Entry, Shelf, Version } from '../../ha/shared/shelf.js';
import type { TicketKeys } from '../../tls/ticket-keys.js';

export class TicketShelf implements Shelf {
  readonly name = 'ticket-key';
  readonly #keys: TicketKeys;

  constructor(keys: TicketKeys) {
    this.#keys = keys;
  }

  versions(): Version[] {
    return this.#keys.all.map(versionOf);
  }

  version(key: string): Version | undefined {
    return this.versions().find((one) => one.key === key);
  }

  read(key: string): Entry | undefined {
    const found = this.#keys.all.find((one) => versionOf(one).key === key);
    return found && { ...versionOf(found), meta: {}, body: Buffer.from(found.key) };
  }

  take({ key, at, digest, body }: Entry): void {
    const taken = { key: Buffer.from(body), made: at };
    const seen = versionOf(taken);
    if (seen.key !== key || seen.digest !== digest) throw new Error('It is no key of tickets.');
    this.#keys.add(taken);
  }

  onChange(listener: (key: string) => void): () => void {
    return this.#keys.onNew((key) => {
      listener(versionOf(key).key);
    });
  }
}

function versionOf({ key, made }: { readonly key: Buffer; readonly made: number }): Version {
  const digest = createHash('sha256').update('weir ticket key ').update(key).digest('hex');
  return { key: `ticket-key/${digest.slice(0, 32)}`, at: made, digest };
}

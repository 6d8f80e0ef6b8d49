/**
 * The reply_sources map: which (address, port, protocol) of a member may be the source
 * of replies that must be rewritten, so that the fast path looks up flows for those
 * packets only.
 * Invariant: an entry is there from before the first service that needs it is
 * programmed until after the last one is gone.
 */
import type { L4Pool, L4Service, L4Tables } from '../control/tables.js';
import type { HashTable } from './kernel-tables.js';
import { PROTOCOL, protocolName, replyKey } from './layouts.js';

interface Contribution {
  readonly service: L4Service;
  readonly pool: L4Pool;
  readonly sources: readonly string[];
}

interface Source {
  readonly address: string;
  readonly port: number;
  readonly protocol: 'tcp' | 'udp';
}

export class ReplySources {
  readonly #table: HashTable;
  readonly #contributions = new Map<string, Contribution>();
  /** In the kernel now. */
  readonly #present = new Map<string, Uint8Array>();
  #stale = false;

  constructor(table: HashTable) {
    this.#table = table;
    for (const { key } of table.entries()) {
      const { address, port, protocol } = replyKey.decode(key);
      this.#present.set(nameOf(address, port, protocolName(protocol)), key);
    }
    this.#stale = this.#present.size > 0;
  }

  /** Entries that there would be at once while `tables` takes the place of what is there now. */
  needed(tables: L4Tables): number {
    const names = new Set(this.#present.keys());
    for (const service of tables.services.values()) {
      const pool = rewrites(service) ? tables.pools.get(service.pool) : undefined;
      for (const member of pool?.members ?? []) {
        names.add(nameOf(member.address, member.port || service.port, service.protocol));
      }
    }
    return names.size;
  }

  /** Adds what the nat services of `tables` need. */
  add(tables: L4Tables): void {
    const missing = new Map<string, Source>();
    const contributions = new Map<string, Contribution>();
    for (const service of tables.services.values()) {
      const pool = rewrites(service) ? tables.pools.get(service.pool) : undefined;
      if (pool === undefined) continue;
      const before = this.#contributions.get(service.name);
      if (before?.service === service && before.pool === pool) {
        contributions.set(service.name, before);
        continue;
      }
      const { protocol } = service;
      const sources = pool.members.map((member) => {
        const port = member.port === 0 ? service.port : member.port;
        const name = nameOf(member.address, port, protocol);
        if (!this.#present.has(name))
          missing.set(name, { address: member.address, port, protocol });
        return name;
      });
      if (before !== undefined && !sameList(before.sources, sources)) this.#stale = true;
      contributions.set(service.name, { service, pool, sources });
    }
    if (missing.size > 0) {
      const keys = Array.from(missing.values(), ({ address, port, protocol }) =>
        replyKey.encode({ address, port, protocol: PROTOCOL[protocol] }),
      );
      const values = new Uint8Array(new Uint32Array(keys.length).fill(1).buffer);
      this.#table.updateMany(Buffer.concat(keys), values, keys.length);
      [...missing.keys()].forEach((name, index) => this.#present.set(name, keys[index]!));
    }
    for (const name of this.#contributions.keys()) if (!contributions.has(name)) this.#stale = true;
    this.#contributions.clear();
    for (const [name, contribution] of contributions) this.#contributions.set(name, contribution);
  }

  /** Removes what no nat service needs any more. */
  removeOthers(): void {
    if (!this.#stale) return;
    const needed = new Set<string>();
    for (const { sources } of this.#contributions.values())
      for (const name of sources) needed.add(name);
    for (const [name, key] of this.#present) {
      if (needed.has(name)) continue;
      this.#table.remove(key);
      this.#present.delete(name);
    }
    this.#stale = false;
  }
}

function rewrites({ forwarding }: L4Service): boolean {
  return forwarding === 'nat' || forwarding === 'full-nat';
}

function nameOf(address: string, port: number, protocol: string): string {
  return `${protocol} ${address} ${port}`;
}

function sameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((item, index) => item === b[index]);
}

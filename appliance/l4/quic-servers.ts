/**
 * The quic_servers map: which member the server id in a QUIC connection id names (RFC 9000 §5.1;
 * the layout of the id is in the README).
 * Invariant: two members of a pool with one id are refused with the configuration.
 */
import { quicServerId } from '../config/quic-server-id.js';
import type { L4Tables } from '../control/tables.js';
import type { HashTable } from './kernel-tables.js';
import { quicKey } from './layouts.js';
import type { MemberRows } from './member-rows.js';
import type { ServiceRows } from './service-rows.js';

export class QuicServers {
  readonly #table: HashTable;
  /** What stands in the kernel, by the key's bytes. */
  readonly #present = new Map<string, number>();

  constructor(table: HashTable) {
    this.#table = table;
    for (const { key, value } of table.entries()) {
      const row = new DataView(value.buffer, value.byteOffset).getUint32(0, true);
      this.#present.set(Buffer.from(key).toString('hex'), row);
    }
  }

  /** Brings the map to what the services and members that have rows now come to. */
  program(services: ServiceRows, members: MemberRows, tables: L4Tables): void {
    const wanted = new Map<string, number>();
    for (const service of tables.services.values()) {
      if (!service.quic) continue;
      const id = services.row(service);
      for (const { key, quicId } of tables.pools.get(service.pool)?.members ?? []) {
        const row = members.row(service.pool, key);
        if (id === undefined || row === undefined) continue;
        const name = quicKey.encode({
          service: id,
          server: quicServerId(service.pool, key, quicId),
        });
        wanted.set(Buffer.from(name).toString('hex'), row);
      }
    }
    const changed = [...wanted].filter(([name, row]) => this.#present.get(name) !== row);
    if (changed.length > 0) {
      this.#table.updateMany(
        Buffer.concat(changed.map(([name]) => Buffer.from(name, 'hex'))),
        new Uint8Array(Uint32Array.from(changed, ([, row]) => row).buffer),
        changed.length,
      );
      for (const [name, row] of changed) this.#present.set(name, row);
    }
    for (const name of [...this.#present.keys()]) {
      if (wanted.has(name)) continue;
      this.#table.remove(Buffer.from(name, 'hex'));
      this.#present.delete(name);
    }
  }
}

/**
 * What a unit remembers of its pair: its own key and certificate for the link, the other unit's pinned
 * key, and the epoch. In a file of its own, as the certificate store is, so that neither the
 * configuration nor its exports hold a key.
 *
 * Invariant: the private key is encrypted by the machine key. An epoch is given once: it is larger than
 * every one before, also when the file was restored from a copy, since it is no less than the clock.
 */
import type { Database } from 'better-sqlite3';
import { join } from 'node:path';
import type { Migration } from '../../config/migrations.js';
import { openStoreFile } from '../../config/store-file.js';

export const PAIR_FILE = 'pair.db';

const migrations: readonly Migration[] = [
  {
    version: 1,
    title: 'the key of the link, the other unit, and the epoch',
    migrate(database) {
      database.exec(`
        CREATE TABLE identity (
          id          INTEGER PRIMARY KEY CHECK (id = 1),
          key         BLOB NOT NULL,                        -- PKCS#8, encrypted
          certificate BLOB NOT NULL                         -- DER
        ) STRICT;
        CREATE TABLE peer (
          id        INTEGER PRIMARY KEY CHECK (id = 1),
          name      TEXT NOT NULL,
          pin       BLOB NOT NULL CHECK (length(pin) = 32), -- SHA-256 of its SPKI
          role      TEXT NOT NULL CHECK (role IN ('inviter', 'joiner')),  -- this unit's
          addresses TEXT NOT NULL,                          -- of the links, the inviter's, JSON
          port      INTEGER NOT NULL,
          since     INTEGER NOT NULL                        -- ms since 1970
        ) STRICT;
        CREATE TABLE epoch (
          id    INTEGER PRIMARY KEY CHECK (id = 1),
          value INTEGER NOT NULL
        ) STRICT;
      `);
    },
  },
  {
    version: 2,
    title: 'what the heartbeats of the pair need',
    migrate(database) {
      database.exec(`
        CREATE TABLE heartbeats (
          id    INTEGER PRIMARY KEY CHECK (id = 1),
          key   BLOB NOT NULL,                              -- encrypted
          other TEXT NOT NULL                               -- addresses of the other unit, JSON
        ) STRICT;
      `);
    },
  },
];

export interface StoredIdentity {
  /** Encrypted. */
  readonly key: Buffer;
  readonly certificate: Buffer;
}

export interface Peer {
  readonly name: string;
  /** SHA-256 of its SPKI. */
  readonly pin: Buffer;
  /** This unit's: the inviter listens, the joiner dials. */
  readonly role: 'inviter' | 'joiner';
  /** The inviter's; one link each. */
  readonly addresses: readonly string[];
  readonly port: number;
  /** Milliseconds since 1970. */
  readonly since: number;
}

/** What a later layer keeps for as long as the pairing lasts (control/heartbeat-paths.ts). */
export interface StoredHeartbeats {
  /** Encrypted. */
  readonly key: Buffer;
  readonly other: string;
}

interface PeerRow extends Omit<Peer, 'addresses'> {
  readonly addresses: string;
}

export class PairStore {
  readonly #database: Database;

  private constructor(database: Database) {
    this.#database = database;
    database.pragma('secure_delete = ON');
  }

  /** @throws StoreError */
  static open(directory: string, options: { readonly busyTimeout?: number } = {}): PairStore {
    const { busyTimeout = 5000 } = options;
    const path = join(directory, PAIR_FILE);
    return new PairStore(openStoreFile(path, { migrations, now: Date.now, busyTimeout }));
  }

  /** That of a new run of the daemon. */
  nextEpoch(now: number): number {
    return this.#database
      .transaction(() => {
        const last = this.#database
          .prepare<[], { value: number }>('SELECT value FROM epoch')
          .get()?.value;
        const value = Math.max((last ?? 0) + 1, now);
        this.#database.prepare('INSERT OR REPLACE INTO epoch VALUES (1, ?)').run(value);
        return value;
      })
      .immediate();
  }

  identity(): StoredIdentity | undefined {
    return this.#database
      .prepare<[], StoredIdentity>('SELECT key, certificate FROM identity')
      .get();
  }

  putIdentity(identity: StoredIdentity): void {
    this.#database
      .prepare('INSERT OR REPLACE INTO identity VALUES (1, @key, @certificate)')
      .run(identity);
  }

  peer(): Peer | undefined {
    const row = this.#database
      .prepare<[], PeerRow>('SELECT name, pin, role, addresses, port, since FROM peer')
      .get();
    return row && { ...row, addresses: JSON.parse(row.addresses) as string[] };
  }

  putPeer(peer: Peer): void {
    this.#database
      .prepare('INSERT INTO peer VALUES (1, @name, @pin, @role, @addresses, @port, @since)')
      .run({ ...peer, addresses: JSON.stringify(peer.addresses) });
  }

  heartbeats(): StoredHeartbeats | undefined {
    return this.#database.prepare<[], StoredHeartbeats>('SELECT key, other FROM heartbeats').get();
  }

  putHeartbeats(heartbeats: StoredHeartbeats): void {
    this.#database
      .prepare('INSERT OR REPLACE INTO heartbeats VALUES (1, @key, @other)')
      .run(heartbeats);
  }

  /** Forgets the other unit and the keys that it knows. */
  leave(): void {
    this.#database
      .transaction(() => {
        this.#database.exec('DELETE FROM peer; DELETE FROM identity; DELETE FROM heartbeats;');
      })
      .immediate();
  }

  close(): void {
    this.#database.close();
  }
}

/**
 * What the daemon is for its workers, as a process of its own: takes tables as a message, has workers
 * serve by them, says when they do.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { PackedSecrets } from '../../appliance/l7/supervisor/packed-secrets.js';
import { WorkerTier } from '../../appliance/l7/supervisor/worker-tier.js';
import type { L7Pool, L7Service, L7Unit } from '../../appliance/l7/tables.js';
import type { TlsSecrets } from '../../appliance/l7/tls/secrets.js';
import { TICKET_KEY_BYTES } from '../../native/ffi/tls-tickets.js';
import { type KeyKind, secretOf } from '../support/tls-material.js';
import { Poller } from '../../native/ffi/poller.js';

export interface SentTables {
  readonly unit: L7Unit;
  readonly services: readonly L7Service[];
  readonly pools: readonly L7Pool[];
  /** As files; each is named as its kind of key. */
  readonly certificates: readonly {
    readonly kind: KeyKind;
    readonly certificateFile: string;
    readonly keyFile: string;
  }[];
  /** Hosts that they are for. */
  readonly names: readonly string[];
}

const ticketKey = randomBytes(TICKET_KEY_BYTES);
const tier = new WorkerTier({
  poller: new Poller(),
  onEvent: ({ message }) => {
    console.error(message);
  },
  onOutput: (pid, line) => {
    console.error(`${pid}: ${line}`);
  },
});

process.on('message', (sent: SentTables) => {
  const tables = {
    unit: sent.unit,
    services: new Map(sent.services.map((one) => [one.name, one])),
    pools: new Map(sent.pools.map((one) => [one.name, one])),
  };
  const secrets = (): TlsSecrets => ({
    certificates: sent.certificates.map(({ kind, certificateFile, keyFile }) => {
      const certificate = readFileSync(certificateFile, 'utf8');
      const files = { certificate, key: readFileSync(keyFile, 'utf8') };
      return secretOf(kind, files, sent.names, kind, '1');
    }),
    ticketKeys: [ticketKey],
    challenges: [],
  });
  tier.setSecrets(new PackedSecrets(secrets));
  void tier.execute(tables).then(() => {
    const [problem] = tier.problems;
    process.send?.({ problem: problem?.message ?? null });
  });
});
process.on('disconnect', () => {
  void tier.close().then(() => process.exit(0));
});

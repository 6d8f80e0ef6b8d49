/**
 * What the daemon is for its workers, as a process of its own: takes tables as a message, has workers
 * serve by them, says when they do.
 */
import { WorkerTier } from '../../appliance/l7/supervisor/worker-tier.js';
import type { L7Pool, L7Service, L7Unit } from '../../appliance/l7/tables.js';
import { Poller } from '../../native/ffi/poller.js';

export interface SentTables {
  readonly unit: L7Unit;
  readonly services: readonly L7Service[];
  readonly pools: readonly L7Pool[];
}

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
  void tier.execute(tables).then(() => {
    const [problem] = tier.problems;
    process.send?.({ problem: problem?.message ?? null });
  });
});
process.on('disconnect', () => {
  void tier.close().then(() => process.exit(0));
});

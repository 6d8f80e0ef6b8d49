/**
 * A daemon's part of layer 7 as a process, so that a test can kill it: serves one port with members at
 * others, `tier-process.js STATEFILE WORKERS PORT MEMBER…`. It says `ready` once it serves, and answers
 * each line on its input by one of JSON. The end of its input leaves the workers, as SIGTERM does to
 * a daemon.
 */
import { createInterface } from 'node:readline';
import { migrateConnections } from '../../appliance/l7/supervisor/migration.js';
import { WorkerTier } from '../../appliance/l7/supervisor/worker-tier.js';
import { counter } from '../../appliance/l7/telemetry/counter-layout.js';
import { rowName } from '../../appliance/l7/telemetry/row-registry.js';
import { defaultSizes } from '../../appliance/l7/worker/memory.js';
import { Poller } from '../../native/ffi/poller.js';
import { forbidCall, SYS_io_uring_setup } from '../../native/ffi/seccomp.js';
import { poolWith, serviceAt, tablesOf } from './l7-tables.js';

export interface TierAnswer {
  readonly requests: number;
  readonly workers: readonly { readonly pid: number; readonly state: string }[];
  readonly events: readonly string[];
  /** Of services. */
  readonly problems: readonly string[];
}

const [stateFile = '', workers = '2', port = '0', ...members] = process.argv.slice(2);
const migrate = (): void => {
  migrateConnections({
    info: (text: unknown) => events.push(String(text)),
    warn: (_why: unknown, text?: string) => events.push(text ?? ''),
  });
};
// EPERM, as by the profile of a container.
if (process.env['WEIR_TEST_NO_URING'] !== undefined) forbidCall(SYS_io_uring_setup, 1);
const poller = new Poller();
poller.ref();
const events: string[] = [];
const tier = new WorkerTier({
  poller,
  stateFile,
  // The setting is one of the network namespace: only of one that the test made.
  ...(process.env['WEIR_TEST_MIGRATE'] === undefined ? {} : { beforeListening: migrate }),
  onEvent: ({ message }) => events.push(message),
  onOutput: (pid, line) => {
    process.stderr.write(`${pid}: ${line}\n`);
  },
  sizes: {
    ...defaultSizes,
    rows: 256,
    workers: 32,
    sticky: 1024,
    sessions: 256,
    clients: 256,
    log: 65_536,
  },
});
const pool = poolWith(members.map(Number));
await tier.execute(tablesOf([serviceAt(Number(port))], [pool], Number(workers)));
process.stdout.write('ready\n');
for await (const line of createInterface(process.stdin)) {
  const more = /^workers (\d+)$/.exec(line)?.[1];
  if (more !== undefined) {
    await tier.execute(tablesOf([serviceAt(Number(port))], [pool], Number(more)));
  }
  const rows = tier.counters().rows.get(rowName.service('web'));
  const answer: TierAnswer = {
    requests: rows?.[counter.requests] ?? 0,
    workers: tier.workers.map(({ pid, state }) => ({ pid, state })),
    events,
    problems: tier.problems.map(({ message }) => message),
  };
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await tier.leave();
poller.close();

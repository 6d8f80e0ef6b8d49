/**
 * The control plane at size: 1,000 services with 10,000 members compiled and programmed
 * into the kernel's tables, and one member's change in that configuration, on its own and
 * all the way through the store. Needs root and BPF; no packet is sent.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Document } from '../../appliance/config/schema.js';
import { checkDocument, parseText, toYaml } from '../../appliance/config/document.js';
import { ConfigStore } from '../../appliance/config/store.js';
import { Changes } from '../../appliance/control/changes.js';
import { compile, type CompileInput } from '../../appliance/control/compile.js';
import { Reconciler } from '../../appliance/control/reconciler.js';
import type { NextHop } from '../../appliance/control/tables.js';
import { removeDatapath } from '../../appliance/l4/datapath.js';
import { L4Tier } from '../../appliance/l4/tier.js';
import { projectRoot } from '../../appliance/paths.js';
import { EventLog } from '../../appliance/telemetry/event-log.js';
import { mountBpffs, unmountBpffs } from '../../native/ffi/libbpf.js';
import { reportMilliseconds } from './report.js';

const SERVICES = 1000;
const MEMBERS = 10;
const hop: NextHop = {
  interfaceIndex: 1,
  interfaceName: 'lo',
  mac: Uint8Array.of(2, 0, 0, 0, 0, 1),
  sourceMac: Uint8Array.of(2, 0, 0, 0, 0, 2),
};

/** Half of the services nat, half dsr; ten members each, in weights 1 to 3. */
function largeDocument(): Document {
  const pools: NonNullable<Document['pools']> = {};
  const services: NonNullable<Document['services']> = {};
  for (let i = 0; i < SERVICES; i++) {
    const net = `10.${10 + (i >> 8)}.${i & 255}`;
    pools[`pool-${i}`] = {
      algorithm: 'maglev',
      members: Array.from({ length: MEMBERS }, (_, j) => ({
        address: `${net}.${10 + j}`,
        port: 80,
        weight: 1 + (j % 3),
      })),
      monitor: { type: 'tcp' },
    };
    services[`service-${i}`] = {
      listen: { address: `${net}.1`, port: 80, protocol: 'tcp' },
      forwarding: i % 2 === 0 ? 'dsr' : 'nat',
      pool: `pool-${i}`,
    };
  }
  return { version: 1, unit: { name: 'bench' }, pools, services };
}

export interface BenchOptions {
  readonly json: boolean;
  readonly runs: number;
}

export const defaults: BenchOptions = { json: false, runs: 7 };

/** Measures every case and prints it. Needs root and BPF; throws BpfError without. */
export async function run(options: BenchOptions = defaults): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'weir-bench-control-'));
  const bpf = join(directory, 'bpf');
  mountBpffs(bpf);
  try {
    if (!options.json) {
      console.log(
        `${SERVICES} services, ${SERVICES * MEMBERS} members: min median max of ${options.runs} runs`,
      );
    }
    const samples = await measure(directory, bpf, options.runs);
    for (const [name, ours] of samples) reportMilliseconds(name, ours, options.json);
  } finally {
    unmountBpffs(bpf);
    rmSync(directory, { recursive: true });
  }
}

async function measure(
  directory: string,
  bpf: string,
  runs: number,
): Promise<Map<string, number[]>> {
  const samples = new Map<string, number[]>();
  const time = <T>(name: string, work: () => T): T => {
    const from = performance.now();
    const result = work();
    note(name, performance.now() - from);
    return result;
  };
  const note = (name: string, ms: number): void => {
    samples.set(name, [...(samples.get(name) ?? []), ms]);
  };

  const document = largeDocument();
  const yaml = toYaml(document);
  for (let run = 0; run < runs; run++) {
    const checked = time('control.read.10k', () => parseText(yaml));
    if (!checked.ok) throw new Error('the document of this benchmark is not valid');
    const input: CompileInput = { intent: checked.intent, health: new Map(), nextHop: () => hop };
    const tierDirectory = join(bpf, `run-${run}`);
    const tier = openTier(tierDirectory);
    const from = performance.now();
    const tables = time('control.compile.10k', () => compile(input));
    time('control.program.10k', () => tier.program(tables.l4));
    note('control.compile-and-program.10k', performance.now() - from);

    const down = new Map([
      ['pool-500/10.11.244.10:80', { state: 'down' as const, reason: 'refused' }],
    ]);
    const before = performance.now();
    const report = tier.program(compile({ ...input, health: down }, tables).l4);
    note('control.member.10k', performance.now() - before);
    if (report.membersWritten !== 1) {
      throw new Error(`one member's change wrote ${report.membersWritten} member rows`);
    }
    await tier.close();
    const again = performance.now();
    const adopted = openTier(tierDirectory);
    const repaired = adopted.program(tables.l4);
    note('control.adopt.10k', performance.now() - again);
    if (repaired.servicesWritten !== 0) throw new Error('adoption wrote services that were right');
    await adopted.close();
    removeDatapath(tierDirectory);
  }
  for (const ms of await memberThroughStore(directory, bpf, document, runs)) {
    note('control.set-member.10k', ms);
  }
  return samples;
}

function openTier(directory: string): L4Tier {
  return new L4Tier({
    directory,
    object: join(projectRoot, 'build/native/bpf/weir.bpf.o'),
    sizes: new Map(),
    eventsPerSecond: 0,
    onSweepError: (error) => {
      throw error;
    },
    hashSeed: 1,
  });
}

/** `weir set member` without the socket: check, commit to disk, compile, program. */
async function memberThroughStore(
  directory: string,
  bpf: string,
  document: Document,
  runs: number,
): Promise<number[]> {
  const store = ConfigStore.open(join(directory, 'weir.db'));
  const tier = openTier(join(bpf, 'store'));
  const events = new EventLog({
    onListenerError: (error) => {
      throw error;
    },
  });
  const failures: unknown[] = [];
  const reconciler = new Reconciler(
    {
      fastPath: tier,
      network: {
        reconcile: async () => ({ interfaces: [], problems: [] }),
        nextHop: () => hop,
        interfaceOf: () => null,
      },
      monitors: { reconcile: () => undefined, status: () => undefined },
      inspect: () => null,
    },
    { retryMs: 1000, onRun: () => undefined, onFailure: (error) => failures.push(error) },
  );
  const changes = new Changes({
    store,
    reconciler,
    fastPath: tier,
    events,
    warnings: async () => [],
    onError: (error) => failures.push(error),
  });
  const author = { author: 'bench', comment: '' };
  const checked = checkDocument(document);
  if (!checked.ok) throw new Error('the document of this benchmark is not valid');
  await changes.apply({ ...author, source: { document }, dryRun: false });
  const samples: number[] = [];
  for (let run = 0; run < runs; run++) {
    const from = performance.now();
    await changes.setMember({
      ...author,
      pool: 'pool-500',
      member: '10.11.244.11:80',
      state: run % 2 === 0 ? 'draining' : 'enabled',
    });
    samples.push(performance.now() - from);
  }
  await changes.close();
  await reconciler.close();
  await tier.close();
  store.close();
  if (failures.length > 0) throw failures[0];
  return samples;
}

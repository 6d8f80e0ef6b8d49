/**
 * The monitors at size: 10,000 members, each with a tcp monitor of an interval of 2 s, in a network
 * namespace of their own: all of them alive (one listener), and all of them silent, as when a switch
 * has failed. What it costs (share of one core) and how late probes begin. Needs root.
 */
import { execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { setTimeout as wait } from 'node:timers/promises';
import type { MonitorTarget } from '../../appliance/control/tables.js';
import { Monitors } from '../../appliance/health/monitors.js';
import { Prober } from '../../appliance/health/probe.js';
import { enterNetworkNamespace } from '../../native/ffi/namespace.js';
import { Poller } from '../../native/ffi/poller.js';
import { report } from './report.js';

const MEMBERS = 10_000;
const INTERVAL_MS = 2000;
/** First probes, and until the schedule is the steady one. */
const WARM_UP_MS = 2 * INTERVAL_MS + 1000;

export interface BenchOptions {
  readonly json: boolean;
  /** Seconds that are measured. */
  readonly runs: number;
}

export const defaults: BenchOptions = { json: false, runs: 10 };

export async function run(options: BenchOptions = defaults): Promise<void> {
  const leave = enterNetworkNamespace();
  try {
    ip('link set lo up');
    // At its other end nobody has these addresses, and nobody asks for their MAC addresses.
    ip('link add silent type veth peer name nobody');
    ip('address add 10.255.255.254/8 dev silent');
    ip('link set silent arp off up');
    ip('link set nobody up');
    const listener = fork(fileURLToPath(new URL('./health-listener.js', import.meta.url)));
    try {
      const [port] = (await once(listener, 'message')) as unknown[];
      if (typeof port !== 'number') throw new Error('the listener said no port');
      if (!options.json) {
        console.log(
          `${MEMBERS} members, tcp every ${INTERVAL_MS / 1000} s, ${options.runs} s measured: min median 99 % max`,
        );
      }
      await measure('up', targets(port, '127.1'), options);
      await measure('down', targets(port, '10.1'), options);
    } finally {
      listener.disconnect();
      await once(listener, 'exit');
    }
  } finally {
    leave();
  }
}

function ip(line: string): void {
  execFileSync('ip', line.split(' '));
}

async function measure(
  expected: 'up' | 'down',
  targets: ReadonlyMap<string, MonitorTarget>,
  { json, runs }: BenchOptions,
): Promise<void> {
  const failures = new Set<string>();
  const lateness: number[] = [];
  let measuring = false;
  const poller = new Poller();
  const prober = new Prober(poller);
  const quiet = (): void => undefined;
  const monitors = new Monitors({
    probe: prober.probe,
    log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
    onChange: (id, { state, reason }) => {
      if (state !== expected) failures.add(`${id} is ${state}: ${reason}`);
    },
    onStart: (late) => {
      if (measuring) lateness.push(late);
    },
  });
  try {
    monitors.reconcile(targets);
    await wait(WARM_UP_MS);
    measuring = true;
    const before = monitors.stats();
    const shares: number[] = [];
    for (let second = 0; second < runs; second += 1) {
      const [from, cpu] = [performance.now(), process.cpuUsage()];
      await wait(1000);
      const used = process.cpuUsage(cpu);
      shares.push((used.user + used.system) / 10 / (performance.now() - from));
    }
    measuring = false;
    const after = monitors.stats();
    const name = `health.tcp-${expected}.10k`;
    report(`${name}.cpu`, 'percent', shares, json);
    report(`${name}.lateness`, 'ms', lateness, json);
    report(`${name}.late`, 'probes', [after.late - before.late], json);
    report(`${name}.probes`, 'per s', [(after.started - before.started) / runs], json);
    const right = [...monitors.view().values()].filter(({ state }) => state === expected).length;
    if (right !== MEMBERS) {
      const seen = [...failures].slice(0, 3).join('; ');
      throw new Error(`${MEMBERS - right} members are not ${expected}: ${seen}`);
    }
  } finally {
    await monitors.close();
    prober.close();
    poller.close();
  }
}

/** In 127.0.0.0/8 every address is one of the loopback interface. */
function targets(port: number, network: string): Map<string, MonitorTarget> {
  const settings: MonitorTarget['settings'] = {
    type: 'tcp',
    interval: INTERVAL_MS,
    timeout: 1000,
    rise: 2,
    fall: 3,
  };
  return new Map(
    Array.from({ length: MEMBERS }, (_, index) => {
      const address = `${network}.${index >> 8}.${index & 255}`;
      const member = `${address}:${port}`;
      const id = `bench/${member}`;
      return [id, { id, pool: 'bench', member, address, port, settings }];
    }),
  );
}

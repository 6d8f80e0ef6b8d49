/**
 * Two units and a client of the failover benchmark, each in a network namespace of its own. The
 * units have `eth0` on a bridge, where the client is too, and `pair0`, a cable between them.
 *
 * Invariant: whatever ends this process, its namespaces go, and what runs in them is ended by id.
 */
import { fork, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { REALTIME_NODE_OPTIONS } from '../../appliance/ha/vrrp/speaker/wishes.js';
import type { FromProbe, ToProbe } from './failover-probe.js';

export const ADDRESS = '10.9.0.80';
const PORT = '7';
const SETTLE_MS = 20_000;
export const unitNames = ['a', 'b'] as const;
export type UnitName = (typeof unitNames)[number];

const prefix = `weirbench-${process.pid}`;
const made = new Set<string>();
process.on('exit', () => {
  for (const name of made) spawnSync('ip', ['netns', 'delete', name]);
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

export function namespaceOf(host: UnitName | 'lan'): string {
  return `${prefix}-${host}`;
}

function run(words: readonly string[]): string {
  const [file = '', ...rest] = words;
  const { status, stdout, stderr } = spawnSync(file, rest, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${words.join(' ')}: ${stderr.trim()}`);
  return stdout;
}

function ip(line: string): string {
  return run(['ip', ...line.split(' ')]);
}

/** A script of ours in a namespace; `cpu` null: where this process runs. */
function start(
  host: UnitName | 'lan',
  script: string,
  words: readonly string[],
  cpu: number | null,
): ChildProcess {
  const path = fileURLToPath(new URL(`./${script}.js`, import.meta.url));
  const pinned = cpu === null ? [] : ['taskset', '-c', String(cpu)];
  // With helper threads of V8 it would spin for them on its one CPU, and nobody else there would run.
  const node = [process.execPath, ...REALTIME_NODE_OPTIONS];
  const command = [`--net=/run/netns/${namespaceOf(host)}`, ...pinned, ...node];
  return fork(path, words, { execPath: '/usr/bin/nsenter', execArgv: command });
}

export class FailoverStage {
  readonly #echoes = new Map<UnitName, ChildProcess>();
  #probe: ChildProcess | null = null;

  /** `probeCpu`: where nothing else of the benchmark runs. */
  async build(probeCpu: number | null): Promise<void> {
    this.buildLinks();
    this.#probe = start('lan', 'failover-probe', [ADDRESS, PORT], probeCpu);
    await once(this.#probe, 'message');
  }

  /** Without a client. */
  buildLinks(): void {
    for (const host of ['lan', ...unitNames] as const) {
      ip(`netns add ${namespaceOf(host)}`);
      made.add(namespaceOf(host));
      const settings = ['net.ipv6.conf.all.accept_dad=0', 'net.ipv4.ip_nonlocal_bind=1'];
      run([
        'nsenter',
        `--net=/run/netns/${namespaceOf(host)}`,
        ...['sysctl', '-q', '-w', ...settings],
      ]);
    }
    const [lan, a, b] = [namespaceOf('lan'), namespaceOf('a'), namespaceOf('b')];
    ip(`-n ${lan} link add br0 type bridge mcast_snooping 0`);
    ip(`-n ${lan} address add 10.9.0.9/24 dev br0`);
    ip(`-n ${lan} link set br0 up`);
    ip(`-n ${a} link add pair0 type veth peer name pair0 netns ${b}`);
    for (const [index, unit] of unitNames.entries()) {
      const name = namespaceOf(unit);
      ip(`-n ${lan} link add port-${unit} type veth peer name eth0 netns ${name}`);
      ip(`-n ${lan} link set port-${unit} master br0 up`);
      ip(`-n ${name} address add 10.9.0.${index + 1}/24 dev eth0`);
      ip(`-n ${name} address add 10.9.9.${index + 1}/24 dev pair0`);
      for (const on of ['lo', 'eth0', 'pair0']) ip(`-n ${name} link set ${on} up`);
    }
  }

  /** What the unit serves. */
  async serve(unit: UnitName): Promise<void> {
    if (this.#echoes.has(unit)) return;
    const echo = start(unit, 'failover-echo', [ADDRESS, PORT], null);
    this.#echoes.set(unit, echo);
    await once(echo, 'message');
  }

  async signalServer(unit: UnitName, signal: NodeJS.Signals): Promise<void> {
    const echo = this.#echoes.get(unit);
    if (echo === undefined) return;
    echo.kill(signal);
    if (signal !== 'SIGKILL') return;
    this.#echoes.delete(unit);
    if (echo.exitCode === null && echo.signalCode === null) await once(echo, 'exit');
  }

  link(unit: UnitName, state: 'up' | 'down'): void {
    ip(`-n ${namespaceOf('lan')} link set port-${unit} ${state}`);
  }

  holds(unit: UnitName): boolean {
    return ip(`-n ${namespaceOf(unit)} -br address show dev eth0`).includes(`${ADDRESS}/`);
  }

  /** Resolves when one unit alone holds the address, and has for a moment. */
  async settles(owner: UnitName, during: string): Promise<void> {
    const deadline = Date.now() + SETTLE_MS;
    for (let right = 0; right < 3;) {
      const holders = unitNames.filter((unit) => this.holds(unit));
      right = holders.length === 1 && holders[0] === owner ? right + 1 : 0;
      if (Date.now() > deadline) {
        throw new Error(
          `${during}: expected ${owner} to hold ${ADDRESS}, seen ${holders.join(', ')}`,
        );
      }
      await delay(50);
    }
  }

  async mark(): Promise<void> {
    await this.#ask({ kind: 'mark' });
  }

  /** Of the client, since the mark. */
  async gap(): Promise<number> {
    const answer = await this.#ask({ kind: 'gap' });
    if (answer.kind !== 'gap') throw new Error(`the probe said ${answer.kind}`);
    return answer.gap;
  }

  async #ask(message: ToProbe): Promise<FromProbe> {
    const probe = this.#probe;
    if (probe === null) throw new Error('the stage is not built');
    const answer = once(probe, 'message') as Promise<[FromProbe]>;
    probe.send(message);
    return (await answer)[0];
  }

  async end(): Promise<void> {
    for (const child of [this.#probe, ...this.#echoes.values()]) {
      if (child === null || child.exitCode !== null || child.signalCode !== null) continue;
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    }
    for (const name of made) ip(`netns delete ${name}`);
    made.clear();
  }
}

/** A process and all that it started, itself last. */
export function family(pid: number): number[] {
  let children: string;
  try {
    children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  const below = children.split(' ').filter((text) => text !== '');
  return [...below.flatMap((text) => family(Number(text))), pid];
}

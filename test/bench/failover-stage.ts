/**
 * Two units and a client of the failover benchmark, each in a network namespace of its own. The
 * units have `eth0` on a bridge, where the client is too, and `pair0`, a cable between them.
 *
 * Invariant: whatever ends this process, its namespaces go, and what runs in them is ended by id.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { Echo, Probe } from '../lab/probe.js';

export const ADDRESS = '10.9.0.80';
const PORT = 7;
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

export class FailoverStage {
  readonly #echoes = new Map<UnitName, Echo>();
  #probe: Probe | null = null;

  /** `probeCpu`: where nothing else of the benchmark runs. */
  async build(probeCpu: number | null): Promise<void> {
    this.buildLinks();
    const place = { namespace: namespaceOf('lan'), cpu: probeCpu };
    this.#probe = await Probe.start(PORT, [ADDRESS], place);
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
    const place = { namespace: namespaceOf(unit), cpu: null };
    this.#echoes.set(unit, await Echo.start(PORT, [ADDRESS], place));
  }

  async signalServer(unit: UnitName, signal: NodeJS.Signals): Promise<void> {
    const echo = this.#echoes.get(unit);
    if (echo === undefined) return;
    echo.child.kill(signal);
    if (signal !== 'SIGKILL') return;
    this.#echoes.delete(unit);
    await echo.end();
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
    await this.#client.mark();
  }

  /** Of the client, since the mark: the longest, Infinity where one has not ended. */
  async gap(): Promise<number> {
    const [gaps = []] = await this.#client.gaps();
    return Math.max(0, ...gaps.map(({ from, to }) => (to ?? Infinity) - from));
  }

  get #client(): Probe {
    if (this.#probe === null) throw new Error('the stage is not built');
    return this.#probe;
  }

  async end(): Promise<void> {
    for (const one of [this.#probe, ...this.#echoes.values()]) await one?.end();
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

/**
 * Where the layer-7 benchmark runs: a network namespace of its own (without root: the machine's
 * loopback), the members, the load, and the proxies that were asked for, each on its CPUs.
 *
 * Invariant: close() ends every process that was started and removes every file.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { allowedCpus } from '../../native/ffi/affinity.js';
import { enterNetworkNamespace } from '../../native/ffi/namespace.js';
import { TestAuthority } from '../support/tls-material.js';
import { checkProxy } from './l7-check.js';
import { withDescendants } from './l7-cpu.js';
import type { Case } from './l7-cases.js';
import type { LoadAnswer, LoadResult, LoadTask } from './l7-load-process.js';
import { Companion, type Cpus } from './l7-processes.js';
import {
  bodies,
  MEMBERS,
  type Proxy,
  type Route,
  routesByPool,
  type Scene,
  scene,
  sceneAt,
  type Started,
} from './l7-scene.js';

const MEMBER_HEADS = [
  'User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0',
  'Accept: */*',
  'Accept-Language: en-GB,en;q=0.5',
  `${scene.requestRemove}: yes`,
];

/** Who serves: a proxy, or the members themselves. */
interface Running {
  readonly name: string;
  readonly port: number;
  /** Null: it speaks in the clear only. */
  readonly tls: Started['tls'] | null;
  readonly pid: number;
  readonly proxy: Proxy | null;
}

export interface Timing {
  readonly warmUpMs: number;
  readonly measureMs: number;
}

function requestHead({ host, path }: Route, { body, connect }: Case): string {
  const lines = [`GET ${path}${body} HTTP/1.1`, `Host: ${host}`, ...MEMBER_HEADS];
  return [...lines, ...(connect ? ['Connection: close'] : []), ''].join('\r\n');
}

function isPorts(message: unknown): message is { readonly ports: readonly number[] } {
  return typeof message === 'object' && message !== null && 'ports' in message;
}

async function portsOf(member: Companion): Promise<readonly number[]> {
  const message = await member.ask(null);
  if (!isPorts(message)) throw new Error('a member said no ports');
  return message.ports;
}

export class Stage {
  readonly scene: Scene;
  readonly running: readonly Running[];
  readonly #leave: () => void;
  readonly #folder: string;
  readonly #authority: TestAuthority;
  readonly #members: readonly Companion[];
  readonly #load: Companion;

  private constructor(
    set: {
      scene: Scene;
      running: readonly Running[];
      leave: () => void;
      folder: string;
      authority: TestAuthority;
    },
    members: readonly Companion[],
    load: Companion,
  ) {
    this.scene = set.scene;
    this.running = set.running;
    this.#leave = set.leave;
    this.#folder = set.folder;
    this.#authority = set.authority;
    this.#members = members;
    this.#load = load;
  }

  /** Starts everything and checks that each proxy does what it should. */
  static async open(proxies: readonly Proxy[], workers: number): Promise<Stage> {
    const [theirs, others] = split(workers);
    const leave = namespace();
    const folder = mkdtempSync(join(tmpdir(), 'weir-bench-'));
    const members = Array.from(
      { length: MEMBERS },
      (_, index) => new Companion('l7-member', others, String(index)),
    );
    const load = new Companion('l7-load-process', others);
    const running: Running[] = [];
    const authority = new TestAuthority();
    try {
      const ports = await Promise.all(members.map(portsOf));
      const made = sceneAt(ports);
      const hosts = [...new Set(made.routes.map(({ host }) => host))];
      const certificates = {
        ecdsa: authority.issue(hosts, 'ecdsa'),
        rsa: authority.issue(hosts, 'rsa'),
      };
      const [first] = members;
      const [[port] = []] = ports;
      if (first === undefined || port === undefined) throw new Error('there are no members');
      running.push({ name: 'direct', port, tls: null, pid: first.pid, proxy: null });
      for (const proxy of proxies) {
        const own = join(folder, proxy.name);
        mkdirSync(own);
        const settings = { scene: made, certificates, workers, cpus: theirs, folder: own };
        running.push({ name: proxy.name, proxy, ...(await proxy.start(settings)) });
      }
      for (const { proxy, port } of running) {
        if (proxy !== null) await checkProxy(proxy, port, made);
      }
      return new Stage({ scene: made, running, leave, folder, authority }, members, load);
    } catch (error) {
      authority.close();
      await Promise.all([...members, load, ...proxies].map((each) => each.stop()));
      rmSync(folder, { recursive: true, force: true });
      leave();
      throw error;
    }
  }

  /** One measurement of one case. Throws when anything but right answers came. */
  async measure(which: Case, who: Running, { warmUpMs, measureMs }: Timing): Promise<LoadResult> {
    const task: LoadTask = {
      port: which.tls === null ? who.port : (who.tls?.[which.tls.key] ?? 0),
      tls: which.tls,
      clients: which.clients,
      connect: which.connect,
      bodyBytes: bodies[which.body],
      cookie: who.proxy === null ? null : scene.cookie,
      requests: routesByPool(this.scene).map((routes) =>
        routes.map((route) => requestHead(route, which)),
      ),
      warmUpMs,
      measureMs,
      pids: withDescendants(who.pid),
    };
    const answer = (await this.#load.ask(task)) as LoadAnswer;
    if (answer.error !== null) throw new Error(`${which.name}, ${who.name}: ${answer.error}`);
    return answer.result;
  }

  async close(): Promise<void> {
    await Promise.all([
      this.#load.stop(),
      ...this.#members.map((member) => member.stop()),
      ...this.running.map(({ proxy }) => proxy?.stop()),
    ]);
    rmSync(this.#folder, { recursive: true, force: true });
    this.#authority.close();
    this.#leave();
  }
}

/** CPUs of the proxies, and of everything else; with one CPU there is nothing to choose. */
function split(workers: number): readonly [Cpus, Cpus] {
  const usable = allowedCpus();
  if (usable.length < 2) return [null, null];
  if (workers >= usable.length) {
    throw new Error(
      `${workers} workers leave no CPU for the load: there are ${cpus().length} in all.`,
    );
  }
  const border = usable.length - workers;
  return [usable.slice(border), usable.slice(0, border)];
}

function namespace(): () => void {
  if (process.getuid?.() !== 0) return () => undefined;
  const leave = enterNetworkNamespace();
  try {
    execFileSync('ip', ['link', 'set', 'lo', 'up']);
    // The same on every machine: what paces, as BBR does, would measure its timers. Without
    // losses Reno is as good as any, and the only one that every namespace may choose.
    writeFileSync('/proc/sys/net/ipv4/tcp_congestion_control', 'reno');
  } catch (error) {
    leave();
    throw error;
  }
  return leave;
}

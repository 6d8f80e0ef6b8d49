/**
 * Two units and a host on one link, each in a network namespace of its own: `lan` is the bridge and
 * the host (10.9.0.9, fd09::9), which hears every frame; the units are 10.9.0.1 and 10.9.0.2.
 *
 * Invariant: every stage takes down what it made, also when its test fails; a speaker ends with its
 * parent, and that one with the test's process.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { GroupText, PathsText, RouterText } from '../../appliance/ha/vrrp/speaker/messages.js';
import { HELD_ORIGIN } from '../../appliance/net/service-addresses.js';
import { FrameReader, seenFrame, type SeenClaim, type SeenVrrp } from './vrrp-frames.js';
import type { FromParent, ToParent } from './vrrp-process.js';

const PATIENCE_MS = 30_000;
let serial = 0;
/** What exists now: ended and removed also when the process must end in the middle of a test. */
const namespaces = new Set<string>();
const programs = new Set<ChildProcess>();
process.on('exit', () => {
  for (const program of programs) program.kill('SIGKILL');
  for (const name of namespaces) spawnSync('ip', ['netns', 'delete', name]);
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

export type UnitName = 'a' | 'b';
/** `far`: a client behind a switch of its own (vrrp-switches.ts). */
export type StageHost = UnitName | 'lan' | 'far';
export type UnitPart = 'parent' | 'speaker' | 'guard';
export const macs: Readonly<Record<UnitName, string>> = { a: '020000000a01', b: '020000000a02' };

/** `before`: words that lead to it, such as `chrt -f 30`. */
export function ip(line: string, input = '', ...before: readonly string[]): string {
  const [file = '', ...words] = [...before, 'ip', ...line.split(' ')];
  const { status, stdout, stderr } = spawnSync(file, words, { encoding: 'utf8', input });
  if (status !== 0) throw new Error(`ip ${line}: ${stderr.trim()}`);
  return stdout;
}

/** `settings`: as `name=value`. */
export function sysctl(namespace: string, ...settings: readonly string[]): void {
  const words = [`--net=/run/netns/${namespace}`, 'sysctl', '-q', '-w', ...settings];
  const { status, stderr } = spawnSync('nsenter', words, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`sysctl: ${stderr}`);
}

/** Something that changes, and can be waited for. */
class Watched {
  #wake = new Set<() => void>();

  changed(): void {
    for (const wake of this.#wake) wake();
  }

  /** Resolves with what `find` gives as soon as that is something. */
  async until<T>(what: string, find: () => T | undefined, seen: () => unknown): Promise<T> {
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      const found = find();
      if (found !== undefined) return found;
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`expected ${what}, seen ${JSON.stringify(seen(), null, 1)}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake.add(() => {
          clearTimeout(timer);
          resolve();
        });
      });
      this.#wake.clear();
    }
  }
}

class NoGuard extends Error {
  readonly code = 'ESRCH';
}

/** A speaker and its parent. */
export class WeirUnit {
  readonly messages: FromParent[] = [];
  /** When each came, as performance.now() counts. */
  readonly times: number[] = [];
  readonly #watched = new Watched();
  readonly #child: ChildProcess;
  readonly #closed: Promise<void>;

  constructor(namespace: string, patience: number, stateFile: string | null = null) {
    const script = join(import.meta.dirname, 'vrrp-process.js');
    const words = [`--net=/run/netns/${namespace}`, process.execPath, script, String(patience)];
    if (stateFile !== null) words.push(stateFile);
    this.#child = spawn('nsenter', words, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.#child.on('message', (message: FromParent) => {
      this.messages.push(message);
      this.times.push(performance.now());
      this.#watched.changed();
    });
    // What is told to one that has ended is lost; its end is told by itself.
    this.#child.on('error', (error) => {
      this.messages.push({ kind: 'output', line: String(error) });
      this.times.push(performance.now());
    });
    this.#closed = new Promise((resolve) => {
      this.#child.once('exit', () => resolve());
    });
  }

  tell(message: ToParent): void {
    this.#child.send(message);
  }

  async configure(groups: readonly GroupText[], paths: PathsText | null = null): Promise<void> {
    await this.hears('loaded');
    const before = this.messages.length;
    this.tell({ kind: 'configure', groups, paths });
    const answer = await this.#watched.until(
      'an answer',
      () =>
        this.messages.slice(before).find(({ kind }) => kind === 'configured' || kind === 'refused'),
      () => this.messages,
    );
    if (answer.kind === 'refused') throw new Error(answer.reason);
  }

  /** The next message of a kind, of those that come after the first `skip` that came at all. */
  hears<K extends FromParent['kind']>(
    kind: K,
    skip = 0,
    fits: (message: Extract<FromParent, { kind: K }>) => boolean = () => true,
  ): Promise<Extract<FromParent, { kind: K }>> {
    type Wanted = Extract<FromParent, { kind: K }>;
    return this.#watched.until(
      `a message "${kind}" that fits`,
      () =>
        this.messages
          .slice(skip)
          .find((message): message is Wanted => message.kind === kind && fits(message as Wanted)),
      () => this.messages,
    );
  }

  async becomes(role: string, skip = 0): Promise<void> {
    await this.hears('role', skip, (message) => message.role === role);
  }

  async status(): Promise<Extract<FromParent, { kind: 'status' }>> {
    const before = this.messages.length;
    this.tell({ kind: 'status' });
    return this.hears('status', before);
  }

  async pid(): Promise<number> {
    return (await this.hears('started')).pid;
  }

  /** The id of the speaker's parent. */
  get parent(): number {
    return this.#child.pid ?? 0;
  }

  async signal(signal: NodeJS.Signals, ...parts: readonly UnitPart[]): Promise<void> {
    const pids: number[] = [];
    for (const part of parts.length === 0 ? (['speaker'] as const) : parts) {
      pids.push(await this.pidOf(part));
    }
    // At once: a guard would not wait for its turn.
    for (const pid of pids) process.kill(pid, signal);
  }

  /** Throws where a guard, or its speaker, has ended. */
  async pidOf(part: UnitPart): Promise<number> {
    const speaker = await this.pid();
    if (part === 'speaker') return speaker;
    if (part === 'parent') return this.parent;
    // Each speaker has one child.
    const [child] = readFileSync(`/proc/${speaker}/task/${speaker}/children`, 'utf8').split(' ');
    if (child === undefined || child === '') throw new NoGuard();
    return Number(child);
  }

  /** Ends it in order, and says how it ended. */
  async stop(): Promise<string> {
    if (this.#child.connected) this.tell({ kind: 'stop' });
    const { how } = await this.hears('exit');
    await this.#closed;
    return how;
  }

  async end(): Promise<void> {
    // One that stands still because of a test would not notice.
    if (this.#child.exitCode === null) this.#child.kill('SIGCONT');
    if (this.#child.connected) this.#child.disconnect();
    await this.#closed;
  }
}

/** A peer whose output is waited for. */
export class Program {
  output = '';
  readonly #watched = new Watched();
  readonly #child: ChildProcess;
  readonly #closed: Promise<void>;

  constructor(namespace: string, words: readonly string[], onBytes?: (bytes: Buffer) => void) {
    this.#child = spawn('nsenter', [`--net=/run/netns/${namespace}`, ...words], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    programs.add(this.#child);
    const collect = (bytes: Buffer): void => {
      this.output += bytes.toString();
      this.#watched.changed();
    };
    this.#child.stderr?.on('data', collect);
    this.#child.stdout?.on('data', onBytes ?? collect);
    this.#closed = new Promise((resolve) => {
      this.#child.once('close', () => {
        programs.delete(this.#child);
        resolve();
      });
    });
  }

  /** Waits for a text behind the first `from` characters. */
  async says(text: string, from = 0): Promise<void> {
    await this.#watched.until(
      `"${text}"`,
      () => (this.output.includes(text, from) ? true : undefined),
      () => this.output.slice(from),
    );
  }

  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    this.#child.kill(signal);
    await this.#closed;
  }
}

export class VrrpStage {
  readonly frames: (SeenVrrp | SeenClaim)[] = [];
  /** When each passed the bridge, in milliseconds since 1970. */
  readonly frameTimes: number[] = [];
  readonly #watched = new Watched();
  readonly #ends: (() => Promise<unknown>)[] = [];
  readonly #hosts: StageHost[] = [];
  readonly #name: string;
  readonly #folder = mkdtempSync(join(tmpdir(), 'weir-vrrp-'));

  private constructor() {
    serial += 1;
    this.#name = `weirtest-${process.pid}-${serial}-vrrp`;
  }

  static async run(work: (stage: VrrpStage) => Promise<void>): Promise<void> {
    const stage = new VrrpStage();
    try {
      await stage.#build();
      await work(stage);
    } finally {
      await stage.#takeDown();
    }
  }

  namespace(host: StageHost): string {
    return `${this.#name}-${host}`;
  }

  /** What is to end before the stage is taken down. */
  onEnd(end: () => Promise<unknown>): void {
    this.#ends.push(end);
  }

  /** A namespace, which goes with the stage. */
  host(host: StageHost): string {
    const name = this.namespace(host);
    ip(`netns add ${name}`);
    namespaces.add(name);
    this.#hosts.push(host);
    sysctl(name, ...['all', 'default'].map((who) => `net.ipv6.conf.${who}.accept_dad=0`));
    return name;
  }

  async #build(): Promise<void> {
    const [lan, a, b] = [this.host('lan'), this.host('a'), this.host('b')];
    ip(`-n ${lan} link add br0 type bridge mcast_snooping 0`);
    ip(`-n ${lan} address add 10.9.0.9/24 dev br0`);
    ip(`-n ${lan} address add fd09::9/64 dev br0 nodad`);
    ip(`-n ${lan} link set br0 up`);
    for (const [unit, name, number] of [
      ['a', a, 1],
      ['b', b, 2],
    ] as const) {
      const mac = macs[unit].replace(/..(?!$)/g, '$&:');
      ip(`-n ${lan} link add port-${unit} type veth peer name eth0 address ${mac} netns ${name}`);
      ip(`-n ${lan} link set port-${unit} master br0 up`);
      ip(`-n ${name} address add 10.9.0.${number}/24 dev eth0`);
      ip(`-n ${name} address add fd09::${number}/64 dev eth0 nodad`);
      ip(`-n ${name} link set lo up`);
      ip(`-n ${name} link set eth0 up`);
    }
    const reader = new FrameReader((frame, at) => {
      const seen = seenFrame(frame);
      if (seen !== null) {
        this.frames.push(seen);
        this.frameTimes.push(at);
      }
      this.#watched.changed();
    });
    const filter = 'ip proto 112 or ip6 proto 112 or arp or icmp6';
    const words = ['tcpdump', '--immediate-mode', '-U', '-n', '-i', 'br0', '-Z', 'root'];
    // Room for hundreds of frames at once: a slot of its buffer is as long as the longest frame.
    words.push('-s', '1600', '-B', '16384');
    const capture = new Program(lan, [...words, '-w', '-', filter], (bytes) => {
      reader.push(bytes);
    });
    this.#ends.push(() => capture.end('SIGINT'));
    await capture.says('listening on');
  }

  async #takeDown(): Promise<void> {
    const ended = await Promise.allSettled(this.#ends.reverse().map((end) => end()));
    for (const name of this.#hosts.map((host) => this.namespace(host))) {
      ip(`netns delete ${name}`);
      namespaces.delete(name);
    }
    rmSync(this.#folder, { recursive: true });
    for (const one of ended) if (one.status === 'rejected') throw one.reason;
  }

  /** `patience`: that of its parent with a speaker that stands still, in milliseconds. */
  weir(host: UnitName, patience = 60_000, stateFile: string | null = null): WeirUnit {
    const unit = new WeirUnit(this.namespace(host), patience, stateFile);
    this.#ends.push(() => unit.end());
    return unit;
  }

  keepalived(host: UnitName, configuration: string): Program {
    const path = (name: string): string => join(this.#folder, `${host}-${name}`);
    writeFileSync(path('keepalived.conf'), configuration);
    const program = new Program(this.namespace(host), [
      ...['keepalived', '-n', '-l', '-D', '-P', '-f', path('keepalived.conf')],
      ...['-p', path('pid'), '-r', path('vrrp.pid')],
    ]);
    this.#ends.push(() => program.end());
    return program;
  }

  /** The next frame that fits, of those after the first `skip`. */
  frame<T extends SeenVrrp | SeenClaim>(
    what: string,
    fits: (frame: SeenVrrp | SeenClaim) => frame is T,
    skip = 0,
  ): Promise<T> {
    return this.#watched.until(
      what,
      () => this.frames.slice(skip).find((frame): frame is T => fits(frame)),
      () => this.frames.slice(-10),
    );
  }

  advertisement(from: UnitName, skip = 0): Promise<SeenVrrp> {
    return this.frame(
      `an advertisement from ${from}`,
      (frame): frame is SeenVrrp =>
        frame.kind === 'vrrp' && frame.from === macs[from] && frame.priority > 1,
      skip,
    );
  }

  claim(from: UnitName, address: string, skip = 0): Promise<SeenClaim> {
    return this.frame(
      `an announcement of ${address} from ${from}`,
      (frame): frame is SeenClaim =>
        frame.kind === 'claim' && frame.from === macs[from] && frame.address === address,
      skip,
    );
  }

  /** Cuts a unit off, or joins it again. */
  port(unit: UnitName, state: 'up' | 'down'): void {
    ip(`-n ${this.namespace('lan')} link set port-${unit} ${state}`);
  }

  /** A link of their own between the units: pair0, 10.9.9.1 and 10.9.9.2. */
  cable(): void {
    const [a, b] = [this.namespace('a'), this.namespace('b')];
    ip(`-n ${a} link add pair0 type veth peer name pair0 netns ${b}`);
    for (const [name, number] of [
      [a, 1],
      [b, 2],
    ] as const) {
      ip(`-n ${name} address add 10.9.9.${number}/24 dev pair0`);
      ip(`-n ${name} link set pair0 up`);
    }
  }

  /** The bridge drops everything of a unit, which cannot see that. */
  isolate(unit: UnitName, yes: boolean): void {
    const lan = this.namespace('lan');
    ip(`-n ${lan} link set port-${unit} ${yes ? 'nomaster' : 'master br0'}`);
  }

  removeAddress(unit: UnitName, address: string): void {
    ip(`-n ${this.namespace(unit)} address del ${address}/32 dev eth0`);
  }

  /** IPv6 addresses that are a unit's by routes of its speaker. */
  hostRoutes(unit: UnitName): string[] {
    const words = `route show table local proto ${HELD_ORIGIN} dev eth0`;
    const said = JSON.parse(ip(`-6 -j -n ${this.namespace(unit)} ${words}`) || '[]') as {
      dst: string;
    }[];
    return said.map(({ dst }) => dst);
  }

  /** Of eth0 of a unit, as `ip` prints them. */
  addresses(unit: UnitName): string[] {
    const said = JSON.parse(ip(`-j -n ${this.namespace(unit)} address show dev eth0`)) as {
      addr_info: { local: string }[];
    }[];
    return said.flatMap(({ addr_info: list }) => list.map(({ local }) => local));
  }

  /**
   * The MAC address that the host has for an address, after it has got an answer from there: to its
   * first question, or to one of `questions`, asked once a second.
   */
  reached(address: string, questions = 1): string {
    const words = ['ping', '-n', '-c', '1', '-W', '5', '-w', String(4 + questions), address];
    if (questions === 1) words.splice(words.indexOf('-w'), 2);
    const lan = this.namespace('lan');
    const { status, stdout } = spawnSync('nsenter', [`--net=/run/netns/${lan}`, ...words], {
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(`no answer from ${address}: ${stdout}`);
    const [entry] = JSON.parse(ip(`-j -n ${lan} neigh show ${address} dev br0`)) as {
      lladdr?: string;
    }[];
    return (entry?.lladdr ?? 'none').replaceAll(':', '');
  }
}

/** One virtual router on eth0, alone in its group. */
export function groupText(router: Partial<RouterText>, group: Partial<GroupText> = {}): GroupText {
  return {
    name: 'web',
    priority: 100,
    preempt: 'weaker',
    preemptDelay: 0,
    tracked: [],
    routers: [
      {
        name: 'web',
        interface: 'eth0',
        vrid: 51,
        family: 4,
        version: 3,
        interval: 100,
        addresses: ['10.9.0.80'],
        checksum: 'message',
        password: null,
        peers: [],
        virtualMac: false,
        otherAddresses: 'refuse',
        ...router,
      },
    ],
    ...group,
  };
}

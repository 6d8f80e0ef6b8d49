/** What runs on the units of the failover benchmark: Weir's speakers, or keepalived. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PathsText } from '../../appliance/ha/vrrp/speaker/messages.js';
import { heartbeats } from '../../appliance/ha/vrrp/paths/settings.js';
import type { Lateness } from '../../appliance/ha/vrrp/speaker/lateness.js';
import type { FromParent } from '../lab/vrrp-process.js';
import { groupText, WeirUnit } from '../lab/vrrp-stage.js';
import { ADDRESS, family, namespaceOf, type UnitName } from './failover-stage.js';

/** One of the systems that are compared. Unit `a` is the better one. */
export interface Contender {
  readonly name: string;
  /** Milliseconds between advertisements. */
  readonly interval: number;
  start(unit: UnitName): Promise<void>;
  /** In order. */
  stop(unit: UnitName): Promise<void>;
  /** To everything of it at once. */
  signal(unit: UnitName, signal: NodeJS.Signals): void;
  /** After SIGKILL. */
  forget(unit: UnitName): Promise<void>;
  /** What they said that may explain a failure. */
  explain(): string;
  end(): Promise<void>;
}

const priorities: Readonly<Record<UnitName, number>> = { a: 200, b: 100 };

function signalAll(pid: number, signal: NodeJS.Signals): void {
  const pids = family(pid);
  // Who watches another stops before it, and goes on after it.
  for (const one of signal === 'SIGCONT' ? pids.reverse() : pids) process.kill(one, signal);
}

/** The pair's own cable and the network of the address, as a pair has them. */
function pathsOf(unit: UnitName, interval: number): PathsText {
  const [own, other] = unit === 'a' ? [1, 2] : [2, 1];
  const path = (name: string, on: string, network: string): PathsText['paths'][number] => ({
    ...{ name, interface: on, family: 4 },
    ...{ local: `${network}.${own}`, remote: `${network}.${other}` },
  });
  return {
    key: 'be'.repeat(32),
    port: 9348,
    ...heartbeats(interval),
    paths: [path('cable', 'pair0', '10.9.9'), path('lan', 'eth0', '10.9.0')],
  };
}

/** A parent that is never impatient: what is measured is what the speaker and its guard do. */
const PATIENCE_MS = 60_000;

export class WeirContender implements Contender {
  readonly name = 'weir';
  readonly #units = new Map<UnitName, WeirUnit>();

  constructor(readonly interval: number) {}

  async start(unit: UnitName): Promise<void> {
    const one = new WeirUnit(namespaceOf(unit), PATIENCE_MS);
    this.#units.set(unit, one);
    const settings = { priority: priorities[unit] };
    const group = groupText({ interval: this.interval, addresses: [ADDRESS] }, settings);
    await one.configure([group], pathsOf(unit, this.interval));
  }

  #unit(unit: UnitName): WeirUnit {
    const one = this.#units.get(unit);
    if (one === undefined) throw new Error(`unit ${unit} does not run`);
    return one;
  }

  /** All that its speaker and its parent have said, and when, as performance.now() counts. */
  said(unit: UnitName): readonly { readonly message: FromParent; readonly at: number }[] {
    const { messages, times } = this.#unit(unit);
    return messages.map((message, index) => ({ message, at: times[index] ?? 0 }));
  }

  /** How many messages there are. */
  get heard(): number {
    return [...this.#units.values()].reduce((sum, { messages }) => sum + messages.length, 0);
  }

  /** Null: its speaker has ended. */
  async lateness(unit: UnitName): Promise<Lateness | null> {
    const one = this.#unit(unit);
    if (one.messages.some(({ kind }) => kind === 'exit')) return null;
    return (await one.status()).lateness;
  }

  async stop(unit: UnitName): Promise<void> {
    const one = this.#unit(unit);
    this.#units.delete(unit);
    await one.stop();
  }

  signal(unit: UnitName, signal: NodeJS.Signals): void {
    signalAll(this.#unit(unit).parent, signal);
  }

  async forget(unit: UnitName): Promise<void> {
    const one = this.#unit(unit);
    this.#units.delete(unit);
    await one.end();
    clear(unit);
  }

  explain(): string {
    return [...this.#units]
      .flatMap(([unit, { messages }]) =>
        messages.slice(-8).map((one) => `${unit}: ${JSON.stringify(one)}`),
      )
      .join('\n');
  }

  async end(): Promise<void> {
    for (const unit of [...this.#units.keys()]) await this.stop(unit);
  }
}

export class KeepalivedContender implements Contender {
  readonly name: string;
  readonly #units = new Map<UnitName, ChildProcess>();
  readonly #folder = mkdtempSync(join(tmpdir(), 'weir-failover-'));

  constructor(readonly interval: number) {
    const { stderr } = spawnSync('keepalived', ['--version'], { encoding: 'utf8' });
    this.name = `keepalived ${/v([0-9.]+)/.exec(stderr)?.[1] ?? ''}`.trim();
  }

  async start(unit: UnitName): Promise<void> {
    const path = (name: string): string => join(this.#folder, `${unit}-${name}`);
    // One that was killed leaves them, and keepalived then believes that it runs.
    for (const name of ['pid', 'vrrp']) rmSync(path(name), { force: true });
    const lines = [
      'global_defs {',
      ' vrrp_version 3',
      '}',
      'vrrp_instance web {',
      ' interface eth0',
      ' state BACKUP',
      ' virtual_router_id 51',
      ` priority ${priorities[unit]}`,
      ` advert_int ${this.interval / 1000}`,
      ` virtual_ipaddress { ${ADDRESS}/32 dev eth0 }`,
      '}',
    ];
    writeFileSync(path('conf'), `${lines.join('\n')}\n`);
    const words = ['keepalived', '-n', '-P', '-f', path('conf')];
    const child = spawn(
      'nsenter',
      [`--net=/run/netns/${namespaceOf(unit)}`, ...words, '-p', path('pid'), '-r', path('vrrp')],
      { stdio: 'ignore' },
    );
    this.#units.set(unit, child);
    await once(child, 'spawn');
  }

  #unit(unit: UnitName): ChildProcess {
    const child = this.#units.get(unit);
    if (child === undefined) throw new Error(`unit ${unit} does not run`);
    return child;
  }

  async stop(unit: UnitName): Promise<void> {
    const child = this.#unit(unit);
    child.kill('SIGTERM');
    await this.#gone(unit, child);
  }

  signal(unit: UnitName, signal: NodeJS.Signals): void {
    signalAll(this.#unit(unit).pid ?? 0, signal);
  }

  async forget(unit: UnitName): Promise<void> {
    await this.#gone(unit, this.#unit(unit));
    clear(unit);
  }

  explain(): string {
    return '';
  }

  async #gone(unit: UnitName, child: ChildProcess): Promise<void> {
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    this.#units.delete(unit);
  }

  async end(): Promise<void> {
    for (const unit of [...this.#units.keys()]) {
      await this.stop(unit);
      clear(unit);
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** As after the start of a machine: nothing is left of what was killed. */
function clear(unit: UnitName): void {
  const words = ['-n', namespaceOf(unit), 'address', 'del', `${ADDRESS}/32`, 'dev', 'eth0'];
  // It may not be there any more.
  spawnSync('ip', words);
}

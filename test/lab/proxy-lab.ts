/**
 * A lab for the proxy: the unit and HTTP members in network namespaces, and the test itself in the
 * client's, so that every socket and every program that it starts is a client's.
 *
 * Invariant: `close` may be called at any time and leaves nothing behind; `open` that fails too.
 */
import { execFile, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { ServiceRow } from '../../appliance/api/contract.js';
import { joinNetworkNamespace } from '../../native/ffi/namespace.js';
import { children, ended, first, start } from './commands.js';
import { memberPort } from './http-member-process.js';
import { said } from './servers.js';
import { addressOf, labPaths, Topology, type MemberName, type UnitName } from './topology.js';
import { Unit, until } from './unit.js';

const program = fileURLToPath(new URL('./http-member-process.js', import.meta.url));

/** The service address that most tests use; ports tell their services apart. */
export const service4 = '10.77.0.90';
export const service6 = 'fd77::90';

export interface Ran {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Members of a pool, by their IPv4 addresses. */
export function membersOf(
  names: readonly MemberName[],
  settings: object = {},
  port: number = memberPort,
  family: 4 | 6 = 4,
): object[] {
  return names.map((name) => ({ address: addressOf(name, family), port, ...settings }));
}

export function listenAt(port: number, protocol = 'http', more: object = {}): object {
  return { address: service4, port, protocol, ...more };
}

/** A hook of uvu, which would not say what went wrong in it. */
export function loud(work: () => Promise<void>): () => Promise<void> {
  return async () => {
    try {
      await work();
    } catch (error) {
      console.error(error);
      throw error;
    }
  };
}

export interface Configuration {
  readonly unit?: object;
  readonly pools: Readonly<Record<string, object>>;
  readonly services: Readonly<Record<string, object>>;
  readonly certificates?: Readonly<Record<string, object>>;
  readonly alerts?: Readonly<Record<string, object>>;
}

export class ProxyLab {
  private readonly running = new Map<MemberName, ChildProcess>();
  private revision = 0;

  private constructor(
    readonly topology: Topology,
    readonly unit: Unit,
    private readonly leave: () => void,
  ) {}

  static async open(
    members: readonly MemberName[] = ['member-1', 'member-2', 'member-3'],
  ): Promise<ProxyLab> {
    const topology = await Topology.create({ directAddresses: [] });
    let leave: () => void = () => undefined;
    try {
      mkdirSync(labPaths(process.pid).files, { recursive: true });
      const unit = new Unit(topology);
      await unit.start();
      leave = joinNetworkNamespace(`/run/netns/${topology.namespace('client')}`);
      const lab = new ProxyLab(topology, unit, leave);
      await Promise.all(members.map((name) => lab.startMember(name)));
      return lab;
    } catch (error) {
      leave();
      topology.destroy();
      throw error;
    }
  }

  async startMember(name: MemberName): Promise<void> {
    const child = this.startAt(name, [process.execPath, program, name]);
    this.running.set(name, child);
    await said(child, 'ready');
  }

  async killMember(name: MemberName): Promise<void> {
    const child = this.running.get(name);
    if (child === undefined) throw new Error(`${name} does not run`);
    this.running.delete(name);
    child.kill('SIGKILL');
    await ended(child);
  }

  /** A program that lives as long as the lab, in a host. */
  startAt(host: MemberName | UnitName, args: readonly string[]): ChildProcess {
    return start(this.topology.namespace(host), [...first, ...args]);
  }

  /**
   * Runs a script of node's in a host while `work` looks at the lines that it prints after its
   * first one, which is "ready".
   */
  async withScript(
    host: MemberName,
    [script, ...words]: readonly [string, ...string[]],
    work: (lines: readonly string[]) => Promise<void>,
  ): Promise<void> {
    const child = this.startAt(host, [process.execPath, '-e', script, ...words]);
    const lines: string[] = [];
    if (child.stdout === null) throw new Error('a script has no output');
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line !== 'ready') lines.push(line);
    });
    try {
      await said(child, 'ready');
      await work(lines);
    } finally {
      child.kill('SIGKILL');
      await ended(child);
    }
  }

  /** How many requests of a service were counted. */
  async requests(service: string): Promise<number> {
    const rows = JSON.parse(await this.unit.must('show', 'services', '--json')) as ServiceRow[];
    return rows.find(({ name }) => name === service)?.proxy?.totals.requests ?? Number.NaN;
  }

  /** Writes a file of the lab's and returns its path. */
  file(name: string, text: string): string {
    const path = join(labPaths(process.pid).files, name);
    writeFileSync(path, text, { mode: 0o644 });
    return path;
  }

  /** Makes the unit serve by this, whatever it served by before. */
  async apply({
    unit = {},
    pools,
    services,
    certificates = {},
    alerts = {},
  }: Configuration): Promise<void> {
    const document = {
      version: 1,
      unit: { name: 'weir-a', interfaces: ['eth0', 'eth1'], workers: 2, ...unit },
      pools,
      services,
      certificates,
      alerts,
    };
    this.revision += 1;
    const path = this.file(`proxy-${this.revision}.yaml`, JSON.stringify(document));
    await this.unit.must('apply', path);
  }

  /** Workers that serve: those that have given up root. Spares have not. */
  workers(): number[] {
    const { stdout } = spawnSync('ip', ['netns', 'pids', this.topology.namespace('unit-a')], {
      encoding: 'utf8',
    });
    return stdout
      .split('\n')
      .filter((text) => /^\d+$/.test(text))
      .map(Number)
      .filter((pid) => {
        const command = processFile(pid, 'cmdline')?.split('\0') ?? [];
        if (!command.some((word) => word.endsWith('/worker/main.js'))) return false;
        return !/^Uid:\s+0\s/m.test(processFile(pid, 'status') ?? 'Uid:\t0\t');
      });
  }

  /** Resident memory of all workers in bytes; what they share counts once for each. */
  workerMemory(): number {
    return this.workers().reduce((sum, pid) => sum + residentOf(pid), 0);
  }

  /** Runs a program as a client; its exit status is the caller's to judge. */
  run(command: string, ...args: string[]): Promise<Ran> {
    return this.runWithin(60_000, command, ...args);
  }

  /** The same for one that may take so many milliseconds. */
  async runWithin(timeout: number, command: string, ...args: string[]): Promise<Ran> {
    return new Promise((resolve, reject) => {
      execFile(
        command,
        args,
        { encoding: 'latin1', timeout, maxBuffer: 64 << 20 },
        (error, stdout, stderr) => {
          if (error === null) resolve({ status: 0, stdout, stderr });
          else if (typeof error.code === 'number') resolve({ status: error.code, stdout, stderr });
          else reject(new Error(`${command} did not end by itself`, { cause: error }));
        },
      );
    });
  }

  /** curl's answer; anything but success throws. */
  async curl(...args: string[]): Promise<string> {
    const ran = await this.run('curl', '-sS', '--max-time', '30', ...args);
    if (ran.status === 0) return ran.stdout;
    throw new Error(`curl ${args.join(' ')} ended with ${ran.status}: ${ran.stderr.trim()}`);
  }

  async untilWorkers(count: number): Promise<void> {
    await until(`${count} workers`, 10_000, () => {
      const pids = this.workers();
      return Promise.resolve(pids.length === count ? true : `workers ${pids.join(', ')}`);
    });
  }

  async close(): Promise<void> {
    try {
      await this.unit.end('SIGTERM');
    } finally {
      this.leave();
      const rest = [...children];
      this.topology.destroy();
      await Promise.all(rest.map(ended));
    }
  }
}

function processFile(pid: number, name: string): string | null {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH') return null;
    throw error;
  }
}

function residentOf(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(processFile(pid, 'status') ?? '')?.[1];
  if (kib === undefined) throw new Error(`process ${pid} is gone`);
  return Number(kib) * 1024;
}

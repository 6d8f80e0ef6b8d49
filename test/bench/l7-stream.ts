/**
 * CPU time of a tcp proxy for a GiB and for a connection: Weir's stream engine and HAProxy in front of
 * the same member, in one run, round by round.
 *
 *     npm run bench -- l7-stream [--json] [--runs N]
 *
 * Invariant: every byte is counted; a connection that brings less or ends otherwise ends the run.
 */
import { fork, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo } from 'node:net';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { BufferPool, Owner } from '../../appliance/l7/ring/buffer-pool.js';
import type { Connections } from '../../appliance/l7/ring/connections.js';
import { WorkerLoop } from '../../appliance/l7/ring/worker-loop.js';
import { QuietHandler } from '../support/ring-handlers.js';
import { loopback } from '../support/ring-driver.js';
import { spread } from './report.js';

export interface BenchOptions {
  readonly json: boolean;
  readonly runs: number;
}
export const defaults: BenchOptions = { json: false, runs: 5 };

const GIB = 2 ** 30;

interface Case {
  readonly name: string;
  readonly unit: string;
  readonly clients: number;
  readonly connections: number;
  readonly bytes: number;
  /** What the nanoseconds of the process are divided by. */
  readonly part: number;
}

const cases: readonly Case[] = [
  ...[1, 16].map((clients) => ({
    name: `l7.stream.bulk.${clients}.cpu`,
    unit: 'ms/GiB',
    clients,
    connections: 16,
    bytes: GIB / 8,
    part: 2e6,
  })),
  ...[1, 64, 512].map((clients) => ({
    name: `l7.stream.connect.${clients}.cpu`,
    unit: 'us/connection',
    clients,
    connections: 8192,
    bytes: 64,
    part: 8192e3,
  })),
];

/** Connections one after the other by so many clients, each of which asks for bytes and counts them. */
class Load extends QuietHandler {
  done = 0;
  readonly #got: Float64Array;
  readonly #ask = Buffer.alloc(8);
  #begun = 0;

  constructor(
    connections: Connections,
    private readonly address: Uint8Array,
    private readonly work: Case,
  ) {
    super(connections);
    this.#got = new Float64Array(connections.slots.count);
    this.#ask.writeBigUInt64BE(BigInt(work.bytes));
  }
  begin(): void {
    for (let client = 0; client < this.work.clients; client += 1) this.#next();
  }
  override onConnect(_slot: number, errno: number): void {
    if (errno !== 0) throw new Error(`a connection failed with errno ${errno}`);
  }
  override onData(slot: number, buffer: number): void {
    const { pool } = this.connections;
    this.#got[slot] = (this.#got[slot] as number) + (pool.length[buffer] as number);
    pool.release(buffer, Owner.handler);
  }
  override onEnd(slot: number, errno: number): void {
    const got = this.#got[slot] as number;
    if (errno !== 0 || got !== this.work.bytes) {
      throw new Error(`a connection ended with errno ${errno} after ${got} bytes`);
    }
    this.connections.finish(slot);
  }
  override onFinished(slot: number): void {
    this.connections.close(slot);
  }
  override onClosed(): void {
    this.done += 1;
    this.#next();
  }
  override room(): number {
    return 16;
  }
  #next(): void {
    if (this.#begun === this.work.connections) return;
    this.#begun += 1;
    const slot = this.connections.connect(this.address, null);
    if (slot < 0) throw new Error(`no connection: errno ${-slot}`);
    this.#got[slot] = 0;
    this.connections.writeBytes(slot, this.#ask, 0, 8);
  }
}

function carry(port: number, work: Case): void {
  const pool = new BufferPool({ size: 65_536, receiving: 256, working: 1024 });
  const loop = WorkerLoop.open({ pool, slots: 1024, timers: 1 });
  if (loop instanceof Error) throw loop;
  const load = new Load(loop.connections, loopback(port), work);
  loop.serve(load);
  load.begin();
  while (load.done < work.connections) loop.turn(1000);
  loop.close();
}

/** Nanoseconds that all threads of a process have used. */
function cpuOf(pid: number): number {
  let sum = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    sum += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]);
  }
  return sum;
}

interface Proxy {
  readonly name: string;
  readonly port: number;
  readonly child: ChildProcess;
}

async function start(name: string, words: readonly string[]): Promise<Proxy> {
  const file = fileURLToPath(new URL('l7-stream-process.js', import.meta.url));
  const child = fork(file, [...words]);
  const [{ port }] = (await once(child, 'message')) as [{ readonly port: number }];
  return { name, port, child };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function answers(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false; // nobody listens yet
  } finally {
    socket.destroy();
  }
}

async function haproxy(folder: string, member: number, splices: boolean): Promise<Proxy> {
  const name = splices ? 'haproxy-splice' : 'haproxy';
  const port = await freePort();
  const file = join(folder, `${name}.cfg`);
  writeFileSync(
    file,
    `global
  maxconn 4096
  nbthread 1
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
${splices ? '  option splice-auto\n' : ''}listen bench
  bind 127.0.0.1:${port} backlog 2048
  server member 127.0.0.1:${member}
`,
  );
  const child = spawn('haproxy', ['-db', '-q', '-f', file], { stdio: 'inherit' });
  for (let tries = 0; tries < 100 && child.exitCode === null; tries += 1) {
    if (await answers(port)) return { name, port, child };
    await delay(50);
  }
  child.kill('SIGKILL');
  throw new Error('HAProxy does not start');
}

export async function run({ json, runs }: BenchOptions): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'weir-bench-stream-'));
  const children: ChildProcess[] = [];
  const keep = (proxy: Proxy): Proxy => {
    children.push(proxy.child);
    return proxy;
  };
  try {
    const member = keep(await start('member', ['member']));
    const proxies = [
      keep(await start('weir', ['weir', String(member.port)])),
      keep(await haproxy(folder, member.port, false)),
      keep(await haproxy(folder, member.port, true)),
    ];
    for (const work of cases) {
      const samples = new Map(proxies.map(({ name }) => [name, [] as number[]]));
      for (let round = 0; round <= runs; round += 1) {
        for (let turn = 0; turn < proxies.length; turn += 1) {
          const proxy = proxies[(round + turn) % proxies.length];
          if (proxy?.child.pid === undefined) throw new Error('a proxy did not start');
          const before = cpuOf(proxy.child.pid);
          carry(proxy.port, work);
          // The first round is for warming up.
          const used = (cpuOf(proxy.child.pid) - before) / work.part;
          if (round > 0) samples.get(proxy.name)?.push(used);
        }
      }
      tell(work, samples, json);
    }
    if (!json)
      console.log(
        `load average ${loadavg()
          .map((load) => load.toFixed(1))
          .join(' ')}`,
      );
  } finally {
    for (const child of children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    rmSync(folder, { recursive: true, force: true });
  }
}

function tell({ name, unit }: Case, samples: ReadonlyMap<string, number[]>, json: boolean): void {
  const of = (who: string): ReturnType<typeof spread> => spread(samples.get(who) ?? []);
  const ours = of('weir');
  const theirs = of('haproxy');
  const splice = of('haproxy-splice');
  const ratio = Number((ours.median / theirs.median).toFixed(3));
  if (json) {
    console.log(JSON.stringify({ case: name, unit, ours, peer: 'haproxy', theirs, ratio, splice }));
    return;
  }
  const text = (value: number): string => value.toFixed(1).padStart(8);
  console.log(
    `${name.padEnd(28)}${text(ours.median)} ${unit}, haproxy${text(theirs.median)}, with splicing${text(splice.median)}, ratio ${ratio}`,
  );
}

/**
 * What is around the boxes of a file of tests: a network namespace of its own with a client outside and a
 * member inside, both in this process, a folder for what the boxes write, and seeds that configure them.
 *
 *     client 10.98.0.2 ── tap ── box (.3; services .80, .81) ── tap ── member 10.99.0.11
 */
import { spawnSync } from 'node:child_process';
import { createServer, get, type Server } from 'node:http';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'uvu';
import * as assert from 'uvu/assert';
import { projectRoot } from '../../appliance/paths.js';
import { lacking } from '../support/needs.js';
import { Machine, type MachineOptions } from '../support/qemu.js';

export const FOLDER_OF_IMAGE = join(projectRoot, 'build/image');
export const IMAGE = process.env['WEIR_IMAGE'] ?? join(FOLDER_OF_IMAGE, 'weir.img');
/** For whatever a box does under emulation, on a machine that has other work as well, in ms. */
export const PATIENCE_MS = 900_000;
export const READY = /weir: ready ([\d.]+) seconds/;
export const TAPS = ['outside', 'inside'] as const;
export const SERVICES = { proxied: '10.98.0.80', fast: '10.98.0.81' } as const;

/** Left out: the image's own disk, BIOS, a folder of its own for each machine, both taps. */
export type BoxOptions = Partial<MachineOptions>;

/** Made before the first test of a file, and gone after the last one; machines end with their test. */
export class Stage {
  readonly #name: string;
  #folder = '';
  #machines: Machine[] = [];
  #member: Server | null = null;

  /** `prepare`: what the file needs besides, after the network; a failure fails all of its tests. */
  constructor(
    test: Test,
    name: string,
    network: () => void = makeNetwork,
    prepare: () => Promise<void> | void = () => undefined,
  ) {
    this.#name = name;
    test.before(async () => {
      if (lacking('image') !== null) return;
      try {
        await this.#open(network);
        await prepare();
      } catch (error) {
        await this.#close();
        throw error;
      }
    });
    test.after.each(() => this.cut());
    test.after(() => this.#close());
  }

  /** A path in the folder of the file. */
  file(name: string): string {
    return join(this.#folder, name);
  }

  /** A new empty folder. */
  folder(name: string): string {
    return mkdtempSync(this.file(`${name}-`));
  }

  start(options: BoxOptions = {}): Machine {
    const folder = this.folder('machine');
    const machine = new Machine({
      ...{ image: IMAGE, folder, firmware: 'bios', taps: TAPS },
      ...options,
    });
    this.#machines.push(machine);
    return machine;
  }

  /** Cuts the power of all machines. */
  async cut(): Promise<void> {
    for (const machine of this.#machines) await machine.cut();
    this.#machines = [];
  }

  async #open(network: () => void): Promise<void> {
    this.#folder = mkdtempSync(join(tmpdir(), `weir-${this.#name}-`));
    network();
    this.#member = await startMember();
  }

  async #close(): Promise<void> {
    await this.cut();
    // A box whose power was cut closed none of its connections.
    this.#member?.closeAllConnections();
    this.#member?.close();
    if (this.#folder !== '') rmSync(this.#folder, { recursive: true, force: true });
  }
}

export const since = (begun: number): string =>
  `${((performance.now() - begun) / 1000).toFixed(1)} s`;

/** Asks until it is so; a box under emulation takes its time. */
export async function until<T>(
  read: () => Promise<T>,
  so: (found: T) => boolean,
  ms = PATIENCE_MS,
): Promise<T> {
  const end = performance.now() + ms;
  for (;;) {
    const found = await read();
    if (so(found)) return found;
    if (performance.now() > end)
      throw new Error(`it did not come to that: ${JSON.stringify(found)}`);
  }
}

/** What a command of the box answers with `--json`. */
export async function json<T>(machine: Machine, words: string): Promise<T> {
  return JSON.parse(await machine.shell(`weir ${words} --json`)) as T;
}

/** Waits until the client is answered by the member. */
export async function isAnswered(service: string, ms = PATIENCE_MS): Promise<void> {
  assert.is(await answered(service, ms), FROM_MEMBER);
}

function run(program: string, ...words: readonly string[]): void {
  const { status, stderr, error } = spawnSync(program, words, { encoding: 'utf8' });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${program} ${words.join(' ')}: ${stderr}`);
}

/** Makes the devices. The caller is in a namespace that ends with its process. */
export function makeNetwork(): void {
  run('ip', 'link', 'set', 'lo', 'up');
  for (const [tap, address] of [
    ['outside', '10.98.0.2/24'],
    ['inside', '10.99.0.11/24'],
  ] as const) {
    run('ip', 'tuntap', 'add', tap, 'mode', 'tap');
    run('ip', 'address', 'add', address, 'dev', tap);
    run('ip', 'link', 'set', tap, 'up');
  }
}

const network = (name: string, address: string): string =>
  `[Match]\nName=${name}\n[Network]\nAddress=${address}\nLinkLocalAddressing=no\n`;

/** http through the proxy, tcp through the fast path; the member answers both. */
const CONFIGURATION = `version: 1
unit: { name: box, interfaces: [enp0s5, enp0s6], nat-addresses: [10.99.0.4] }
pools:
  web:
    members: [{ address: 10.99.0.11, port: 8080 }]
    monitor: { type: tcp, interval: 1s, timeout: 900ms }
services:
  proxied:
    listen: { address: 10.98.0.80, port: 80, protocol: http }
    pool: web
  fast:
    listen: { address: 10.98.0.81, port: 80, protocol: tcp }
    forwarding: full-nat
    pool: web
`;

/** What a person puts on a volume WEIR-SEED; the paths. */
export function makeSeedFiles(folder: string): string[] {
  mkdirSync(join(folder, 'network'));
  writeFileSync(join(folder, 'weir.yaml'), CONFIGURATION);
  writeFileSync(join(folder, 'network/10-outside.network'), network('enp0s5', '10.98.0.3/24'));
  writeFileSync(join(folder, 'network/10-inside.network'), network('enp0s6', '10.99.0.3/24'));
  return [join(folder, 'weir.yaml'), join(folder, 'network')];
}

/** A volume WEIR-SEED as a person would prepare it; its path. */
export function makeVolume(volume: string, files: readonly string[]): string {
  run('mkfs.vfat', '-n', 'WEIR-SEED', '-C', volume, '2048');
  run('mcopy', '-s', '-i', volume, ...files, '::');
  return volume;
}

export function makeSeed(folder: string): string {
  return makeVolume(join(folder, 'seed.img'), makeSeedFiles(folder));
}

const FROM_MEMBER = 'from the member\n';

function startMember(): Promise<Server> {
  const server = createServer((_request, response) => {
    response.end(FROM_MEMBER);
  });
  return new Promise((resolve) => {
    server.listen(8080, '10.99.0.11', () => {
      resolve(server);
    });
  });
}

/** Under emulation a worker that has just begun takes seconds, and what is given up is work for it, too. */
const ANSWER_MS = 20_000;

/** One request on a connection of its own: the body; throws when there is none within `ms`. */
export function ask(address: string, ms = ANSWER_MS): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get({ host: address, agent: false, timeout: ms }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () => {
        if (response.statusCode === 200) resolve(text);
        else reject(new Error(`status ${response.statusCode ?? 'unknown'}`));
      });
    });
    request.on('timeout', () => request.destroy(new Error(`no answer within ${ms / 1000} s`)));
    request.on('error', reject);
  });
}

/** Asks again and again until there is an answer; throws the last reason after `ms`. */
async function answered(address: string, ms: number): Promise<string> {
  const end = performance.now() + ms;
  for (;;) {
    try {
      return await ask(address);
    } catch (error) {
      if (performance.now() > end) throw error;
      // A host that is not there is refused at once: ask a few times a second.
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}

/** A cable for each name, with a plug NAME-a and one NAME-b; `address` is this side's own plug. */
export function makeSwitches(switches: Readonly<Record<string, string | null>>): void {
  run('ip', 'link', 'set', 'lo', 'up');
  for (const [name, address] of Object.entries(switches)) {
    run('ip', 'link', 'add', name, 'type', 'bridge');
    if (address !== null) run('ip', 'address', 'add', address, 'dev', name);
    run('ip', 'link', 'set', name, 'up');
    for (const unit of ['a', 'b']) {
      run('ip', 'tuntap', 'add', `${name}-${unit}`, 'mode', 'tap');
      run('ip', 'link', 'set', `${name}-${unit}`, 'master', name, 'up');
    }
  }
}

export interface UnitSeed {
  readonly unit: string;
  /** The last of its addresses. */
  readonly number: number;
  /** Left out: services come from the other unit. */
  readonly services?: boolean;
  /** The password of `admin`. */
  readonly administrator?: string;
}

/** The seed of one of several units; its path. */
export function makeUnitSeed(
  folder: string,
  { unit, number, services = false, administrator }: UnitSeed,
): string {
  const whole = services
    ? CONFIGURATION
    : `${CONFIGURATION.split('pools:')[0]}pools: {}\nservices: {}\n`;
  // Emulated boxes stand still for longer than the default allows a unit of a pair.
  const slow = services ? `${whole}pair: { advertisement-interval: 2s }\n` : whole;
  const document = slow
    .replace('name: box', `name: ${unit}`)
    .replace('10.99.0.4', `10.99.0.${number + 100}`);
  mkdirSync(join(folder, 'network'));
  writeFileSync(join(folder, 'weir.yaml'), document);
  for (const [name, net] of [
    ['enp0s5', '10.98.0'],
    ['enp0s6', '10.99.0'],
    ['enp0s7', '10.97.0'],
  ] as const) {
    const file = join(folder, 'network', `10-${name}.network`);
    writeFileSync(file, network(name, `${net}.${number}/24`));
  }
  const files = ['weir.yaml', 'network'];
  if (administrator !== undefined) {
    writeFileSync(join(folder, 'administrator'), `${administrator}\n`);
    files.push('administrator');
  }
  return makeVolume(
    join(folder, 'seed.img'),
    files.map((name) => join(folder, name)),
  );
}

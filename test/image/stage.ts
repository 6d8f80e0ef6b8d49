/**
 * What is around the box of a boot test: a network namespace of its own with a client outside and a
 * member inside, both in this process, and a seed that configures the box.
 *
 *     client 10.98.0.2 ── tap ── box (.3; services .80, .81) ── tap ── member 10.99.0.11
 */
import { spawnSync } from 'node:child_process';
import { createServer, get, type Server } from 'node:http';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const TAPS = ['outside', 'inside'] as const;

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

export function startMember(): Promise<Server> {
  const server = createServer((_request, response) => {
    response.end('from the member\n');
  });
  return new Promise((resolve) => {
    server.listen(8080, '10.99.0.11', () => {
      resolve(server);
    });
  });
}

/** Under emulation a worker that has just begun takes seconds, and what is given up is work for it, too. */
const PATIENCE_MS = 20_000;

/** One request on a connection of its own: the body; throws when there is none within `ms`. */
export function ask(address: string, ms = PATIENCE_MS): Promise<string> {
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
export async function answered(address: string, ms: number): Promise<string> {
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
  const volume = join(folder, 'seed.img');
  const whole = services
    ? CONFIGURATION
    : `${CONFIGURATION.split('pools:')[0]}pools: {}\nservices: {}\n`;
  const document = whole
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
  run('mkfs.vfat', '-n', 'WEIR-SEED', '-C', volume, '2048');
  run('mcopy', '-s', '-i', volume, ...files.map((name) => join(folder, name)), '::');
  return volume;
}

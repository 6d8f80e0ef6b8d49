/**
 * A daemon that has the network of its host to itself: addresses, routes and MTU by the document, in
 * a network namespace with two veth pairs. The kernel's own record says in which order things came
 * and went.
 *
 * Invariant: every test makes its own namespace and leaves none, also when it fails.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ApplyResult, EventRow, Status } from '../../appliance/api/contract.js';
import { Client } from '../../appliance/cli/client.js';
import { Child } from '../support/child.js';
import { needs } from '../support/needs.js';
import { until } from './unit.js';

const test = suite('the network of the unit');
const program = fileURLToPath(new URL('../../appliance/cli/weir.js', import.meta.url));
/** Ends a test that hangs; it decides nothing else. */
const PATIENCE_MS = 30_000;
let serial = 0;

const namespaces = new Set<string>();
process.on('exit', () => {
  for (const name of namespaces) spawnSync('ip', ['netns', 'delete', name]);
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

function run(command: string, ...words: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, words, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${words.join(' ')}: ${error?.message ?? stderr}`);
  return stdout;
}

interface Device {
  readonly mtu: number;
  readonly addr_info: readonly {
    readonly local: string;
    readonly prefixlen: number;
    readonly protocol?: string;
  }[];
}

/** Two ends that lead nowhere, `eth0` and `eth1`; `eth0` has an address that somebody else gave it. */
class Bed {
  readonly folder = mkdtempSync(join(tmpdir(), 'weir-own-'));
  readonly client = new Client(join(this.folder, 'weir.sock'));
  readonly name = `weirtest-${process.pid}-own-${(serial += 1)}`;
  readonly #pins = `/sys/fs/bpf/${this.name}`;
  readonly #record: Child;
  #daemon: ChildProcess | null = null;
  #said = '';
  #marks = 0;

  constructor(readonly whole = true) {
    run('ip', 'netns', 'add', this.name);
    namespaces.add(this.name);
    this.ip('link set lo up');
    // An IPv6 address counts at once, so that nothing is left to tell of it later.
    this.#sysctl('net.ipv6.conf.default.accept_dad=0');
    for (const device of ['eth0', 'eth1']) {
      this.ip(`link add ${device} type veth peer name far-${device}`);
      this.ip(`link set far-${device} up`);
    }
    this.ip('link set eth0 up');
    this.ip('address add 10.5.0.1/24 dev eth0');
    // As a kernel has it when nobody sets it: with the first address the others of its network go.
    this.#sysctl('net.ipv4.conf.eth0.promote_secondaries=0');
    this.ip('neighbour add 10.0.0.9 lladdr 02:00:00:00:00:09 dev eth0');
    this.#record = new Child('ip', ['-n', this.name, 'monitor', 'address', 'route']);
  }

  /** `ip` in the unit, with its arguments in one line. */
  ip(line: string): string {
    return run('ip', '-n', this.name, ...line.split(' '));
  }

  #sysctl(setting: string): void {
    run('ip', 'netns', 'exec', this.name, 'sysctl', '-q', setting);
  }

  async start(): Promise<void> {
    const daemon = spawn('ip', [
      ...['netns', 'exec', this.name, process.execPath, program, 'daemon'],
      ...(this.whole ? ['--own-network', '--system-files', this.folder] : []),
      ...['--state-dir', join(this.folder, 'state'), '--run-dir', join(this.folder, 'run')],
      ...['--bpf-dir', this.#pins, '--socket', this.client.socket],
    ]);
    this.#daemon = daemon;
    for (const stream of [daemon.stdout, daemon.stderr]) {
      stream.on('data', (text) => (this.#said += String(text)));
    }
    await until('the daemon answers', PATIENCE_MS, async () => {
      if (daemon.exitCode !== null) throw new Error(`the daemon ended: ${this.#said}`);
      return this.client.text({ path: '/v1/version' }).then(
        () => true as const,
        (error: Error) => error.message,
      );
    });
  }

  async stop(): Promise<void> {
    const daemon = this.#daemon;
    this.#daemon = null;
    if (daemon === null) return;
    const ended = new Promise((resolve) => daemon.once('close', resolve));
    daemon.kill('SIGTERM');
    await ended;
  }

  async close(): Promise<void> {
    await this.stop();
    await this.#record.end();
    run('ip', 'netns', 'delete', this.name);
    namespaces.delete(this.name);
    rmSync(this.#pins, { recursive: true, force: true });
    rmSync(this.folder, { recursive: true, force: true });
  }

  apply(network: object | null, more: { readonly confirm?: number } = {}): Promise<ApplyResult> {
    const document = {
      version: 1,
      unit: { name: 'own', interfaces: ['eth0'], ...(network === null ? {} : { network }) },
      services: {
        web: {
          listen: { address: '10.0.0.80', port: 80, protocol: 'tcp' },
          pool: 'web',
          forwarding: 'nat',
        },
      },
      pools: { web: { members: [{ address: '10.0.0.9' }] } },
    };
    const query = more.confirm === undefined ? {} : { 'confirm-ms': more.confirm };
    return this.client.json({ method: 'PUT', path: '/v1/config', query, json: document });
  }

  device(name: string): Device {
    const [device] = JSON.parse(this.ip(`-json address show dev ${name}`)) as Device[];
    if (device === undefined) throw new Error(`there is no ${name}`);
    return device;
  }

  /** All that people or daemons gave it. */
  addresses(name: string): string[] {
    return this.device(name)
      .addr_info.map(({ local, prefixlen }) => `${local}/${prefixlen}`)
      .filter((text) => !text.startsWith('fe80:'))
      .sort();
  }

  routes(family: 4 | 6 = 4): string[] {
    return this.ip(`-${family} route show proto 0x57`)
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '');
  }

  /** What the kernel said of addresses and routes since the last call, up to now. */
  async record(): Promise<string> {
    this.#marks += 1;
    const mark = `192.0.2.${this.#marks}/32`;
    this.ip(`address add ${mark} dev lo`);
    await this.#record.says(new RegExp(mark.replaceAll('.', '\\.')));
    const { output } = this.#record;
    const before = output.indexOf(`192.0.2.${this.#marks - 1}/32`);
    return output.slice(Math.max(before, 0), output.indexOf(mark));
  }

  events(): Promise<EventRow[]> {
    return this.client.json({ path: '/v1/events', query: { kind: 'link', limit: 50 } });
  }
}

function network(address: string, more: object = {}): object {
  return {
    interfaces: {
      eth0: { addresses: [address, '2001:db8::1/64'], mtu: 1400 },
      eth1: { addresses: ['10.1.0.1/24'] },
    },
    routes: [
      { to: '10.9.0.0/16', via: '10.0.0.254' },
      { to: '2001:db8:9::/48', via: '2001:db8::fe' },
      { to: '10.8.0.0/16', device: 'eth1', metric: 7 },
    ],
    dns: { servers: ['10.0.0.53'] },
    ...more,
  };
}

needs.lab(test)('addresses, routes and MTU come, change and go; those of others stay', async () => {
  const bed = new Bed();
  try {
    await bed.start();
    const { warnings } = await bed.apply(network('10.0.0.1/24'));
    assert.equal(
      warnings.filter((text) => text.startsWith('cannot')),
      [],
    );
    assert.equal(bed.addresses('eth0'), [
      ...['10.0.0.1/24', '10.0.0.80/32', '10.5.0.1/24', '2001:db8::1/64'],
    ]);
    assert.equal(bed.addresses('eth1'), ['10.1.0.1/24']);
    assert.is(bed.device('eth0').mtu, 1400);
    assert.match(bed.ip('link show eth1'), /[<,]UP[,>]/);
    assert.equal(bed.routes(), [
      '10.8.0.0/16 dev eth1 scope link metric 7',
      '10.9.0.0/16 via 10.0.0.254 dev eth0',
    ]);
    assert.match(bed.routes(6).join(), /^2001:db8:9::\/48 via 2001:db8::fe dev eth0 metric 1024/);

    const resolvers = join(bed.folder, 'etc/resolv.conf');
    assert.match(readFileSync(resolvers, 'utf8'), /^nameserver 10\.0\.0\.53$/m);

    await bed.record();
    await bed.stop();
    await bed.start();
    const quiet = (await bed.record()).split('\n').filter((line) => /eth0|eth1/.test(line));
    assert.equal(quiet, [], 'a restart of the daemon changes nothing');

    await bed.apply(network('10.0.0.2/24'));
    const changed = await bed.record();
    const came = changed.search(/^\d+: eth0 +inet 10\.0\.0\.2\/24/m);
    const went = changed.search(/^Deleted \d+: eth0 +inet 10\.0\.0\.1\/24/m);
    assert.ok(came >= 0 && went > came, `the new one comes before the old one goes:\n${changed}`);
    assert.not.match(changed, /^Deleted .*(10\.0\.0\.2\/24|10\.9\.0\.0|10\.0\.0\.80)/m);
    assert.equal(bed.addresses('eth0'), [
      ...['10.0.0.2/24', '10.0.0.80/32', '10.5.0.1/24', '2001:db8::1/64'],
    ]);

    bed.ip('address del 10.0.0.2/24 dev eth0');
    await until('what somebody removed is back', PATIENCE_MS, async () => {
      const now = [...bed.addresses('eth0'), ...bed.routes()].join(' ');
      return (now.includes('10.0.0.2/24') && now.includes('10.9.0.0/16')) || now;
    });

    await bed.apply(null);
    assert.equal(bed.addresses('eth0'), ['10.0.0.80/32', '10.5.0.1/24']);
    assert.equal(bed.addresses('eth1'), []);
    assert.equal([...bed.routes(), ...bed.routes(6)], []);
    assert.not(existsSync(resolvers));
  } finally {
    await bed.close();
  }
});

needs.lab(test)(
  'what is refused is told and done once it can be; unconfirmed, it goes back',
  async () => {
    const bed = new Bed();
    try {
      await bed.start();
      const way = { to: '10.7.0.0/16', via: '198.51.100.1', device: 'eth1' };
      const { warnings } = await bed.apply({ interfaces: { eth1: {} }, routes: [way] });
      const refused = /^cannot add the route to 10\.7\.0\.0\/16 by 198\.51\.100\.1 on eth1: /;
      assert.ok(
        warnings.some((text) => refused.test(text)),
        warnings.join('\n'),
      );
      const [event] = await bed.events();
      assert.match(event?.message ?? '', refused);
      const { alarms } = await bed.client.json<Status>({ path: '/v1/status' });
      assert.ok(alarms.some(({ message }) => refused.test(message)));

      bed.ip('address add 198.51.100.2/24 dev eth1');
      await until('the route is there', PATIENCE_MS, async () =>
        bed.routes().join() === '10.7.0.0/16 via 198.51.100.1 dev eth1'
          ? true
          : bed.routes().join(),
      );
      await until('the alarm is over', PATIENCE_MS, async () => {
        const status = await bed.client.json<Status>({ path: '/v1/status' });
        const left = status.alarms.filter(({ message }) => refused.test(message));
        return left.length === 0 || left.map(({ message }) => message).join();
      });
      assert.match((await bed.events()).at(-1)?.message ?? '', /is as the configuration wants it/);

      // A change that nobody confirms gives the old management address back.
      await bed.apply(network('10.0.0.1/24'));
      await bed.apply(network('10.0.0.66/24', { routes: [] }), { confirm: 2000 });
      assert.ok(bed.addresses('eth0').includes('10.0.0.66/24'));
      assert.not(bed.addresses('eth0').includes('10.0.0.1/24'));
      await until('the old address is back', PATIENCE_MS, async () => {
        const now = bed.addresses('eth0').join(' ');
        return (now.includes('10.0.0.1/24') && !now.includes('10.0.0.66/24')) || now;
      });
      assert.is(bed.routes().length, 2);
    } finally {
      await bed.close();
    }
  },
);

needs.vlan(test)('a VLAN is made, made anew for another id, and goes', async () => {
  const bed = new Bed();
  const tagged = (id: number): object => ({
    interfaces: { eth1: {}, v7: { vlan: { link: 'eth1', id }, addresses: ['10.7.0.1/24'] } },
  });
  try {
    await bed.start();
    await bed.apply(tagged(7));
    assert.match(bed.ip('-d link show v7'), /[<,]UP[,>][\s\S]* id 7 [\s\S]*alias made by weir/);
    await bed.apply(tagged(8));
    assert.match(bed.ip('-d link show v7'), /[<,]UP[,>][\s\S]* id 8 /);
    assert.equal(bed.addresses('v7'), ['10.7.0.1/24']);
    await bed.apply(null);
    assert.not.match(bed.ip('link show'), / v7@/);
  } finally {
    await bed.close();
  }
});

needs.bond(test)('a bond takes its ports, and lets them go', async () => {
  const bed = new Bed();
  try {
    await bed.start();
    await bed.apply({
      interfaces: { bond0: { bond: { members: ['eth1'] }, addresses: ['10.3.0.1/24'] } },
    });
    assert.match(bed.ip('-d link show bond0'), /[<,]UP[,>][\s\S]* mode active-backup /);
    assert.match(bed.ip('link show eth1'), / master bond0 /);
    assert.equal(bed.addresses('bond0'), ['10.3.0.1/24']);
    await bed.apply(null);
    assert.not.match(bed.ip('link show'), / bond0[:@]| master /);
  } finally {
    await bed.close();
  }
});

needs.lab(test)('without the option a daemon refuses it and touches nothing', async () => {
  const bed = new Bed(false);
  try {
    await bed.start();
    await bed.apply(network('10.0.0.1/24')).then(
      () => assert.unreachable('it was taken'),
      (error: Error) => assert.match(error.message, /start it with --own-network/),
    );
    assert.equal(bed.addresses('eth0'), ['10.5.0.1/24']);
  } finally {
    await bed.close();
  }
});

test.run();

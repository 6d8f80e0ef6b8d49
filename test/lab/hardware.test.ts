/**
 * The hardware of a unit against a real kernel: the report, native mode where the driver can and
 * generic where it cannot, VLAN devices, and bonds. A daemon in a network namespace of its own,
 * over veth pairs.
 *
 * Invariant: every test makes its own namespaces and leaves none, also when it fails.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { stringify } from 'yaml';
import type {
  Counters,
  EventRow,
  FlowRow,
  HardwareCheck,
  HardwareInterface,
  HardwareReport,
  MemberRow,
  TierRow,
} from '../../appliance/api/contract.js';
import { Client } from '../../appliance/cli/client.js';
import { needs } from '../support/needs.js';
import { ended } from './commands.js';
import { until } from './unit.js';

const test = suite('hardware');
const program = fileURLToPath(new URL('../../appliance/cli/weir.js', import.meta.url));
/** Ends a test that hangs; it decides nothing else. */
const PATIENCE_MS = 60_000;
let serial = 0;

/** What must go even when the process has to end in the middle of a test. */
const namespaces = new Set<string>();
process.on('exit', () => {
  for (const name of namespaces) spawnSync('ip', ['netns', 'delete', name]);
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

function run(command: string, ...parameters: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, parameters, { encoding: 'utf8' });
  if (status !== 0) {
    throw new Error(`${command} ${parameters.join(' ')}: ${error?.message ?? stderr.trim()}`);
  }
  return stdout;
}

/** Makes the end of a pair behave as a card does: whole checksums, and frames taken from XDP. */
function asHardware(namespace: string, device: string): void {
  const features = ['tx', 'off', 'gro', 'on'];
  run('ip', 'netns', 'exec', namespace, 'ethtool', '-K', device, ...features);
}

/** A unit with a daemon and a peer that it is wired to. */
class Bed {
  readonly unit: string;
  readonly peer: string;
  readonly #files = mkdtempSync(join(tmpdir(), 'weirtest-hardware-'));
  readonly #socket = join(this.#files, 'weir.sock');
  #daemon: ChildProcess | null = null;
  #said = '';

  constructor() {
    serial += 1;
    this.unit = `weirtest-${process.pid}-${serial}-hw`;
    this.peer = `weirtest-${process.pid}-${serial}-hwpeer`;
    for (const name of [this.unit, this.peer]) {
      run('ip', 'netns', 'add', name);
      namespaces.add(name);
      run('ip', '-n', name, 'link', 'set', 'lo', 'up');
    }
  }

  /** One more host, wired to the unit by a pair of this name; its namespace. */
  far(name: string): string {
    const far = `${this.peer}-far`;
    run('ip', 'netns', 'add', far);
    namespaces.add(far);
    const line = `link add ${name} type veth peer name ${name} netns ${far}`;
    this.ip(line);
    this.ip(`link set ${name} up`);
    for (const device of ['lo', name]) run('ip', '-n', far, 'link', 'set', device, 'up');
    asHardware(far, name);
    return far;
  }

  /** `ip` inside the unit, arguments in one line. */
  ip(line: string): string {
    return run('ip', '-n', this.unit, ...line.split(' '));
  }

  peerIp(line: string): string {
    return run('ip', '-n', this.peer, ...line.split(' '));
  }

  /** A pair between both, of the same name at both ends, up. */
  wire(name: string, ...more: string[]): void {
    const line = `link add ${name} ${more.join(' ')} type veth peer name ${name} netns ${this.peer}`;
    run('ip', '-n', this.unit, ...line.split(' ').filter((word) => word !== ''));
    this.ip(`link set ${name} up`);
    this.peerIp(`link set ${name} up`);
  }

  async start(): Promise<void> {
    const words = ['netns', 'exec', this.unit, process.execPath, program, 'daemon'];
    const daemon = spawn(
      'ip',
      [
        ...[...words, '--state-dir', join(this.#files, 'state')],
        ...['--run-dir', join(this.#files, 'run'), '--bpf-dir', join(this.#files, 'bpf')],
        ...['--socket', this.#socket],
      ],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { ...process.env, WEIR_L7_LINGER: '1' },
      },
    );
    this.#daemon = daemon;
    const keep = (text: Buffer): void => {
      this.#said = (this.#said + text.toString('utf8')).slice(-5000);
    };
    daemon.stdout.on('data', keep);
    daemon.stderr.on('data', keep);
    await until('the daemon answers', PATIENCE_MS, async () => {
      if (daemon.exitCode !== null) throw new Error(`the daemon ended: ${this.#said}`);
      try {
        await this.get('/v1/status');
        return true;
      } catch {
        return this.#said;
      }
    });
  }

  /** A configuration with one member, on these interfaces. */
  apply(member: string, interfaces: readonly string[] | undefined): void {
    const path = join(this.#files, 'weir.yaml');
    writeFileSync(
      path,
      stringify({
        version: 1,
        unit: { name: 'weir-a', ...(interfaces === undefined ? {} : { interfaces }) },
        pools: { one: { algorithm: 'maglev', members: [{ address: member, port: 9000 }] } },
        services: {
          one: {
            listen: { address: '10.9.0.80', port: 9000, protocol: 'tcp' },
            forwarding: 'nat',
            pool: 'one',
          },
        },
      }),
    );
    this.weir('apply', path);
  }

  /** Prints what the command says. */
  weir(...words: string[]): string {
    return run(process.execPath, program, '--socket', this.#socket, ...words);
  }

  get<T>(path: string): Promise<T> {
    return new Client(this.#socket, PATIENCE_MS).json<T>({ path });
  }

  /** Waits until a tier row of each interface is there, and returns them by name. */
  async tiers(...names: string[]): Promise<Map<string, TierRow>> {
    let rows: TierRow[] = [];
    await until(`the program on ${names.join(', ')}`, PATIENCE_MS, async () => {
      rows = await this.get<TierRow[]>('/v1/tiers');
      const seen = rows.filter(({ mode }) => mode !== null).map((row) => row.interface);
      return names.every((name) => seen.includes(name)) ? true : JSON.stringify(rows);
    });
    return new Map(rows.map((row) => [row.interface, row]));
  }

  async hardware(name: string): Promise<HardwareInterface> {
    const { interfaces } = await this.get<HardwareReport>('/v1/hardware');
    const found = interfaces.find((one) => one.name === name);
    if (found === undefined) {
      throw new Error(
        `expected ${name} in the report, seen ${interfaces.map((one) => one.name).join(', ')}`,
      );
    }
    return found;
  }

  async close(): Promise<void> {
    if (this.#daemon !== null && this.#daemon.exitCode === null) {
      this.#daemon.kill('SIGTERM');
      await ended(this.#daemon);
    }
    for (const name of [...namespaces].filter((made) => made.includes(`-${serial}-hw`))) {
      run('ip', 'netns', 'delete', name);
      namespaces.delete(name);
    }
    // The BPF file system was mounted in the mount namespace of `ip netns exec`, and went with it.
    rmSync(this.#files, { recursive: true, force: true });
  }
}

async function withBed(use: (bed: Bed) => Promise<void>): Promise<void> {
  const bed = new Bed();
  try {
    await use(bed);
  } finally {
    await bed.close();
  }
}

function checkOf(one: HardwareInterface, subject: string): HardwareCheck {
  const check = one.checks.find((found) => found.subject === subject);
  if (check === undefined) {
    throw new Error(
      `expected a check of ${subject}, seen ${one.checks.map((found) => found.subject).join(', ')}`,
    );
  }
  return check;
}

needs.lab(test)('the report of a veth: native, with what must be set on the other end', () =>
  withBed(async (bed) => {
    bed.wire('eth0');
    bed.ip('address add 10.9.0.1/24 dev eth0');
    await bed.start();
    bed.apply('10.9.0.2', undefined);
    await bed.tiers('eth0');
    const one = await bed.hardware('eth0');
    assert.equal(
      [one.driver, one.profile, one.mode, one.fastPath, one.running, one.mtu, one.speed],
      ['veth', 'veth', 'native', true, true, 1500, 10_000],
    );
    assert.is(checkOf(one, 'mtu').state, 'ok');
    assert.is(checkOf(one, "peer's tx-checksumming").command, 'ethtool -K PEER tx off');
    const { machine, tables } = await bed.get<HardwareReport>('/v1/hardware');
    assert.ok(machine.cores > 0 && machine.memoryBytes > 0, JSON.stringify(machine));
    assert.match(machine.libbpf, /^1\.\d/);
    const [row] = await bed.get<TierRow[]>('/v1/tiers');
    const flows = row?.maps.find(({ name }) => name === 'flows')?.limit;
    assert.is(flows, tables.flows, 'the report names another size than the table has');
    const text = bed.weir('hardware');
    assert.match(text, /^Machine\n {2}CPU /);
    assert.match(text, /\neth0\n {2}Link {5}up, 10000 Mbit\/s, MTU 1500\n {2}Driver {3}veth/);
    assert.match(text, /\n {2}ok {7}mtu: 1500\n/);
    assert.match(text, /\n {11}ethtool -K PEER tx off\n/);
  }),
);

needs.lab(test)(
  'an interface without native mode gets generic, and so do all, with the reason',
  () =>
    withBed(async (bed) => {
      bed.wire('eth0');
      bed.wire('eth1');
      bed.ip('link set eth1 mtu 9000');
      bed.ip('address add 10.9.0.1/24 dev eth0');
      await bed.start();
      bed.apply('10.9.0.2', ['eth0', 'eth1']);
      const tiers = await bed.tiers('eth0', 'eth1');
      for (const name of ['eth0', 'eth1']) {
        assert.equal([tiers.get(name)?.mode, tiers.get(name)?.degraded], ['generic', true], name);
      }
      assert.match(
        tiers.get('eth1')?.why ?? '',
        /its MTU of 9000 is more than native XDP takes with this driver \(3506\)/,
      );
      assert.match(tiers.get('eth0')?.why ?? '', /eth1 has no native mode/);
      const events = await bed.get<EventRow[]>('/v1/events?kind=tier');
      const told = events.filter(({ subject }) => subject.interface === 'eth1');
      assert.equal(
        told.map(({ severity }) => severity),
        ['warning'],
      );
      assert.match(told[0]?.message ?? '', /^XDP on eth1: generic mode.* its MTU of 9000/);
      const check = checkOf(await bed.hardware('eth1'), 'mtu');
      assert.equal([check.state, check.command], ['change', 'ip link set dev eth1 mtu 3506']);
    }),
);

needs.vlan(test)(
  'a member behind VLANs: the program is below them, the next hop has the tags',
  () =>
    withBed(async (bed) => {
      bed.wire('eth0');
      for (const ip of [bed.ip.bind(bed), bed.peerIp.bind(bed)]) {
        ip('link add link eth0 name eth0.100 type vlan id 100');
        ip('link add link eth0.100 name eth0.100.7 type vlan id 7');
        ip('link set eth0.100 up');
        ip('link set eth0.100.7 up');
      }
      bed.ip('link set eth0.100.7 address 02:00:00:00:00:77');
      bed.ip('address add 10.9.0.1/24 dev eth0.100.7');
      bed.peerIp('address add 10.9.0.2/24 dev eth0.100.7');
      await bed.start();
      // Left out, and named: both come to the device below.
      for (const interfaces of [undefined, ['eth0.100.7']] as const) {
        bed.apply('10.9.0.2', interfaces);
        assert.equal([...(await bed.tiers('eth0')).keys()], ['eth0']);
        await until('the member has its next hop', PATIENCE_MS, async () => {
          const [row] = await bed.get<MemberRow[]>('/v1/members');
          if (row?.nextHop === null) return row.nextHopProblem ?? 'no next hop';
          assert.equal([row?.nextHop.interface, row?.nextHop.vlan], ['eth0', [100, 7]]);
          return true;
        });
      }
      const tagged = await bed.hardware('eth0.100.7');
      assert.equal([tagged.carrier, tagged.vlan, tagged.fastPath], ['eth0', [100, 7], false]);
      const below = await bed.hardware('eth0');
      assert.is(
        checkOf(below, "peer's tx-vlan-offload").command,
        'ethtool -K PEER txvlan off',
        'where VLANs are, the tags must be in the frames',
      );
      // Without the tags there is nothing that would have to be in the frame.
      bed.ip('link delete eth0.100');
      await until('no check of tags', PATIENCE_MS, async () => {
        const { checks } = await bed.hardware('eth0');
        const left = checks.filter(({ subject }) => subject.includes('vlan'));
        return left.length === 0 ? true : left.map(({ subject }) => subject).join();
      });
    }),
);

/** Both ends a bond of two ports, the unit's in this mode. */
function bonded(bed: Bed, mode: string): void {
  for (const name of ['eth0', 'eth1']) bed.wire(name);
  for (const ip of [bed.ip.bind(bed), bed.peerIp.bind(bed)]) {
    ip(`link add bond0 type bond mode ${mode} miimon 100`);
    for (const name of ['eth0', 'eth1']) {
      ip(`link set ${name} down`);
      ip(`link set ${name} master bond0`);
      ip(`link set ${name} up`);
    }
    ip('link set bond0 up');
  }
  bed.ip('address add 10.9.0.1/24 dev bond0');
  bed.peerIp('address add 10.9.0.2/24 dev bond0');
}

needs.bond(test)('a bond in active-backup runs natively', () =>
  withBed(async (bed) => {
    bonded(bed, 'active-backup');
    await bed.start();
    // A port stands for its bond.
    bed.apply('10.9.0.2', ['eth1']);
    const tiers = await bed.tiers('bond0');
    assert.equal([...tiers.keys()], ['bond0']);
    assert.equal(
      [tiers.get('bond0')?.mode, tiers.get('bond0')?.profile],
      ['native', 'bonding of veth'],
      tiers.get('bond0')?.why,
    );
    const bond = await bed.hardware('bond0');
    assert.equal(bond.bond, {
      mode: 'active-backup',
      hashPolicy: 'layer2',
      ports: ['eth0', 'eth1'],
    });
    assert.is((await bed.hardware('eth0')).carrier, 'bond0');
    await until('the member has its next hop', PATIENCE_MS, async () => {
      const [row] = await bed.get<MemberRow[]>('/v1/members');
      return row?.nextHop?.interface === 'bond0' ? true : (row?.nextHopProblem ?? 'none');
    });
  }),
);

const SERVER = `require('http').createServer((_, answer) => answer.end('far')).listen(9000, () => console.log('up'))`;

needs.bond(test)('answers go back by the bond that the client came in by', () =>
  withBed(async (bed) => {
    bonded(bed, 'active-backup');
    for (const name of ['eth0', 'eth1']) asHardware(bed.peer, name);
    const far = bed.far('eth2');
    bed.ip('address add 10.10.0.1/24 dev eth2');
    run('ip', '-n', far, 'address', 'add', '10.10.0.2/24', 'dev', 'eth2');
    run('ip', '-n', far, 'route', 'add', 'default', 'via', '10.10.0.1');
    const server = spawn('ip', ['netns', 'exec', far, process.execPath, '-e', SERVER], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      await new Promise((resolve) => server.stdout.once('data', resolve));
      await bed.start();
      bed.apply('10.10.0.2', ['bond0', 'eth2']);
      await bed.tiers('bond0', 'eth2');
      await until('the member serves', PATIENCE_MS, async () => {
        const [row] = await bed.get<MemberRow[]>('/v1/members');
        return row?.state === 'UP' ? true : (row?.reason ?? 'no member');
      });
      const url = 'http://10.9.0.80:9000/';
      const curl = ['curl', '--silent', '--show-error', '--max-time', '20', url];
      assert.is(run('ip', 'netns', 'exec', bed.peer, ...curl), 'far');
      const { drops } = await bed.get<Counters>('/v1/counters');
      assert.is(drops['redirect'], 0, 'expected no frame without a way out');
      const [flow] = await bed.get<FlowRow[]>('/v1/flows');
      assert.is(flow?.clientAddress, '10.9.0.2', 'expected the fast path to have carried it');
    } finally {
      server.kill('SIGKILL');
      await ended(server);
    }
  }),
);

needs.bond(test)('a bond in balance-alb has no native mode, and says so', () =>
  withBed(async (bed) => {
    bonded(bed, 'balance-alb');
    await bed.start();
    bed.apply('10.9.0.2', ['bond0']);
    const tier = (await bed.tiers('bond0')).get('bond0');
    assert.is(tier?.mode, 'generic');
    assert.match(tier?.why ?? '', /a bond in mode balance-alb takes no native program; use /);
  }),
);

test.run();

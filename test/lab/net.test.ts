/**
 * The network as the unit sees it, against a real kernel: a unit and a neighbour in two network
 * namespaces of their own, joined by a veth pair.
 *
 * Invariant: every test makes its own namespaces and leaves none, also when it fails.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { NetTables } from '../../appliance/control/tables.js';
import { needs } from '../support/needs.js';
import type { View } from './net-child.js';

const PATIENCE_MS = 15_000;
let serial = 0;

/** Namespaces that exist now: removed even when the process must end in the middle of a test. */
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

/** `ip` with its arguments in one line. */
function ip(line: string): string {
  return run('ip', ...line.split(' '));
}

/** The child with a Network, and the last view that it told. */
class Unit {
  readonly #child: ChildProcess;
  readonly #closed: Promise<void>;
  #wake: () => void = () => undefined;
  #died: string | null = null;
  views: View[] = [];

  constructor(namespace: string, parameters: readonly string[]) {
    const script = join(import.meta.dirname, 'net-child.js');
    this.#child = spawn(
      'ip',
      ['netns', 'exec', namespace, process.execPath, script, ...parameters],
      { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] },
    );
    this.#closed = new Promise((resolve) =>
      this.#child.on('exit', (code, signal) => {
        this.#died = `the child ended with ${code ?? signal ?? 'nothing'}`;
        this.#wake();
        resolve();
      }),
    );
    this.#child.on('message', (view: View) => {
      this.views.push(view);
      this.#wake();
    });
  }

  get view(): View | undefined {
    return this.views.at(-1);
  }

  /** Waits for a view that `holds`; fails with what was seen instead. */
  async until(what: string, holds: (view: View) => boolean): Promise<View> {
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      const { view } = this;
      if (view !== undefined && holds(view)) return view;
      if (this.#died !== null) throw new Error(this.#died);
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`expected ${what}, seen ${JSON.stringify(view, null, 2)}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  async reconcile(net: Partial<NetTables>): Promise<Required<View>> {
    const before = this.views.length;
    this.#child.send({ serviceAddresses: [], memberAddresses: [], interfaces: [], ...net });
    const answered = (): View | undefined =>
      this.views.slice(before).find(({ report }) => report !== undefined);
    await this.until('an answer', () => answered() !== undefined);
    return answered() as Required<View>;
  }

  /** Waits until a member's next hop is, or matches, this. */
  hop(member: string, expected: string | RegExp): Promise<View> {
    return this.until(`${member}: ${String(expected)}`, ({ nextHops }) => {
      const seen = nextHops[member] ?? '';
      return typeof expected === 'string' ? seen === expected : expected.test(seen);
    });
  }

  /** Lets the child end by itself, as a daemon does: a hang is a failure. */
  async stop(): Promise<void> {
    if (this.#child.connected) this.#child.send('stop');
    const timer = setTimeout(() => {
      this.#died = 'the child did not end by itself';
      this.#child.kill('SIGKILL');
    }, 5000);
    await this.#closed;
    clearTimeout(timer);
    assert.is(this.#died, 'the child ended with 0');
  }
}

interface Bed {
  /** Namespaces of the unit and of its neighbour. */
  readonly unit: string;
  readonly peer: string;
  readonly start: (...parameters: string[]) => Unit;
}

const UNIT_MAC = '02:00:00:00:00:01';
const PEER_MAC = '02:00:00:00:00:02';

function connect({ unit, peer }: { readonly unit: string; readonly peer: string }): void {
  ip(
    `-n ${unit} link add eth0 address ${UNIT_MAC} type veth peer name eth0 address ${PEER_MAC} netns ${peer}`,
  );
  ip(`-n ${unit} address add 10.0.0.1/24 dev eth0`);
  ip(`-n ${unit} address add fd00::1/64 dev eth0 nodad`);
  ip(`-n ${peer} address add 10.0.0.2/24 dev eth0`);
  ip(`-n ${peer} address add fd00::2/64 dev eth0 nodad`);
  ip(`-n ${unit} link set eth0 up`);
  ip(`-n ${peer} link set eth0 up`);
}

/** Unit 10.0.0.1 and fd00::1, neighbour 10.0.0.2 and fd00::2, both on `eth0`. */
async function withBed(work: (bed: Bed) => Promise<void>): Promise<void> {
  serial += 1;
  const unit = `weirtest-${process.pid}-${serial}-unit`;
  const peer = `weirtest-${process.pid}-${serial}-peer`;
  const started: Unit[] = [];
  const remove = async (): Promise<void> => {
    const ended = await Promise.allSettled(started.map((child) => child.stop()));
    for (const name of [unit, peer].filter((made) => namespaces.has(made))) {
      ip(`netns delete ${name}`);
      namespaces.delete(name);
    }
    const bad = ended.find((result) => result.status === 'rejected');
    if (bad !== undefined) throw bad.reason;
  };
  try {
    for (const name of [unit, peer]) {
      ip(`netns add ${name}`);
      namespaces.add(name);
      ip(`-n ${name} link set lo up`);
    }
    connect({ unit, peer });
    await work({
      unit,
      peer,
      start: (...parameters) => {
        const child = new Unit(unit, parameters);
        started.push(child);
        return child;
      },
    });
  } finally {
    await remove();
  }
}

/** The text of a resolved next hop. */
function hop(mac: string, sourceMac = UNIT_MAC, name = 'eth0'): string {
  return `${mac} from ${sourceMac} on ${name}`;
}

const lab = needs.lab(test);

lab('next hops in both families, with words for those that are none', () =>
  withBed(async ({ start }) => {
    const unit = start();
    const members = ['10.0.0.2', 'fd00::2', '10.0.0.3', 'fd00::3', '192.0.2.9', '10.0.0.1'];
    const { nextHops, interfaces, drivers } = await unit.reconcile({ memberAddresses: members });
    assert.equal(interfaces, ['eth0']);
    assert.equal(drivers, ['veth']);
    assert.is(nextHops['192.0.2.9'], 'no route to 192.0.2.9');
    assert.is(nextHops['10.0.0.1'], '10.0.0.1 is an address of this unit itself');
    assert.is(nextHops['10.0.0.3'], 'no MAC address known for 10.0.0.3 (asking by ARP)');
    await unit.hop('10.0.0.2', hop(PEER_MAC));
    await unit.hop('fd00::2', hop(PEER_MAC));
    await unit.hop('10.0.0.3', 'no MAC address known for 10.0.0.3 (no answer to ARP)');
    await unit.hop(
      'fd00::3',
      'no MAC address known for fd00::3 (no answer to neighbour solicitation)',
    );
  }),
);

lab('a member that was silent is found when it answers', () =>
  withBed(async ({ start, peer }) => {
    const unit = start();
    await unit.reconcile({ memberAddresses: ['10.0.0.3'] });
    await unit.hop('10.0.0.3', /no answer to ARP/);
    ip(`-n ${peer} address add 10.0.0.3/24 dev eth0`);
    await unit.hop('10.0.0.3', hop(PEER_MAC));
  }),
);

lab('a member that falls silent is noticed without any traffic to it', () =>
  withBed(async ({ start, unit: unitSpace, peer }) => {
    // The same path as with the kernel's defaults, in less time.
    for (const setting of [
      'base_reachable_time_ms=1000',
      'delay_first_probe_time=1',
      'retrans_time_ms=200',
    ]) {
      run('ip', 'netns', 'exec', unitSpace, 'sysctl', '-qw', `net.ipv4.neigh.eth0.${setting}`);
    }
    const unit = start();
    await unit.reconcile({ memberAddresses: ['10.0.0.2'] });
    await unit.hop('10.0.0.2', hop(PEER_MAC));
    ip(`-n ${peer} address delete 10.0.0.2/24 dev eth0`);
    await unit.hop('10.0.0.2', 'no MAC address known for 10.0.0.2 (no answer to ARP)');
  }),
);

lab('a stale entry is used meanwhile, and verified', () =>
  withBed(async ({ start, unit: unitSpace }) => {
    run(
      'ip',
      'netns',
      'exec',
      unitSpace,
      'sysctl',
      '-qw',
      'net.ipv4.neigh.eth0.delay_first_probe_time=1',
    );
    ip(`-n ${unitSpace} neighbour add 10.0.0.2 lladdr ${PEER_MAC} dev eth0 nud stale`);
    const unit = start();
    const { nextHops } = await unit.reconcile({ memberAddresses: ['10.0.0.2'] });
    assert.is(nextHops['10.0.0.2'], hop(PEER_MAC), 'the stale entry was not used');
    const deadline = Date.now() + PATIENCE_MS;
    while (!ip(`-n ${unitSpace} neighbour show 10.0.0.2`).includes('REACHABLE')) {
      if (Date.now() > deadline)
        throw new Error(`expected REACHABLE, seen ${ip(`-n ${unitSpace} neighbour`)}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.ok(unit.views.every((view) => view.nextHops['10.0.0.2'] === hop(PEER_MAC)));
  }),
);

lab('a stale entry with a wrong MAC address is put right', () =>
  withBed(async ({ start, unit: unitSpace }) => {
    run(
      'ip',
      'netns',
      'exec',
      unitSpace,
      'sysctl',
      '-qw',
      'net.ipv4.neigh.eth0.delay_first_probe_time=1',
    );
    ip(`-n ${unitSpace} neighbour add 10.0.0.2 lladdr 02:00:00:00:00:99 dev eth0 nud stale`);
    const unit = start();
    await unit.reconcile({ memberAddresses: ['10.0.0.2'] });
    await unit.hop('10.0.0.2', hop('02:00:00:00:00:99'));
    await unit.hop('10.0.0.2', hop(PEER_MAC));
  }),
);

lab('a router that is replaced by another, and then changes its MAC address', () =>
  withBed(async ({ start, unit: unitSpace, peer }) => {
    // The second router: a macvlan, so that it has a MAC address of its own.
    ip(`-n ${peer} link add router2 link eth0 address 02:00:00:00:00:03 type macvlan mode bridge`);
    ip(`-n ${peer} address add 10.0.0.253/32 dev router2`);
    ip(`-n ${peer} link set router2 up`);
    for (const setting of [
      'all.arp_ignore=1',
      'all.arp_notify=1',
      'router2.arp_notify=1',
      'eth0.arp_ignore=1',
    ]) {
      run('ip', 'netns', 'exec', peer, 'sysctl', '-qw', `net.ipv4.conf.${setting}`);
    }
    ip(`-n ${unitSpace} route add 192.0.2.0/24 via 10.0.0.2`);
    const unit = start();
    await unit.reconcile({ memberAddresses: ['192.0.2.9', '198.51.100.9'] });
    await unit.hop('192.0.2.9', hop(PEER_MAC));
    await unit.hop('198.51.100.9', 'no route to 198.51.100.9');
    ip(`-n ${unitSpace} route replace 192.0.2.0/24 via 10.0.0.253`);
    await unit.hop('192.0.2.9', hop('02:00:00:00:00:03'));
    // Beyond the kernel's locktime of one second it believes a gratuitous ARP.
    await new Promise((resolve) => setTimeout(resolve, 1100));
    ip(`-n ${peer} link set router2 address 02:00:00:00:00:04`);
    await unit.hop('192.0.2.9', hop('02:00:00:00:00:04'));
    ip(`-n ${unitSpace} route add 198.51.100.0/24 via 10.0.0.2`);
    await unit.hop('198.51.100.9', hop(PEER_MAC));
    ip(`-n ${unitSpace} route delete 192.0.2.0/24`);
    await unit.hop('192.0.2.9', 'no route to 192.0.2.9');
    ip(`-n ${unitSpace} route add blackhole 192.0.2.0/24`);
    await unit.hop('192.0.2.9', 'no route to 192.0.2.9 (the routing table drops it: blackhole)');
  }),
);

lab('a policy rule decides, as it does for the kernel itself', () =>
  withBed(async ({ start, unit: unitSpace, peer }) => {
    ip(`-n ${peer} address add 10.0.0.253/24 dev eth0`);
    ip(`-n ${unitSpace} route add 192.0.2.0/24 via 10.0.0.2`);
    const unit = start();
    await unit.reconcile({ memberAddresses: ['192.0.2.9'] });
    await unit.hop('192.0.2.9', hop(PEER_MAC));
    ip(`-n ${unitSpace} rule add to 192.0.2.9 prohibit`);
    await unit.hop('192.0.2.9', 'no route to 192.0.2.9 (the routing table prohibits it)');
    ip(`-n ${unitSpace} rule delete to 192.0.2.9 prohibit`);
    await unit.hop('192.0.2.9', hop(PEER_MAC));
  }),
);

lab('carrier, interface state, name and MAC address', () =>
  withBed(async ({ start, unit: unitSpace, peer }) => {
    const unit = start();
    await unit.reconcile({ memberAddresses: ['10.0.0.2'] });
    await unit.hop('10.0.0.2', hop(PEER_MAC));
    ip(`-n ${peer} link set eth0 down`);
    await unit.hop('10.0.0.2', 'interface eth0 towards 10.0.0.2 has no carrier');
    ip(`-n ${peer} link set eth0 up`);
    await unit.hop('10.0.0.2', hop(PEER_MAC));
    ip(`-n ${unitSpace} link set eth0 down`);
    await unit.hop('10.0.0.2', /^no route to 10\.0\.0\.2$/);
    ip(`-n ${unitSpace} link set eth0 name lan0`);
    ip(`-n ${unitSpace} link set lan0 up`);
    await unit.hop('10.0.0.2', hop(PEER_MAC, UNIT_MAC, 'lan0'));
    ip(`-n ${unitSpace} link set lan0 address 02:00:00:00:00:11`);
    const view = await unit.hop('10.0.0.2', hop(PEER_MAC, '02:00:00:00:00:11', 'lan0'));
    assert.equal(view.interfaces, ['lan0']);
  }),
);

lab('an interface that goes away and comes back brings next hop and service addresses back', () =>
  withBed(async ({ start, unit: unitSpace, peer }) => {
    const unit = start();
    await unit.reconcile({
      memberAddresses: ['10.0.0.2'],
      serviceAddresses: ['10.0.0.80', 'fd00::80'],
    });
    await unit.hop('10.0.0.2', hop(PEER_MAC));
    ip(`-n ${unitSpace} link delete eth0`);
    const gone = await unit.hop('10.0.0.2', 'no route to 10.0.0.2');
    assert.equal(
      gone.addresses.filter((text) => text.includes('eth0')),
      [],
    );
    await unit.until('no interface', ({ interfaces }) => interfaces.length === 0);
    connect({ unit: unitSpace, peer });
    await unit.hop('10.0.0.2', hop(PEER_MAC));
    await unit.until('both service addresses', ({ addresses }) =>
      ['10.0.0.80/32 on eth0 (ours)', 'fd00::80/128 on eth0 (ours)'].every((text) =>
        addresses.includes(text),
      ),
    );
  }),
);

lab('service addresses by difference, and only our own are removed', () =>
  withBed(async ({ start, unit: unitSpace }) => {
    ip(`-n ${unitSpace} address add 10.0.0.70/32 dev eth0`);
    const unit = start();
    const first = await unit.reconcile({
      serviceAddresses: ['10.0.0.80', 'fd00::80', '10.0.0.70', '192.0.2.1'],
    });
    assert.equal(first.report.added, ['10.0.0.80', 'fd00::80', '192.0.2.1']);
    assert.equal(first.report.present, ['10.0.0.70']);
    assert.equal(
      first.report.problems.map(({ subject }) => subject),
      ['192.0.2.1'],
      'an address in no network of the unit may be reached by any interface',
    );
    const named = await unit.reconcile({
      serviceAddresses: ['10.0.0.80', 'fd00::80', '10.0.0.70', '192.0.2.1'],
      interfaces: ['eth0'],
    });
    assert.equal(named.report.problems, [], 'with the interfaces named there is no doubt');
    const shown = ip(`-n ${unitSpace} address show dev eth0`);
    assert.match(shown, /inet 10\.0\.0\.80\/32/);
    assert.match(shown, /inet6 fd00::80\/128 .*nodad deprecated/);
    const second = await unit.reconcile({ serviceAddresses: ['10.0.0.80', '10.0.0.81'] });
    assert.equal(second.report.added, ['10.0.0.81']);
    assert.equal([...second.report.removed].sort(), ['192.0.2.1', 'fd00::80']);
    await unit.stop();
    // What the first process left, the second takes over.
    const next = start();
    const third = await next.reconcile({ serviceAddresses: ['10.0.0.81'] });
    assert.equal(third.report.present, ['10.0.0.81']);
    assert.equal(third.report.removed, ['10.0.0.80']);
    const last = await next.reconcile({});
    assert.equal(last.report.removed, ['10.0.0.81']);
    const left = ip(`-n ${unitSpace} -4 -o address show dev eth0`);
    assert.equal(left.match(/10\.0\.0\.\d+\/\d+/g), ['10.0.0.1/24', '10.0.0.70/32']);
  }),
);

lab('a service address that somebody removes comes back', () =>
  withBed(async ({ start, unit: unitSpace }) => {
    const unit = start();
    await unit.reconcile({ serviceAddresses: ['10.0.0.80'] });
    const held = (): boolean =>
      ip(`-n ${unitSpace} -4 address show dev eth0`).includes('10.0.0.80/32');
    assert.ok(held(), 'not there after the reconcile');
    // The second time it comes later, since this looks like a fight.
    for (let round = 0; round < 2; round += 1) {
      ip(`-n ${unitSpace} address delete 10.0.0.80/32 dev eth0`);
      const deadline = Date.now() + PATIENCE_MS;
      while (!held()) {
        if (Date.now() > deadline) throw new Error(`round ${round}: the address did not come back`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }),
);

lab('interfaces by name; one that is missing is a problem until it appears', () =>
  withBed(async ({ start, unit: unitSpace }) => {
    const unit = start();
    const { report, interfaces } = await unit.reconcile({ interfaces: ['eth0', 'wan0'] });
    assert.equal(interfaces, ['eth0']);
    assert.equal(report.problems, [
      { subject: 'wan0', message: 'interface wan0 of unit.interfaces does not exist' },
    ]);
    ip(`-n ${unitSpace} link add wan0 type veth peer name wan1`);
    await unit.until('wan0', (view) => view.interfaces.join() === 'eth0,wan0');
  }),
);

lab('lost notifications: everything is read again and nothing stays wrong', () =>
  withBed(async ({ start, unit: unitSpace }) => {
    // The smallest receive buffer that the kernel gives.
    const unit = start('1');
    await unit.reconcile({ memberAddresses: ['10.0.0.2', '10.0.0.99'] });
    await unit.hop('10.0.0.2', hop(PEER_MAC));
    const lines = Array.from({ length: 2000 }, (_, index) => {
      const address = `10.0.0.${100 + (index % 100)}`;
      const mac = `02:00:00:01:00:${(index % 250).toString(16).padStart(2, '0')}`;
      return `neighbour replace ${address} lladdr ${mac} dev eth0 nud permanent`;
    });
    // In the middle of the burst, the one that matters.
    lines.splice(
      1000,
      0,
      'neighbour replace 10.0.0.99 lladdr 02:00:00:00:00:99 dev eth0 nud permanent',
    );
    const batch = spawnSync('ip', ['-n', unitSpace, '-batch', '-'], {
      input: lines.join('\n'),
      encoding: 'utf8',
    });
    assert.is(batch.status, 0, batch.stderr);
    await unit.hop('10.0.0.99', hop('02:00:00:00:00:99'));
    // The overrun itself must have happened, else this test shows nothing.
    ip(
      `-n ${unitSpace} neighbour replace 10.0.0.99 lladdr 02:00:00:00:00:98 dev eth0 nud permanent`,
    );
    const view = await unit.hop('10.0.0.99', hop('02:00:00:00:00:98'));
    assert.ok(
      view.warnings.some((text) => text.includes('reading everything again')),
      `an overrun was expected, seen warnings: ${view.warnings.join('; ')}`,
    );
  }),
);

test.run();

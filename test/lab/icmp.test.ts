/**
 * The icmp monitor against a real kernel: this process in a network namespace of its own as the
 * unit, a router and a member beyond it in two more.
 *
 * Invariant: nothing of it is left, also when a test fails: the namespaces go with their processes
 * and by name.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Cancellation } from '../../appliance/health/cancellation.js';
import { IcmpProber, type IcmpSettings } from '../../appliance/health/icmp.js';
import type { ProbeResult } from '../../appliance/health/state-machine.js';
import { enterNetworkNamespace } from '../../native/ffi/namespace.js';
import { Poller } from '../../native/ffi/poller.js';
import { needs } from '../support/needs.js';

const router = `weir-icmp-r-${process.pid}`;
const member = `weir-icmp-m-${process.pid}`;

function run(line: string): void {
  const [command = '', ...parameters] = line.split(' ');
  const { status, stderr, error } = spawnSync(command, parameters, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${line}: ${error?.message ?? stderr.trim()}`);
}

/** unit 10.1.0.1 ── 10.1.0.254 router 10.2.0.254 ── 10.2.0.1 member; IPv6 alike. */
const layout = [
  `ip netns add ${router}`,
  `ip netns add ${member}`,
  'ip link set lo up',
  `ip link add eth0 type veth peer name eth0 netns ${router}`,
  `ip -n ${router} link add eth1 type veth peer name eth0 netns ${member}`,
  `ip netns exec ${router} sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1`,
  'ip address add 10.1.0.1/24 dev eth0',
  'ip address add 10.1.0.2/24 dev eth0',
  'ip address add fd01::1/64 dev eth0 nodad',
  'ip link set eth0 up',
  `ip -n ${router} address add 10.1.0.254/24 dev eth0`,
  `ip -n ${router} address add fd01::254/64 dev eth0 nodad`,
  `ip -n ${router} link set eth0 up`,
  `ip -n ${router} address add 10.2.0.254/24 dev eth1`,
  `ip -n ${router} address add fd02::254/64 dev eth1 nodad`,
  `ip -n ${router} link set eth1 up`,
  `ip -n ${router} route add unreachable 10.3.0.0/24`,
  `ip -n ${router} route add unreachable fd03::/64`,
  `ip -n ${router} route add blackhole 10.4.0.0/24`,
  `ip -n ${router} route add prohibit 10.5.0.0/24`,
  `ip -n ${member} address add 10.2.0.1/24 dev eth0`,
  `ip -n ${member} address add fd02::1/64 dev eth0 nodad`,
  `ip -n ${member} link set eth0 up`,
  `ip -n ${member} route add default via 10.2.0.254`,
  `ip -n ${member} -6 route add default via fd02::254`,
  'ip route add default via 10.1.0.254',
  'ip -6 route add default via fd01::254',
];

async function withNetwork(work: (prober: IcmpProber) => Promise<void>): Promise<void> {
  const leave = enterNetworkNamespace();
  try {
    for (const line of layout) run(line);
    const poller = new Poller();
    const prober = new IcmpProber(poller);
    try {
      await work(prober);
    } finally {
      prober.close();
      poller.close();
    }
  } finally {
    leave();
    for (const name of [router, member]) spawnSync('ip', ['netns', 'delete', name]);
  }
}

const said = ({ outcome, reason }: ProbeResult): string => `${outcome}: ${reason}`;

function probe(
  prober: IcmpProber,
  address: string,
  more: Partial<IcmpSettings> = {},
): Promise<ProbeResult> {
  return prober.probe({ address }, { timeout: 5000, ...more }, new Cancellation());
}

needs.lab(test)('members behind a router answer, are unreachable, or are silent', () =>
  withNetwork(async (prober) => {
    for (const address of ['10.2.0.1', 'fd02::1', '10.1.0.254', 'fd01::254']) {
      const result = await probe(prober, address);
      assert.is(said(result), 'pass: echo reply', address);
      assert.type(result.latencyMs, 'number');
    }
    assert.is(said(await probe(prober, '10.3.0.1')), 'fail: host unreachable, says 10.1.0.254');
    assert.is(said(await probe(prober, 'fd03::1')), 'fail: network unreachable, says fd01::254');
    assert.is(
      said(await probe(prober, '10.5.0.1')),
      'fail: forbidden by a filter, says 10.1.0.254',
    );
    assert.is(
      said(await probe(prober, '10.4.0.1', { timeout: 200 })),
      'fail: no answer within 200ms',
    );
    run('ip route del default via 10.1.0.254');
    assert.is(said(await probe(prober, '10.2.0.1')), 'fail: network unreachable');
  }),
);

needs.lab(test)('many probes at once share a socket, and each gets its own answer', () =>
  withNetwork(async (prober) => {
    const answers = await Promise.all(
      Array.from({ length: 300 }, (_, index) =>
        probe(prober, index % 3 === 0 ? '10.3.0.1' : '10.2.0.1'),
      ),
    );
    const passed = answers.map(({ outcome }) => outcome === 'pass');
    // Routers send a bounded number of errors a second; the rest of those probes gets none.
    assert.equal(
      passed,
      Array.from({ length: 300 }, (_, index) => index % 3 !== 0),
    );
  }),
);

needs.lab(test)('a ping of somebody else on this host answers no probe', () =>
  withNetwork(async (prober) => {
    const ping = spawn('ping', ['-q', '-i', '0.01', '-c', '1000', '10.2.0.1'], { stdio: 'ignore' });
    try {
      assert.is(
        said(await probe(prober, '10.4.0.1', { timeout: 300 })),
        'fail: no answer within 300ms',
      );
      assert.is(said(await probe(prober, '10.2.0.1')), 'pass: echo reply');
    } finally {
      const ended = once(ping, 'exit');
      ping.kill('SIGKILL');
      await ended;
    }
  }),
);

needs.lab(test)('the source address is used, and its loss is told', () =>
  withNetwork(async (prober) => {
    const source = '10.1.0.2';
    assert.is(said(await probe(prober, '10.2.0.1', { source })), 'pass: echo reply');
    run(`ip -n ${member} route add blackhole 10.1.0.2/32`);
    assert.is(
      said(await probe(prober, '10.2.0.1', { source, timeout: 200 })),
      'fail: no answer within 200ms',
      'answers to the source alone have no way back',
    );
    assert.is(said(await probe(prober, '10.2.0.1')), 'pass: echo reply');
    run('ip address del 10.1.0.2/24 dev eth0');
    assert.is(
      said(await probe(prober, '10.2.0.1', { source })),
      'inconclusive: cannot probe from 10.1.0.2: this unit has no such address',
    );
    assert.is(
      said(await probe(prober, 'fd02::1', { source })),
      'inconclusive: cannot probe from 10.1.0.2: it is of another address family than the member',
    );
  }),
);

test.run();

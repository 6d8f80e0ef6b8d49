/**
 * What `weir show member --setup` prints is enough: on a member without any setup of its own the
 * commands are run as they stand, and a client is answered through the fast path; after those of
 * `--undo` it no longer is. Tunnels need devices that a kernel may be built without.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { needs, type Need } from '../support/needs.js';
import { children, ended, run, within } from './commands.js';
import { Members } from './servers.js';
import { addressOf, labPaths, Topology } from './topology.js';
import { Unit } from './unit.js';

const test = suite('member setup');
const member = 'member-1';
const port = 8080;
const SERVICE = { 4: '10.77.0.88', 6: 'fd77::88' } as const;

interface Way {
  readonly forwarding: 'dsr' | 'tunnel';
  readonly gue?: number;
  /** Family of the service and of the member. */
  readonly inner: 4 | 6;
  readonly outer: 4 | 6;
}

function documentOf({ forwarding, gue, inner, outer }: Way): string {
  return JSON.stringify({
    version: 1,
    unit: { name: 'weir-a', interfaces: ['eth0', 'eth1'] },
    pools: { one: { algorithm: 'maglev', members: [{ address: addressOf(member, outer) }] } },
    services: {
      way: {
        listen: { address: SERVICE[inner], port, protocol: 'tcp' },
        ...{ forwarding, pool: 'one' },
        ...(gue === undefined ? {} : { tunnel: { encapsulation: 'gue', port: gue } }),
      },
    },
  });
}

async function inside(topology: Topology, host: 'client' | typeof member, script: string) {
  const [command = '', ...rest] = within(topology.namespace(host), ['sh', '-e']);
  return run(command, rest, { input: script });
}

/** Whether the client is answered by the member at the service address. */
function answered(topology: Topology, family: 4 | 6): boolean {
  const url = `http://${family === 4 ? SERVICE[4] : `[${SERVICE[6]}]`}:${port}/`;
  const [command = '', ...rest] = within(topology.namespace('client'), [
    ...['curl', '--silent', '--connect-timeout', '2', '--max-time', '4', url],
  ]);
  const { stdout, status } = spawnSync(command, rest, { encoding: 'utf8' });
  if (status === 0) assert.is(stdout, `${member}\n`);
  return status === 0;
}

async function proves(way: Way): Promise<void> {
  const topology = await Topology.create({ directAddresses: [] });
  try {
    await Members.start(topology, []);
    mkdirSync(labPaths(process.pid).files, { recursive: true });
    const unit = new Unit(topology);
    await unit.start();
    // As a member is out of the box, where other rules apply than in the rest of the lab; and the
    // way to the clients that is not the unit, which is the network's part.
    const family = way.inner === 4 ? '-4' : '-6';
    await inside(
      topology,
      member,
      ['arp_ignore', 'arp_announce']
        .flatMap((key) => ['all', 'default', 'eth0', 'eth1'].map((on) => `${on}/${key}`))
        .map((file) => `echo 0 > /proc/sys/net/ipv4/conf/${file}\n`)
        .join('') +
        // Strict where the commands say that they see to it; a member with two legs cannot have it.
        (way.forwarding === 'tunnel' ? 'echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter\n' : '') +
        `ip ${family} rule add from ${SERVICE[way.inner]} lookup 100\n`,
    );
    const file = join(labPaths(process.pid).files, 'way.yaml');
    writeFileSync(file, documentOf(way));
    await unit.must('apply', file);
    const address = addressOf(member, way.outer);
    await unit.untilMembers([address], ['UP']);
    assert.not.ok(answered(topology, way.inner), 'expected no answer before the setup');

    await inside(topology, member, await unit.must('show', 'member', 'one', address, '--setup'));
    assert.ok(answered(topology, way.inner), 'expected an answer after the setup, seen none');
    const counted = await unit.get<{ services: Record<string, { packets: number }> }>(
      '/v1/counters',
    );
    assert.ok(
      (counted.services['way']?.packets ?? 0) >= 4,
      `expected the fast path to have forwarded the connection, seen ${JSON.stringify(counted)}`,
    );

    const undo = await unit.must('show', 'member', 'one', address, '--setup', '--undo');
    await inside(topology, member, undo);
    assert.not.ok(answered(topology, way.inner), 'expected no answer after the setup was undone');
    await unit.end('SIGTERM');
  } finally {
    const rest = [...children];
    topology.destroy();
    await Promise.all(rest.map(ended));
  }
}

const ways: readonly (readonly [need: Need, name: string, way: Way])[] = [
  ['lab', 'dsr of IPv4', { forwarding: 'dsr', inner: 4, outer: 4 }],
  ['lab', 'dsr of IPv6', { forwarding: 'dsr', inner: 6, outer: 6 }],
  ['ipip', 'IPv4 in IPv4', { forwarding: 'tunnel', inner: 4, outer: 4 }],
  ['sit', 'IPv6 in IPv4', { forwarding: 'tunnel', inner: 6, outer: 4 }],
  ['ip6tnl', 'IPv4 in IPv6', { forwarding: 'tunnel', inner: 4, outer: 6 }],
  ['ip6tnl', 'IPv6 in IPv6', { forwarding: 'tunnel', inner: 6, outer: 6 }],
  ['fou', 'IPv4 in GUE over IPv4', { forwarding: 'tunnel', gue: 6080, inner: 4, outer: 4 }],
  ['fou', 'IPv6 in GUE over IPv6', { forwarding: 'tunnel', gue: 6080, inner: 6, outer: 6 }],
];

for (const [need, name, way] of ways) {
  needs[need](test)(`${name}: the printed commands make the member answer`, () => proves(way));
}

test.run();

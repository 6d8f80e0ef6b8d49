/**
 * One connection of every forwarding mode and family as it is on the member's wire, judged by
 * tcpdump: whose addresses and ports, how many hops are left, what a tunnel puts before, and no
 * wrong checksum anywhere (RFC 1624, RFC 2003, RFC 6936).
 *
 * Captured at the switch, where a member's tunnels are not unpacked yet. The unit's own packets,
 * which are monitors', are left out: it leaves their checksums to its hardware.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { lacking, needs } from '../support/needs.js';
import { ask } from './asks.js';
import { ended, run, start } from './commands.js';
import { modes, pathsOf } from './configuration.js';
import { Lab, type ServiceTarget } from './lab.js';
import { withoutGue } from './pcap.js';
import { said } from './servers.js';
import { addressOf, labPaths } from './topology.js';

const test = suite('captures');
const member = 'member-1';

/** Every path, with one member, so that the capture at its port sees all. */
function document(): string {
  const text = pathsOf(...modes);
  const { pools, ...rest } = JSON.parse(text) as {
    readonly pools: Record<string, { readonly members: readonly object[] }>;
  };
  const single = Object.entries(pools).map(([name, pool]) => [
    name,
    { ...pool, members: pool.members.slice(0, 1) },
  ]);
  return JSON.stringify({ ...rest, pools: Object.fromEntries(single) as object });
}

/** A capture file as tcpdump tells it, a packet each. */
async function told(file: string): Promise<string[]> {
  const text = await run('tcpdump', ['-r', file, '-n', '-n', '-vv', '-t']);
  return text
    .split(/\n(?!\s)/)
    .map((packet) => packet.replace(/\s+/g, ' '))
    .filter((packet) => packet !== '');
}

const escape = (text: string): string => text.replace(/[.:]/g, '\\$&');
const hopsLeft = (family: 4 | 6, hops: number): string =>
  family === 4 ? `IP \\([^)]*ttl ${hops},` : `IP6 \\([^)]*hlim ${hops},`;

/** What the client's packets to the member look like, inside of any tunnel. */
function expected(target: ServiceTarget): RegExp {
  const family = target.address.includes(':') ? 6 : 4;
  const client = escape(addressOf('client', family, 'outside'));
  const own = family === 4 ? '10\\.77\\.0\\.10[12]' : 'fd77\\:\\:10[12]';
  const rewritten = !['dsr', 'tunnel'].includes(target.forwarding);
  const from = target.forwarding === 'full-nat' ? own : client;
  const to = escape(rewritten ? addressOf(member, family) : target.address);
  const flow = `${from}\\.\\d+ > ${to}\\.${target.memberPort}: `;
  const right = target.protocol === 'udp' ? '\\[udp sum ok\\]' : 'Flags .*\\(correct\\)';
  // The client began with 64, and the unit is a hop.
  return new RegExp(`${hopsLeft(family, 63)}.*[) ]${flow}${right}`);
}

/** What a tunnel puts before, by the path of configuration.ts. */
const outer: Readonly<Record<string, RegExp>> = {
  'tunnel-tcp4': new RegExp(
    `^${hopsLeft(4, 64)}.*IPIP.* 198\\.1[89]\\.[\\d.]+ > 10\\.77\\.0\\.11: IP`,
  ),
  'tunnel-udp6': new RegExp(
    `^${hopsLeft(4, 64)}.*IPv6.* 198\\.1[89]\\.[\\d.]+ > 10\\.77\\.0\\.11: IP6`,
  ),
  'tunnel-tcp6': new RegExp(
    `^${hopsLeft(6, 64)}.*UDP.* 100:[\\da-f:]+\\.\\d+ > fd77::11\\.6080: \\[udp sum ok\\]`,
  ),
  'tunnel-udp4': new RegExp(
    `^${hopsLeft(6, 64)}.*UDP.* 100:[\\da-f:]+\\.\\d+ > fd77::11\\.6080: \\[udp sum ok\\]`,
  ),
};

let lab: Lab | undefined;
let packets: string[] = [];
let inside: string[] = [];

test.before(async () => {
  if (lacking('lab') !== null) return;
  lab = await Lab.open(document());
  const file = join(labPaths(process.pid).files, 'member.pcap');
  const tcpdump = start(lab.topology.namespace('switch'), [
    ...['tcpdump', '--immediate-mode', '-U', '-n', '-i', `${member}-in`],
    ...[
      '-Z',
      'root',
      '-w',
      file,
      `(ip or ip6) and not host ${addressOf('unit-a', 4)} and not host ${addressOf('unit-a', 6)}`,
    ],
  ]);
  await said(tcpdump, 'listening on');
  for (const { name } of lab.targets) await ask(lab, name);
  tcpdump.kill('SIGINT');
  await ended(tcpdump);
  packets = await told(file);
  const uncovered = `${file}.inside`;
  await writeFile(uncovered, withoutGue(await readFile(file), 6080));
  inside = await told(uncovered);
});

test.after(async () => {
  await lab?.close();
});

function opened(): Lab {
  if (lab === undefined) throw new Error('the lab did not open');
  return lab;
}

needs.lab(test)('no checksum is wrong', () => {
  const wrong = [...packets, ...inside].filter((packet) =>
    /bad (udp |sctp )?cksum|incorrect|\(wrong|truncated/.test(packet),
  );
  assert.ok(packets.length > 50, `expected a connection of each path, seen ${packets.length}`);
  assert.equal(wrong, []);
});

needs.lab(test)('every mode and family is as it should be at the member', () => {
  const { targets } = opened();
  assert.is(targets.length, 16);
  const missing = targets.filter(
    (target) => !inside.some((packet) => expected(target).test(packet)),
  );
  assert.equal(
    missing.map((target) => `${target.name}: ${expected(target).source}`),
    [],
    `expected a packet of each among:\n${inside.join('\n')}`,
  );
});

needs.lab(test)('tunnels have the outer header of their kind', () => {
  const missing = Object.entries(outer).filter(
    ([, pattern]) => !packets.some((packet) => pattern.test(packet)),
  );
  assert.equal(
    missing.map(([name, { source }]) => `${name}: ${source}`),
    [],
    packets.join('\n'),
  );
});

test.run();

/**
 * Packets that do not fit: a client behind a link that takes less than members send, a tunnel
 * that takes less than clients send (RFC 1191, RFC 8201), and datagrams in fragments (RFC 791,
 * RFC 8200 §4.5). What was asked for must arrive whole.
 *
 * Tests build on one lab, and each uses services of its own.
 */
import { createHash } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { lacking, needs } from '../support/needs.js';
import { ask } from './asks.js';
import { run, within } from './commands.js';
import { addFar, farAddress, farMtu } from './far.js';
import { Lab } from './lab.js';
import { largeBody } from './server-process.js';
import { addressOf, type HostName } from './topology.js';

const test = suite('sizes');
const member = 'member-1';
const families = [4, 6] as const;
type Family = (typeof families)[number];

/** The last part of the addresses of a mode's services, in either family. */
const hosts = { dsr: 81, nat: 80, tunnel: 82, 'full-nat': 83 } as const;
type Mode = keyof typeof hosts;

const addressIn = (family: Family, host: number): string =>
  `${family === 4 ? '10.77.0.' : 'fd77::'}${host}`;
const urlOf = (mode: Mode, family: Family, path: string): string => {
  const address = addressIn(family, hosts[mode]);
  return `http://${family === 4 ? address : `[${address}]`}:8080${path}`;
};

/** A service for HTTP and one for UDP by each mode and family, all on one member. */
function document(): string {
  const pools: Record<string, object> = {};
  const services: Record<string, object> = {};
  for (const family of families) {
    const address = addressOf(member, family);
    const monitor = { type: 'tcp', port: 8080, interval: '500ms', timeout: '400ms' };
    pools[`kept${family}`] = { algorithm: 'maglev', members: [{ address }], monitor };
    for (const mode of Object.keys(hosts) as Mode[]) {
      for (const [protocol, port] of [
        ['tcp', 8080],
        ['udp', 5353],
      ] as const) {
        services[`${mode}-${protocol}${family}`] = {
          listen: { address: addressIn(family, hosts[mode]), port, protocol },
          forwarding: mode,
          pool: `kept${family}`,
          // IP in IP for one family, GUE for the other.
          ...(mode === 'tunnel' && family === 6 ? { tunnel: { encapsulation: 'gue' } } : {}),
        };
      }
    }
  }
  const unit = {
    name: 'weir-a',
    interfaces: ['eth0', 'eth1'],
    'nat-addresses': ['10.77.0.101', 'fd77::101'],
  };
  return JSON.stringify({ version: 1, unit, pools, services });
}

let lab: Lab | undefined;

test.before(async () => {
  if (lacking('lab') !== null) return;
  lab = await Lab.open(document());
  await addFar(lab, Object.values(hosts));
});

test.after(async () => {
  await lab?.close();
});

function opened(): Lab {
  if (lab === undefined) throw new Error('the lab did not open');
  return lab;
}

async function inside(namespace: string, ...args: string[]): Promise<string> {
  const line = within(namespace, args);
  return run(line[0] ?? '', line.slice(1), { timeout: 120_000 });
}

const curl = ['curl', '--silent', '--show-error', '--globoff', '--max-time', '60'];

/** The path MTU that a host has learnt, null when none. */
async function learnt(
  host: HostName,
  family: Family,
  to: string,
  from: string | null,
): Promise<number | null> {
  const args = [`-${family}`, '-n', opened().topology.namespace(host), 'route', 'get', to];
  const route = await run('ip', from === null ? args : [...args, 'from', from]);
  const mtu = / mtu (\d+)/.exec(route)?.[1];
  return mtu === undefined ? null : Number(mtu);
}

for (const mode of ['dsr', 'nat', 'full-nat', 'tunnel'] as const) {
  for (const family of families) {
    const path = `${mode} over IPv${family}`;
    needs.lab(test)(`${path}: the member hears that a client's link takes less`, async () => {
      const { topology } = opened();
      // An address for each mode: what was learnt through one would hide what another loses.
      // To the member a client of full-nat is an address of the unit.
      const peer = mode === 'full-nat' ? addressIn(family, 101) : farAddress(family, hosts[mode]);
      const kept = mode === 'dsr' || mode === 'tunnel';
      const source = kept ? addressIn(family, hosts[mode]) : addressOf(member, family);
      assert.is(await learnt(member, family, peer, source), null, 'known beforehand');
      const body = await inside(
        topology.namespace('far'),
        ...[...curl, '--interface', farAddress(family, hosts[mode])],
        urlOf(mode, family, '/large'),
      );
      const whole = largeBody();
      assert.is(body.length, whole.length, 'the length of a large answer');
      assert.ok(body === whole, 'expected the answer as the member sent it, seen another');
      assert.is(await learnt(member, family, peer, source), farMtu);
    });
  }
}

for (const [family, room] of [
  [4, 1500 - 20],
  [6, 1500 - 40 - 8],
] as const) {
  needs.lab(test)(`a tunnel over IPv${family} tells clients how much it takes`, async () => {
    const { topology } = opened();
    const body = largeBody();
    const file = opened().file('upload', body);
    const said = await inside(
      topology.namespace('client'),
      ...[...curl, '--header', 'Expect:', '--data-binary', `@${file}`],
      urlOf('tunnel', family, '/upload'),
    );
    assert.is(said, createHash('sha256').update(body).digest('hex'), 'what the member received');
    assert.is(await learnt('client', family, addressIn(family, hosts.tunnel), null), room);
  });
}

/** How many datagrams a host has put together from fragments. */
async function reassembled(host: HostName, family: Family): Promise<number> {
  const namespace = opened().topology.namespace(host);
  if (family === 6) {
    const text = await inside(namespace, 'cat', '/proc/net/snmp6');
    return Number(/^Ip6ReasmOKs\s+(\d+)/m.exec(text)?.[1]);
  }
  const [names = '', values = ''] = (await inside(namespace, 'cat', '/proc/net/snmp'))
    .split('\n')
    .filter((line) => line.startsWith('Ip: '));
  return Number(values.split(' ')[names.split(' ').indexOf('ReasmOKs')]);
}

for (const mode of ['dsr', 'nat', 'full-nat'] as const) {
  for (const family of families) {
    needs.lab(test)(
      `${mode} over IPv${family}: fragments of a datagram stay together`,
      async () => {
        const count = 5;
        const putTogether = async (): Promise<number[]> => [
          await reassembled(member, family),
          await reassembled('client', family),
        ];
        const before = await putTogether();
        // An answer counts only if it repeats the whole question.
        const answers = await ask(opened(), `${mode}-udp${family}`, { count, bytes: 4000 });
        assert.equal(
          answers,
          Array.from({ length: count }, () => member),
        );
        const after = await putTogether();
        assert.equal(
          after.map((value, at) => value - (before[at] ?? 0)),
          [count, count],
          'datagrams put together at the member and at the client',
        );
      },
    );
  }
}

test.run();

/** What a test of a member sends, and how its outcome reads. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readAddress } from '../../../appliance/config/address-codec.js';
import { intentSchema } from '../../../appliance/config/schema.js';
import { compile } from '../../../appliance/control/compile.js';
import {
  planTest,
  testRow,
  type TestSubject,
  type TestSurroundings,
} from '../../../appliance/control/member-test.js';
import type { ProbeOutcome } from '../../../appliance/l4/prober.js';
import type { InterfaceAddress } from '../../../appliance/net/wire.js';
import { hop } from './stand-ins.js';

const test = suite('member test');

/** eth0 (2) is the members' side, eth1 (3) the clients', eth2 (4) is not in the fast path. */
function at(interfaceIndex: number, address: string, prefixLength: number): InterfaceAddress {
  const read = readAddress(address);
  if (read === null) throw new Error(`expected an address, seen ${address}`);
  return {
    interfaceIndex,
    address,
    family: read.family,
    bytes: read.bytes,
    prefixLength,
    origin: 0,
  };
}

const INSIDE = [at(2, '10.0.1.1', 24), at(2, '10.0.0.80', 32), at(2, 'fd01::1', 64)];
const OUTSIDE = [at(3, '192.0.2.1', 24), at(3, 'fe80::1', 64)];
const OTHER = [at(4, '172.16.0.1', 24)];

function outcome(index: number, name: string, mode: 'native' | 'generic') {
  return {
    interface: { index, name, driver: 'x', profile: 'x', modes: [] },
    attachment: {
      ...{ interfaceName: name, interfaceIndex: index, mode },
      ...{ adopted: false, since: 0 },
    },
  };
}

function scene(
  service: Readonly<Record<string, unknown>> = {},
  more: Partial<TestSurroundings> = {},
  member = '10.0.1.11',
  reachable = true,
): { subject: TestSubject; around: TestSurroundings } {
  // The port of the service is that of the member too, where it is not rewritten.
  const direct = service['forwarding'] === 'dsr' || service['forwarding'] === 'tunnel';
  const intent = intentSchema.parse({
    version: 1,
    unit: { name: 'a' },
    pools: {
      web: {
        members: [{ address: member, ...(direct ? {} : { port: 8080 }) }],
        monitor: { type: 'udp', send: 'ping' },
      },
    },
    services: {
      shop: {
        listen: { address: '10.0.0.80', port: 80, protocol: 'tcp' },
        ...{ pool: 'web', forwarding: 'nat' },
        ...service,
      },
    },
  });
  const nextHop = () => (reachable ? hop : { unresolved: 'no MAC address known' });
  const tables = compile({ intent, health: new Map(), nextHop });
  const l4 = tables.l4.services.get('shop');
  const found = tables.pools.get('web')?.members[0];
  if (l4 === undefined || found === undefined) throw new Error('expected a service and a member');
  const link = (index: number) => ({
    ...{ index, name: `eth${index - 2}`, loopback: false },
    mac: Uint8Array.of(2, 0, 0, 0, 0, index),
  });
  return {
    subject: { service: l4, pool: 'web', member: found },
    around: {
      ...{ unit: tables.l4.unit, intent },
      links: [link(2), link(3), link(4)],
      addresses: [...OTHER, ...INSIDE, ...OUTSIDE],
      outcomes: [outcome(2, 'eth0', 'native'), outcome(3, 'eth1', 'native')],
      ...more,
    },
  };
}

function planned({ subject, around }: ReturnType<typeof scene>) {
  const plan = planTest(subject, around);
  if ('impossible' in plan) throw new Error(`expected a plan, seen: ${plan.impossible}`);
  return plan;
}

test('an address on the side of the clients plays the client, and the packet comes in there', () => {
  const plan = planned(scene());
  assert.is(plan.source, '192.0.2.1');
  assert.is(plan.ingress.index, 3);
  assert.is(plan.mode, 'native');
  assert.is(Buffer.from(plan.payload).toString(), 'ping');
});

test('with one interface, the address on the network of the member does', () => {
  const plan = planned(scene({}, { addresses: INSIDE, outcomes: [outcome(2, 'eth0', 'generic')] }));
  assert.equal([plan.source, plan.ingress.index, plan.mode], ['10.0.1.1', 2, 'generic']);
});

test('the client is of the family of the service, also where the member is of another', () => {
  const plan = planned(
    scene({
      listen: { address: 'fd00::80', port: 80, protocol: 'tcp' },
      forwarding: 'tunnel',
    }),
  );
  assert.is(plan.source, 'fd01::1');
});

test('what cannot be sent is said before anything is tried', () => {
  const impossible = ({ subject, around }: ReturnType<typeof scene>): string => {
    const plan = planTest(subject, around);
    return 'impossible' in plan ? plan.impossible : 'possible';
  };
  assert.match(impossible(scene({}, {}, '10.0.1.11', false)), /no frame can reach the member/);
  assert.match(
    impossible(scene({}, { outcomes: [outcome(3, 'eth1', 'native')] })),
    /the fast path is not on eth0/,
  );
  assert.match(impossible(scene({}, { addresses: [] })), /no IPv4 address/);
  assert.match(impossible(scene({ forwarding: 'full-nat' })), /unit\.nat-addresses/);
});

const answered = (tcpFlags: number, interfaceIndex = 2): ProbeOutcome => ({
  ...{ kind: 'answered', tcpFlags, afterMs: 0.3141, interfaceIndex },
});

const readings: readonly (readonly [
  what: string,
  service: Readonly<Record<string, unknown>>,
  outcome: ProbeOutcome,
  result: string,
  text: RegExp,
])[] = [
  [
    'a SYN-ACK',
    {},
    answered(0x12),
    'answered',
    /^answered by SYN-ACK after 0\.3 ms through nat\.$/,
  ],
  [
    'a reset',
    {},
    answered(0x14),
    'reset',
    /^reset after .* nothing listens on 10\.0\.1\.11:8080\/tcp\.$/,
  ],
  [
    'an answer by another way',
    {},
    answered(0x12, 3),
    'astray',
    /came by eth1 and not by eth0: is this unit/,
  ],
  [
    'an answer of dsr by another way, which is as it should be',
    { forwarding: 'dsr' },
    answered(0x12, 3),
    'answered',
    /through dsr\.$/,
  ],
  [
    'a datagram',
    { listen: { address: '10.0.0.80', port: 80, protocol: 'udp' } },
    answered(0),
    'answered',
    /^answered by datagram/,
  ],
  [
    'silence of nat',
    {},
    { kind: 'silent' },
    'silent',
    /^no answer within 1 s: .*another way than this unit\?/,
  ],
  [
    'silence of dsr',
    { forwarding: 'dsr' },
    { kind: 'silent' },
    'silent',
    /packets for 10\.0\.0\.80 \(is the address on its lo\?\).*--setup/,
  ],
  ['silence of a tunnel', { forwarding: 'tunnel' }, { kind: 'silent' }, 'silent', /rp_filter/],
  [
    'a drop',
    {},
    { kind: 'refused', dropped: true },
    'not-sent',
    /^the fast path dropped it: "weir show drops".*"weir access test/,
  ],
];

for (const [what, service, seen, result, text] of readings) {
  test(`${what} is told as ${result}`, () => {
    const { subject, around } = scene(service);
    const names = (index: number): string => `eth${index - 2}`;
    const row = testRow(subject, planTest(subject, around), seen, names);
    assert.is(row.result, result, row.text);
    assert.match(row.text, text);
    assert.is(row.left?.mac ?? null, seen.kind === 'refused' ? null : '02:00:00:00:00:01');
  });
}

test.run();

/**
 * Protection in the fast path: access lists against an independent longest-prefix look-up, rates
 * and numbers of flows of services, members and sources, and that drops for one reason do not hide
 * those for another. Run with BPF_PROG_TEST_RUN.
 */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parsePrefixKey } from '../../appliance/config/prefix-key.js';
import { buildAccessSet, type Verdict } from '../../appliance/control/access-sets.js';
import type { HashTable } from '../../appliance/l4/kernel-tables.js';
import { memberLimits, PROTECT, protection, source } from '../../appliance/l4/layouts.js';
import { AccessSets } from '../../appliance/l4/protection-access.js';
import { lacking, needs } from '../support/needs.js';
import { Datapath, serviceFlags } from './datapath.js';
import { frame, mappedBytes } from './packets.js';
import { combinations, Scene } from './scene.js';

const test = suite('bpf protect');
let path: Datapath;
test.before(() => {
  path = Datapath.open(4096);
});
test.after(() => {
  if (lacking('bpf') === null) path.close();
});

const SYN = 'S';
const FIN_ACK = 'FA';
const HOUR_NS = 3_600_000_000_000n;

function scene(family: 'ipv4' | 'ipv6' = 'ipv4', protocol: 'tcp' | 'udp' = 'tcp'): Scene {
  const one = combinations.find(
    (each) => each.family === family && each.protocol === protocol && each.forwarding === 'dsr',
  );
  if (one === undefined) throw new Error('no such combination');
  return new Scene(path, one);
}

function row(index: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(index).buffer);
}

interface Limits {
  readonly rate?: bigint;
  readonly burst?: bigint;
  readonly connections?: number;
}

function rateOf({ rate: cost = 0n, burst = 1n }: Limits) {
  return { cost_ns: cost, burst_ns: (burst - 1n) * cost };
}

function protect(
  on: Scene,
  given: {
    service?: Limits;
    source?: Limits & { bits?: number; bits6?: number };
    member?: Limits;
    set?: number;
  },
): void {
  const flags =
    (given.set === undefined ? 0 : PROTECT.access) |
    (given.service === undefined ? 0 : PROTECT.service) |
    (given.source === undefined ? 0 : PROTECT.source) |
    (given.member === undefined ? 0 : PROTECT.member);
  // What counts flows has an entry for each, as the daemon sees to.
  path.service({ ...on.service, protect: flags, flags: serviceFlags.track });
  path.map('protection').update(
    row(on.service.id),
    protection.encode({
      service: rateOf(given.service ?? {}),
      source: rateOf(given.source ?? {}),
      access_set: given.set ?? 0,
      service_connections: given.service?.connections ?? 0,
      source_connections: given.source?.connections ?? 0,
      source_bits: given.source === undefined ? 0 : (given.source.bits ?? 128),
      source_bits6: given.source === undefined ? 0 : (given.source.bits6 ?? 128),
    }),
  );
  path.map('member_limits').update(
    row(on.home.row),
    memberLimits.encode({
      rate: rateOf(given.member ?? {}),
      connections: given.member?.connections ?? 0,
    }),
  );
}

/** The access map as the daemon's code sees it. */
function table(): HashTable {
  const map = path.map('access');
  return {
    updateMany: (keys, values) => {
      map.updateBatch(keys, values);
    },
    remove: (key) => {
      map.delete(key);
    },
    entries: () => {
      const { count, keys, values } = map.readAll();
      return Array.from({ length: count }, (_, index) => ({
        key: keys.slice(index * map.keySize, (index + 1) * map.keySize),
        value: values.slice(index * 4, (index + 1) * 4),
      }));
    },
  };
}

function keyOf(text: string): string {
  const key = parsePrefixKey(text);
  if (!key.ok) throw new Error(key.message);
  return key.value;
}

function verdictOf(on: Scene, from: string): Verdict {
  const result = path.run(frame(on.request({ source: from })));
  return result.verdict === 'drop' ? 'deny' : 'allow';
}

needs.bpf(test)('a source on a list to deny is dropped, and counted and told as denied', () => {
  const on = scene();
  const sets = new AccessSets(table());
  const set = buildAccessSet({
    name: 'a',
    allow: [],
    deny: [[keyOf('198.51.100.0/24')]],
    temporary: [],
  });
  protect(on, { set: sets.place(set) });
  on.expectDrop('DENIED');
  on.expectAt(on.home, on.request({ source: '198.51.101.7' }));
});

needs.bpf(test)('lists cost a service nothing that has none', () => {
  const on = scene();
  const sets = new AccessSets(table());
  sets.place(buildAccessSet({ name: 'a', allow: [], deny: [[keyOf('0.0.0.0/0')]], temporary: [] }));
  on.expectAt(on.home);
});

needs.bpf(test)('an established flow of a source that comes to be denied ends', () => {
  const on = scene();
  on.expectAt(on.home);
  const sets = new AccessSets(table());
  const set = buildAccessSet({
    name: 'a',
    allow: [],
    deny: [[keyOf('198.51.100.7')]],
    temporary: [],
  });
  protect(on, { set: sets.place(set) });
  on.expectDrop('DENIED');
});

/** An independent longest-prefix look-up: text of bits, compared one list at a time. */
function expected(
  lists: { allow: string[]; deny: string[] },
  address: string,
  otherwise: Verdict,
): Verdict {
  const family = address.includes(':') ? 6 : 4;
  const bitsOf = (text: string): string =>
    [...mappedBytes(text)].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  const own = bitsOf(address);
  let best = -1;
  let verdict = otherwise;
  for (const [what, list] of [
    ['allow', lists.allow],
    ['deny', lists.deny],
  ] as const) {
    for (const prefix of list) {
      if (prefix.includes(':') !== (family === 6)) continue;
      const [network = '', size = ''] = prefix.split('/');
      const length = Number(size) + (family === 4 ? 96 : 0);
      if (own.slice(0, length) !== bitsOf(network).slice(0, length)) continue;
      if (length > best || (length === best && what === 'deny')) {
        best = length;
        verdict = what;
      }
    }
  }
  return verdict;
}

// Few bits that differ, so that random prefixes and sources meet.
const ipv4 = fc
  .tuple(fc.constantFrom(10, 11, 192), fc.nat(3), fc.nat(255), fc.nat(255))
  .map((bytes) => bytes.join('.'));
const ipv6 = fc
  .tuple(fc.constantFrom('2001', 'fd00', '2002'), fc.nat(3), fc.nat(65535))
  .map(([a, b, c]) => `${a}:${b.toString(16)}:0:0:1:0:0:${c.toString(16)}`);
const prefix = fc.oneof(
  fc.tuple(ipv4, fc.integer({ min: 0, max: 32 })).map(([a, n]) => `${a}/${n}`),
  fc.tuple(ipv6, fc.integer({ min: 0, max: 128 })).map(([a, n]) => `${a}/${n}`),
);
const lists = fc.record({
  allow: fc.array(prefix, { maxLength: 12 }),
  deny: fc.array(prefix, { maxLength: 12 }),
});

needs.bpf(test)('longest prefix wins, deny on a tie, each set by itself (property)', () => {
  const on = { 4: scene('ipv4'), 6: scene('ipv6') };
  const sets = new AccessSets(table());
  // Both services stand in one trie beside each other, with a set each.
  on[4] = scene('ipv4');
  path.service(on[6].service);
  path.member(on[6].home);
  fc.assert(
    fc.property(
      lists,
      lists,
      fc.array(fc.oneof(ipv4, ipv6), { minLength: 1, maxLength: 8 }),
      (one, other, sources) => {
        for (const content of [one, other]) {
          const name = content === one ? 'one' : 'other';
          const set = buildAccessSet({
            name,
            allow: content.allow.length > 0 ? [content.allow.map(keyOf)] : [],
            deny: [content.deny.map(keyOf)],
            temporary: [],
          });
          const id = sets.place(set);
          protect(on[4], { set: id });
          protect(on[6], { set: id });
          for (const from of sources) {
            const seen = verdictOf(from.includes(':') ? on[6] : on[4], from);
            const otherwise = content.allow.length > 0 ? 'deny' : 'allow';
            assert.is(seen, expected(content, from, otherwise), `${from} in ${name}`);
          }
        }
      },
    ),
    { numRuns: 300 },
  );
  sets.removeOthers(new Set());
  assert.is(path.map('access').readAll().count, 0, 'entries left in the trie');
});

needs.bpf(test)('100,000 prefixes are loaded', () => {
  scene();
  const sets = new AccessSets(table());
  const keys = Array.from({ length: 100_000 }, (_, index) =>
    keyOf(`${(index >> 16) + 20}.${(index >> 8) & 255}.${index & 255}.0/24`),
  );
  const begun = performance.now();
  sets.place(buildAccessSet({ name: 'many', allow: [], deny: [keys], temporary: [] }));
  const took = performance.now() - begun;
  assert.is(path.map('access').readAll().count, 100_002);
  console.log(`      100,000 prefixes in ${took.toFixed(0)} ms`);
});

needs.bpf(test)('flows of a service begin no faster than its rate; those there go on', () => {
  const on = scene();
  protect(on, { service: { rate: HOUR_NS, burst: 3n } });
  for (let port = 1; port <= 3; port++) {
    on.expectAt(on.home, on.request({ sourcePort: port, flags: SYN }));
  }
  on.expectDrop('RATE_LIMIT', frame(on.request({ sourcePort: 4, flags: SYN })));
  on.expectDrop(
    'RATE_LIMIT',
    frame(on.request({ sourcePort: 5, flags: SYN, source: '198.51.100.9' })),
  );
  on.expectAt(on.home, on.request({ sourcePort: 2 }));
  assert.is(path.map('flows').readAll().count, 3, 'a refused flow leaves no entry');
});

needs.bpf(test)('a bucket fills again with time', () => {
  const on = scene();
  protect(on, { service: { rate: 1n, burst: 1n } });
  // One each nanosecond: however fast the test is, the next is due.
  for (let port = 1; port <= 50; port++) {
    on.expectAt(on.home, on.request({ sourcePort: port, flags: SYN }));
  }
});

needs.bpf(test)('a source has its own rate, by the bits that count', () => {
  const on = scene('ipv4', 'udp');
  protect(on, { source: { rate: HOUR_NS, burst: 1n, bits: 96 + 24 } });
  on.expectAt(on.home, on.request({ source: '198.51.100.1' }));
  on.expectDrop('RATE_LIMIT', frame(on.request({ source: '198.51.100.2' })));
  on.expectAt(on.home, on.request({ source: '198.51.101.2' }));
  // The flow that there is does not begin again.
  on.expectAt(on.home, on.request({ source: '198.51.100.1' }));
});

needs.bpf(test)('a source has its own rate in IPv6 too', () => {
  const on = scene('ipv6');
  protect(on, { source: { rate: HOUR_NS, burst: 1n, bits6: 64 } });
  on.expectAt(on.home, on.request({ source: '2001:db8:1::1', flags: SYN }));
  on.expectDrop('RATE_LIMIT', frame(on.request({ source: '2001:db8:1::2', flags: SYN })));
  on.expectAt(on.home, on.request({ source: '2001:db8:1:1::2', flags: SYN }));
});

needs.bpf(test)('what one source may not have it does not take from the others', () => {
  const on = scene();
  protect(on, { service: { rate: HOUR_NS, burst: 3n }, source: { rate: HOUR_NS, burst: 1n } });
  const begin = (from: string, port: number): Uint8Array =>
    frame(on.request({ source: from, sourcePort: port, flags: SYN }));
  assert.is(path.run(begin('198.51.100.1', 1)).verdict, 'tx');
  for (let port = 2; port < 50; port++) path.run(begin('198.51.100.1', port));
  assert.is(path.run(begin('198.51.100.2', 1)).verdict, 'tx');
  assert.is(path.run(begin('198.51.100.3', 1)).verdict, 'tx');
  assert.equal(path.drops(), { RATE_LIMIT: 48 });
});

needs.bpf(test)('a flood of forged sources leaves no trace once the service takes no more', () => {
  const on = scene();
  protect(on, { service: { rate: HOUR_NS, burst: 10n }, source: { rate: HOUR_NS, burst: 5n } });
  for (let index = 0; index < 3000; index++) {
    const from = `100.64.${index >> 8}.${index & 255}`;
    path.run(frame(on.request({ source: from, flags: SYN })));
  }
  assert.is(path.map('source_active').readAll().count, 10, 'sources remembered');
  assert.is(path.map('flows').readAll().count, 10, 'flows remembered');
});

needs.bpf(test)('established flows keep every packet while nine in ten are a forged flood', () => {
  const on = scene();
  protect(on, { service: { rate: 10_000_000n, burst: 200n } });
  const flows = 100;
  for (let port = 1; port <= flows; port++) {
    on.expectAt(on.home, on.request({ sourcePort: port, flags: SYN }));
  }
  const before = path.memberCounters(on.home.row).flows;
  let kept = 0;
  for (let round = 0; round < 20; round++) {
    for (let port = 1; port <= flows; port++) {
      if (path.run(frame(on.request({ sourcePort: port }))).verdict === 'tx') kept++;
      for (let forged = 0; forged < 9; forged++) {
        const from = `100.${round}.${port}.${forged}`;
        path.run(frame(on.request({ source: from, flags: SYN })));
      }
    }
  }
  assert.is(kept, flows * 20, 'packets of established flows');
  const refused = path.drops().RATE_LIMIT ?? 0;
  const begun = path.memberCounters(on.home.row).flows - before;
  assert.is(begun + refused, flows * 20 * 9, 'every forged packet was let in or refused');
  assert.ok(refused > begun, `${refused} refused, ${begun} let in`);
});

needs.bpf(test)('a service, a member and a source hold no more flows than they may', () => {
  for (const who of ['service', 'member', 'source'] as const) {
    const on = scene();
    protect(on, { [who]: { connections: 2 } });
    const packet = (port: number, flags = 'A'): Uint8Array =>
      frame(on.request({ sourcePort: port, flags }));
    assert.is(path.run(packet(1, SYN)).verdict, 'tx');
    assert.is(path.run(packet(2, SYN)).verdict, 'tx');
    on.expectDrop('CONNECTION_LIMIT', packet(3, SYN));
    assert.is(path.run(packet(1)).verdict, 'tx', `${who}: a flow that there is goes on`);
    assert.is(path.run(packet(1, FIN_ACK)).verdict, 'tx');
    assert.is(path.run(packet(3, SYN)).verdict, 'tx', `${who}: one ended, so another may begin`);
    on.expectDrop('CONNECTION_LIMIT', packet(4, SYN));
  }
});

needs.bpf(test)('only the first end of a flow counts', () => {
  const on = scene();
  protect(on, { source: { connections: 5 } });
  for (const port of [1, 2]) path.run(frame(on.request({ sourcePort: port, flags: SYN })));
  for (let times = 0; times < 3; times++) {
    path.run(frame(on.request({ sourcePort: 1, flags: FIN_ACK })));
  }
  const entry = path.map('source_active').readAll().values;
  assert.is(source.decode(entry).active, 1);
});

needs.bpf(test)('a member has a rate of its own', () => {
  const on = scene();
  protect(on, { member: { rate: HOUR_NS, burst: 1n } });
  on.expectAt(on.home, on.request({ sourcePort: 1, flags: SYN }));
  on.expectDrop('RATE_LIMIT', frame(on.request({ sourcePort: 2, flags: SYN })));
  on.send(on.spare.row);
  on.expectAt(on.spare, on.request({ sourcePort: 3, flags: SYN }));
});

needs.bpf(test)('a flood of drops for one reason hides none for another', () => {
  const on = scene();
  path.settings({ eventsPerSecond: 48 });
  const flood = frame(on.request({ ttl: 1 }));
  for (let index = 0; index < 500; index++) path.run(flood);
  path.events();
  protect(on, { service: { rate: HOUR_NS, burst: 1n } });
  path.run(frame(on.request({ sourcePort: 1, flags: SYN })));
  path.run(frame(on.request({ sourcePort: 2, flags: SYN })));
  const told = path.events().map(({ kind, reason }) => (kind === 'drop' ? reason : kind));
  assert.equal(told, ['flow-new', 'RATE_LIMIT']);
});

test.run();

/**
 * Flows of one unit go on at the other: what unit A's program told is taken by unit B, whose program
 * then makes the same of the next packet, byte by byte, though its rows, ids and weights are others.
 */
import { setTimeout } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { lacking, needs } from '../support/needs.js';
import type { Forwarding } from './datapath.js';
import { checksumFaults } from './checksums.js';
import { answer, memberOf, request, TwoTiers, type Setting } from './two-tiers.js';

const test = suite('bpf mirror');
let two: TwoTiers;
test.before(() => {
  if (lacking('bpf') === null) two = new TwoTiers();
});
test.after(async () => {
  if (lacking('bpf') === null) await two.close();
});

const FLOWS = 40;
const forwardings: readonly Forwarding[] = ['dsr', 'tunnel', 'nat', 'full-nat'];
const settings = (['ipv4', 'ipv6'] as const).flatMap((family) =>
  forwardings.map((forwarding): Setting & { name: string } => ({
    ...{ family, forwarding, protocol: 'tcp', algorithm: 'weighted-least-connections' },
    weights: [1, 1, 1],
    name: `${forwarding} ${family}`,
  })),
);
const rewrites = ({ forwarding }: Setting): boolean => forwarding.endsWith('nat');

/** Opens a connection at A, as far as the client's first data. Returns its member. */
function open(setting: Setting, client: number): number {
  const syn = two.a.run(request(setting, client, { flags: 'S' }));
  assert.is(syn.action, 3, 'verdict of the SYN');
  if (rewrites(setting)) {
    assert.is(two.a.run(answer(setting, syn.data, { flags: 'SA' })).action, 3, 'its answer');
  }
  two.a.run(request(setting, client));
  return memberOf(syn.data);
}

for (const setting of settings) {
  needs.bpf(test)(`${setting.name}: every connection stays, at another weight`, () => {
    two.begin(setting, { ...setting, weights: [0, 9, 4] });
    const members = Array.from({ length: FLOWS }, (_, client) => open(setting, client));
    assert.is(new Set(members).size, 3, 'each member has some');
    assert.equal(two.mirror(), { stored: FLOWS });
    assert.is(two.b.active(), 0, 'flows that count at B before a packet came');
    assert.is(two.a.active(), FLOWS);
    const taken = two.b.tier.mirror.takenOver;
    members.forEach((member, client) => {
      const data = two.same(request(setting, client, { payload: Buffer.from('more') }), 'a packet');
      assert.is(memberOf(data), member, `member of client ${client} at B`);
    });
    assert.is(two.b.active(), FLOWS, 'flows that count at B after it');
    assert.is(two.b.tier.mirror.takenOver - taken, FLOWS);
    assert.equal(two.mirror(), {}, 'established flows are told of once');
  });

  if (!rewrites(setting)) continue;
  needs.bpf(test)(`${setting.name}: an answer finds the client before the client speaks`, () => {
    two.begin(setting);
    for (let client = 0; client < FLOWS; client++) open(setting, client);
    two.mirror();
    for (let client = 0; client < FLOWS; client++) {
      const { data } = two.a.run(request(setting, client));
      const back = two.same(answer(setting, data, { payload: Buffer.from('news') }), 'an answer');
      assert.equal(checksumFaults(back), []);
      assert.is(back.subarray(6, 12).toString('hex'), two.b.mac.replaceAll(':', ''));
    }
  });

  needs.bpf(test)(`${setting.name}: translated sequence numbers stay translated`, () => {
    two.begin(setting);
    open(setting, 1);
    two.a.tier.mirror.drain(100);
    // As after a handshake by a cookie.
    two.a.patch(({ flags }) => ({ flags: flags | 16, delta: 123_456_789, isn: 7, mirror: 0 }));
    assert.equal(two.mirror(), {});
    return two.a.tier.mirror.walk({ most: 100, reset: false }).then(() => {
      assert.equal(two.mirror(), { stored: 1 });
      const data = two.same(request(setting, 1, { acknowledge: 1 << 30 }), 'a client’s packet');
      two.same(answer(setting, data, { sequence: 99 }), 'a member’s packet');
    });
  });
}

for (const algorithm of ['maglev', 'ip-hash'] as const) {
  for (const forwarding of ['dsr', 'tunnel'] as const) {
    needs.bpf(test)(
      `${algorithm} ${forwarding}: exceptions of A are exceptions at B, which has another past`,
      () => {
        const before: Setting = {
          ...{ family: 'ipv4', protocol: 'tcp', forwarding, algorithm, weights: [1, 1, 1] },
        };
        const after = { ...before, weights: [1, 5, 1] };
        two.begin(before, after);
        const members = Array.from({ length: 200 }, (_, client) => open(before, client));
        assert.equal(two.mirror(), {}, 'nothing differs from the hash');
        two.a.program(after);
        // Each has an entry with its first packet after the change, established with the second.
        for (let packet = 0; packet < 2; packet++) {
          members.forEach((_member, client) => void two.a.run(request(before, client)));
        }
        const outcomes = two.mirror();
        assert.ok((outcomes['stored'] ?? 0) > 20, `told: ${JSON.stringify(outcomes)}`);
        members.forEach((member, client) => {
          const { data } = two.b.run(request(before, client));
          assert.is(memberOf(data), member, `member of client ${client} at B`);
        });
        assert.ok(two.b.entries <= (outcomes['stored'] ?? 0), 'and nothing else has an entry');
      },
    );
  }
}

const [tracked, , nat, fullNat] = settings;

needs.bpf(test)('a flow that ends at A is no longer known at B', async () => {
  for (const setting of [tracked, nat, fullNat]) {
    assert.ok(setting);
    two.begin(setting);
    for (let client = 0; client < FLOWS; client++) open(setting, client);
    two.mirror();
    assert.is(two.b.entries, two.a.entries);
    for (let client = 0; client < FLOWS / 2; client++) {
      two.a.run(request(setting, client, { flags: 'R' }));
    }
    two.a.age(20);
    assert.ok(two.a.tier.sweep === null || two.a.tier.sweep.untold === 0);
    await two.a.tier.sweepNow();
    assert.equal(two.mirror(), { removed: FLOWS / 2 });
    assert.is(two.b.entries, two.a.entries, setting.name);
  }
});

needs.bpf(test)('what B saw a later packet of is B’s, until A does', () => {
  assert.ok(tracked);
  two.begin(tracked);
  open(tracked, 1);
  const told = two.a.tier.mirror.drain(10);
  assert.is(two.b.run(request(tracked, 1, { flags: 'S' })).action, 3);
  assert.equal(two.b.tier.mirror.take(told), { own: 1 });
  assert.is(two.b.active(), 1);
  two.b.age(10);
  assert.equal(two.b.tier.mirror.take(told), { stored: 1 });
  assert.is(two.b.active(), 0, 'it counts at A alone');
});

needs.bpf(test)('flows of a unit that lost them are the other’s, and told back', async () => {
  assert.ok(fullNat);
  two.begin(fullNat);
  for (let client = 0; client < FLOWS; client++) open(fullNat, client);
  two.mirror();
  const expected = Array.from(
    { length: FLOWS },
    (_, client) => two.a.run(request(fullNat, client)).data,
  );
  two.a.clear();
  assert.is(two.b.tier.mirror.adopt(), FLOWS);
  assert.is(two.b.active(), FLOWS);
  two.b.tier.mirror.tell(1);
  assert.is((await two.b.tier.mirror.walk({ most: 1000, reset: true })).told, FLOWS);
  assert.equal(two.a.tier.mirror.take(two.b.tier.mirror.drain(1000)), { stored: FLOWS });
  for (let client = 0; client < FLOWS; client++) {
    const { data } = two.a.run(request(fullNat, client));
    assert.is(
      Buffer.compare(data, expected[client] ?? Buffer.of()),
      0,
      'with the port that it had, from the address that is A’s again',
    );
  }
});

needs.bpf(test)('each pass tells everything once, whatever the ring held', async () => {
  assert.ok(tracked);
  two.begin(tracked);
  for (let client = 0; client < FLOWS; client++) open(tracked, client);
  two.a.tier.mirror.drain(1000);
  assert.is((await two.a.tier.mirror.walk({ most: 1000, reset: false })).told, 0);
  two.a.tier.mirror.tell(2);
  const first = await two.a.tier.mirror.walk({ most: 30, reset: false });
  assert.equal([first.told, first.left], [30, true]);
  const second = await two.a.tier.mirror.walk({ most: 30, reset: false });
  assert.equal([second.told, second.left], [FLOWS - 30, false]);
  assert.equal(two.mirror(), { stored: FLOWS });
  two.a.tier.mirror.tell(3);
  await two.a.tier.mirror.walk({ most: 1000, reset: false });
  assert.equal(two.mirror(), { refreshed: FLOWS });
});

needs.bpf(test)('flows that were not told of again are dropped, others stay', async () => {
  assert.ok(nat);
  two.begin(nat);
  for (let client = 0; client < FLOWS; client++) open(nat, client);
  two.mirror();
  // Their ends were lost.
  const map = two.a.tier.datapath.map('flows');
  map.deleteBatch(map.readAll().keys);
  for (let client = 0; client < 10; client++) open(nat, 100 + client);
  two.a.tier.mirror.tell(2);
  await two.a.tier.mirror.walk({ most: 1000, reset: false });
  two.mirror();
  two.b.tier.mirror.dropTheirs(2, 3);
  await two.b.tier.sweepNow();
  assert.is(two.b.entries, 20, 'two entries for each of ten');
});

needs.bpf(test)('one of the other unit stays as long as an idle connection may', async () => {
  for (const setting of [tracked, nat]) {
    assert.ok(setting);
    two.begin(setting);
    open(setting, 1);
    two.mirror();
    two.b.age(7000);
    await two.b.tier.sweepNow();
    assert.ok(two.b.entries > 0);
    two.b.age(500);
    await two.b.tier.sweepNow();
    assert.is(two.b.entries, 0);
  }
});

needs.bpf(test)('UDP: told once it has lived for a while, and not idle at B', async () => {
  for (const forwarding of ['dsr', 'nat', 'full-nat'] as const) {
    const setting: Setting = { ...settings[0]!, forwarding, protocol: 'udp' };
    two.begin(setting);
    const first = two.a.run(request(setting, 1));
    two.a.run(request(setting, 2));
    const walk = () => two.a.tier.mirror.walk({ most: 100, reset: false });
    assert.is((await walk()).told, 0, 'a first look');
    assert.is((await walk()).told, 0, 'nothing came since');
    two.a.patch(() => ({ seen_ns: process.hrtime.bigint() - 60_000_000_000n }));
    // The clock that packets read ticks up to a hundredth of a second later.
    await setTimeout(20);
    two.a.run(request(setting, 1));
    assert.is((await walk()).told, 1, 'of the one that goes on');
    assert.equal(two.mirror(), { stored: 1 });
    two.b.age(300);
    const data = two.same(request(setting, 1), 'a datagram after five minutes without news');
    assert.is(memberOf(data), memberOf(first.data));
  }
});

needs.bpf(test)('a source stays with its member', async () => {
  const setting: Setting = {
    ...settings[0]!,
    persistence: { seconds: 600, prefix: 32 },
    algorithm: 'round-robin',
  };
  two.begin(setting);
  const members = Array.from({ length: FLOWS }, (_, client) => open(setting, client));
  assert.equal(two.mirror(), { stored: FLOWS });
  const again = (unit: typeof two.b, client: number): number =>
    memberOf(unit.run(request(setting, client, { sourcePort: 999, flags: 'S' })).data);
  members.forEach((member, client) => assert.is(again(two.b, client), member, 'by the flow'));

  // Sources whose flows are over come by a walk.
  two.b.clear();
  const map = two.a.tier.datapath.map('flows');
  map.deleteBatch(map.readAll().keys);
  two.a.tier.mirror.tell(2);
  assert.is((await two.a.tier.mirror.walk({ most: 1000, reset: false })).told, FLOWS);
  assert.equal(two.mirror(), { stored: FLOWS });
  members.forEach((member, client) => assert.is(again(two.b, client), member, 'by itself'));
});

needs.bpf(test)('a service or member that B does not have is refused', () => {
  assert.ok(tracked && nat);
  two.begin(tracked, nat);
  open(tracked, 1);
  assert.equal(two.mirror(), { service: 1 }, 'it forwards in another way');
  two.begin(tracked, { ...tracked, weights: [1] });
  const members = Array.from({ length: FLOWS }, (_, client) => open(tracked, client));
  const gone = members.filter((member) => member > 0).length;
  assert.equal(two.mirror(), { stored: FLOWS - gone, member: gone });
});

needs.bpf(test)('a flood of handshakes that nobody goes on with is not told of', async () => {
  assert.ok(nat);
  two.begin(nat);
  for (let client = 0; client < FLOWS; client++) {
    two.a.run(request(nat, client, { flags: 'S' }));
  }
  assert.is((await two.a.tier.mirror.walk({ most: 100, reset: false })).told, 0);
  assert.equal(two.mirror(), {});
});

test.run();

/**
 * Flows whose member can no longer have them: it is down, gone, or was drained for long enough.
 * They are reset or balanced again, as the pool says; nobody else's flows notice.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { lacking, needs } from '../support/needs.js';
import { Crowd } from './crowd.js';
import { Datapath, serviceFlags } from './datapath.js';

const test = suite('bpf lost');
let path: Datapath;
test.before(() => {
  path = Datapath.open(4096);
});
test.after(() => {
  if (lacking('bpf') === null) path.close();
});
test.before.each(() => {
  if (lacking('bpf') !== null) return;
  path.reset();
  path.settings({ eventsPerSecond: 0, errorsPerSecond: 10_000, natAddresses: ['10.0.0.200'] });
});

const flows = 120;
const ways = [
  { algorithm: 'maglev', forwarding: 'dsr' },
  { algorithm: 'ip-hash', forwarding: 'tunnel' },
  { algorithm: 'maglev', forwarding: 'nat' },
  { algorithm: 'round-robin', forwarding: 'dsr' },
  { algorithm: 'least-connections', forwarding: 'full-nat' },
] as const;
const weights = [1, 1, 1];

/** The TCP flags of an answer to the client; null when the frame is none. */
function reset(data: Uint8Array, client: string): boolean {
  const to = data.subarray(30, 34).join('.');
  return to === client && ((data[47] ?? 0) & 4) !== 0;
}

for (const { algorithm, forwarding } of ways) {
  const hashed =
    forwarding === 'dsr' || forwarding === 'tunnel' ? algorithm !== 'round-robin' : false;
  const name = `${algorithm}, ${forwarding}`;
  const crowdOf = (flags = 0, protocol: 'tcp' | 'udp' = 'tcp'): Crowd => {
    // The outer frame of a tunnel goes to the member's MAC address too.
    const service = { forwarding: forwarding, flags, protocol };
    return new Crowd(path, { algorithm, weights, service });
  };
  /** Takes the second member out of the slots, as the daemon does for this algorithm. */
  const takeOut = (crowd: Crowd, state: 'down' | 'draining'): void => {
    const before = crowd.service.table;
    const without = crowd.table([1, 0, 1]);
    if (hashed) crowd.move(without, before);
    else if (without.length === before.length) path.table(3, without);
    else
      path.table(
        3,
        before.map((_, slot) => without[slot % without.length] ?? 0),
      );
    crowd.set(2, { state });
  };

  needs.bpf(test)(`${name}: rehash moves a dead member’s flows, once, and no other’s`, () => {
    const crowd = crowdOf();
    const before = crowd.open(flows);
    assert.equal(crowd.more(flows), before);
    takeOut(crowd, 'down');
    const after = crowd.more(flows);
    before.forEach((row, client) => {
      if (row === 2) assert.ok(after[client] === 1 || after[client] === 3, `flow ${client}`);
      else assert.is(after[client], row, `flow ${client} of member ${row}`);
    });
    assert.equal(crowd.more(flows), after, 'they stay where they are now');
    const moved = before.filter((row) => row === 2).length;
    assert.ok(moved > 0);
    // It comes back: flows that moved do not go back with it.
    crowd.set(2, { state: 'serving' });
    if (!hashed) path.table(3, crowd.service.table);
    assert.equal(crowd.more(flows), after, 'nor when the member is back');
  });

  needs.bpf(test)(`${name}: reset ends a dead member’s TCP flows, and no other’s`, () => {
    const crowd = crowdOf(serviceFlags.resetLost);
    const before = crowd.open(flows);
    assert.equal(crowd.more(flows), before);
    takeOut(crowd, 'down');
    before.forEach((row, client) => {
      const { verdict, data, row: to } = crowd.send(client);
      if (row !== 2) {
        assert.is(to, row, `flow ${client} of member ${row}`);
        return;
      }
      assert.is(verdict, 'tx', `flow ${client}`);
      assert.ok(reset(data, crowd.request(client).source), `flow ${client} is reset`);
    });
    // The client connects again.
    for (const [client, row] of before.entries()) {
      if (row !== 2) continue;
      const again = crowd.send(client, { flags: 'S' }).row;
      assert.ok(again === 1 || again === 3, `flow ${client} begins again`);
      assert.is(crowd.send(client).row, again);
    }
  });

  needs.bpf(test)(`${name}: reset is for TCP, datagrams are balanced again`, () => {
    const crowd = crowdOf(serviceFlags.resetLost, 'udp');
    const before = crowd.open(flows);
    takeOut(crowd, 'down');
    const after = crowd.more(flows);
    before.forEach((row, client) => {
      if (row === 2) assert.ok(after[client] === 1 || after[client] === 3, `flow ${client}`);
      else assert.is(after[client], row, `flow ${client} of member ${row}`);
    });
  });

  for (const [how, flags] of [
    ['rehashed', 0],
    ['reset', serviceFlags.resetLost],
  ] as const) {
    needs.bpf(test)(`${name}: a draining member’s flows finish; those left are ${how}`, () => {
      const crowd = crowdOf(flags);
      const before = crowd.open(flows);
      takeOut(crowd, 'draining');
      assert.equal(crowd.more(flows), before, 'all go on');
      const fresh = crowd.open(flows, 1000);
      assert.not.ok(fresh.includes(2), 'new ones go elsewhere');
      assert.equal(crowd.more(flows, 1000), fresh);
      const own = [...before.keys()].filter((client) => before[client] === 2);
      const [done = 0, left = 0] = own;
      assert.is(crowd.send(done, { flags: 'FA' }).row, 2, 'it may finish');
      // The pool's drain-timeout is over: the daemon says that the member is down.
      crowd.set(2, { state: 'down' });
      const { data, row, verdict } = crowd.send(left);
      assert.is(verdict, 'tx');
      if (how === 'reset') assert.ok(reset(data, crowd.request(left).source), 'it is reset');
      else assert.ok(row === 1 || row === 3, `it went to ${row}`);
      assert.equal(crowd.more(flows, 1000), fresh, 'nobody else notices');
    });
  }

  needs.bpf(test)(`${name}: with nobody left, packets are dropped and counted, or reset`, () => {
    for (const [flags, answered] of [
      [0, false],
      [serviceFlags.resetDown, true],
    ] as const) {
      path.reset();
      path.settings({ eventsPerSecond: 0, errorsPerSecond: 10_000, natAddresses: ['10.0.0.200'] });
      const crowd = crowdOf(flags);
      crowd.open(flows);
      const { table } = crowd.service;
      const nobody = new Array<number>(table.length).fill(0);
      if (hashed) crowd.move(nobody, table);
      else path.table(3, nobody);
      for (const { row } of crowd.members) crowd.set(row, { state: 'down' });
      for (const client of [0, 1, 2]) {
        for (const type of ['A', 'S']) {
          const { verdict, data } = crowd.send(client, { flags: type });
          assert.is(verdict, answered ? 'tx' : 'drop', `flow ${client}`);
          if (answered) assert.ok(reset(data, crowd.request(client).source));
        }
      }
      assert.equal(path.drops(), { NO_MEMBER: 6 });
    }
  });
}

test.run();

/**
 * maglev and ip-hash keep an entry only for a flow that its hash alone would not send where it
 * goes: how many entries there are before, during and after a change, and in a flood.
 *
 * Invariant: the slots change as the daemon changes them (appliance/l4/slots.ts).
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { lacking, needs } from '../support/needs.js';
import { Crowd, tally, withSeed } from './crowd.js';
import { Datapath, previousEntries } from './datapath.js';
import { sweep } from './sweeping.js';

const test = suite('bpf exceptions');
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
  path.settings({ eventsPerSecond: 0 });
});

const flows = 400;
const weights = [1, 1, 1, 1];
const algorithms = ['maglev', 'ip-hash'] as const;
const changes = [
  { what: 'a member drains', after: [1, 0, 1, 1], state: 'draining' },
  { what: 'weights change', after: [6, 1, 1, 1], state: 'serving' },
] as const;

for (const algorithm of algorithms) {
  for (const protocol of ['tcp', 'udp'] as const) {
    for (const forwarding of ['dsr', 'tunnel'] as const) {
      needs.bpf(test)(`${algorithm}, ${forwarding} ${protocol}: 10,000 flows, no entry`, () => {
        const crowd = new Crowd(path, {
          algorithm,
          weights,
          service: { protocol, forwarding },
        });
        for (let client = 0; client < 10_000; client++) {
          assert.is(crowd.send(client, { flags: 'S' }).verdict, 'tx');
        }
        assert.is(crowd.entries, 0, 'entries of the flow table');
        assert.is(path.serviceCounters(3).packets, 10_000);
        assert.equal(crowd.active, [0, 0, 0, 0], 'nothing is counted by entries');
      });
    }
  }

  for (const { what, after, state } of changes) {
    needs.bpf(test)(
      `${algorithm}: when ${what}, flows stay, and only those of slots that changed get entries`,
      async () => {
        const crowd = new Crowd(path, { algorithm, weights });
        const before = crowd.open(flows);
        const table = crowd.table(after);
        crowd.set(2, { state });
        crowd.move(table, crowd.service.table);
        assert.equal(crowd.more(flows), before, 'every flow stays');
        const first = crowd.entries;
        assert.ok(first > 0 && first < flows, `${first} entries for ${flows} flows`);
        assert.equal(crowd.more(flows), before);
        assert.is(crowd.entries, first, 'a flow has one entry, however many packets it has');

        // The former member is forgotten: what has no entry is the slot's own.
        crowd.move(table, crowd.service.table);
        path.previousSlots(
          3,
          crowd.service.table.map((row, slot) => (row === table[slot] ? 0 : previousEntries)),
        );
        const fresh = crowd.open(flows, 5000);
        assert.equal(fresh, crowd.more(flows, 5000), 'new flows stay too');
        assert.is(crowd.entries, first, 'and get no entries');
        assert.is(tally(fresh, 4)[1] === 0, after[1] === 0, 'who drains gets none of them');
        assert.equal(crowd.more(flows), before);

        // Everything is as it was: no entry says anything that its slot does not.
        crowd.set(2, { state: 'serving' });
        path.table(3, crowd.service.table);
        const swept = await sweep(path);
        assert.equal(
          [swept.entries, swept.removed, swept.exceptions],
          [0, first, 0],
          'needless entries go by the sweep',
        );
        path.previousSlots(3, new Array<number>(table.length).fill(0));
        assert.equal(crowd.more(flows), before);
        assert.is(crowd.entries, 0);
        assert.equal(crowd.active, [0, 0, 0, 0]);
      },
    );
  }

  needs.bpf(test)(
    `${algorithm}: a member that is removed takes its flows along, nobody else’s`,
    () => {
      const crowd = new Crowd(path, { algorithm, weights });
      const before = crowd.open(flows);
      const table = crowd.table([1, 0, 1, 1]);
      // As MemberRows and forgetPrevious leave it: the row is free, and no slot names it.
      path.table(3, table);
      path.previousSlots(
        3,
        crowd.service.table.map((row, slot) => {
          if (row === table[slot]) return 0;
          return row === 2 ? previousEntries : row;
        }),
      );
      crowd.set(2, { state: 'free' });
      const now = crowd.more(flows);
      before.forEach((row, client) => {
        if (row === 2) assert.is.not(now[client], 2);
        else assert.is(now[client], row, `flow ${client} of member ${row}`);
      });
      assert.equal(crowd.more(flows), now, 'and where they are they stay');
    },
  );

  needs.bpf(test)(`${algorithm}: a flood of ten times the table’s size moves no flow`, () =>
    withSeed((next) => {
      const small = Datapath.open(512);
      try {
        small.reset();
        small.settings({ eventsPerSecond: 0 });
        const crowd = new Crowd(small, { algorithm, weights });
        const before = crowd.open(flows);
        const table = crowd.table([1, 1, 6, 1]);
        crowd.move(table, crowd.service.table);
        // Some flows have an entry when the flood begins, the others none.
        const known = crowd.more(flows / 2);
        assert.equal(known, before.slice(0, flows / 2));
        let turned = 0;
        for (let client = 0; client < 5120; client++) {
          const source = `203.0.${next() & 0xff}.${next() & 0xff}`;
          const forged = crowd.send(0, { source, sourcePort: next() & 0xffff, flags: 'S' });
          if (forged.verdict !== 'tx') turned++;
        }
        assert.is(turned, 0, 'the flood itself is spread over the members, without entries');
        assert.ok(crowd.entries > 480, `the table was full: ${crowd.entries} entries of 512`);
        assert.equal(crowd.more(flows), before, 'no established flow moved');
        assert.equal(small.drops(), {}, 'and none was dropped');
      } finally {
        small.close();
      }
    }),
  );
}

for (const algorithm of ['round-robin', 'least-connections'] as const) {
  needs.bpf(test)(
    `from ${algorithm} to maglev: established flows stay, new ones have no entry`,
    async () => {
      const crowd = new Crowd(path, { algorithm, weights });
      const before = crowd.open(flows);
      crowd.more(flows);
      // What the daemon makes of the change: another table, and entries are looked for.
      const { table } = new Crowd(path, { algorithm: 'maglev', weights }).service;
      path.previousSlots(3, new Array<number>(table.length).fill(previousEntries));
      const half = flows / 2;
      assert.equal(crowd.more(half), before.slice(0, half), 'those with packets');
      const recent = await sweep(path);
      assert.ok(recent.exceptions > 0, 'they differ from their slots');
      // The others are silent for a while.
      for (let client = half; client < flows; client++) path.age(crowd.request(client), 15);
      const walks = [await sweep(path), await sweep(path)];
      const entries = walks[1]!.entries;
      assert.is(walks[1]!.exceptions, entries, 'each that is left differs from its slot');
      assert.ok(entries > half && entries < flows, `${entries} entries for ${flows} flows`);
      assert.equal(crowd.more(flows), before, 'nobody moved');
      crowd.open(flows, 1000);
      assert.is(crowd.entries, entries, 'new flows have no entries');
    },
  );
}

needs.bpf(test)(
  'a TCP flow under way that began elsewhere goes where its hash says, without an entry',
  () => {
    const crowd = new Crowd(path, { algorithm: 'maglev', weights });
    const rows = crowd.more(flows);
    assert.equal(crowd.open(flows), rows, 'as if it had begun here');
    assert.is(crowd.entries, 0);
  },
);

test.run();

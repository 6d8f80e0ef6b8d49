/**
 * Which member each new flow goes to, by algorithm: the tables that the daemon builds, picked from
 * by the program, packet by packet.
 *
 * Invariant: distributions are held to six standard deviations, so one run in a hundred million
 * fails by chance; what fails names its seed.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { AlgorithmName } from '../../appliance/balance/choice.js';
import { hashFlow, slotOf, type FlowTuple } from '../../appliance/balance/flow-hash.js';
import { lacking, needs } from '../support/needs.js';
import { Crowd, tally, withSeed } from './crowd.js';
import { Datapath, seed } from './datapath.js';
import { mappedBytes, type FrameSpec } from './packets.js';

const test = suite('bpf choices');
let path: Datapath;
test.before(() => {
  path = Datapath.open(16_384);
});
test.after(() => {
  if (lacking('bpf') === null) path.close();
});
test.before.each(() => {
  if (lacking('bpf') !== null) return;
  path.reset();
  path.settings({ eventsPerSecond: 0 });
});

/** A client of any address and port. */
function anyone(crowd: Crowd, next: () => number): FrameSpec {
  const bytes = new Uint8Array(new Uint32Array([next()]).buffer);
  bytes[0] = 1 + ((bytes[0] ?? 0) % 126);
  return crowd.request(0, { source: bytes.join('.'), sourcePort: next() & 0xffff, flags: 'S' });
}

function expectShares(rows: readonly number[], weights: readonly number[]): void {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  tally(rows, weights.length).forEach((count, index) => {
    const share = (weights[index] ?? 0) / total;
    const due = rows.length * share;
    // A hashed table has its own unevenness, at most one slot in a hundred.
    const allowed = 6 * Math.sqrt(due * (1 - share)) + due / 100;
    const far = Math.abs(count - due);
    assert.ok(far <= allowed, `member ${index + 1} got ${count}, expected ${due} ± ${allowed}`);
  });
}

needs.bpf(test)('round-robin takes the members in turn, whatever their weights', () => {
  const crowd = new Crowd(path, { algorithm: 'round-robin', weights: [5, 1, 3] });
  assert.equal(crowd.open(9), [1, 2, 3, 1, 2, 3, 1, 2, 3]);
});

needs.bpf(test)('weighted-round-robin interleaves: 3:2:1', () => {
  const crowd = new Crowd(path, { algorithm: 'weighted-round-robin', weights: [3, 2, 1] });
  assert.equal(crowd.open(12), [1, 2, 1, 3, 2, 1, 1, 2, 1, 3, 2, 1]);
});

needs.bpf(test)('turns are taken by new flows, not by packets', () => {
  const crowd = new Crowd(path, { algorithm: 'round-robin', weights: [1, 1, 1] });
  const first = crowd.open(3);
  for (let round = 0; round < 5; round++) assert.equal(crowd.more(3), first, `round ${round}`);
  assert.equal(crowd.open(3, 100), [1, 2, 3]);
});

needs.bpf(test)('a member of weight 0, or that drains, gets no turn', () => {
  for (const algorithm of [
    'round-robin',
    'weighted-round-robin',
    'random',
    'least-connections',
    'weighted-least-connections',
    'maglev',
    'ip-hash',
  ] satisfies AlgorithmName[]) {
    path.reset();
    const crowd = new Crowd(path, { algorithm, weights: [2, 0, 1] });
    assert.is(tally(crowd.open(300), 3)[1], 0, algorithm);
  }
});

const spread: readonly { algorithm: AlgorithmName; weights: number[] }[] = [
  { algorithm: 'random', weights: [1, 1, 1, 1] },
  { algorithm: 'random', weights: [4, 2, 1, 1] },
  { algorithm: 'maglev', weights: [1, 1, 1] },
  { algorithm: 'maglev', weights: [5, 3, 2] },
  { algorithm: 'ip-hash', weights: [1, 1, 1] },
  { algorithm: 'ip-hash', weights: [1, 2, 5] },
];
for (const { algorithm, weights } of spread) {
  needs.bpf(test)(`${algorithm} shares flows out by weight ${weights.join(':')}`, () =>
    withSeed((next) => {
      path.settings({ eventsPerSecond: 0, seed: next() });
      const crowd = new Crowd(path, { algorithm, weights });
      const rows = Array.from({ length: 6000 }, () => crowd.sendFrame(anyone(crowd, next)).row);
      expectShares(rows, weights);
    }),
  );
}

needs.bpf(test)('random does not repeat itself: the same flows, other members', () => {
  const crowd = new Crowd(path, { algorithm: 'random', weights: [1, 1, 1, 1] });
  const first = crowd.open(64);
  path.map('flows').deleteBatch(path.map('flows').readAll().keys);
  assert.is.not(crowd.open(64).join(), first.join());
});

needs.bpf(test)('ip-hash by source: one client has one member, at every service and port', () =>
  withSeed((next) => {
    const crowd = new Crowd(path, { algorithm: 'ip-hash', weights: [1, 1, 1, 1] });
    path.service({ ...crowd.service, id: 4, address: '10.0.0.77' });
    // Both services use one pool, so they share its table.
    path.table(4, crowd.service.table);
    for (let client = 0; client < 200; client++) {
      const spec = anyone(crowd, next);
      const { row } = crowd.sendFrame(spec);
      for (const change of [{ sourcePort: next() & 0xffff }, { destination: '10.0.0.77' }]) {
        const other = crowd.sendFrame({ ...spec, ...change }).row;
        assert.is(other, row, `${spec.source} with ${JSON.stringify(change)}`);
      }
    }
  }),
);

needs.bpf(test)('ip-hash by source and destination: services differ, ports do not', () =>
  withSeed((next) => {
    const options = { algorithm: 'ip-hash', hash: 'source-destination' } as const;
    const crowd = new Crowd(path, { ...options, weights: [1, 1, 1, 1] });
    path.service({ ...crowd.service, id: 4, address: '10.0.0.77' });
    let differ = 0;
    for (let client = 0; client < 400; client++) {
      const spec = anyone(crowd, next);
      const { row } = crowd.sendFrame(spec);
      assert.is(crowd.sendFrame({ ...spec, sourcePort: next() & 0xffff }).row, row, spec.source);
      if (crowd.sendFrame({ ...spec, destination: '10.0.0.77' }).row !== row) differ++;
    }
    // Three in four on average.
    assert.ok(differ > 240 && differ < 360, `${differ} of 400 clients differ, expected about 300`);
  }),
);

for (const { algorithm, hash, choice } of [
  { algorithm: 'maglev', hash: 'source', choice: 'flow-hash' },
  { algorithm: 'ip-hash', hash: 'source', choice: 'source-hash' },
  { algorithm: 'ip-hash', hash: 'source-destination', choice: 'source-destination-hash' },
] as const) {
  needs.bpf(test)(`${algorithm} (${choice}): both units of a pair send a flow to one member`, () =>
    withSeed((next) => {
      const other = Datapath.open();
      try {
        other.reset();
        other.settings({ eventsPerSecond: 0, natHalf: 1 });
        const weights = [3, 1, 2, 2];
        const crowd = new Crowd(path, { algorithm, hash, weights });
        new Crowd(other, { algorithm, hash, weights });
        const { table } = crowd.service;
        for (let round = 0; round < 2000; round++) {
          const spec = anyone(crowd, next);
          // A flow that began at one unit and goes on at the other one, after it took over.
          const here = crowd.sendFrame(spec).row;
          const there = crowd.sendFrame({ ...spec, flags: 'A' }, other).row;
          assert.is(there, here, `${spec.source}:${spec.sourcePort}`);
          const flow: FlowTuple = {
            source: mappedBytes(spec.source),
            destination: mappedBytes(spec.destination),
            sourcePort: spec.sourcePort,
            destinationPort: spec.destinationPort,
            protocol: 6,
          };
          const computed = table[slotOf(hashFlow(flow, seed, choice), table.length)];
          assert.is(here, computed, 'as the daemon computes it');
        }
      } finally {
        other.close();
      }
    }),
  );
}

needs.bpf(test)('least-connections takes who has the fewest, equals in turn', () => {
  const crowd = new Crowd(path, { algorithm: 'least-connections', weights: [9, 1, 1] });
  assert.equal(tally(crowd.open(30), 3), [10, 10, 10]);
  const held = crowd.more(30);
  // The second member's flows end: the next ten are its.
  held.forEach((row, client) => {
    if (row === 2) crowd.send(client, { flags: 'R' });
  });
  assert.equal(crowd.active, [10, 0, 10]);
  assert.equal(tally(crowd.open(10, 100), 3), [0, 10, 0]);
  assert.equal(crowd.active, [10, 10, 10]);
});

needs.bpf(test)('weighted-least-connections holds active flows to the weights', () =>
  withSeed((next) => {
    const weights = [4, 2, 1];
    const crowd = new Crowd(path, { algorithm: 'weighted-least-connections', weights });
    const live = new Map<number, number>();
    for (let client = 0; client < 1400; client++) {
      live.set(client, crowd.send(client, { flags: 'S' }).row);
      // Half of them are short.
      if (next() % 2 === 0) continue;
      const ended = [...live.keys()][next() % live.size] ?? client;
      crowd.send(ended, { flags: 'R' });
      live.delete(ended);
    }
    assert.equal(crowd.active, tally([...live.values()], 3), 'counts are true');
    // Ends fall where they fall; flows that begin fill the gap up.
    while (live.size < 2100) {
      const client = 2000 + live.size;
      live.set(client, crowd.send(client, { flags: 'S' }).row);
    }
    const seen = tally([...live.values()], 3);
    seen.forEach((count, index) => {
      const due = (2100 * (weights[index] ?? 0)) / 7;
      assert.ok(Math.abs(count - due) <= 2, `${seen.join()}: expected 1200, 600, 300`);
    });
  }),
);

needs.bpf(test)('least-connections among hundreds looks at some of them, and stays even', () => {
  const crowd = new Crowd(path, { algorithm: 'least-connections', weights: [1, 1, 1, 1, 1] });
  // More slots than are all compared (WEIR_LEAST_ALL).
  const table = Array.from({ length: 300 }, (_, slot) => (slot % 5) + 1);
  path.service({ ...crowd.service, id: 5, address: '10.0.0.99', table });
  const rows = Array.from(
    { length: 500 },
    (_, client) => crowd.send(client, { flags: 'S', destination: '10.0.0.99' }).row,
  );
  for (const count of tally(rows, 5)) assert.ok(Math.abs(count - 100) <= 3, String(count));
});

for (const algorithm of [
  'round-robin',
  'weighted-round-robin',
  'random',
  'least-connections',
  'weighted-least-connections',
] satisfies AlgorithmName[]) {
  needs.bpf(test)(`${algorithm}: no established flow moves when members or weights change`, () => {
    const crowd = new Crowd(path, { algorithm, weights: [1, 1, 1, 0] });
    const rows = crowd.open(200);
    for (const weights of [
      [1, 1, 1, 1],
      [0, 9, 1, 1],
      [0, 0, 1, 5],
    ]) {
      // The daemon gives a table of another length another place.
      path.service({ ...crowd.service, id: crowd.service.id, table: [] });
      path.service({ ...crowd.service, table: crowd.table(weights).slice(0, 3) });
      assert.equal(crowd.more(200), rows, weights.join(':'));
    }
  });
}

test.run();

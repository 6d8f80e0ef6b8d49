/**
 * Persistence by source address: new flows of a source follow its last one, for a while.
 *
 * Invariant: times are set, never waited for. Round-robin chooses, so that a flow which does not
 * follow its source is seen at once.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { lacking, needs } from '../support/needs.js';
import { Crowd } from './crowd.js';
import { Datapath, serviceFlags, type ServiceSpec } from './datapath.js';
import type { FrameSpec } from './packets.js';
import { sweep } from './sweeping.js';

const test = suite('bpf persistence');
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
  path.settings({ eventsPerSecond: 0, natAddresses: ['10.0.0.200'] });
});

const timeout = 600;

function crowdOf(prefix: number, change: Partial<ServiceSpec> = {}): Crowd {
  return new Crowd(path, {
    algorithm: 'round-robin',
    weights: [1, 1, 1],
    service: {
      forwarding: 'nat',
      flags: serviceFlags.persist | serviceFlags.track,
      prefix,
      persistence: timeout,
      ...change,
    },
  });
}

/** The member of a new flow from an address. */
function from(crowd: Crowd, source: string, sourcePort: number, more?: Partial<FrameSpec>): number {
  return crowd.sendFrame(crowd.request(0, { source, sourcePort, flags: 'S', ...more })).row;
}

/** Makes every source look as if its last flow began so many seconds ago. */
function age(seconds: number): void {
  const map = path.map('persistence');
  const { keys, values, count } = map.readAll();
  const size = values.length / count;
  for (let at = 0; at < count; at++) {
    const view = new DataView(values.buffer, values.byteOffset + at * size, size);
    view.setBigUint64(8, view.getBigUint64(8, true) - BigInt(seconds) * 1_000_000_000n, true);
  }
  map.updateBatch(keys, values);
}

for (const forwarding of ['dsr', 'nat', 'full-nat'] as const) {
  for (const protocol of ['tcp', 'udp'] as const) {
    needs.bpf(test)(`${forwarding} ${protocol}: a source’s flows go to one member`, () => {
      const crowd = crowdOf(128, { forwarding, protocol });
      const first = ['198.51.100.1', '198.51.100.2', '198.51.100.3'].map((source) =>
        from(crowd, source, 5000),
      );
      assert.equal(first, [1, 2, 3], 'sources take turns');
      for (let port = 6000; port < 6020; port++) {
        assert.is(from(crowd, '198.51.100.2', port), 2, `port ${port}`);
        assert.is(from(crowd, '198.51.100.1', port), 1, `port ${port}`);
      }
    });
  }
}

needs.bpf(test)('all addresses of a prefix are one source, and those beside it are not', () => {
  const crowd = crowdOf(96 + 24);
  assert.is(from(crowd, '198.51.100.1', 5000), 1);
  assert.is(from(crowd, '198.51.100.255', 5000), 1);
  assert.is(from(crowd, '198.51.100.0', 5000), 1);
  assert.is(from(crowd, '198.51.101.0', 5000), 2);
  assert.is(from(crowd, '198.51.99.255', 5000), 3);
});

needs.bpf(test)('prefixes of IPv6, and ones that end within a byte', () => {
  const crowd = crowdOf(60, { address: 'fd00::53', forwarding: 'dsr' });
  const at = (source: string): number => from(crowd, source, 5000, { destination: 'fd00::53' });
  assert.is(at('2001:db8:0:10::1'), 1);
  assert.is(at('2001:db8:0:1f:ffff::9'), 1);
  assert.is(at('2001:db8:0:20::1'), 2);
  assert.is(at('2001:db8:0:f::1'), 3);
});

needs.bpf(test)('a source is remembered by service', () => {
  const crowd = crowdOf(128);
  path.service({ ...crowd.service, id: 4, address: '10.0.0.77' });
  assert.is(from(crowd, '198.51.100.1', 5000), 1);
  assert.is(from(crowd, '198.51.100.9', 5000, { destination: '10.0.0.77' }), 1);
  assert.is(from(crowd, '198.51.100.1', 5000, { destination: '10.0.0.77' }), 2);
  assert.is(from(crowd, '198.51.100.1', 5001), 1);
});

needs.bpf(test)('each new flow of a source begins its time anew; then it is forgotten', () => {
  const crowd = crowdOf(128);
  assert.is(from(crowd, '198.51.100.1', 5000), 1);
  for (let port = 5001; port < 5004; port++) {
    age(timeout - 5);
    assert.is(from(crowd, '198.51.100.1', port), 1);
  }
  age(timeout + 5);
  assert.is(from(crowd, '198.51.100.1', 5010), 2, 'the next in turn');
  assert.is(from(crowd, '198.51.100.1', 5011), 2, 'where it stays');
  assert.equal(
    [5000, 5001, 5002, 5003].map((sourcePort) =>
      from(crowd, '198.51.100.1', sourcePort, { flags: 'A' }),
    ),
    [1, 1, 1, 1],
    'established flows stay where they are',
  );
});

for (const [what, change] of [
  ['is down', { state: 'down' }],
  ['is gone', { state: 'free' }],
  ['is another one in its row', { generation: 2 }],
] as const) {
  needs.bpf(test)(`a source moves when its member ${what}, and stays at the next one`, () => {
    const crowd = crowdOf(128);
    assert.is(from(crowd, '198.51.100.1', 5000), 1);
    crowd.set(1, change);
    path.table(3, [2, 3, 2]);
    const next = from(crowd, '198.51.100.1', 5001);
    assert.ok(next === 2 || next === 3, `it went to ${next}`);
    for (let port = 5002; port < 5010; port++) assert.is(from(crowd, '198.51.100.1', port), next);
    // Its established flow moved along.
    assert.is(from(crowd, '198.51.100.1', 5000, { flags: 'A' }), next);
    crowd.set(1, { generation: 3 });
    path.table(3, [1, 2, 3]);
    assert.is(from(crowd, '198.51.100.1', 5011), next, 'and is not drawn back');
  });
}

needs.bpf(test)('a draining member keeps its flows and gets no new ones of its sources', () => {
  const crowd = crowdOf(128);
  assert.is(from(crowd, '198.51.100.1', 5000), 1);
  crowd.set(1, { state: 'draining' });
  path.table(3, [2, 3, 2]);
  const next = from(crowd, '198.51.100.1', 5001);
  assert.is.not(next, 1);
  assert.is(from(crowd, '198.51.100.1', 5000, { flags: 'A' }), 1, 'the established flow');
  assert.is(from(crowd, '198.51.100.1', 5002), next);
});

needs.bpf(test)('a member of weight 0 keeps its sources', () => {
  const crowd = crowdOf(128);
  assert.is(from(crowd, '198.51.100.1', 5000), 1);
  path.table(3, [2, 3, 2]);
  assert.is(from(crowd, '198.51.100.1', 5001), 1, 'it serves, and takes no other sources');
});

needs.bpf(test)(
  'more sources than the table holds push the oldest out, and move no flow',
  async () => {
    const small = Datapath.open(16_384, new Map([['persistence', 256]]));
    try {
      small.reset();
      small.settings({ eventsPerSecond: 0 });
      const crowd = new Crowd(small, {
        algorithm: 'round-robin',
        weights: [1, 1, 1],
        service: {
          flags: serviceFlags.persist | serviceFlags.track,
          prefix: 128,
          persistence: timeout,
        },
      });
      const rows = crowd.open(4000);
      assert.ok(
        rows.every((row) => row > 0),
        'every flow was taken',
      );
      assert.equal(small.drops(), {});
      const { count } = small.map('persistence').readAll();
      assert.is((await sweep(small)).sources, count, 'the sweep tells how many');
      assert.ok(count <= 256, `${count} sources are remembered`);
      assert.equal(crowd.more(4000), rows, 'established flows stay');
      // The newest are known still.
      const last = crowd.request(3999);
      assert.is(crowd.sendFrame({ ...last, sourcePort: 9, flags: 'S' }).row, rows[3999]);
    } finally {
      small.close();
    }
  },
);

needs.bpf(test)('a flow that finds no room leaves no trace of its source', () => {
  const small = Datapath.open(64);
  try {
    small.reset();
    small.settings({ eventsPerSecond: 0 });
    const crowd = new Crowd(small, {
      algorithm: 'round-robin',
      weights: [1, 1, 1],
      service: {
        forwarding: 'nat',
        flags: serviceFlags.persist | serviceFlags.track,
        prefix: 128,
        persistence: timeout,
      },
    });
    const rows = crowd.open(640);
    const taken = rows.filter((row) => row > 0).length;
    assert.ok(taken >= 20 && taken <= 32, `${taken} flows found room`);
    assert.equal(small.drops(), { FLOW_TABLE: 640 - taken }, 'the others were counted');
    assert.is(small.map('persistence').readAll().count, taken);
    assert.equal(
      crowd.more(640).filter((row) => row > 0).length,
      taken,
      'those that are there go on, and nobody else comes in',
    );
    rows.forEach((row, client) => {
      if (row > 0) assert.is(crowd.send(client).row, row, `flow ${client}`);
    });
  } finally {
    small.close();
  }
});

test.run();

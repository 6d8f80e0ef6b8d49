/**
 * Counts of active flows, of members and services, through everything that begins or ends a flow.
 *
 * Invariant: a count is what the entries of the flow table say, at any time; when every entry is
 * gone, every count is 0.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PATIENCE } from '../../appliance/l4/sweeper.js';
import { lacking, needs } from '../support/needs.js';
import { Crowd, withSeed } from './crowd.js';
import { Datapath, type Forwarding } from './datapath.js';
import { frame, mappedBytes, type FrameSpec } from './packets.js';
import { sweep } from './sweeping.js';

const test = suite('bpf active');
let path: Datapath;
test.before(() => {
  path = Datapath.open(2048);
});
test.after(() => {
  if (lacking('bpf') === null) path.close();
});
test.before.each(() => {
  if (lacking('bpf') !== null) return;
  path.reset();
  path.settings({ eventsPerSecond: 0, natAddresses: [unit] });
});

const unit = '10.0.0.200';
const counted = 2;
const id = 3;
const forwardings = ['dsr', 'nat', 'full-nat'] as const satisfies readonly Forwarding[];

function crowdOf(forwarding: Forwarding, protocol: 'tcp' | 'udp' = 'tcp'): Crowd {
  return new Crowd(path, {
    algorithm: 'round-robin',
    weights: [1, 1, 1],
    service: { forwarding, protocol },
  });
}

interface Entry {
  readonly member: number;
  readonly generation: number;
  readonly service: number;
  readonly counted: boolean;
}

/** The clients' direction of every flow. */
function entries(): Entry[] {
  const { values, count } = path.map('flows').readAll();
  const size = values.length / count;
  const found: Entry[] = [];
  for (let at = 0; at < count; at++) {
    const view = new DataView(values.buffer, values.byteOffset + at * size, size);
    if (view.getUint8(14) !== 0) continue;
    found.push({
      member: view.getUint32(0, true),
      generation: view.getUint32(4, true),
      service: view.getUint32(8, true),
      counted: (view.getUint8(74) & counted) !== 0,
    });
  }
  return found;
}

/** Makes every entry look so many seconds older. */
function age(seconds: number): void {
  const map = path.map('flows');
  const { keys, values, count } = map.readAll();
  const size = values.length / count;
  for (let at = 0; at < count; at++) {
    const view = new DataView(values.buffer, values.byteOffset + at * size, size);
    view.setBigUint64(48, view.getBigUint64(48, true) - BigInt(seconds) * 1_000_000_000n, true);
  }
  if (count > 0) map.updateBatch(keys, values);
}

function expectCounts(crowd: Crowd, generations: readonly number[], when: string): void {
  const all = entries().filter((entry) => entry.counted);
  crowd.members.forEach(({ row }, index) => {
    const own = all.filter(
      ({ member, generation }) => member === row && generation === generations[index],
    );
    assert.is(path.active('member', row), own.length, `${when}: active flows of member ${row}`);
  });
  for (const one of [id, 4]) {
    const own = all.filter(({ service }) => service === one).length;
    assert.is(path.active('service', one), own, `${when}: active flows of service ${one}`);
  }
}

/** The answer of a flow's member; null when there is no way back for one. */
function answer(crowd: Crowd, client: number, flags: string): FrameSpec | null {
  const request = crowd.request(client);
  const entry = path.flow(request);
  const { forwarding, port, protocol } = crowd.service;
  if (entry === null || forwarding === 'dsr') return null;
  const full = forwarding === 'full-nat';
  return {
    source: `10.0.1.${entry.member}`,
    destination: full ? unit : request.source,
    protocol,
    sourcePort: port,
    destinationPort: full ? entry.port : request.sourcePort,
    flags,
  };
}

function handOver(crowd: Crowd, row: number, generation: number): void {
  // As MemberRows does it: the row first, then its count.
  crowd.set(row, { generation });
  path.map('member_active').update(Uint8Array.of(row, 0, 0, 0), new Uint8Array(4));
}

function serviceKey(crowd: Crowd): Uint8Array {
  const key = new Uint8Array(20);
  key.set(mappedBytes(crowd.service.address));
  new DataView(key.buffer).setUint16(16, crowd.service.port);
  key[18] = crowd.service.protocol === 'tcp' ? 6 : 17;
  return key;
}

for (const forwarding of forwardings) {
  const at = (what: string, check: (crowd: Crowd) => void | Promise<void>): void => {
    needs.bpf(test)(`${forwarding}: ${what}`, () => check(crowdOf(forwarding)));
  };

  at('a connection counts from its SYN to its first FIN, once', (crowd) => {
    crowd.send(0, { flags: 'S' });
    assert.equal([crowd.active, path.active('service', id)], [[1, 0, 0], 1], 'SYN');
    crowd.send(0);
    crowd.send(0, { flags: 'S' });
    assert.equal(crowd.active, [1, 0, 0], 'more of it');
    for (const flags of ['FA', 'FA', 'A', 'R']) {
      crowd.send(0, { flags });
      assert.equal([crowd.active, path.active('service', id)], [[0, 0, 0], 0], flags);
    }
    // The tuple is used again.
    crowd.send(0, { flags: 'S' });
    assert.is(path.active('service', id), 1, 'again');
  });

  at('a reset ends it', (crowd) => {
    crowd.open(3);
    crowd.send(1, { flags: 'R' });
    assert.equal([crowd.active, path.active('service', id)], [[1, 0, 1], 2]);
  });

  if (forwarding !== 'dsr')
    at('a member’s FIN or reset ends it too, and both sides’ only once', (crowd) => {
      crowd.open(3);
      for (const [client, flags] of [
        [0, 'FA'],
        [1, 'RA'],
      ] as const) {
        const bytes = answer(crowd, client, flags);
        if (bytes === null) throw new Error('there is no way back');
        assert.is(path.run(frame(bytes)).verdict, 'tx', flags);
        crowd.send(client, { flags: 'FA' });
      }
      assert.equal([crowd.active, path.active('service', id)], [[0, 0, 1], 1]);
    });

  at('time ends it, and a second sweep ends nothing', async (crowd) => {
    crowd.open(30);
    age(PATIENCE.tcpOpen + 2);
    await sweep(path);
    await sweep(path);
    assert.equal([crowd.active, path.active('service', id)], [[0, 0, 0], 0]);
  });

  at('a flow that moves is the new member’s', (crowd) => {
    crowd.open(30);
    crowd.more(30);
    crowd.set(2, { state: 'down' });
    path.table(id, [1, 3, 1]);
    crowd.more(30);
    assert.equal([crowd.active[1], path.active('service', id)], [0, 30]);
    expectCounts(crowd, [1, 1, 1], 'after the move');
  });

  at('a row’s next owner has none of the former one’s flows', async (crowd) => {
    crowd.open(30);
    crowd.more(30);
    handOver(crowd, 2, 2);
    assert.equal([crowd.active, path.active('service', id)], [[10, 0, 10], 30]);
    // The former owner's flows end or move, and are taken off nobody.
    crowd.open(3, 1000);
    expectCounts(crowd, [1, 2, 1], 'with the next owner’s own');
    age(PATIENCE.tcpIdle + 2);
    await sweep(path);
    assert.equal([crowd.active, path.active('service', id)], [[0, 0, 0], 0]);
  });

  at('flows of a service that is gone go by the sweep, and its id counts from 0', async (crowd) => {
    crowd.open(30);
    crowd.more(30);
    assert.ok(path.map('services').delete(serviceKey(crowd)));
    await sweep(path);
    assert.is(path.active('service', id), 30, 'a moment ago they were in use');
    age(PATIENCE.closed + 1);
    const swept = await sweep(path);
    assert.equal([swept.entries, swept.natPorts], [0, 0]);
    assert.equal([crowd.active, path.active('service', id)], [[0, 0, 0], 0]);
  });

  at('a service with another id at the same address goes on with its flows', async (crowd) => {
    crowd.open(30);
    const rows = crowd.more(30);
    // Its former id is another service's by now.
    path.service({ ...crowd.service, id: 4 });
    path.service({ ...crowd.service, id, address: '10.0.0.77' });
    age(PATIENCE.closed + 1);
    assert.is((await sweep(path)).removed, 0);
    assert.equal([path.active('service', id), path.active('service', 4)], [0, 30]);
    assert.equal(crowd.active, [10, 10, 10]);
    assert.equal(crowd.more(30), rows, 'nobody moved');
    for (let client = 0; client < 30; client++) crowd.send(client, { flags: 'R' });
    assert.equal([crowd.active, path.active('service', 4)], [[0, 0, 0], 0]);
  });

  at('one that forwards in another way has none of them', async (crowd) => {
    crowd.open(30);
    crowd.more(30);
    path.service({ ...crowd.service, forwarding: forwarding === 'nat' ? 'tunnel' : 'nat' });
    age(PATIENCE.closed + 1);
    const { entries: left } = await sweep(path);
    assert.equal([left, path.active('service', id)], [0, 0]);
    assert.equal(crowd.active, [0, 0, 0]);
  });

  if (forwarding === 'nat')
    at('what waits for the answer to a test of a member stays, service or not', async (crowd) => {
      crowd.open(1);
      const back = answer(crowd, 0, '');
      if (back === null) throw new Error('there is no way back');
      const probe = { direction: 14, answer: 2, flags: 74, flag: 128 };
      path.patch(crowd.request(0), (entry) => {
        entry.setUint8(probe.flags, probe.flag);
      });
      path.patch(back, (entry) => {
        entry.setUint8(probe.direction, probe.answer);
      });
      path.map('services').delete(serviceKey(crowd));
      age(PATIENCE.closed + 1);
      assert.is((await sweep(path)).entries, 2);
    });

  at('an idle flow of a service that is there stays', async (crowd) => {
    crowd.open(30);
    crowd.more(30);
    age(PATIENCE.closed + 1);
    const { removed } = await sweep(path);
    assert.is(removed, 0);
    assert.is(path.active('service', id), 30);
  });

  at('a flow that finds no room is not counted', (crowd) => {
    for (let client = 0; client < 3000; client++) crowd.send(client, { flags: 'S' });
    assert.ok((path.drops().FLOW_TABLE ?? 0) > 0, 'the table was full');
    expectCounts(crowd, [1, 1, 1], 'with a full table');
    if (forwarding === 'full-nat') {
      const ports = path.natPorts(0);
      assert.is(ports, crowd.entries - entries().length, 'a port for each way back');
    }
  });

  for (const protocol of ['tcp', 'udp'] as const) {
    needs.bpf(test)(`${forwarding} ${protocol}: counts are true in any order of events`, () =>
      withSeed(async (next) => {
        const crowd = crowdOf(forwarding, protocol);
        const generations = [1, 1, 1];
        const pick = <T>(list: readonly T[]): T => list[next() % list.length]!;
        const reply = (client: number, flags: string): void => {
          const bytes = answer(crowd, client, flags);
          if (bytes !== null) path.run(frame(bytes));
        };
        let gone = false;
        const acts: readonly (() => void | Promise<void>)[] = [
          ...['S', 'S', 'A', 'FA', 'R', 'SA'].map((flags) => () => {
            crowd.send(next() % 40, { flags });
          }),
          ...['SA', 'A', 'FA', 'RA'].map((flags) => () => {
            reply(next() % 40, flags);
          }),
          () => {
            const at = next() % 3;
            const state = pick(['serving', 'serving', 'draining', 'down'] as const);
            crowd.set(at + 1, { state, generation: generations[at] ?? 0 });
          },
          () => {
            age(pick([5, 15, 70, 130, 300, 8000]));
          },
          async () => {
            await sweep(path);
          },
          () => {
            const at = next() % 3;
            generations[at] = (generations[at] ?? 0) + 1;
            handOver(crowd, at + 1, generations[at]);
          },
          () => {
            // It comes back under its own id or another one.
            if (gone) path.service({ ...crowd.service, id: pick([id, 4]) });
            else path.map('services').delete(serviceKey(crowd));
            gone = !gone;
          },
        ];
        const told: number[] = [];
        for (let step = 0; step < 1500; step++) {
          // What is rare in life is rare here.
          const act = next() % 8 === 0 ? next() % acts.length : next() % 10;
          told.push(act);
          await acts[act]?.();
          expectCounts(crowd, generations, `step ${step}, after ${told.slice(-6).join()}`);
        }
        age(9000);
        await sweep(path);
        assert.is(entries().length, 0);
        expectCounts(crowd, generations, 'at the end');
        if (forwarding === 'full-nat') assert.is(path.natPorts(0), 0, 'ports in use');
      }),
    );
  }
}

test.run();

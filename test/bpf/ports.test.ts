/**
 * The ports that full nat takes on the unit's addresses: who gets which, when one is free again,
 * and what happens when none is left.
 */
import { execFileSync } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PATIENCE } from '../../appliance/l4/sweeper.js';
import { lacking, needs } from '../support/needs.js';
import { Crowd } from './crowd.js';
import { Datapath } from './datapath.js';
import { frame, type FrameSpec } from './packets.js';
import { sweep } from './sweeping.js';

const test = suite('bpf ports');
const units = ['10.0.0.200', '10.0.0.201'] as const;
/** As many ports as a unit of a pair has on one address, from 1024 on (nat.h). */
const ports = 32_256;
/** Of a flow entry: the second byte of its client's IPv4 address. */
const clientAt = 56 + 13;
let path: Datapath;
test.before(() => {
  path = Datapath.open(2 * ports + 4096);
});
test.after(() => {
  if (lacking('bpf') === null) path.close();
});
test.before.each(() => {
  if (lacking('bpf') !== null) return;
  path.reset();
  path.settings({ eventsPerSecond: 0, natAddresses: units.slice(0, 1) });
});

function crowdOf(on: Datapath = path, protocol: 'tcp' | 'udp' = 'tcp', members = 1): Crowd {
  return new Crowd(on, {
    algorithm: 'round-robin',
    weights: new Array<number>(members).fill(1),
    service: { forwarding: 'full-nat', protocol },
  });
}

/** Where a flow's packets come from at its member. */
function sourceOf(data: Uint8Array): { address: string; port: number } {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  return { address: data.subarray(26, 30).join('.'), port: view.getUint16(34) };
}

function open(crowd: Crowd, client: number, on: Datapath = path): string {
  const { verdict, data } = crowd.sendFrame(crowd.request(client, { flags: 'S' }), on);
  assert.is(verdict, 'tx', JSON.stringify(on.drops()));
  const { address, port } = sourceOf(data);
  return `${address} ${port}`;
}

function portOf(source: string): number {
  return Number(source.split(' ')[1]);
}

function answer(port: number, flags: string): FrameSpec {
  return {
    source: '10.0.1.1',
    destination: units[0],
    protocol: 'tcp',
    sourcePort: 80,
    destinationPort: port,
    flags,
  };
}

/** Takes every port towards the first member: copies of one flow's way back. */
function takeAll(crowd: Crowd): void {
  const taken = portOf(open(crowd, 0));
  const flows = path.map('flows');
  const { keys, values, count } = flows.readAll();
  const keySize = keys.length / count;
  const valueSize = values.length / count;
  const reply = Array.from({ length: count }, (_, at) => at).find(
    (at) => values[at * valueSize + 14] === 1,
  );
  if (reply === undefined) throw new Error('the flow has no way back');
  const allKeys = new Uint8Array(ports * keySize);
  const allValues = new Uint8Array(ports * valueSize);
  const key = keys.subarray(reply * keySize, (reply + 1) * keySize);
  const value = values.subarray(reply * valueSize, (reply + 1) * valueSize);
  for (let index = 0; index < ports; index++) {
    allKeys.set(key, index * keySize);
    new DataView(allKeys.buffer).setUint16(index * keySize + 34, 1024 + 2 * index);
    allValues.set(value, index * valueSize);
    // Each is another client's.
    if (1024 + 2 * index !== taken) allValues[index * valueSize + clientAt] = 99;
  }
  flows.updateBatch(allKeys, allValues);
  path.map('nat_ports').update(new Uint8Array(4), new Uint8Array(Uint32Array.of(ports).buffer));
}

/** Marks the ways back of every port that fits as ended by both sides. */
function end(which: (port: number) => boolean): number {
  const flows = path.map('flows');
  const { keys, values, count } = flows.readAll();
  const keySize = keys.length / count;
  const valueSize = values.length / count;
  let ended = 0;
  for (let at = 0; at < count; at++) {
    if (values[at * valueSize + 14] !== 1) continue;
    const port = new DataView(keys.buffer, keys.byteOffset).getUint16(at * keySize + 34);
    if (!which(port)) continue;
    values[at * valueSize + 15] = 3;
    ended++;
  }
  flows.updateBatch(keys, values);
  return ended;
}

for (const protocol of ['tcp', 'udp'] as const) {
  needs.bpf(test)(`${protocol}: flows to one member have ports of their own`, () => {
    const crowd = crowdOf(path, protocol);
    const sources = Array.from({ length: 1000 }, (_, client) => open(crowd, client));
    assert.is(new Set(sources).size, 1000);
    sources.forEach((source, client) => {
      const { data } = crowd.send(client);
      const { address, port } = sourceOf(data);
      assert.is(`${address} ${port}`, source, `flow ${client} keeps its port`);
    });
    assert.is(path.natPorts(0), 1000);
  });
}

needs.bpf(test)('one unit of a pair takes even ports and the other one odd ones', () => {
  const other = Datapath.open();
  try {
    other.reset();
    other.settings({ eventsPerSecond: 0, natHalf: 1, natAddresses: units.slice(0, 1) });
    const here = crowdOf();
    const there = crowdOf(other);
    for (let client = 0; client < 500; client++) {
      assert.is(portOf(open(here, client)) % 2, 0, 'the first unit');
      assert.is(portOf(open(there, client, other)) % 2, 1, 'the second unit');
    }
  } finally {
    other.close();
  }
});

needs.bpf(test)('every processor takes ports that no other one has', () => {
  const crowd = crowdOf();
  const thread = String(process.pid);
  const pin = (list: string): void => {
    execFileSync('taskset', ['-c', '-p', list, thread], { stdio: 'ignore' });
  };
  const said = execFileSync('taskset', ['-c', '-p', thread], { encoding: 'utf8' });
  const allowed = said.slice(said.lastIndexOf(':') + 1).trim();
  const each = allowed.split(/[,-]/);
  try {
    const sources = new Set<string>();
    for (let round = 0; round < 20; round++) {
      pin(each[round % each.length] ?? allowed);
      for (let client = 0; client < 50; client++) sources.add(open(crowd, round * 50 + client));
    }
    assert.is(sources.size, 1000);
  } finally {
    pin(allowed);
  }
});

needs.bpf(test)('flows spread over all addresses, each of which has its own count', () => {
  path.settings({ eventsPerSecond: 0, natAddresses: units });
  const crowd = crowdOf();
  const sources = Array.from({ length: 1000 }, (_, client) => open(crowd, client));
  assert.is(new Set(sources).size, 1000);
  const first = sources.filter((source) => source.startsWith(`${units[0]} `)).length;
  assert.ok(first > 400 && first < 600, `${first} of 1000 come from the first of two`);
  assert.equal([path.natPorts(0), path.natPorts(1)], [first, 1000 - first]);
});

needs.bpf(test)('without a port a new flow is dropped, and counted so; flows there go on', () => {
  const crowd = crowdOf();
  takeAll(crowd);
  const entries = crowd.entries;
  for (let client = 1; client <= 20; client++) {
    assert.is(crowd.send(client, { flags: 'S' }).verdict, 'drop');
    assert.equal(path.drops(), { NAT_PORTS: client });
  }
  assert.is(crowd.entries, entries, 'nothing is left of what was refused');
  assert.equal(crowd.active, [1]);
  assert.is(path.natPorts(0), ports);
  assert.is(crowd.send(0).row, 1, 'the flow that was there');
});

needs.bpf(test)('a port serves once for each member', () => {
  const crowd = crowdOf(path, 'tcp', 2);
  takeAll(crowd);
  assert.is(crowd.send(1, { flags: 'S' }).row, 2, 'the other member has ports left');
  assert.is(crowd.send(2, { flags: 'S' }).verdict, 'drop');
  assert.is(path.natPorts(0), ports + 1);
});

needs.bpf(test)('ports of connections that ended are taken again, before a sweep too', async () => {
  const crowd = crowdOf();
  takeAll(crowd);
  const half = (port: number): boolean => port % 4 === 0;
  const kept = sourceOf(crowd.send(0).data).port;
  const ended = end((port) => half(port) && port !== kept);
  assert.ok(ended >= ports / 2 - 1);
  for (let client = 1; client <= 500; client++) {
    assert.ok(half(portOf(open(crowd, client))), 'only of those that ended');
  }
  assert.is(path.natPorts(0), ports, 'one was given back for each that was taken');
  const swept = await sweep(path, { closed: 0 });
  assert.is(swept.natPorts, ports - ended + 500, 'ports that the sweep found in use');
  assert.is(path.natPorts(0), swept.natPorts, 'the count agrees');
});

needs.bpf(test)('a connection that both sides ended gives its port back by the sweep', async () => {
  const crowd = crowdOf();
  const sources = Array.from({ length: 10 }, (_, client) => open(crowd, client));
  sources.slice(0, 4).forEach((source, client) => {
    crowd.send(client, { flags: 'FA' });
    assert.is(path.run(frame(answer(portOf(source), 'FA'))).verdict, 'tx');
  });
  assert.is(crowd.active[0], 6);
  for (let client = 0; client < 4; client++) {
    path.age(crowd.request(client), PATIENCE.closed + 2);
    path.age(answer(portOf(sources[client] ?? ''), ''), PATIENCE.closed + 2);
  }
  const swept = await sweep(path);
  assert.equal([swept.natPorts, path.natPorts(0)], [6, 6]);
  assert.equal([swept.entries, swept.removed], [12, 8]);
});

needs.bpf(test)(
  'a flow that moves takes a port at its new member and leaves the old one to the sweep',
  async () => {
    const crowd = crowdOf(path, 'tcp', 2);
    open(crowd, 0);
    crowd.send(0);
    crowd.set(1, { state: 'down' });
    path.table(3, [2, 2]);
    assert.is(crowd.send(0).row, 2);
    assert.is(path.natPorts(0), 2);
    const flows = path.map('flows');
    const { keys, values, count } = flows.readAll();
    const size = values.length / count;
    for (let at = 0; at < count; at++) {
      const view = new DataView(values.buffer, values.byteOffset + at * size, size);
      // The way back from the former member is silent from now on.
      if (view.getUint8(14) === 1 && view.getUint32(0, true) === 1) view.setBigUint64(48, 0n, true);
    }
    flows.updateBatch(keys, values);
    const swept = await sweep(path);
    assert.equal([swept.natPorts, path.natPorts(0)], [1, 1]);
    assert.is(crowd.send(0).row, 2, 'the flow itself goes on');
  },
);

test.run();

/**
 * What connections cost that wait for their next request: measured at the worker's resident memory, by
 * a client that keeps ten thousand of them.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { needs } from '../support/needs.js';
import { IdleClients } from './idle-clients.js';
import { listenAt, loud, membersOf, ProxyLab, service4 } from './proxy-lab.js';

const test = suite('memory of a worker');
const lab = needs.lab(test);
const count = 10_000;
let stage: ProxyLab;

test.before(
  loud(async () => {
    stage = await ProxyLab.open(['member-1']);
    await stage.apply({
      // One, so that what a connection costs can be told from what a worker costs.
      unit: { workers: 1 },
      pools: { web: { members: membersOf(['member-1']) } },
      services: { web: { listen: listenAt(80), pool: 'web', timeouts: { 'keep-alive': '10m' } } },
    });
  }),
);

test.after(() => stage.close());

lab('10,000 connections that wait for their next request cost at most 4 KiB each', async () => {
  const opened: IdleClients[] = [];
  const open = async (count: number): Promise<IdleClients> => {
    const clients = await IdleClients.open(80, service4, count);
    opened.push(clients);
    return clients;
  };
  try {
    // What a worker has once, however many it serves, is no connection's: its receive buffers, 32
    // MiB at most, of which it keeps as many ready as a burst has needed. Who waits holds none.
    const few = await open(400);
    for (let i = 0; i < 20; i += 1) assert.equal(await few.ask(), { 200: 400 });
    const before = stage.workerMemory();
    const clients = await open(count);
    assert.equal(await clients.ask(200), { 200: count }, 'expected an answer on each');
    const growth = stage.workerMemory() - before;
    const each = growth / count;
    const inMegabytes = (bytes: number): string => `${(bytes / 1048576).toFixed(1)} MiB`;
    console.log(
      `${count} idle connections: the worker grew from ${inMegabytes(before)} by ${inMegabytes(growth)}, ${each.toFixed(0)} bytes each`,
    );
    assert.ok(each <= 4096, `expected at most 4096 bytes each, seen ${each.toFixed(0)}`);
    assert.equal(await clients.ask(200), { 200: count }, 'expected that all of them go on');
  } finally {
    for (const clients of opened) clients.close();
  }
});

test.run();

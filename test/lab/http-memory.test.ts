/**
 * What connections cost that wait for their next request: measured at the worker's resident memory, by
 * a client that keeps ten thousand of them.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { needs } from '../support/needs.js';
import { IdleClients } from './idle-clients.js';
import { listenAt, membersOf, ProxyLab, service4 } from './proxy-lab.js';

const test = suite('memory of a worker');
const lab = needs.lab(test);
const count = 10_000;
let stage: ProxyLab;

test.before(async () => {
  stage = await ProxyLab.open(['member-1']);
  await stage.apply({
    // One, so that what a connection costs can be told from what a worker costs.
    unit: { workers: 1 },
    pools: { web: { members: membersOf(['member-1']) } },
    services: { web: { listen: listenAt(80), pool: 'web', timeouts: { 'keep-alive': '10m' } } },
  });
});

test.after(() => stage.close());

lab('10,000 connections that wait for their next request cost at most 4 KiB each', async () => {
  // What every worker needs once, whatever it serves, is no connection's.
  const few = await IdleClients.open(80, service4, 50);
  assert.equal(await few.ask(), { 200: 50 });
  few.close();
  const before = stage.workerMemory();
  const clients = await IdleClients.open(80, service4, count);
  try {
    assert.equal(await clients.ask(200), { 200: count }, 'expected an answer on each');
    const growth = stage.workerMemory() - before;
    const each = growth / count;
    console.log(
      `${count} idle connections: the worker grew from ${before >> 20} MiB by ${(growth / 1048576).toFixed(1)} MiB, ${each.toFixed(0)} bytes each`,
    );
    assert.ok(each <= 4096, `expected at most 4096 bytes each, seen ${each.toFixed(0)}`);
    assert.equal(await clients.ask(200), { 200: count }, 'expected that all of them go on');
  } finally {
    clients.close();
  }
});

test.run();

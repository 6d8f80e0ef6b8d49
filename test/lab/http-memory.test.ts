/**
 * What connections cost that wait for their next request: measured at the worker's resident memory, by
 * a client that keeps ten thousand of them, or two thousand over TLS.
 */
import type { ConnectionOptions } from 'node:tls';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { needs } from '../support/needs.js';
import { IdleClients } from './idle-clients.js';
import { listenAt, loud, membersOf, ProxyLab, service4 } from './proxy-lab.js';
import { until } from './unit.js';

const test = suite('memory of a worker');
const lab = needs.lab(test);
let stage: ProxyLab;

test.before(
  loud(async () => {
    stage = await ProxyLab.open(['member-1']);
    await stage.unit.must('cert', 'self-signed', 'shop', '--names', 'shop.example');
    const timeouts = { 'keep-alive': '10m' };
    await stage.apply({
      // One, so that what a connection costs can be told from what a worker costs.
      unit: { workers: 1 },
      pools: { web: { members: membersOf(['member-1']) } },
      services: {
        web: { listen: listenAt(80), pool: 'web', timeouts },
        shop: { listen: listenAt(443, 'https'), certificates: ['shop'], pool: 'web', timeouts },
      },
    });
  }),
);

test.after(() => stage.close());

/** Prints and returns how many bytes of the worker each of so many waiting connections takes. */
async function bytesEach(port: number, count: number, tls?: ConnectionOptions): Promise<number> {
  const opened: IdleClients[] = [];
  const open = async (count: number): Promise<IdleClients> => {
    const clients = await IdleClients.open(port, service4, count, tls);
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
      `${count} idle connections${tls === undefined ? '' : ' over TLS'}: the worker grew from ${inMegabytes(before)} by ${inMegabytes(growth)}, ${each.toFixed(0)} bytes each`,
    );
    assert.equal(await clients.ask(200), { 200: count }, 'expected that all of them go on');
    return each;
  } finally {
    for (const clients of opened) clients.close();
  }
}

lab('10,000 connections that wait for their next request cost at most 4 KiB each', async () => {
  const each = await bytesEach(80, 10_000);
  assert.ok(each <= 4096, `expected at most 4096 bytes each, seen ${each.toFixed(0)}`);
});

// OpenSSL takes some 13 KB of it: 7.6 for the connection itself, the rest for its session, keys and ciphers.
for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  lab(`2,000 connections by ${version} that wait cost at most 22 KiB each`, async () => {
    // One that has not had as many: what it had for them it would use again.
    const [former = 0] = stage.workers();
    process.kill(former, 'SIGKILL');
    await until('another worker', 10_000, () => {
      const pids = stage.workers();
      return Promise.resolve((pids.length === 1 && pids[0] !== former) || pids.join(', '));
    });
    const tls = { minVersion: version, maxVersion: version, servername: 'shop.example' };
    const each = await bytesEach(443, 2000, { ...tls, rejectUnauthorized: false });
    assert.ok(each <= 22 * 1024, `expected at most 22,528 bytes each, seen ${each.toFixed(0)}`);
  });
}

test.run();

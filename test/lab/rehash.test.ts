/**
 * Established connections through dsr while their pool changes from an algorithm that remembers
 * each of them to one that goes by the hash alone: they stay, heartbeat by heartbeat, and
 * longer than packets look for entries when nothing needs it.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { lacking, needs } from '../support/needs.js';
import { targetOf } from './asks.js';
import { Lab } from './lab.js';
import { tcpPort } from './server-process.js';
import { addressOf, memberNames } from './topology.js';
import { pause, until } from './unit.js';

const test = suite('rehash');
const long = 30;
/** Two times PATIENCE.closed, and a sweep: then entries that nobody needs are looked for no more. */
const settled = 23_000;

const configuration = JSON.stringify({
  version: 1,
  unit: { name: 'weir-a', interfaces: ['eth0', 'eth1'] },
  pools: {
    web: {
      algorithm: 'round-robin',
      members: memberNames.map((member) => ({ address: addressOf(member, 4) })),
      monitor: { type: 'tcp', port: tcpPort, interval: '500ms', timeout: '400ms' },
    },
  },
  services: {
    shop: {
      listen: { address: '10.77.0.80', port: tcpPort, protocol: 'tcp' },
      forwarding: 'dsr',
      pool: 'web',
    },
  },
});

let lab: Lab | undefined;
test.before(async () => {
  if (lacking('lab') === null) lab = await Lab.open(configuration);
});
test.after(async () => {
  await lab?.close();
});

needs.lab(test)('connections stay when round-robin becomes maglev', async () => {
  if (lab === undefined) throw new Error('the lab did not open');
  const opened = lab;
  const target = targetOf(opened, 'shop');
  // Half of the heartbeats are further apart than what a sweep takes for silence.
  const loads = await Promise.all(
    [500, 12_000].map((heartbeat) =>
      opened.load(target, { rate: 0, concurrency: 1, long, heartbeat }),
    ),
  );
  for (const load of loads) {
    await until('all connections are open', 20_000, async () => {
      const { open } = await load.mark('opening');
      return open === long || `${open} of ${long}`;
    });
  }
  await opened.change((document) => {
    const pool = document.pools?.['web'];
    if (pool !== undefined) pool.algorithm = 'maglev';
  });
  await pause(settled);
  for (const load of loads) {
    const { failures, open, requests } = await load.mark('after the change');
    assert.equal(failures, [], 'expected no connection to break');
    assert.is(open, long, 'connections that are still open');
    assert.ok(requests >= long, `each was answered since: ${requests} answers`);
    await load.stop();
  }
});

test.run();

/**
 * The ports of full nat, as an administrator sees them: taken while connections are open, given
 * back when they have ended.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { TierRow } from '../../appliance/api/contract.js';
import { lacking, needs } from '../support/needs.js';
import { holding } from './asks.js';
import { Lab } from './lab.js';
import { tcpPort } from './server-process.js';
import { addressOf, memberNames } from './topology.js';
import { until } from './unit.js';

const test = suite('ports');
const addresses = ['10.77.0.101', '10.77.0.102'];
/** The sweep comes by once a second, 10 seconds after a connection has ended. */
const patience = 60_000;

const document = JSON.stringify({
  version: 1,
  unit: { name: 'weir-a', interfaces: ['eth0', 'eth1'], 'nat-addresses': addresses },
  pools: {
    web: {
      algorithm: 'round-robin',
      members: memberNames.map((member) => ({ address: addressOf(member, 4), port: tcpPort })),
    },
  },
  services: {
    shop: {
      listen: { address: '10.77.0.80', port: 8001, protocol: 'tcp' },
      forwarding: 'full-nat',
      pool: 'web',
    },
  },
});

let lab: Lab | undefined;
test.before(async () => {
  if (lacking('lab') === null) lab = await Lab.open(document);
});
test.after(async () => {
  await lab?.close();
});

/** Ports in use by address, as `weir show tiers` has them. */
async function used(of: Lab): Promise<{ entries: number; limit: number }[]> {
  const [row] = JSON.parse(await of.unit.must('show', 'tiers', '--json')) as TierRow[];
  return addresses.map((address) => {
    const found = row?.maps.find(({ name }) => name === `nat ports of ${address}`);
    if (found === undefined) throw new Error(`expected the ports of ${address}`);
    return { entries: found.entries ?? 0, limit: found.limit };
  });
}

needs.lab(test)('ports are seen in use, by address, and given back', async () => {
  if (lab === undefined) throw new Error('the lab did not open');
  const opened = lab;
  const count = 60;
  await holding(opened, 'shop', count, async () => {
    await until('the ports are in use', patience, async () => {
      const seen = await used(opened);
      const entries = seen.map((one) => one.entries);
      const sum = entries.reduce((all, one) => all + one, 0);
      return (sum === count && entries.every((one) => one > 0)) || entries.join();
    });
    const text = await opened.unit.must('show', 'tiers');
    for (const address of addresses) assert.match(text, `nat ports of ${address}`);
    // Each member's address and port can be spoken to from each port of the address once.
    for (const { limit } of await used(opened)) assert.is(limit, memberNames.length * 32_256);
  });
  await until('the ports are given back', patience, async () => {
    const seen = await used(opened);
    return seen.every(({ entries }) => entries === 0) || JSON.stringify(seen);
  });
});

test.run();

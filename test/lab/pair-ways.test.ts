/**
 * A pair of whole daemons whose addresses move with virtual MAC addresses, and a switch that loses
 * frames and keeps the link: the unit behind it yields, since a neighbour that it tracks is silent. A
 * neighbour that has died itself moves nothing.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { RouterRow } from '../../appliance/api/contract.js';
import { needs } from '../support/needs.js';
import { run } from './commands.js';
import { Holding, toldAt } from './holding.js';
import { PairLab } from './pair-lab.js';
import { httpPort } from './server-process.js';
import { addressAt, addressOf, memberNames } from './topology.js';
import { until, type Unit } from './unit.js';

const test = suite('ways of a pair');
const PATIENCE = 40_000;
/** Layer 7 and layer 4; even, odd. */
const proxied = addressAt(80, 4, 'outside');
const direct = addressAt(81, 4, 'outside');
/** Virtual router 201 has the even addresses, 202 the odd ones. */
const macs = new Map([
  [proxied, '00:00:5e:00:01:c9'],
  [direct, '00:00:5e:00:01:ca'],
]);
const client = addressOf('client', 4, 'outside');
const member = addressOf('member-3', 4, 'inside');

const pool = (ports: object): object => ({
  members: memberNames.map((name) => ({ address: addressOf(name, 4), ...ports })),
  monitor: { type: 'tcp', port: httpPort, interval: '1s', timeout: '900ms' },
});
const document = (): object => ({
  pools: { web: pool({ port: httpPort }), direct: pool({}) },
  services: {
    site: { listen: { address: proxied, port: 80, protocol: 'http' }, pool: 'web' },
    plain: {
      listen: { address: direct, port: httpPort, protocol: 'tcp' },
      ...{ forwarding: 'dsr', pool: 'direct' },
    },
  },
  pair: {
    ...{ 'virtual-mac': true, 'preempt-delay': '1s', 'advertisement-interval': '300ms' },
    ...{ prefer: 'unit-a', tracking: { neighbours: [client, member] } },
  },
});

/** Both services answer the client, each at the MAC address of its virtual router. */
async function served(lab: PairLab): Promise<void> {
  const namespace = lab.topology.namespace('client');
  for (const [address, mac] of macs) {
    const url = `http://${address}:${address === direct ? httpPort : 80}/`;
    await until(`${url} answers from ${mac}`, PATIENCE, async () => {
      const words = [`--net=/run/netns/${namespace}`, 'curl', '-sS', '--max-time', '2', url];
      const said = await run('nsenter', words).catch((error: unknown) => String(error));
      const seen = await run('ip', ['-n', namespace, 'neigh', 'show', address]);
      return (said.startsWith('member-') && seen.includes(mac)) || `${said} ${seen}`;
    });
  }
}

const takeovers = async (unit: Unit): Promise<number[]> =>
  (await unit.get<RouterRow[]>('/v1/routers')).map((row) => row.takeovers);

needs.macvlan(test)('a silent switch, and a neighbour that has died', () =>
  PairLab.run({ members: true, directAddresses: [direct], document }, async (lab) => {
    const holding = new Holding(lab, [proxied, direct], PATIENCE);
    const untilShared = (): Promise<number> => holding.until([proxied], [direct]);
    await lab.pair();
    await untilShared();
    await served(lab);

    const cutAt = Date.now();
    await lab.cut('outside', { unit: 'unit-a', silent: true });
    // Behind that switch unit-a may go on holding what it had: nobody is there.
    await holding.untilAll('unit-b');
    console.log(`a switch that loses everything: replaced after ${Date.now() - cutAt} ms`);
    await served(lab);
    await lab.mend('outside', { unit: 'unit-a' });
    await untilShared();
    await served(lab);

    const before = [await takeovers(lab.a), await takeovers(lab.b)];
    const died = Date.now();
    await lab.topology.setLink('member-3', 'down');
    for (const unit of [lab.a, lab.b]) {
      await toldAt(unit, died, new RegExp(`${member} is lost to both units`));
    }
    await untilShared();
    await lab.topology.setLink('member-3', 'up');
    await served(lab);
    assert.equal([await takeovers(lab.a), await takeovers(lab.b)], before, 'no role changed');
  }),
);

test.run();

/** What the daemon says of itself to its virtual routers. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NO_PAIR } from '../../../appliance/control/compile-pair.js';
import { fitness, type FitnessInput } from '../../../appliance/control/fitness.js';
import type { Tables } from '../../../appliance/control/tables.js';

const test = suite('fitness of a unit');

interface Played extends Partial<Omit<FitnessInput, 'tables'>> {
  readonly services?: { readonly l4?: number; readonly l7?: number };
  readonly members?: readonly (readonly [setting: string, state: string])[];
  readonly pair?: Partial<Tables['pair']>;
}

/** The names of what is not well. */
function lacks({ services = {}, members = [], pair = {}, ...input }: Played): string[] {
  const some = (count = 0): Map<string, object> =>
    new Map(Array.from({ length: count }, (_, index) => [`s${index}`, { pool: 'web' }]));
  const pools = new Map([
    ['web', { name: 'web', members: members.map(([setting, state]) => ({ setting, state })) }],
  ]);
  const tables = {
    pools,
    l4: { services: some(services.l4), pools },
    l7: { services: some(services.l7), pools: new Map() },
    pair: { ...NO_PAIR, ...pair },
  } as unknown as Tables;
  const well = fitness({
    ...{ tables, outcomes: [], reaches: true, links: [], ways: new Map() },
    proxy: { unable: null, failing: 0, places: 2 },
    ...input,
  });
  return [...well].filter(([, is]) => !is).map(([name]) => name);
}

test('a unit without anything to do is well', () => {
  assert.equal(lacks({}), []);
});

test('the fast path counts where services are forwarded, workers where some are proxied', () => {
  const outcomes = [{ attachment: null }] as unknown as FitnessInput['outcomes'];
  assert.equal(lacks({ outcomes }), []);
  assert.equal(lacks({ outcomes, services: { l4: 1 } }), ['datapath']);
  const proxy = { unable: null, failing: 2, places: 2 };
  assert.equal(lacks({ proxy }), []);
  assert.equal(lacks({ proxy, services: { l7: 1 } }), ['workers']);
  assert.equal(lacks({ proxy: { ...proxy, failing: 1 }, services: { l7: 1 } }), []);
});

test('members that the other unit alone reaches, and pools that nobody can serve', () => {
  assert.equal(lacks({ reaches: false }), ['members']);
  assert.equal(lacks({ members: [['enabled', 'down']] }), ['pools']);
  assert.equal(lacks({ members: [['disabled', 'down']] }), [], 'the administrator wants it so');
});

test('links, routes and neighbours are known by their names; what nobody knows yet is well', () => {
  const pair = {
    interfaces: ['eth0', 'eth1'],
    ways: { routes: ['0.0.0.0/0', '::/0'], neighbours: ['10.0.0.1', 'fd00::1'] },
  };
  const links = [
    { name: 'eth0', running: true },
    { name: 'eth1', running: false },
  ];
  assert.equal(lacks({ pair, links }), ['interface eth1']);
  const ways = new Map([
    ['0.0.0.0/0', false],
    ['10.0.0.1', true],
    ['fd00::1', false],
    ['192.0.2.1', false],
  ]);
  assert.equal(lacks({ pair, links, ways }), [
    'interface eth1',
    'route 0.0.0.0/0',
    'neighbour fd00::1',
  ]);
});

test.run();

/** Another unit in front: what becomes of the document, and which unit then has which address. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { checkDocument } from '../../../appliance/config/document.js';
import { withPreference, type Preference } from '../../../appliance/config/prefer.js';
import type { Document } from '../../../appliance/config/schema.js';
import { compilePair } from '../../../appliance/control/compile-pair.js';
import { preferred } from '../../../appliance/control/preference.js';

const test = suite('which unit is in front');
type Pair = NonNullable<Document['pair']>;

const routers: NonNullable<Pair['virtual-routers']> = {
  front: { id: 11, addresses: ['10.0.0.54'], prefer: 'weir-a', group: 'database' },
  gateway: { id: 12, addresses: ['10.0.1.1'], prefer: 'weir-a', group: 'database' },
  site: { id: 13, addresses: ['10.0.0.70'], priorities: { 'weir-b': 150 } },
};

function document(pair?: Pair, name = 'weir-a'): Document {
  return { version: 1, unit: { name }, ...(pair === undefined ? {} : { pair }) };
}

function edited(pair: Pair | undefined, preference: Preference, peer: string | null = 'weir-b') {
  return withPreference(document(pair), preference, ['weir-a', peer]);
}

function pairAfter(pair: Pair | undefined, unit: string | null, share: string | null) {
  const made = edited(pair, { unit, share });
  if (!made.ok) throw new Error(made.message);
  return made.document.pair;
}

test('all of what moves by itself, a share of it, or no preference', () => {
  const kept = { preempt: false } as const;
  assert.equal(pairAfter(kept, 'weir-b', null), {
    preempt: false,
    mode: 'active-passive',
    prefer: 'weir-b',
  });
  const all = { mode: 'active-passive', prefer: 'weir-b' } as const;
  assert.is(pairAfter(all, null, null), undefined, 'an empty section is none');
  assert.equal(pairAfter(all, 'weir-b', 'even'), { prefer: 'weir-b' });
  assert.equal(pairAfter(all, 'weir-b', 'odd'), { prefer: 'weir-a' });
  assert.is(pairAfter(all, null, 'odd'), undefined);
});

test('a virtual router takes its group along, and loses what said otherwise', () => {
  const pair = { 'virtual-routers': routers };
  for (const share of ['front', 'gateway', 'database']) {
    const changed = pairAfter(pair, 'weir-b', share)?.['virtual-routers'];
    assert.equal(changed?.['front']?.prefer, 'weir-b', share);
    assert.equal(changed?.['gateway'], {
      id: 12,
      addresses: ['10.0.1.1'],
      group: 'database',
      prefer: 'weir-b',
    });
    assert.equal(changed?.['site'], routers['site']);
  }
  const none = pairAfter(pair, null, 'site')?.['virtual-routers'];
  assert.equal(none?.['site'], { id: 13, addresses: ['10.0.0.70'] });
});

test('who is no unit, and what is no share, is refused with what there is', () => {
  const refused = (preference: Preference, peer: string | null = 'weir-b'): string => {
    const made = edited({ 'virtual-routers': routers }, preference, peer);
    return made.ok ? 'accepted' : made.message;
  };
  assert.match(refused({ unit: 'weir-c', share: null }), /name "weir-a" or "weir-b"/);
  assert.match(refused({ unit: 'weir-a', share: 'frontt' }), /did you mean "front"/);
  assert.match(refused({ unit: 'weir-a', share: null }, null), /in no pair/);
  assert.match(refused({ unit: 'weir-b', share: 'front' }, null), /in no pair/);
  assert.is(refused({ unit: 'weir-a', share: 'front' }, null), 'accepted');
});

test('both units come to the same addresses for the same unit', () => {
  const addresses = ['10.0.0.80', '10.0.0.81', '10.0.0.54', '10.0.1.1', '10.0.0.70'];
  const holders = (own: string, peer: string, pair: Pair | undefined) => {
    const checked = checkDocument(document(pair, own));
    if (!checked.ok) throw new Error(JSON.stringify(checked.errors));
    const { intent } = checked;
    const tables = compilePair({
      ...{ intent, addresses, interfaceOf: () => 'eth0' },
      other: { name: peer, natAddresses: [], flowsKnown: true },
    });
    return [...preferred(intent, tables, peer)].sort();
  };
  const base = { 'virtual-routers': routers };
  for (const [unit, share, expected] of [
    ['weir-b', null, { '10.0.0.80': 'weir-b', '10.0.0.81': 'weir-b', '10.0.1.1': 'weir-a' }],
    [null, null, { '10.0.0.80': 'weir-a', '10.0.0.81': 'weir-b', '10.0.0.70': 'weir-b' }],
    ['weir-a', 'odd', { '10.0.0.80': 'weir-b', '10.0.0.81': 'weir-a' }],
    ['weir-b', 'database', { '10.0.0.54': 'weir-b', '10.0.1.1': 'weir-b', '10.0.0.80': 'weir-a' }],
  ] as const) {
    const pair = pairAfter(base, unit, share);
    const seen = holders('weir-a', 'weir-b', pair);
    assert.equal(seen, holders('weir-b', 'weir-a', pair));
    const found = new Map(seen);
    for (const [address, holder] of Object.entries(expected)) {
      assert.is(found.get(address), holder, `${unit} ${share} ${address}`);
    }
  }
});

test.run();

/** Places of the unit's own MAC addresses in the settings of the fast path. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { OWN_MACS } from '../../../appliance/l4/layouts.js';
import { MOST_OWN_MACS, placeOwnMacs } from '../../../appliance/l4/own-mac-places.js';
import { generator } from '../../support/random.js';

const test = suite('own MAC addresses');

function some(count: number, seed: number): Uint8Array[] {
  const random = generator(seed);
  return Array.from({ length: count }, (_, index) =>
    Uint8Array.of(2, random(256), random(256), random(256), random(256), index),
  );
}

test('each stands where its product with the factor says, and nothing else does', () => {
  for (const count of [1, 2, 8, 30, MOST_OWN_MACS]) {
    const macs = some(count, count);
    const places = placeOwnMacs(macs, 0n);
    assert.is(places?.macs.length, OWN_MACS);
    for (const mac of macs) {
      const number = Buffer.from([...mac, 0, 0]).readBigUInt64LE();
      const place = Number(BigInt.asUintN(64, number * (places?.factor ?? 0n)) >> 56n);
      assert.equal(places?.macs[place], mac, `of ${count}`);
    }
    const taken = places?.macs.filter((mac) => mac.some((byte) => byte !== 0));
    assert.is(taken?.length, count);
  }
});

test('the factor stays while it keeps them apart', () => {
  const macs = some(6, 1);
  const factor = placeOwnMacs(macs, 0n)?.factor ?? 0n;
  assert.is(placeOwnMacs(macs.slice(1), factor)?.factor, factor);
  assert.is(placeOwnMacs(macs, 1n)?.factor === 1n, false, 'all would be at the first place');
});

test('none, and more than there is room for, are not told', () => {
  assert.is(placeOwnMacs([], 0n), null);
  assert.is(placeOwnMacs(some(MOST_OWN_MACS + 1, 1), 0n), null);
});

test.run();

/** When SYN cookies begin and end is told, once each. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CookieWatch, type CookieState } from '../../../appliance/control/syn-cookies.js';
import { halfOpenLimit } from '../../../appliance/l4/tier.js';

const test = suite('syn cookies');

const state = (on: boolean, always = false): CookieState => ({
  ...{ on, always, sent: 0, accepted: 0, rejected: 0 },
});

test('the begin and the end are one event each', () => {
  const watch = new CookieWatch();
  const look = (on: boolean): string[] =>
    watch.look(new Map([['web', state(on)]])).map(({ message }) => message.split(':')[0] ?? '');
  assert.equal(look(false), []);
  assert.equal(look(true), ['SYN cookies on for service web']);
  assert.equal(look(true), []);
  assert.equal(look(false), ['SYN cookies off for service web']);
  assert.equal(look(false), []);
});

test('what the configuration asks for is no event', () => {
  assert.equal(new CookieWatch().look(new Map([['web', state(true, true)]])), []);
});

test('a service that went and came again begins anew', () => {
  const watch = new CookieWatch();
  watch.look(new Map([['web', state(true)]]));
  assert.equal(watch.look(new Map()), []);
  assert.is(watch.look(new Map([['web', state(true)]])).length, 1);
});

test('the limit of half-open handshakes lets the flow table last', () => {
  assert.is(halfOpenLimit(1 << 20, 2), 4096);
  assert.is(halfOpenLimit(1024, 64), 64);
  // So many a second, each two entries, for as long as they are kept.
  assert.ok(halfOpenLimit(1 << 20, 2) * 2 * 2 * 63 <= 1 << 20);
});

test.run();

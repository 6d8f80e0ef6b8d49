/** What is said at the console where a password is forgotten. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { nameToChange, offer } from '../../../appliance/system/recovery/choice.js';

const test = suite('system: a new password at the console');
const ROWS = [
  { name: 'anna', role: 'administrator', disabled: false },
  { name: 'otto', role: 'operator', disabled: true },
] as const;

test('who there is is named, with what a password alone would not mend', () => {
  assert.match(offer(ROWS), /anna, administrator\n {2}otto, operator, disabled\n/);
});

test('a unit without users says that it has no password', () => {
  assert.match(offer([]), /no users.*asks nobody/);
});

test('a name of the list is taken, nothing leads to the dashboard, and all else is asked again', () => {
  assert.equal(nameToChange(' otto ', ROWS), { kind: 'user', user: ROWS[1] });
  assert.equal(nameToChange('', ROWS), { kind: 'nobody' });
  const unknown = nameToChange('root', ROWS);
  assert.is(unknown.kind, 'unknown');
  assert.match(unknown.kind === 'unknown' ? unknown.why : '', /no user "root"/);
});

test.run();

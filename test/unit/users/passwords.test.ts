/** Passwords as hashes, the delay after failures, and how long sessions last, at given times. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LockOut } from '../../../appliance/users/lock-out.js';
import {
  COSTS,
  isHash,
  passwordProblem,
  Passwords,
  TooManyLogins,
} from '../../../appliance/users/password.js';
import { Sessions } from '../../../appliance/users/sessions.js';
import { CHEAP, PASSWORD } from '../../support/user-scene.js';

const test = suite('users: passwords, lock-out, sessions');

test('a hash carries its costs and a salt of its own, and matches its password alone', async () => {
  const passwords = new Passwords();
  const [one, two] = await Promise.all([passwords.hash(PASSWORD), passwords.hash(PASSWORD)]);
  assert.match(one, new RegExp(`^\\$scrypt\\$ln=${COSTS.ln},r=${COSTS.r},p=${COSTS.p}\\$`));
  assert.is.not(one, two);
  assert.ok(isHash(one));
  assert.not.match(one, PASSWORD);
  // Whoever has other costs by now can still read it.
  const later = new Passwords(CHEAP);
  assert.is(await later.matches(PASSWORD, one), true);
  assert.is(await later.matches(`${PASSWORD}.`, one), false);
  assert.is(await later.matches(PASSWORD, null), false);
});

test('the same letters are the same password, however they are composed', async () => {
  const passwords = new Passwords(CHEAP);
  const hash = await passwords.hash('Äpfel im Garten');
  assert.is(await passwords.matches('A\u0308pfel im Garten', hash), true);
});

test('too many hashes at once are refused, and the next one is made', async () => {
  const passwords = new Passwords(CHEAP);
  const asked = Array.from({ length: 40 }, () => passwords.hash(PASSWORD));
  const ends = await Promise.allSettled(asked);
  const refused = ends.filter((end) => end.status === 'rejected');
  assert.ok(refused.length > 0 && refused.length < 40);
  for (const { reason } of refused) assert.instance(reason, TooManyLogins);
  assert.ok(isHash(await passwords.hash(PASSWORD)));
});

for (const [why, password, says] of [
  ['short', 'nine char', /too short.*10 characters/],
  ['long', 'x'.repeat(300), /too long/],
  ['with an end of line', 'long enough\n', /control character/],
  ['the name', 'annabelle-1', /name of the user/],
] as const) {
  test(`no password: ${why}`, () => {
    assert.match(passwordProblem(password, 'annabelle') ?? '', says);
    assert.is(passwordProblem(PASSWORD, 'annabelle'), null);
  });
}

test('a hash that asks for more memory than any of ours is none', () => {
  const hash = (ln: number): string =>
    `$scrypt$ln=${ln},r=8,p=1$${'A'.repeat(22)}$${'A'.repeat(43)}`;
  assert.is(isHash(hash(15)), true);
  assert.is(isHash(hash(30)), false);
  assert.is(isHash(hash(0)), false);
});

const rules = { free: 2, firstMs: 1000, longestMs: 5000, forgetMs: 60_000 };

test('failures lock out for a time that doubles up to a bound, and ends by itself', () => {
  const lock = new LockOut(rules);
  const spans: (number | null)[] = [];
  let now = 1_000_000;
  for (let failure = 0; failure < 7; failure++) {
    assert.is(lock.lockedUntil('anna', now), null);
    const until = lock.attempt('anna', now);
    spans.push(until === null ? null : until - now);
    if (until === null) continue;
    assert.is(lock.lockedUntil('anna', until - 1), until);
    assert.is(lock.lockedUntil('otto', until - 1), null);
    now = until;
  }
  assert.equal(spans, [null, null, 1000, 2000, 4000, 5000, 5000]);
  assert.is(lock.attempt('anna', now + rules.forgetMs + 1), null, 'long ago is forgotten');
});

test('attempts at the same time get no more tries than one after the other', () => {
  const lock = new LockOut(rules);
  const tried = Array.from({ length: 10 }, () => {
    if (lock.lockedUntil('anna', 0) !== null) return false;
    lock.attempt('anna', 0);
    return true;
  });
  assert.is(tried.filter(Boolean).length, 3);
});

test('a success takes one failure of a source back, and all of a name', () => {
  const lock = new LockOut(rules);
  for (let failure = 0; failure < 3; failure++) lock.attempt('console', 0);
  lock.takeBack('console');
  assert.is(lock.lockedUntil('console', 0), null);
  assert.ok(lock.attempt('console', 0) !== null, 'the two others still count');
  assert.is(lock.forget('console'), true);
  assert.is(lock.attempt('console', 0), null);
  assert.is(lock.forget('anna'), false);
});

test('a session ends when it is idle, and at its longest however much it is used', () => {
  const sessions = new Sessions({ idleMs: 100, longestMs: 350 });
  const idle = sessions.open('anna', 's', 0).secret;
  assert.is(sessions.find(idle, 99, false)?.name, 'anna');
  assert.is(sessions.find(idle, 100, true), null, 'looking was no use');
  const used = sessions.open('anna', 's', 0);
  assert.is(used.expires, 350);
  for (const now of [90, 180, 270, 349]) assert.ok(sessions.find(used.secret, now, true));
  assert.is(sessions.find(used.secret, 350, true), null);
  assert.is(sessions.find('weir_session_unknown', 0, true), null);
});

test('the session that was unused the longest makes room for another of the same user', () => {
  const sessions = new Sessions({ idleMs: 1000, longestMs: 1000 });
  const other = sessions.open('otto', 's', 0).secret;
  const opened = Array.from({ length: 17 }, (_, at) => sessions.open('anna', 's', at).secret);
  assert.is(sessions.count('anna', 's', 20), 16);
  assert.is(sessions.find(opened[0]!, 20, false), null);
  assert.ok(sessions.find(opened[1]!, 20, false));
  assert.ok(sessions.find(other, 20, false));
});

test.run();

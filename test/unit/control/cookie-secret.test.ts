/** The secret of persistence cookies: made once, kept, and never guessed at. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { COOKIE_SECRET_FILE, CookieSecret } from '../../../appliance/control/cookie-secret.js';

const test = suite<{ directory: string }>('cookie secret');

test.before.each((context) => {
  context.directory = mkdtempSync(join(tmpdir(), 'weir-cookie-secret-'));
});
test.after.each(({ directory }) => {
  rmSync(directory, { recursive: true, force: true });
});

test('it is made once, for its owner alone, and gives the same keys after a restart', ({
  directory,
}) => {
  const first = CookieSecret.open(directory);
  const path = join(directory, COOKIE_SECRET_FILE);
  assert.is(statSync(path).mode & 0o777, 0o600);
  assert.equal(readdirSync(directory), [COOKIE_SECRET_FILE]);
  assert.is(CookieSecret.open(directory).keyOf('shop'), first.keyOf('shop'));
});

test('each service has a key of its own, of 32 bytes', ({ directory }) => {
  const secret = CookieSecret.open(directory);
  assert.is.not(secret.keyOf('shop'), secret.keyOf('api'));
  assert.is(Buffer.from(secret.keyOf('shop'), 'base64').length, 32);
});

test('two units have different secrets', ({ directory }) => {
  const one = CookieSecret.open(directory).keyOf('shop');
  rmSync(join(directory, COOKIE_SECRET_FILE));
  assert.is.not(CookieSecret.open(directory).keyOf('shop'), one);
});

test('a damaged one is not replaced', ({ directory }) => {
  const path = join(directory, COOKIE_SECRET_FILE);
  writeFileSync(path, 'short\n');
  assert.throws(() => CookieSecret.open(directory), /damaged.*restore it, or remove it/);
  assert.is(readFileSync(path, 'utf8'), 'short\n');
});

test('what a crash left beside it does not matter', ({ directory }) => {
  writeFileSync(join(directory, `${COOKIE_SECRET_FILE}.new`), 'half');
  CookieSecret.open(directory);
  assert.equal(readdirSync(directory), [COOKIE_SECRET_FILE]);
});

test.run();

/** Keys that may come in by SSH: only keys, and only with an interface for it. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { sshSchema } from '../../../appliance/config/ssh.js';
import { authorizedKeys } from '../../../appliance/system/files/management.js';

const test = suite('unit.ssh');
const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh';

function refusal(key: string): string {
  const result = sshSchema.safeParse({ keys: [key] });
  return result.success ? '' : (result.error.issues[0]?.message ?? 'no message');
}

test('a line of a public key file is taken, and written as one line', () => {
  const { keys } = sshSchema.parse({ keys: [` ${KEY}  somebody @ home `] });
  assert.equal(keys, [`${KEY} somebody @ home`]);
  assert.is(authorizedKeys({ name: 'box', ssh: { keys } }), `${KEY} somebody @ home\n`);
  assert.is(authorizedKeys({ name: 'box' }), null);
});

for (const [what, key, pattern] of [
  ['options before the key', `command="sh" ${KEY}`, /is no public key/],
  ['a private key', '-----BEGIN OPENSSH PRIVATE KEY-----', /is no public key/],
  ['DSA', KEY.replace('ssh-ed25519', 'ssh-dss'), /is no public key/],
  ['another kind inside', KEY.replace('ssh-ed25519', 'ssh-rsa'), /the key is damaged/],
  ['a key that is cut off', KEY.slice(0, 30), /the key is damaged/],
  ['a second line', `${KEY} a\nssh-rsa b`, /plain|line/],
] as const) {
  test(`${what} is refused`, () => {
    assert.match(refusal(key), pattern);
  });
}

test('a key twice is refused', () => {
  assert.not.ok(sshSchema.safeParse({ keys: [KEY, KEY] }).success);
});

test.run();

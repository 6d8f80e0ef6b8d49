/** Answers to challenges on their way to workers, and the secret of an external account. */
import { chmodSync, chownSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { checkDocument } from '../../../appliance/config/document.js';
import { formatConfigError } from '../../../appliance/config/errors.js';
import type { Document, Intent } from '../../../appliance/config/schema.js';
import { AcmeChallenges } from '../../../appliance/control/acme-challenges.js';
import { readSecret } from '../../../appliance/control/acme.js';
import type { Challenge } from '../../../appliance/tls/acme/issuer.js';
import { needs } from '../../support/needs.js';

const test = suite('acme in the daemon');

const http: Challenge = {
  ...{ type: 'http-01', domain: 'shop.example', token: 'token', keyAuthorization: 'token.key' },
};
const alpn: Challenge = {
  ...{ type: 'tls-alpn-01', domain: 'shop.example' },
  ...{ certificate: Buffer.from('certificate'), key: Buffer.from('key') },
};

function intent(protocol: 'http' | 'https' | 'tcp'): Intent {
  const document: Document = {
    version: 1,
    unit: { name: 'a' },
    pools: { web: { members: [{ address: '10.0.0.1', port: 80 }] } },
    certificates: { shop: { type: 'stored' } },
    services: {
      shop: {
        listen: { address: '10.0.0.80', port: 80, protocol },
        pool: 'web',
        ...(protocol === 'https' ? { certificates: ['shop'] } : {}),
        ...(protocol === 'tcp' ? { forwarding: 'nat' } : {}),
      },
    },
  };
  const result = checkDocument(document);
  if (!result.ok) throw new Error(result.errors.map(formatConfigError).join('; '));
  return result.intent;
}

async function failure(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'it was done',
    (error: unknown) => String(error),
  );
}

test('a challenge is presented when all workers have it, and withdrawn from all', async () => {
  const published: string[][] = [];
  const challenges: AcmeChallenges = new AcmeChallenges({
    intent: () => intent('https'),
    publish: async () => {
      published.push(challenges.shown.map(({ type }) => type));
      return true;
    },
  });
  await challenges.present(http);
  await challenges.present(alpn);
  await challenges.withdraw(http);
  await challenges.withdraw(http);
  await challenges.withdraw(alpn);
  assert.equal(published, [['http-01'], ['http-01', 'tls-alpn-01'], ['tls-alpn-01'], []]);
});

test('what the other unit proves is answered here too, but not in the place of an own proof', async () => {
  const published: string[][] = [];
  const challenges: AcmeChallenges = new AcmeChallenges({
    intent: () => intent('https'),
    publish: async () => {
      published.push(challenges.shown.map(({ type, domain }) => `${type} ${domain}`));
      return true;
    },
  });
  await challenges.present(alpn);
  assert.not.ok(await challenges.take('1', alpn), 'a hello does not say whose it asks for');
  assert.ok(await challenges.take('2', http));
  assert.ok(await challenges.take('3', { ...alpn, domain: 'other.example' }));
  assert.match(
    await failure(challenges.present({ ...alpn, domain: 'other.example' })),
    /proved once/,
  );
  await challenges.drop('2');
  await challenges.drop(null);
  await challenges.drop(null);
  const own = 'tls-alpn-01 shop.example';
  const other = 'tls-alpn-01 other.example';
  assert.equal(published, [
    [own],
    [own, 'http-01 shop.example'],
    [own, 'http-01 shop.example', other],
    [own, other],
    [own],
  ]);
});

test('where no service could answer, that is said before an authority asks', async () => {
  const published: string[] = [];
  for (const [protocol, challenge, expected] of [
    [null, http, /http-01 is answered by services with protocol http or https/],
    ['tcp', http, /declare one that listens on port 80/],
    ['http', alpn, /tls-alpn-01 is answered by services that end TLS/],
  ] as const) {
    const challenges = new AcmeChallenges({
      intent: () => (protocol === null ? null : intent(protocol)),
      publish: async () => published.push('once') > 0,
    });
    assert.match(await failure(challenges.present(challenge)), expected);
    await challenges.withdraw(challenge);
  }
  assert.equal(published, []);
});

test('a name has one proof by tls-alpn-01 at a time, so two orders do not spoil each other', async () => {
  const challenges: AcmeChallenges = new AcmeChallenges({
    intent: () => intent('https'),
    publish: () => Promise.resolve(true),
  });
  const other = { ...alpn, certificate: Buffer.from('for another authority') };
  await challenges.present(alpn);
  assert.match(await failure(challenges.present(other)), /another order is proving shop\.example/);
  await challenges.withdraw(other);
  assert.equal(challenges.shown, [alpn], 'the first one stays');
  await challenges.present({ ...http, token: 'a' });
  await challenges.present({ ...http, token: 'b' });
  await challenges.withdraw(alpn);
  await challenges.present(other);
  assert.is(challenges.shown.length, 3);
});

test('workers that do not take it are a failure that may pass', async () => {
  const challenges = new AcmeChallenges({
    intent: () => intent('http'),
    publish: () => Promise.resolve(false),
  });
  assert.match(await failure(challenges.present(http)), /did not take the answer/);
});

needs.root(test)(
  'the secret of an external account is read from a file of root alone',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'weir-eab-'));
    try {
      const path = join(folder, 'eab.key');
      const secret = Buffer.from('0123456789abcdef0123456789abcdef');
      writeFileSync(path, `${secret.toString('base64url')}\n`, { mode: 0o600 });
      assert.equal(readSecret(path), secret);
      symlinkSync(path, join(folder, 'link'));
      assert.throws(() => readSecret(join(folder, 'link')), /cannot be read/);
      chmodSync(path, 0o640);
      assert.throws(() => readSecret(path), /by others than root/);
      chmodSync(path, 0o600);
      chownSync(path, 65534, 65534);
      assert.throws(() => readSecret(path), /by others than root/);
      chownSync(path, 0, 0);
      writeFileSync(path, 'not base64url at all!');
      assert.throws(() => readSecret(path), /is not written in base64url/);
      assert.throws(() => readSecret(join(folder, 'none')), /cannot be read: ENOENT/);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
);

test.run();

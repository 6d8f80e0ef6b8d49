/** Requests and challenge certificates, as openssl and node read them. */
import { spawnSync } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { certificateRequest, challengeCertificate } from '../../../../appliance/tls/acme/der.js';
import { AccountKey } from '../../../../appliance/tls/acme/account-key.js';
import { KEY_KINDS, makeKey } from '../../../../appliance/tls/keys.js';

function openssl(input: Buffer, ...words: string[]): string {
  const { status, stdout, stderr, error } = spawnSync('openssl', words, { input });
  if (status !== 0) throw new Error(`openssl ${words[0]}: ${error?.message ?? stderr.toString()}`);
  return `${stdout.toString()}${stderr.toString()}`;
}

for (const type of KEY_KINDS) {
  test(`openssl verifies a request by a key of ${type}, and finds its names`, async () => {
    const request = certificateRequest(['a.example.com', 'b.example.com'], await makeKey(type));
    const text = openssl(request, 'req', '-inform', 'der', '-verify', '-noout', '-text');
    assert.match(text, 'verify OK');
    assert.match(text, 'DNS:a.example.com, DNS:b.example.com');
    assert.match(text, /Subject: *\n/);
    assert.match(text, type.startsWith('rsa') ? `(${type.slice(4)} bit)` : `P-${type.slice(-3)}`);
  });
}

for (const type of ['ecdsa-p256', 'rsa-2048'] as const) {
  test(`the answer to tls-alpn-01 by a key of ${type} has the name and the critical digest`, async () => {
    const now = Date.UTC(2026, 10, 26);
    const key = await makeKey(type);
    const der = challengeCertificate('shop.example.com', 'token.thumbprint', key, now);
    const certificate = new X509Certificate(der);
    assert.ok(certificate.verify(certificate.publicKey), 'expected to be signed by its own key');
    assert.ok(certificate.checkPrivateKey(key));
    assert.is(certificate.subjectAltName, 'DNS:shop.example.com');
    assert.ok(Date.parse(certificate.validFrom) < now && Date.parse(certificate.validTo) > now);
    const digest = createHash('sha256').update('token.thumbprint').digest('hex').toUpperCase();
    const structure = openssl(der, 'asn1parse', '-inform', 'der');
    // The extension: its OID, critical, and an octet string in an octet string.
    assert.match(
      structure,
      new RegExp(
        `:1\\.3\\.6\\.1\\.5\\.5\\.7\\.1\\.31\\n.*BOOLEAN +:255\\n.*\\[HEX DUMP\\]:0420${digest}`,
      ),
    );
  });
}

test('validity that begins before 2050 and ends after is written in both forms of time', async () => {
  const now = Date.UTC(2049, 11, 30);
  const key = await makeKey('ecdsa-p256');
  const certificate = new X509Certificate(challengeCertificate('a.example', 'x.y', key, now));
  assert.is(Date.parse(certificate.validTo), now + 7 * 24 * 3600 * 1000);
});

test('the key of an account is the same after it was kept as PKCS#8', async () => {
  const first = new AccountKey(await makeKey('ecdsa-p256'));
  const second = new AccountKey(first.pkcs8());
  assert.is(second.authorize('token'), first.authorize('token'));
  assert.match(first.authorize('token'), /^token\.[\w-]{43}$/);
});

test('an account key of another kind is refused', async () => {
  const key = (await makeKey('ecdsa-p384')).export({ type: 'pkcs8', format: 'der' });
  assert.throws(() => new AccountKey(key), /not of the kind ECDSA P-256/);
});

test.run();

/** Certificates and requests that Weir makes, judged by openssl. */
import { createPublicKey, X509Certificate } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { makeAuthority, makeCertificate, makeRequest } from '../../../appliance/tls/issue.js';
import { KEY_KINDS, makeKey } from '../../../appliance/tls/keys.js';
import { readCertificate } from '../../../appliance/tls/x509.js';
import { OpenSsl, pem } from '../../support/openssl.js';

const test = suite<{ openssl: OpenSsl }>('tls: issue');
const DAY = 86_400_000;

test.before.each((context) => {
  context.openssl = new OpenSsl();
});
test.after.each(({ openssl }) => openssl.end());

for (const kind of KEY_KINDS.filter((one) => one !== 'rsa-4096')) {
  test(`openssl verifies what an authority with a key of ${kind} signs`, async ({ openssl }) => {
    const validity = { now: Date.now(), lifetimeMs: 90 * DAY };
    const caKey = await makeKey(kind);
    const ca = await makeAuthority(caKey, 'CN=Lab authority, O=Shop', validity);
    const key = await makeKey('ecdsa-p256');
    const names = ['shop.example', '*.shop.example', '10.0.0.80', '2001:db8::80'];
    const leaf = await makeCertificate(key, { names }, validity, {
      certificate: readCertificate(ca),
      key: caKey,
    });
    openssl.write('ca.pem', pem('CERTIFICATE', ca));
    openssl.write('leaf.pem', pem('CERTIFICATE', leaf));
    for (const check of [
      ['-purpose', 'sslserver'],
      ['-verify_hostname', 'a.shop.example'],
      ['-verify_ip', '10.0.0.80'],
      ['-verify_ip', '2001:db8::80'],
    ]) {
      const said = openssl.run('verify', '-x509_strict', ...check, '-CAfile', 'ca.pem', 'leaf.pem');
      assert.match(said, /leaf\.pem: OK/);
    }
    assert.is(
      openssl.try('verify', '-CAfile', 'ca.pem', '-purpose', 'sslclient', 'leaf.pem').status,
      2,
    );
    const facts = readCertificate(leaf);
    assert.equal(facts.names, names);
    assert.is(facts.subject, 'CN=shop.example');
    assert.is(facts.issuer, 'CN=Lab authority, O=Shop');
    assert.is(facts.serial.length, 32);
    assert.ok(facts.notBefore < Date.now() - 3_000_000, 'expected it to be valid from an hour ago');
    assert.is(facts.authority, false);
  });

  test(`openssl takes a self-signed certificate with a key of ${kind}`, async ({ openssl }) => {
    const key = await makeKey(kind);
    const der = await makeCertificate(
      key,
      { names: ['shop.example'], clientAuth: true },
      { now: Date.now(), lifetimeMs: DAY },
    );
    openssl.write('own.pem', pem('CERTIFICATE', der));
    const said = openssl.run(
      ...['verify', '-check_ss_sig', '-x509_strict', '-CAfile', 'own.pem', 'own.pem'],
    );
    assert.match(said, /own\.pem: OK/);
    assert.match(openssl.run('x509', '-in', 'own.pem', '-noout', '-text'), /TLS Web Client Auth/);
    assert.ok(new X509Certificate(der).checkPrivateKey(key));
    assert.ok(readCertificate(der).selfSigned);
  });

  test(`openssl verifies a request with a key of ${kind}`, async ({ openssl }) => {
    const key = await makeKey(kind);
    const der = await makeRequest(key, { names: ['shop.example', '::1'], subject: 'CN=x, C=DE' });
    openssl.write('request.pem', pem('CERTIFICATE REQUEST', der));
    const said = openssl.run('req', '-in', 'request.pem', '-verify', '-noout', '-text');
    assert.match(said, /DNS:shop\.example, IP Address:0:0:0:0:0:0:0:1/);
    assert.match(said, /Subject: CN = x, C = DE/);
    const spki = createPublicKey(key).export({ type: 'spki', format: 'pem' });
    assert.is(openssl.run('req', '-in', 'request.pem', '-noout', '-pubkey'), spki);
  });
}

test('a certificate ends with its authority, and from 2050 on times are written out', async () => {
  const now = Date.now();
  const caKey = await makeKey('ecdsa-p256');
  const ca = readCertificate(await makeAuthority(caKey, 'CN=a', { now, lifetimeMs: 3 * DAY }));
  const signer = { certificate: ca, key: caKey };
  const made = await makeCertificate(caKey, { names: ['a'] }, { now, lifetimeMs: 9 * DAY }, signer);
  assert.is(readCertificate(made).notAfter, ca.notAfter);
  const far = await makeCertificate(caKey, { names: ['a'] }, { now, lifetimeMs: 20_000 * DAY });
  assert.is(readCertificate(far).notAfter, Math.floor(now / 1000) * 1000 + 20_000 * DAY);
});

test('subjects that cannot be used are refused with how to write one', async () => {
  const key = await makeKey('ecdsa-p256');
  for (const subject of ['shop', 'X=1', 'CN=', `CN=${'a'.repeat(65)}`, 'C=de', 'constructor=1']) {
    try {
      await makeRequest(key, { names: [], subject });
      assert.unreachable(`expected "${subject}" to be refused`);
    } catch (error) {
      assert.match(String(error), /The subject cannot be used: .*CN=shop\.example, O=Shop, C=DE/);
    }
  }
});

test.run();

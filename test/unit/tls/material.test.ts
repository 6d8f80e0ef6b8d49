/** What is imported: as openssl writes it, and as nobody should. */
import { createPrivateKey } from 'node:crypto';
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { importMaterial } from '../../../appliance/tls/import.js';
import { decode, encode, parts } from '../../../appliance/tls/asn1.js';
import { CertificateError } from '../../../appliance/tls/errors.js';
import { readMaterial, type MaterialOptions } from '../../../appliance/tls/material.js';
import { writePkcs12 } from '../../../appliance/tls/pkcs12.js';
import { readCertificate } from '../../../appliance/tls/x509.js';
import { OpenSsl, pem } from '../../support/openssl.js';

const openssl = new OpenSsl();
const test = suite('tls: import');
const RSA = ['rsa:2048'];

test.before(() => {
  openssl.make('root', { ca: true });
  openssl.make('middle', { ca: true, by: 'root' });
  openssl.make('shop', { by: 'middle' });
  openssl.make('rsa', { by: 'middle', key: RSA });
  openssl.make('other', { by: 'middle' });
  openssl.make('alone');
});
test.after(() => openssl.end());

const options: MaterialOptions = { known: [], now: Date.now(), authority: false };

function read(bytes: Buffer, change: Partial<MaterialOptions> = {}) {
  return readMaterial(bytes, { ...options, ...change });
}

function refused(bytes: Buffer, why: RegExp, change: Partial<MaterialOptions> = {}): void {
  try {
    read(bytes, change);
    assert.unreachable(`expected a refusal with ${String(why)}`);
  } catch (error) {
    assert.instance(error, CertificateError, String(error));
    assert.match(error instanceof Error ? error.message : '', why);
  }
}

const subjects = (chain: readonly Buffer[]): string[] =>
  chain.map((der) => readCertificate(der).subject);

test('a chain in any order is put in order', () => {
  const made = read(openssl.read('root.pem', 'shop.key', 'middle.pem', 'shop.pem', 'middle.pem'));
  assert.equal(subjects(made.chain), ['CN=shop', 'CN=middle', 'CN=root']);
  assert.equal(made.warnings, []);
  const key = createPrivateKey({ key: made.key ?? Buffer.alloc(0), format: 'der', type: 'pkcs8' });
  assert.ok(key.equals(createPrivateKey(openssl.read('shop.key'))));
});

test('RSA keys in their old form, and EC keys with parameters in front, are taken', () => {
  openssl.run('rsa', '-in', 'rsa.key', '-traditional', '-out', 'rsa-old.key');
  read(openssl.read('rsa.pem', 'middle.pem', 'rsa-old.key'));
  openssl.run('ecparam', '-name', 'secp384r1', '-genkey', '-out', 'ec.key');
  openssl.run('req', '-x509', '-new', '-key', 'ec.key', '-subj', '/CN=ec', '-out', 'ec.pem');
  const made = read(openssl.read('ec.key', 'ec.pem'));
  assert.match(made.warnings.join(), /names no host/);
});

test('encrypted keys need their passphrase', () => {
  openssl.run(
    'pkcs8',
    '-topk8',
    '-in',
    'shop.key',
    '-out',
    'locked.key',
    '-passout',
    'pass:sesame',
  );
  openssl.run(
    'rsa',
    '-in',
    'rsa.key',
    '-traditional',
    '-aes128',
    '-passout',
    'pass:sesame',
    '-out',
    'rsa-locked.key',
  );
  for (const [certificate, key] of [
    ['shop.pem', 'locked.key'],
    ['rsa.pem', 'rsa-locked.key'],
  ] as const) {
    const bytes = openssl.read(certificate, 'middle.pem', key);
    refused(bytes, /encrypted: give its passphrase/);
    refused(bytes, /passphrase is wrong/, { passphrase: 'other' });
    assert.ok(read(bytes, { passphrase: 'sesame' }).key);
  }
});

for (const [name, extra] of [
  ['modern', []],
  ['legacy', ['-legacy']],
] as const) {
  for (const which of ['shop', 'rsa']) {
    test(`PKCS#12 of openssl, ${name}, with the key of ${which}`, () => {
      openssl.run(
        ...['pkcs12', '-export', ...extra, '-inkey', `${which}.key`, '-in', `${which}.pem`],
        ...['-certfile', 'middle.pem', '-passout', 'pass:sesame', '-out', `${which}.p12`],
      );
      const bytes = openssl.read(`${which}.p12`);
      const made = read(bytes, { passphrase: 'sesame' });
      assert.equal(subjects(made.chain), [`CN=${which}`, 'CN=middle']);
      const key = createPrivateKey({
        key: made.key ?? Buffer.alloc(0),
        format: 'der',
        type: 'pkcs8',
      });
      assert.ok(key.equals(createPrivateKey(openssl.read(`${which}.key`))));
      refused(bytes, /give its passphrase/);
      refused(bytes, /passphrase is wrong/, { passphrase: 'other' });
    });
  }
}

test('openssl and the import read the PKCS#12 that an export makes', () => {
  for (const which of ['shop', 'rsa']) {
    const chain = [`${which}.pem`, 'middle.pem'].map(
      (one) => readCertificate(openssl.read(one)).der,
    );
    const key = createPrivateKey(openssl.read(`${which}.key`));
    const bytes = writePkcs12('Läden', chain, key, 'sesame 2');
    openssl.write('made.p12', bytes);
    openssl.write('made.pass', 'sesame 2\n');
    const said = openssl.run('pkcs12', '-in', 'made.p12', '-passin', 'file:made.pass', '-nodes');
    assert.match(said, /BEGIN PRIVATE KEY/);
    assert.equal(said.match(/subject=CN = \w+/g), [`subject=CN = ${which}`, 'subject=CN = middle']);
    assert.equal(read(bytes, { passphrase: 'sesame 2' }).chain, chain);
  }
});

test('what cannot be served is refused with what to do', () => {
  const shop = openssl.read('shop.pem', 'middle.pem');
  refused(shop, /no private key: give it/);
  refused(openssl.read('shop.key'), /no certificate: give both/);
  refused(openssl.read('shop.pem', 'rsa.key'), /does not belong to the certificate/);
  refused(openssl.read('shop.pem', 'shop.key', 'other.pem'), /second certificate \(CN=other\)/);
  refused(openssl.read('shop.pem', 'shop.key', 'rsa.key'), /more than one private key/);
  refused(Buffer.from('hello'), /no certificate in what was given/);
  refused(Buffer.alloc(0), /empty/);
  refused(shop.subarray(0, 300), /no end: the file was cut off/);
  refused(
    Buffer.from('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'),
    /no X\.509/,
  );
  refused(Buffer.from([0x30, 0x03, 1, 2, 3]), /neither PEM nor a PKCS#12/);
  refused(openssl.read('shop.pem', 'shop.key'), /not that of an authority/, { authority: true });
  openssl.make('small', { key: ['rsa:1024'] });
  refused(openssl.read('small.pem', 'small.key'), /1024 bits, too few/);
  openssl.make('sha1', { key: RSA, more: ['-sha1'] });
  refused(openssl.read('sha1.pem', 'sha1.key'), /SHA-1 or MD5/);
  openssl.make('odd', { key: ['ec', '-pkeyopt', 'ec_paramgen_curve:secp256k1'] });
  refused(openssl.read('odd.pem', 'odd.key'), /curve secp256k1/);
  openssl.run('req', '-new', '-key', 'shop.key', '-subj', '/CN=x', '-out', 'x.csr');
  refused(openssl.read('x.csr'), /send it to an authority/);
});

test('what will make trouble is a warning', () => {
  const late = read(openssl.read('alone.pem', 'alone.key'), { now: Date.now() + 30 * 86_400_000 });
  assert.match(late.warnings.join(), /the certificate expired on/);
  const early = read(openssl.read('shop.pem', 'shop.key', 'root.pem'), {
    now: Date.now() - 30 * 86_400_000,
  });
  assert.match(early.warnings.join(), /not valid before .*no intermediate.*left out: CN=root/);
});

test('in its thread an import gives the same, and one that takes too long is ended', async () => {
  const bytes = openssl.read('shop.pem', 'middle.pem', 'shop.key');
  const [here, there] = [read(bytes), await importMaterial(bytes, options)];
  assert.equal(there, here);
  openssl.run(
    ...['pkcs8', '-topk8', '-in', 'shop.key', '-iter', '70000', '-passout', 'pass:sesame'],
    ...['-outform', 'DER', '-out', 'slow.der'],
  );
  const patched = (count: Buffer): Buffer => {
    const der = openssl.read('slow.der');
    const at = der.indexOf(Buffer.of(2, 3, 0x01, 0x11, 0x70));
    assert.ok(at > 0, 'expected the count of iterations in the file');
    count.copy(der, at + 2);
    return Buffer.concat([
      openssl.read('shop.pem'),
      Buffer.from(pem('ENCRYPTED PRIVATE KEY', der)),
    ]);
  };
  const locked = { ...options, passphrase: 'sesame' };
  refused(patched(Buffer.of(0x7f, 0xff, 0xff)).subarray(0, -60), /no end/, locked);
  try {
    await importMaterial(patched(Buffer.of(0x7f, 0xff, 0xff)), locked, 50);
    assert.unreachable('expected it to be ended');
  } catch (error) {
    assert.match(String(error), /takes longer than 0\.05 s to decrypt/);
  }
});

test('so many iterations that nothing could stop it are refused unseen', () => {
  openssl.run(
    'pkcs8',
    '-topk8',
    '-in',
    'shop.key',
    '-iter',
    '10000001',
    '-passout',
    'pass:sesame',
    '-out',
    'never.key',
  );
  refused(openssl.read('shop.pem', 'never.key'), /more than 10000000 iterations/, {
    passphrase: 'sesame',
  });
  const p12 = writePkcs12('x', [], createPrivateKey(openssl.read('shop.key')), 'sesame');
  const file = decode(p12);
  const count = parts(parts(file)[2])[2];
  if (count === undefined) throw new Error('expected the count of iterations in the file');
  count.value = '\u007f\u00ff\u00ff\u00ff';
  refused(encode(file), /more than 10000000/, { passphrase: 'sesame' });
});

test('no bytes make it fail otherwise than by a refusal', () => {
  const seeds = [
    openssl.read('shop.pem', 'shop.key'),
    openssl.read('shop.p12'),
    openssl.read('rsa.p12'),
    readCertificate(openssl.read('shop.pem')).der,
  ];
  const tame = (bytes: Buffer): void => {
    try {
      read(bytes, { passphrase: 'sesame' });
    } catch (error) {
      assert.instance(error, CertificateError, String(error));
    }
  };
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      tame(Buffer.from(bytes));
      tame(Buffer.concat([Buffer.of(0x30), bytes]));
    }),
    { numRuns: 300 },
  );
  fc.assert(
    fc.property(
      fc.constantFrom(...seeds),
      fc.array(fc.tuple(fc.nat(4000), fc.nat(255)), { minLength: 1, maxLength: 6 }),
      (seed, edits) => {
        const bytes = Buffer.from(seed);
        for (const [at, value] of edits) bytes[at % bytes.length] = value;
        // Counts of iterations of a changed file may ask for hours: the thread's limit is for these.
        if (seed === seeds[1] || seed === seeds[2]) tame(bytes.subarray(0, edits[0]?.[0] ?? 0));
        else tame(bytes);
      },
    ),
    { numRuns: 300 },
  );
});

test.run();

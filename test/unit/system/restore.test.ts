/** Restores: on another box with another machine key, all or nothing, and back again. */
import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PortError } from '../../../appliance/api/port.js';
import { OpenSsl } from '../../support/openssl.js';
import { Box } from './boxes.js';

const PASSPHRASE = 'correct horse';
const HASH = `$scrypt$ln=15,r=8,p=3$${'A'.repeat(22)}$${'A'.repeat(43)}`;
const DIRECTORY = 'https://acme.example/directory';

interface Context {
  openssl: OpenSsl;
  one: Box;
  other: Box;
}
const test = suite<Context>('restore');

test.before.each((context) => {
  context.openssl = new OpenSsl();
  context.one = new Box();
  context.other = new Box();
});
test.after.each(async ({ openssl, one, other }) => {
  openssl.end();
  await one.close();
  await other.close();
});

function document(port = 80, certificate?: string): object {
  const listen = {
    address: '10.0.0.80',
    port,
    protocol: certificate === undefined ? 'tcp' : 'https',
  };
  return {
    version: 1,
    unit: { name: 'weir-a' },
    pools: { web: { members: [{ address: '10.0.0.1', port: 8080 }] } },
    services: {
      shop: {
        ...{ listen, pool: 'web' },
        ...(certificate === undefined ? {} : { tier: 'proxy', certificates: [certificate] }),
      },
    },
  };
}

function put(box: Box, openssl: OpenSsl, name: string): Buffer {
  openssl.make(name);
  const chain = new X509Certificate(openssl.read(`${name}.pem`)).raw;
  const key = createPrivateKey(openssl.read(`${name}.key`)).export({
    type: 'pkcs8',
    format: 'der',
  });
  box.certificates.put({
    name,
    kind: 'certificate',
    chain: [chain],
    key,
    source: 'imported',
    author: 'ada',
  });
  return key;
}

async function filled({ one, openssl }: Context): Promise<Buffer> {
  const key = put(one, openssl, 'shop.example');
  one.certificates.putAccount(DIRECTORY, accountKey(), 'https://acme.example/account/1');
  const now = Date.now();
  one.access.put({
    ...{ prefix: '192.0.2.0/24', verdict: 'deny', service: null },
    ...{ created: now, expires: now + 3_600_000, author: 'ada', comment: 'a crawler' },
  });
  one.users.put('user', 'anna', {
    ...{ role: 'operator', disabled: false, created: now, passwordChanged: now },
    hash: HASH,
  });
  one.users.put('token', 'ci', {
    ...{ role: 'viewer', created: now, expires: null, author: 'ada' },
    hash: 'ab'.repeat(32),
  });
  await one.apply(document());
  await one.apply(document(443, 'shop.example'));
  return key;
}

function accountKey(): Buffer {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
    ...{ type: 'pkcs8', format: 'der' },
  });
}

function making(box: Box, scope: 'unit' | 'configuration' = 'unit'): Promise<Buffer> {
  return box.backups.make({ scope, passphrase: PASSPHRASE, author: 'ada' });
}

function restoring(box: Box, bytes: Buffer, configurationOnly = false) {
  return box.backups.restore({
    ...{ bytes, passphrase: PASSPHRASE, configurationOnly, author: 'bob', comment: '' },
  });
}

async function refused(work: Promise<unknown>, why: RegExp): Promise<void> {
  try {
    await work;
  } catch (error) {
    assert.instance(error, PortError, String(error));
    assert.match((error as Error).message, why);
    return;
  }
  assert.unreachable('it was not refused');
}

test('a new box becomes the unit: keys sealed by its own machine key, the history with it', async (context) => {
  const { one, other } = context;
  const key = await filled(context);
  const backup = await making(one);
  const result = await restoring(other, backup);
  assert.is(result.revision, 2);
  assert.equal(other.store.head()?.document, one.store.head()?.document);
  assert.match(other.store.head()?.comment ?? '', /restored from the backup of weir-a/);
  assert.equal(
    other.store.history().map(({ author }) => author),
    ['bob', 'ada'],
  );
  assert.ok(other.store.integrityCheck().ok);
  assert.ok(other.certificates.privateKey('shop.example')?.equals(key));
  const [mine, theirs] = [one, other].map(({ folder }) =>
    readFileSync(join(folder, 'machine-key'), 'latin1'),
  );
  assert.is.not(mine, theirs);
  assert.is(other.cookies.digest, one.cookies.digest);
  assert.is(other.certificates.account(DIRECTORY)?.url, 'https://acme.example/account/1');
  assert.is(other.access.list()[0]?.prefix, '192.0.2.0/24');
  assert.equal(other.users.get('user', 'anna'), one.users.get('user', 'anna'));
  assert.equal(other.users.get('token', 'ci'), one.users.get('token', 'ci'));
  assert.equal(other.reconciler.intent?.services['shop']?.certificates, ['shop.example']);
});

test('no key is in the file, and a look into it changes nothing', async (context) => {
  const { one, other } = context;
  const key = await filled(context);
  const backup = await making(one);
  const scalar = Buffer.from(
    createPrivateKey({ key, format: 'der', type: 'pkcs8' }).export({ format: 'jwk' }).d ?? '',
    'base64url',
  );
  for (const secret of [key, scalar, Buffer.from('shop.example')])
    assert.not(backup.includes(secret));
  const before = other.state();
  const view = await other.backups.inspect({
    ...{ bytes: backup, passphrase: PASSPHRASE, configurationOnly: false },
  });
  assert.is(view.restore.refusal, null);
  assert.ok(view.restore.notes.includes('adds the certificate shop.example'));
  assert.equal(
    view.parts.map(({ name }) => name),
    [
      'document',
      'history',
      'certificates',
      'accounts',
      'cookie-secret',
      'access',
      'users',
      'tokens',
    ],
  );
  assert.equal(other.state(), before);
});

test('a used box gets one revision, and what was there can be restored', async (context) => {
  const { one, openssl } = context;
  await filled(context);
  const backup = await making(one);
  await one.apply(document(8443));
  const renewed = put(one, openssl, 'shop.example');
  put(one, openssl, 'new.example');
  const { copy, revision } = await restoring(one, backup);
  assert.is(revision, 4);
  assert.not(one.certificates.privateKey('shop.example')?.equals(renewed));
  // What the backup lacks stays.
  assert.ok(one.certificates.get('new.example'));
  assert.is(statSync(copy).mode & 0o777, 0o600);
  await restoring(one, readFileSync(copy));
  assert.ok(one.certificates.privateKey('shop.example')?.equals(renewed));
  assert.is(one.store.head()?.document.services?.['shop']?.listen.port, 8443);
});

test('a backup of the configuration has no keys, and is refused where they lack', async (context) => {
  const { one, other } = context;
  await filled(context);
  const backup = await making(one, 'configuration');
  const before = other.state();
  await refused(restoring(other, backup), /shop\.example.*none of this name/);
  assert.equal(other.state(), before);
  await one.apply(document(8443));
  assert.is((await restoring(one, backup)).revision, 4);
});

test('of a whole backup the configuration alone may be taken', async (context) => {
  const { one, openssl } = context;
  await filled(context);
  const backup = await making(one);
  const renewed = put(one, openssl, 'shop.example');
  await one.apply(document(8443));
  await restoring(one, backup, true);
  assert.ok(one.certificates.privateKey('shop.example')?.equals(renewed));
  assert.is(one.store.head()?.document.services?.['shop']?.listen.port, 443);
});

test('what is refused half-way leaves everything as it was', async (context) => {
  const { one, other, openssl } = context;
  await filled(context);
  put(one, openssl, 'zebra.example');
  const backup = await making(one);
  put(other, openssl, 'shop.example');
  other.certificates.putAccount('https://other.example/directory', accountKey(), null);
  await other.apply(document(8080));
  const before = other.state();

  // The document, after all parts are in.
  const apply = other.fastPath.checkCapacity.bind(other.fastPath);
  other.fastPath.checkCapacity = () => {
    throw new Error('played: the tables are full');
  };
  await refused(restoring(other, backup), /played/);
  assert.equal(other.state(), before);
  other.fastPath.checkCapacity = apply;

  // A part among others.
  const putOne = other.certificates.put.bind(other.certificates);
  other.certificates.put = (fresh) => {
    if (fresh.name === 'zebra.example') throw new Error('played: the disk is full');
    return putOne(fresh);
  };
  await refused(restoring(other, backup), /played/);
  other.certificates.put = putOne;
  assert.equal(other.state(), before);
});

test('a wrong passphrase, damage and an unconfirmed revision are refused before a copy is made', async (context) => {
  const { one, other } = context;
  await filled(context);
  const backup = await making(one);
  const before = other.state();
  await refused(
    other.backups.restore({
      ...{ bytes: backup, passphrase: 'wrong horse!', configurationOnly: false },
      ...{ author: 'bob', comment: '' },
    }),
    /passphrase is not/,
  );
  await refused(restoring(other, backup.subarray(0, -1)), /damaged or cut off/);
  await refused(restoring(other, Buffer.from('a letter')), /no backup of Weir/);
  assert.equal(other.state(), before);
  assert.not(existsSync(join(other.folder, 'backups')));
});

test('in a pair its secret of cookies stays, and what is restored is a newer version for the other', async (context) => {
  const { one, other, openssl } = context;
  await filled(context);
  const backup = await making(one);
  put(other, openssl, 'shop.example');
  other.paired = true;
  const secret = other.cookies.digest;
  const before = other.certificates.version('shop.example', false)?.at ?? 0;
  const heard: string[] = [];
  other.certificates.onChange((name) => heard.push(name));
  const { notes } = await restoring(other, backup);
  assert.is(other.cookies.digest, secret);
  assert.ok((other.certificates.version('shop.example', false)?.at ?? 0) > before);
  assert.equal(heard, ['shop.example']);
  assert.ok(notes.some((note) => note.includes('other unit of the pair')));
  // Two units have one history, by a log of their own.
  assert.is(other.store.head()?.number, 1);
});

test('the backup of the other unit of a pair does not make this one its double', async (context) => {
  const { one, other } = context;
  await filled(context);
  const backup = await making(one);
  await other.apply({ version: 1, unit: { name: 'weir-b', description: 'the second' } });
  other.paired = true;
  const { notes } = await restoring(other, backup);
  const { unit, services } = other.store.head()?.document ?? {};
  assert.equal(unit, { name: 'weir-b', description: 'the second' });
  assert.equal(Object.keys(services ?? {}), ['shop']);
  assert.ok(notes.includes('keeps the section unit: the backup is of weir-a'));
});

test('leaves no unfinished file', async (context) => {
  const { one } = context;
  await filled(context);
  await restoring(one, await making(one));
  const left = readdirSync(join(one.folder, 'backups'));
  assert.ok(left.every((name) => name.endsWith('.weirbackup')));
});

test.run();

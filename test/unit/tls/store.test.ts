/** The store and its machine key: what is kept, what others can read of it, and what when parts are lost. */
import {
  chmodSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createPrivateKey, type KeyObject } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CertificateStore } from '../../../appliance/tls/certificate-store.js';
import { CertificateError } from '../../../appliance/tls/errors.js';
import { makeCertificate, makeRequest } from '../../../appliance/tls/issue.js';
import { makeKey } from '../../../appliance/tls/keys.js';
import { MACHINE_KEY_FILE } from '../../../appliance/tls/machine-key.js';

const test = suite<{ folder: string }>('tls: store');
const validity = { now: Date.now(), lifetimeMs: 86_400_000 };

test.before.each((context) => {
  context.folder = mkdtempSync(join(tmpdir(), 'weir-tls-'));
});
test.after.each(({ folder }) => rmSync(folder, { recursive: true, force: true }));

function open(folder: string): CertificateStore {
  return CertificateStore.open(folder, {
    onListenerError: (error) => {
      throw error;
    },
  });
}

async function within(folder: string, act: (store: CertificateStore) => unknown): Promise<void> {
  const store = open(folder);
  try {
    await act(store);
  } finally {
    store.close();
  }
}

const pkcs8 = (key: KeyObject): Buffer => key.export({ type: 'pkcs8', format: 'der' });

async function put(store: CertificateStore, name: string, key: KeyObject): Promise<void> {
  const leaf = await makeCertificate(key, { names: [name] }, validity);
  store.put({
    name,
    kind: 'certificate',
    chain: [leaf],
    key: pkcs8(key),
    source: 'imported',
    author: 'ada',
  });
}

function refused(act: () => unknown, code: string, why: RegExp): void {
  try {
    act();
    assert.unreachable(`expected a refusal with ${String(why)}`);
  } catch (error) {
    assert.instance(error, CertificateError, String(error));
    assert.is(error instanceof CertificateError ? error.code : '', code);
    assert.match(error instanceof Error ? error.message : '', why);
  }
}

test('what is put is there after the daemon was restarted, ECDSA and RSA side by side', async ({
  folder,
}) => {
  const ec = await makeKey('ecdsa-p256');
  const rsa = await makeKey('rsa-2048');
  await within(folder, async (store) => {
    await put(store, 'b.example', rsa);
    await put(store, 'a.example', ec);
  });
  await within(folder, (store) => {
    assert.equal(
      store
        .list()
        .map(({ name, key, names, hasKey, problem }) => ({ name, key, names, hasKey, problem })),
      [
        {
          name: 'a.example',
          key: { type: 'ecdsa', curve: 'P-256' },
          names: ['a.example'],
          hasKey: true,
          problem: null,
        },
        {
          name: 'b.example',
          key: { type: 'rsa', bits: 2048 },
          names: ['b.example'],
          hasKey: true,
          problem: null,
        },
      ],
    );
    const key = createPrivateKey({
      key: store.privateKey('b.example') ?? '',
      format: 'der',
      type: 'pkcs8',
    });
    assert.ok(key.equals(rsa));
    assert.is(store.privateKey('c'), undefined);
    assert.equal(store.chain('c'), []);
  });
});

test('no file of the state directory holds a key in the clear, and none is readable by others', async ({
  folder,
}) => {
  const keys = [await makeKey('ecdsa-p256'), await makeKey('rsa-2048')];
  await within(folder, async (store) => {
    for (const [index, key] of keys.entries()) await put(store, `key-${index}`, key);
    for (const file of readdirSync(folder)) {
      assert.is(statSync(join(folder, file)).mode & 0o077, 0, `${file} can be used by others`);
    }
  });
  for (const file of readdirSync(folder)) {
    const bytes = readFileSync(join(folder, file));
    for (const key of keys) {
      for (const form of formsOf(key)) assert.is(bytes.indexOf(form), -1, `${file} holds a key`);
    }
  }
});

/** A key's own number as octets, base64 and hexadecimal. */
function formsOf(key: KeyObject): (Buffer | string)[] {
  const { d = '' } = key.export({ format: 'jwk' });
  const secret = Buffer.from(d, 'base64url').subarray(0, 32);
  // Base64 depends on where the octets begin.
  const texts = [0, 1, 2].map((at) => secret.subarray(at).toString('base64').slice(4, 28));
  return [secret, secret.toString('hex'), ...texts];
}

test('a generation changes with the content and never comes back', async ({ folder }) => {
  const heard: string[] = [];
  await within(folder, async (store) => {
    const stop = store.onChange((name) => heard.push(name));
    const key = await makeKey('ecdsa-p256');
    await put(store, 'a', key);
    const first = store.get('a')?.generation ?? 0;
    await put(store, 'a', key);
    const second = store.get('a')?.generation ?? 0;
    store.remove('a');
    await put(store, 'a', key);
    const third = store.get('a')?.generation ?? 0;
    assert.ok(first < second && second < third, `expected to grow: ${first} ${second} ${third}`);
    stop();
    assert.is(store.remove('a'), true);
    assert.is(store.remove('a'), false);
  });
  assert.equal(heard, ['a', 'a', 'a', 'a']);
});

test('a request keeps its key beside the certificate until the new one comes', async ({
  folder,
}) => {
  const old = await makeKey('ecdsa-p256');
  const next = await makeKey('ecdsa-p384');
  await within(folder, async (store) => {
    await put(store, 'a', old);
    const request = await makeRequest(next, { names: ['a'] });
    store.put({
      name: 'a',
      kind: 'request',
      chain: [request],
      key: pkcs8(next),
      source: 'imported',
      author: 'ada',
    });
    assert.equal(
      store.list().map(({ kind }) => kind),
      ['certificate', 'request'],
    );
    assert.is(store.get('a')?.key.curve, 'P-256');
    const leaf = await makeCertificate(next, { names: ['a'] }, validity);
    assert.is(store.keyFor('a', leaf), 'waiting');
    store.put({
      name: 'a',
      kind: 'certificate',
      chain: [leaf],
      key: 'waiting',
      source: 'imported',
      author: 'ada',
    });
    assert.equal(
      store.list().map(({ kind, key }) => [kind, key.curve]),
      [['certificate', 'P-384']],
    );
    assert.is(store.keyFor('a', leaf), 'kept');
  });
});

test('without its machine key the store says so, shows what it has, and takes no key', async ({
  folder,
}) => {
  const key = await makeKey('ecdsa-p256');
  await within(folder, (store) => put(store, 'a', key));
  rmSync(join(folder, MACHINE_KEY_FILE));
  await within(folder, async (store) => {
    assert.match(store.problem ?? '', /machine key .* is missing.*restore the file/);
    assert.match(store.get('a')?.problem ?? '', /is missing/);
    refused(() => store.privateKey('a'), 'unavailable', /is missing/);
    try {
      await put(store, 'b', key);
      assert.unreachable('expected no certificate to be taken');
    } catch (error) {
      assert.match(String(error), /is missing/);
    }
    store.remove('a');
  });
  await within(folder, async (store) => {
    assert.is(store.problem, null);
    await put(store, 'b', key);
  });
});

test('another machine key, and one that others may read or that was cut, are told', async ({
  folder,
}) => {
  const path = join(folder, MACHINE_KEY_FILE);
  await within(folder, async (store) => put(store, 'a', await makeKey('ecdsa-p256')));
  const right = readFileSync(path);
  writeFileSync(path, Buffer.alloc(32, 7));
  await within(folder, (store) => {
    assert.is(store.problem, null);
    assert.match(store.get('a')?.problem ?? '', /cannot be decrypted/);
    refused(() => store.privateKey('a'), 'unavailable', /cannot be decrypted/);
  });
  writeFileSync(path, right.subarray(0, 31));
  await within(folder, (store) => assert.match(store.problem ?? '', /has 31 bytes, not 32/));
  writeFileSync(path, right);
  chmodSync(path, 0o640);
  await within(folder, (store) => assert.match(store.problem ?? '', /mode 640.*chmod 600/));
  chmodSync(path, 0o600);
  await within(folder, (store) => assert.is(store.get('a')?.problem, null));
});

test('a key of another certificate is refused', async ({ folder }) => {
  await within(folder, async (store) => {
    const leaf = await makeCertificate(await makeKey('ecdsa-p256'), { names: ['a'] }, validity);
    const key = pkcs8(await makeKey('ecdsa-p256'));
    const put = () =>
      store.put({
        name: 'a',
        kind: 'certificate',
        chain: [leaf],
        key,
        source: 'imported',
        author: 'ada',
      });
    refused(put, 'invalid', /does not belong/);
    assert.equal(store.list(), []);
  });
});

test('accounts at authorities are kept encrypted, each bound to its directory', async ({
  folder,
}) => {
  const [one, two] = ['https://one.example/dir', 'https://two.example/dir'];
  const key = pkcs8(await makeKey('ecdsa-p256'));
  const copy = Buffer.from(key);
  await within(folder, (store) => {
    store.putAccount(one, copy, null);
    store.putAccount(one, copy, 'https://one.example/account/1');
  });
  await within(folder, (store) => {
    assert.equal(store.account(one), { key, url: 'https://one.example/account/1' });
    assert.is(store.account(two), null);
  });
  for (const file of readdirSync(folder)) {
    const held = readFileSync(join(folder, file));
    assert.is(held.indexOf(key.subarray(-32)), -1, `${file} has the key of the account`);
  }
  rmSync(join(folder, MACHINE_KEY_FILE));
  await within(folder, (store) => {
    refused(() => store.account(one), 'unavailable', /cannot be decrypted/);
  });
});

test.run();

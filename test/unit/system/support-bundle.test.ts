/** The archive for whoever helps: what is in it, what never is, and whose addresses are left out. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Document } from '../../../appliance/api/contract.js';
import { redacted, redactedLog } from '../../../appliance/system/redact.js';
import { supportBundle } from '../../../appliance/system/support-bundle.js';
import { tar } from '../../../appliance/system/tar.js';
import { event, FakeDaemon } from '../api/fake-daemon.js';

interface Context {
  folder: string;
}
const test = suite<Context>('support bundle');
test.before.each((context) => {
  context.folder = mkdtempSync(join(tmpdir(), 'weir-bundle-'));
});
test.after.each(({ folder }) => {
  rmSync(folder, { recursive: true, force: true });
});

/** No two of them are parts of one another. */
const SECRETS = [
  ...['SECRETpassword1', 'SECRETtoken2', 'SECREThook3', 'SECRETcookie4', 'SECRETuser5'],
  ...['SECRETquery6', 'SECRETkey7', 'SECRETbearer8', 'SECRETsession9'],
];
const CLIENT = '198.51.100.23';
const CLIENT6 = '2001:db8:beef::23';
const KEY = '-----BEGIN PRIVATE KEY-----\nSECRETkey7\n-----END PRIVATE KEY-----';

/** With secrets wherever one may be written, even where the language has no place for it. */
function planted(folder: string): { readonly daemon: FakeDaemon; readonly log: string } {
  const daemon = new FakeDaemon();
  const document = {
    version: 1,
    unit: { name: 'weir-a', addresses: ['10.0.0.1'] },
    alerts: {
      chat: { type: 'webhook', url: 'https://hooks.example/services/SECREThook3?x=SECRETquery6' },
      mail: { type: 'email', username: 'alerts', password: 'SECRETpassword1' },
    },
    metrics: { token: 'SECRETtoken2', 'auth-token': ['SECRETtoken2'] },
    services: {
      shop: { headers: [{ name: 'Authorization', value: 'Bearer SECRETbearer8' }], note: KEY },
    },
  };
  daemon.view = { revision: 7, document: document as unknown as Document };
  daemon.log = [
    {
      ...event(1),
      message: `cannot reach https://me:SECRETuser5@hooks.example/x for ${CLIENT} at 10.0.0.1`,
    },
  ];
  const log = join(folder, 'shop.log');
  const lines = [
    JSON.stringify({ client: CLIENT, path: '/a?session=SECRETsession9', cookie: 'SECRETcookie4' }),
    `${CLIENT6} - - "GET /b?session=SECRETsession9 HTTP/1.1" 200 "Cookie: id=SECRETcookie4"`,
    `{"cut":"off", "Authorization: Basic SECRETpassword1`,
  ];
  writeFileSync(log, `${lines.join('\n')}\n`);
  return { daemon, log };
}

async function unpacked(folder: string, maskAddresses: boolean): Promise<Map<string, string>> {
  const { daemon, log } = planted(folder);
  const bytes = await supportBundle(
    daemon,
    {
      version: '0.1.0',
      network: () => [{ index: 1, addresses: ['192.0.2.9'] }],
      logs: () => [log, join(folder, 'none.log')],
    },
    { maskAddresses },
  );
  const { status, stderr } = spawnSync('tar', ['-xzf', '-', '-C', folder], { input: bytes });
  assert.is(status, 0, String(stderr));
  const root = join(folder, 'weir-support');
  const found = readdirSync(root, { recursive: true, withFileTypes: true }).filter((one) =>
    one.isFile(),
  );
  return new Map(
    found.map((one) => {
      const path = join(one.parentPath, one.name);
      return [path.slice(root.length + 1), readFileSync(path, 'utf8')];
    }),
  );
}

test('has what the manifest says, and names what it could not have', async ({ folder }) => {
  const files = await unpacked(folder, false);
  const manifest = JSON.parse(files.get('manifest.json') ?? '') as {
    files: { name: string; bytes: number }[];
    missing: { name: string; why: string }[];
  };
  assert.equal(
    manifest.files.map(({ name }) => name).sort(),
    [...files.keys()].filter((name) => name !== 'manifest.json').sort(),
  );
  for (const { name, bytes } of manifest.files) {
    assert.is(Buffer.byteLength(files.get(name) ?? ''), bytes, name);
  }
  for (const name of ['status.json', 'events.json', 'pair.json', 'kernel/sysctl.txt'])
    assert.ok(files.has(name), name);
  assert.match(files.get('kernel/sysctl.txt') ?? '', /^net\.ipv4\.ip_forward = /m);
  assert.ok(manifest.missing.some(({ name, why }) => /none\.log/.test(name) && /ENOENT/.test(why)));
});

test('no planted secret is in it', async ({ folder }) => {
  const files = await unpacked(folder, false);
  for (const [name, text] of files) {
    for (const secret of SECRETS) assert.not(text.includes(secret), `${name} has ${secret}`);
  }
  // And what is no secret stays.
  assert.match(files.get('config.json') ?? '', /"username": "alerts"/);
  assert.match(files.get('config.json') ?? '', /https:\/\/hooks\.example\//);
  assert.match(files.get('logs/1-shop.log') ?? '', new RegExp(CLIENT));
});

test("clients' addresses are masked alike everywhere, the unit's own stay", async ({ folder }) => {
  const files = await unpacked(folder, true);
  for (const [name, text] of files) {
    for (const address of [CLIENT, CLIENT6]) assert.not(text.includes(address), name);
  }
  const [masked] = /client-v4-[0-9a-f]{10}/.exec(files.get('events.json') ?? '') ?? [];
  assert.ok(masked);
  assert.match(files.get('logs/1-shop.log') ?? '', masked);
  assert.match(files.get('logs/1-shop.log') ?? '', /client-v6-/);
  assert.match(files.get('events.json') ?? '', /10\.0\.0\.1/);
  assert.match(files.get('network.json') ?? '', /192\.0\.2\.9/);
});

test('numbers and switches about secrets stay, and so do lines that are none of JSON', () => {
  assert.equal(redacted({ 'cookie-lifetime': 5, tokens: true, secrets: ['a'] }), {
    'cookie-lifetime': 5,
    tokens: true,
    secrets: '(removed)',
  });
  assert.is(redactedLog('{broken\nplain'), '{broken\nplain');
});

test('an archive has files of every length, and no odd names', ({ folder }) => {
  const files = [0, 1, 511, 512, 513].map((length) => ({
    ...{ name: `d/${length}`, content: Buffer.alloc(length, 'x') },
  }));
  const { status } = spawnSync('tar', ['-xf', '-', '-C', folder], { input: tar(files, 0) });
  assert.is(status, 0);
  for (const { name, content } of files) {
    assert.ok(readFileSync(join(folder, name)).equals(content), name);
  }
  assert.throws(() => tar([{ name: 'a\nb', content: Buffer.alloc(0) }], 0), /no name/);
});

test.run();

/**
 * A unit that is backed up, changed and restored while it serves; and one that is reset, interrupted in
 * the middle of it, and begins as a new box.
 */
import { X509Certificate } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { CertificateRow, Status } from '../../appliance/api/contract.js';
import { needs } from '../support/needs.js';
import { OpenSsl } from '../support/openssl.js';
import { run, within } from './commands.js';
import { everyPath } from './configuration.js';
import { Lab } from './lab.js';
import { until } from './unit.js';

const test = suite('backup');
const PASSPHRASE = 'correct horse';
const ADDRESS = '10.77.0.80';
const PORT = 8443;

needs.lab(test)('backup, change, restore: the certificate of before is served again', async () => {
  const openssl = new OpenSsl();
  const lab = await Lab.open(everyPath);
  const { unit } = lab;
  try {
    const file = openssl.path('unit.weirbackup');
    openssl.make('shop.example');
    const first = new X509Certificate(openssl.read('shop.example.pem')).fingerprint256;
    const files = [openssl.path('shop.example.pem'), openssl.path('shop.example.key')];
    await unit.must('cert', 'import', 'shop.example', ...files);
    await lab.change((document) => {
      document.services = {
        ...document.services,
        secure: {
          listen: { address: ADDRESS, port: PORT, protocol: 'https' },
          tier: 'proxy',
          pool: 'tcp4',
          certificates: ['shop.example'],
        },
      };
    });
    const served = async (): Promise<string> => {
      const line = within(lab.topology.namespace('client'), [
        ...['openssl', 's_client', '-connect', `${ADDRESS}:${PORT}`, '-servername', 'shop.example'],
      ]);
      return new X509Certificate(await run(line[0] ?? '', line.slice(1))).fingerprint256;
    };
    const untilServed = (fingerprint: string): Promise<number> =>
      until('the certificate is served', 15_000, async () => {
        try {
          const seen = await served();
          return seen === fingerprint ? true : seen;
        } catch (error) {
          return (error as Error).message;
        }
      });
    await untilServed(first);
    const made = await unit.typed(PASSPHRASE, 'backup', file, '--passphrase-stdin');
    assert.is(made.status, 0, made.stderr);
    assert.is(statSync(file).mode & 0o777, 0o600);
    const revision = await unit.revision();

    openssl.make('shop.example');
    const second = new X509Certificate(openssl.read('shop.example.pem')).fingerprint256;
    await unit.must('cert', 'import', 'shop.example', ...files, '--replace');
    await lab.change((document) => {
      delete document.services?.['dsr-tcp4'];
    });
    await untilServed(second);

    const wrong = await unit.typed('wrong horse', 'restore', file, '--yes', '--passphrase-stdin');
    assert.is(wrong.status, 4, wrong.stderr);
    assert.match(wrong.stderr, /passphrase is not/);
    const damaged = openssl.write('damaged', readFileSync(file).subarray(0, -40));
    const cut = await unit.typed(PASSPHRASE, 'restore', damaged, '--yes', '--passphrase-stdin');
    assert.match(cut.stderr, /damaged or cut off/);
    await untilServed(second);

    const restored = await unit.typed(PASSPHRASE, 'restore', file, '--yes', '--passphrase-stdin');
    assert.is(restored.status, 0, restored.stderr);
    assert.is(await unit.revision(), revision + 2, 'expected one new revision');
    await untilServed(first);
    assert.ok(
      (await unit.get<{ name: string }[]>('/v1/services')).some(({ name }) => name === 'dsr-tcp4'),
      'expected the service of before',
    );
    const [, copy = ''] = /weir restore (\S+),/.exec(restored.stdout) ?? [];
    const back = await unit.typed(PASSPHRASE, 'restore', copy, '--yes', '--passphrase-stdin');
    assert.is(back.status, 0, back.stderr);
    await untilServed(second);

    const bundle = openssl.path('support.tar.gz');
    await unit.must('support-bundle', bundle, '--mask-addresses');
    const listed = await run('tar', ['-tzf', bundle]);
    for (const name of ['manifest.json', 'status.json', 'kernel/sysctl.txt', 'events.json'])
      assert.match(listed, `weir-support/${name}`);
  } finally {
    await lab.close();
    openssl.end();
  }
});

needs.lab(test)('a reset that is cut short is finished by the next start', async () => {
  const lab = await Lab.open(everyPath);
  const { unit } = lab;
  try {
    await unit.must('cert', 'self-signed', 'lab', '--names', 'lab.example');
    const { unit: name } = await unit.get<{ unit: string }>('/v1/system');
    const other = await unit.weir('factory-reset', '--yes-erase', `${name}-other`);
    assert.is(other.status, 5, other.stderr);
    assert.is((await unit.get<CertificateRow[]>('/v1/certificates')).length, 1);

    // As after a loss of power: the note is there, and nothing else was done.
    const state = join(unit.files, 'state');
    await unit.end('SIGKILL');
    writeFileSync(join(state, 'factory-reset'), '{"logs":[]}\n', { mode: 0o600 });
    await unit.start();
    const asNew = async (): Promise<void> => {
      const { revision } = await unit.get<Status>('/v1/status');
      assert.is(revision, null);
      assert.equal(await unit.get<CertificateRow[]>('/v1/certificates'), []);
      assert.not(existsSync(join(state, 'factory-reset')));
    };
    await asNew();

    await unit.must('cert', 'self-signed', 'lab', '--names', 'lab.example');
    const key = readFileSync(join(state, 'machine-key'));
    const { unit: fresh } = await unit.get<{ unit: string }>('/v1/system');
    await unit.must('factory-reset', '--yes-erase', fresh);
    await until('the unit begins anew', 30_000, async () => {
      try {
        await unit.status();
        const there = existsSync(join(state, 'machine-key'));
        return there && !readFileSync(join(state, 'machine-key')).equals(key)
          ? true
          : readdirSync(state).join(' ');
      } catch (error) {
        return (error as Error).message;
      }
    });
    await asNew();
  } finally {
    await lab.close();
  }
});

test.run();

/** `weir cert`: what it asks of the daemon, prints, writes and refuses. */
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { userInfo } from 'node:os';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { CertificateDetail } from '../../../appliance/api/contract.js';
import { PortError } from '../../../appliance/api/port.js';
import { CERTIFICATE, CERTIFICATES } from '../api/fake-certificates.js';
import { call, JSON_TYPE, withApi } from '../api/fixture.js';
import { weir } from './weir.js';

const test = suite('cli: cert');
const author = userInfo().username;
const DAY = 86_400_000;

test('list and show print what the API answers, for people and as JSON', () =>
  withApi(async ({ socket }) => {
    const list = await weir(['cert', 'list'], { socket });
    assert.equal([list.code, list.err], [0, '']);
    assert.match(list.out, /^NAME +KIND +NAMES +KEY +EXPIRES +USED BY\n/);
    assert.match(list.out, /lab +authority +- +rsa 3072 +2096-01-01 \(\d+d\) +-\n/);
    assert.match(
      list.out,
      /shop\.example +certificate +shop\.example,192\.0\.2\.1 +ecdsa P-256 +2026-05-02 \((\d+d|expired)\) +shop,shop6\n/,
    );
    const json = await weir(['cert', 'list', '--json'], { socket });
    assert.equal(JSON.parse(json.out), JSON.parse(JSON.stringify(CERTIFICATES)));
    const show = await weir(['cert', 'show', 'shop.example'], { socket });
    assert.match(show.out, /^shop\.example {2}certificate\n {2}Subject +CN=shop\.example\n/);
    assert.match(show.out, / {2}Chain +CN=Authority, to 2026-05-03/);
    assert.match(show.out, /BEGIN CERTIFICATE REQUEST/);
    const detail = await weir(['cert', 'show', 'shop.example', '--json'], { socket });
    assert.equal(JSON.parse(detail.out), JSON.parse(JSON.stringify(CERTIFICATE)));
  }));

test('import sends files and passphrase, says what came of it, and wipes nothing that it shows', () =>
  withApi(async ({ daemon, socket, folder }) => {
    const write = (name: string, text: string): string => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    };
    const files = [write('a.pem', 'A'), write('b.key', 'B\n')];
    const pass = write('pass', 'sesame ü\nnext line\n');
    daemon.certificates.warnings = ['the certificate expired on 2026-01-01'];
    const words = ['cert', 'import', 'shop.example', ...files];
    const ran = await weir([...words, '--passphrase-file', pass, '--replace'], { socket });
    assert.equal(ran, {
      code: 0,
      out: 'Imported shop.example for shop.example, 192.0.2.1, valid to 2026-05-02 00:00:00.\n',
      err: 'warning: the certificate expired on 2026-01-01\n',
    });
    assert.equal(daemon.certificates.last('import'), {
      ...{ name: 'shop.example', author, replace: true, authority: false },
      ...{ bytes: Buffer.from('A\nB\n\n'), passphrase: 'sesame ü' },
    });
    const piped = await weir(['cert', 'import', 'x', '-'], {
      socket,
      input: Uint8Array.of(0x30, 255),
    });
    assert.is(piped.code, 0);
    assert.equal(
      (daemon.certificates.last('import') as { bytes: Buffer }).bytes,
      Buffer.of(0x30, 255),
    );
    const missing = await weir(['cert', 'import', 'x', join(folder, 'none')], { socket });
    assert.equal(
      [missing.code, missing.err],
      [1, `weir: Cannot read ${join(folder, 'none')}: there is no such file.\n`],
    );
  }));

test('making certificates, authorities and requests asks for what was written', () =>
  withApi(async ({ daemon, socket }) => {
    const { certificates } = daemon;
    const made = await weir(
      [
        'cert',
        'self-signed',
        'lab',
        '--names',
        'a.example,::1',
        '--ca',
        'own',
        '--lifetime',
        '12h',
        '--client-auth',
      ],
      { socket },
    );
    assert.equal([made.code, made.err], [0, '']);
    assert.equal(certificates.last('make'), {
      ...{ name: 'lab', author, replace: false, names: ['a.example', '::1'], key: 'ecdsa-p256' },
      ...{ lifetimeMs: DAY / 2, clientAuth: true, ca: 'own' },
    });
    await weir(['cert', 'ca', 'own', '--key', 'rsa-3072', '--subject', 'CN=x'], { socket });
    assert.equal(certificates.last('makeAuthority'), {
      ...{ name: 'own', author, replace: false, key: 'rsa-3072', lifetimeMs: 3650 * DAY },
      subject: 'CN=x',
    });
    const request = await weir(['cert', 'csr', 'shop', '--names', 'shop', '--replace'], { socket });
    assert.is(request.out, CERTIFICATE.request);
    assert.equal(certificates.last('makeRequest'), {
      ...{
        name: 'shop',
        author,
        replace: true,
        names: ['shop'],
        key: 'ecdsa-p256',
        clientAuth: false,
      },
    });
    for (const words of [
      ['self-signed', 'lab'],
      ['self-signed', 'lab', '--names', 'a,,b'],
      ['ca', 'own', '--lifetime', '5'],
      ['csr', 'x', '--key', 'dsa'],
    ]) {
      const wrong = await weir(['cert', ...words], { socket });
      assert.is(wrong.code, 2, words.join(' '));
    }
  }));

test('export prints the chain, and writes keys to new files of mode 0600 only', () =>
  withApi(async ({ daemon, socket, folder }) => {
    const { certificates } = daemon;
    const chain = await weir(['cert', 'export', 'shop.example'], { socket });
    assert.equal([chain.code, chain.out], [0, 'exported']);
    const json = await weir(['cert', 'export', 'shop.example', '--json'], { socket });
    assert.equal(JSON.parse(json.out), { name: 'shop.example', pem: 'exported' });
    const printed = await weir(['cert', 'export', 'shop.example', '--key'], { socket });
    assert.equal([printed.code, printed.out], [2, '']);
    assert.match(printed.err, /--output: keys are not printed/);
    const output = join(folder, 'shop.pem');
    const words = ['cert', 'export', 'shop.example', '--key', '--output', output];
    assert.equal(await weir(words, { socket }), { code: 0, out: '', err: '' });
    assert.is(readFileSync(output, 'utf8'), 'exported');
    assert.is(statSync(output).mode & 0o777, 0o600);
    assert.equal(certificates.last('export'), {
      ...{
        name: 'shop.example',
        author,
        proven: process.getuid?.() === 0,
        format: 'pem',
        key: true,
      },
    });
    const again = await weir(words, { socket });
    assert.is(again.code, 1);
    assert.match(again.err, /is there already: name another file\.$/m);
    certificates.failure = new PortError('forbidden', 'Private keys are given to root only.');
    const refused = await weir([...words.slice(0, -1), join(folder, 'two.pem')], { socket });
    assert.equal([refused.code, refused.err], [1, 'weir: Private keys are given to root only.\n']);
  }));

test('remove', () =>
  withApi(async ({ daemon, socket }) => {
    const { certificates } = daemon;
    const ran = await weir(['cert', 'remove', 'old', '--request'], { socket });
    assert.equal(ran, { code: 0, out: 'Removed old.\n', err: '' });
    assert.equal(certificates.last('remove'), { name: 'old', request: true, author });
    certificates.failure = new PortError('conflict', 'It is used by the service shop.');
    assert.is((await weir(['cert', 'remove', 'old'], { socket })).code, 5);
    certificates.failure = new PortError('not-found', 'There is no certificate old.');
    assert.is((await weir(['cert', 'remove', 'old'], { socket })).code, 6);
  }));

test('the API takes octets where certificates are, and documents elsewhere', () =>
  withApi(async ({ socket }) => {
    const octets = { 'content-type': 'application/octet-stream' };
    const path = '/v1/certificates/x';
    const wrong = await call(socket, { method: 'PUT', path, headers: JSON_TYPE, body: '{}' });
    assert.equal([wrong.status, /octet-stream/.test(wrong.text)], [415, true]);
    for (const [method, other] of [
      ['PUT', '/v1/config'],
      ['POST', `${path}/request`],
      ['POST', '/v1/config/rollback'],
    ] as const) {
      const answer = await call(socket, { method, path: other, headers: octets, body: 'x' });
      assert.is(answer.status, 415, other);
    }
    const header = { ...octets, 'weir-passphrase': Buffer.of(255).toString('base64') };
    const passphrase = await call(socket, { method: 'PUT', path, headers: header, body: 'x' });
    assert.equal([passphrase.status, /base64 of UTF-8/.test(passphrase.text)], [400, true]);
    const key = await call(socket, {
      ...{ method: 'POST', path: `${path}/export`, headers: JSON_TYPE },
      body: '{"format":"pem","key":true}',
    });
    assert.is(key.headers['cache-control'], 'no-store');
  }));

test('certificates are completed', () =>
  withApi(async ({ socket }) => {
    for (const [line, words] of [
      ['weir cert show s', ['shop.example']],
      ['weir cert self-signed x --ca ', ['lab']],
      ['weir cert import x ', [':files']],
      ['weir cert import x a.pem ', [':files']],
      ['weir cert export x --passphrase-file ', [':files']],
      ['weir cert export x --format p', ['pem', 'pkcs12']],
    ] as const) {
      const ran = await weir(['__complete', '--', line], { socket });
      const seen = ran.out.split('\n').flatMap((one) => (one === '' ? [] : [one.split('\t')[0]]));
      assert.equal(seen, [...words], line);
    }
  }));

test('what the unit obtains by itself says when, and what is not obtained yet is listed with the reason', () =>
  withApi(async ({ daemon, socket }) => {
    const { certificates } = daemon;
    const at = Date.UTC(2026, 3, 2, 10);
    const awaited: CertificateDetail = {
      ...{ ...CERTIFICATE, name: 'www', generation: 0, notAfter: 0, chain: [], request: null },
      ...{ declared: 'acme', usedBy: ['shop'], problem: 'it cannot be obtained' },
    };
    const failed = {
      at,
      failures: 3,
      problem: 'the authority is gone; it is tried again by itself',
    };
    certificates.rows = [
      { ...awaited, renewal: failed },
      { ...awaited, name: 'www2', renewal: { at: null, failures: 0, problem: null } },
    ];
    const list = await weir(['cert', 'list'], { socket });
    assert.match(list.out, /www +certificate .+ not obtained +shop\n/);
    assert.match(list.out, /www2 +certificate .+ awaited +shop\n/);
    certificates.detail = { ...awaited, renewal: failed };
    const show = await weir(['cert', 'show', 'www'], { socket });
    assert.match(
      show.out,
      / {2}Renewal +failed 3 times: the authority is gone; next try on 2026-04-02 10:00:00\n/,
    );
    assert.not.match(show.out, /SHA-256|Subject|Serial/);
    certificates.detail = {
      ...CERTIFICATE,
      declared: 'acme',
      renewal: { at, failures: 0, problem: null },
    };
    const live = await weir(['cert', 'show', 'shop.example'], { socket });
    assert.match(live.out, / {2}Renewal +by itself, on 2026-04-02 10:00:00\n/);
    const ran = await weir(['cert', 'renew', 'shop.example'], { socket });
    assert.equal(ran, {
      ...{ code: 0, out: 'Renewed shop.example, valid to 2026-05-02 00:00:00.\n', err: '' },
    });
    assert.equal(certificates.last('renew'), { name: 'shop.example', author });
    certificates.failure = new PortError('unavailable', 'The certificate cannot be obtained.');
    const refused = await weir(['cert', 'renew', 'shop.example'], { socket });
    assert.is.not(refused.code, 0);
    assert.match(refused.err, /cannot be obtained/);
  }));

test.run();

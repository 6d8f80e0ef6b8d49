/** The tls and https probes against `openssl s_server`, with an authority made for this run. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Cancellation } from '../../../appliance/health/cancellation.js';
import { probeHttp, type HttpSettings } from '../../../appliance/health/http.js';
import type { ProbeResult } from '../../../appliance/health/state-machine.js';
import { probeTls, type TlsSettings } from '../../../appliance/health/tls.js';

const PATIENCE_MS = 15_000;
const folder = mkdtempSync(join(tmpdir(), 'weir-tls-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const file = (name: string): string => join(folder, name);

function openssl(...parameters: string[]): void {
  const { status, stderr, error } = spawnSync('openssl', parameters, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`openssl ${parameters[0]}: ${error?.message ?? stderr}`);
}

function key(name: string): void {
  openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', file(`${name}.key`));
}

/** A certificate of the authority; `days` may be 0, which has ended when it is made. */
function certificate(name: string, alternative: string, days: number): void {
  key(name);
  writeFileSync(file(`${name}.ext`), `subjectAltName=${alternative}\n`);
  openssl(
    'req',
    '-new',
    '-key',
    file(`${name}.key`),
    '-subj',
    '/CN=member',
    '-out',
    file(`${name}.csr`),
  );
  openssl(
    'x509',
    '-req',
    '-in',
    file(`${name}.csr`),
    '-CA',
    file('ca.pem'),
    '-CAkey',
    file('ca.key'),
    '-CAcreateserial',
    '-days',
    String(days),
    '-extfile',
    file(`${name}.ext`),
    '-out',
    file(`${name}.pem`),
  );
}

key('ca');
openssl(
  'req',
  '-x509',
  '-new',
  '-key',
  file('ca.key'),
  '-subj',
  '/CN=authority of a test',
  '-days',
  '2',
  '-out',
  file('ca.pem'),
);
certificate('shop', 'DNS:shop.example,IP:127.0.0.1', 2);
certificate('other', 'DNS:other.example', 2);
const trust = readFileSync(file('ca.pem'), 'utf8');

/** Runs `work` with an s_server; it is gone afterwards. */
async function withServer(
  parameters: readonly string[],
  work: (port: number) => Promise<void>,
): Promise<void> {
  const child = spawn(
    'openssl',
    [
      's_server',
      '-accept',
      '127.0.0.1:0',
      '-cert',
      file('shop.pem'),
      '-key',
      file('shop.key'),
      '-naccept',
      '20',
      ...parameters,
    ],
    // Its input must stay open: the end of it is the end of the connection.
    { stdio: ['pipe', 'pipe', 'pipe'] },
  );
  try {
    await work(await portOf(child));
  } finally {
    const ended = new Promise((resolve) => child.once('exit', resolve));
    if (child.exitCode === null && child.kill('SIGKILL')) await ended;
  }
}

function portOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    let seen = '';
    const deadline = setTimeout(
      () => reject(new Error(`s_server says no port, but: ${seen}`)),
      PATIENCE_MS,
    );
    const read = (chunk: Buffer): void => {
      seen += chunk.toString();
      const port = /^ACCEPT .*:(\d+)$/m.exec(seen)?.[1];
      if (port === undefined) return;
      clearTimeout(deadline);
      resolve(Number(port));
    };
    child.stdout?.on('data', read);
    child.stderr?.on('data', read);
    child.once('exit', () => {
      clearTimeout(deadline);
      reject(new Error(`s_server ended: ${seen}`));
    });
  });
}

const said = ({ outcome, reason }: ProbeResult): string => `${outcome}: ${reason}`;
const tls = (port: number, more: Partial<TlsSettings> = {}): Promise<ProbeResult> =>
  probeTls(
    { address: '127.0.0.1', port },
    { timeout: 5000, verify: false, ...more },
    new Cancellation(),
    trust,
  );

const handshakes: readonly (readonly [
  what: string,
  server: readonly string[],
  settings: Partial<TlsSettings>,
  verdict: string,
])[] = [
  ['a handshake', [], {}, 'pass: handshake made, TLSv1.3'],
  ['an older version', ['-tls1_2'], {}, 'pass: handshake made, TLSv1.2'],
  [
    'a certificate that nobody checks',
    ['-cert', file('other.pem'), '-key', file('other.key')],
    { 'server-name': 'shop.example' },
    'pass: handshake made, TLSv1.3',
  ],
  [
    'a valid certificate for the name',
    [],
    { verify: true, 'server-name': 'shop.example' },
    'pass: handshake made, TLSv1.3',
  ],
  ['a valid certificate for the address', [], { verify: true }, 'pass: handshake made, TLSv1.3'],
  [
    'a certificate for another name',
    [],
    { verify: true, 'server-name': 'other.example' },
    'fail: certificate refused: it is for another name',
  ],
  [
    'the certificate that the server name asks for',
    ['-servername', 'other.example', '-cert2', file('other.pem'), '-key2', file('other.key')],
    { verify: true, 'server-name': 'other.example' },
    'pass: handshake made, TLSv1.3',
  ],
];

for (const [what, server, settings, verdict] of handshakes) {
  test(`tls: ${what}`, () =>
    withServer(server, async (port) => assert.is(said(await tls(port, settings)), verdict)));
}

test('tls: an authority that this unit does not trust', () =>
  withServer([], async (port) => {
    const result = await probeTls(
      { address: '127.0.0.1', port },
      { timeout: 5000, verify: true, 'server-name': 'shop.example' },
      new Cancellation(),
    );
    assert.is(said(result), 'fail: certificate refused: this unit does not trust its issuer');
  }));

test('tls: an expired certificate', async () => {
  const dates = ['-not_before', '20200101000000Z', '-not_after', '20200102000000Z'];
  // `x509 -days` cannot go back in time; `ca` can, and wants a folder of its own.
  key('old');
  writeFileSync(file('index.txt'), '');
  writeFileSync(file('serial'), '01\n');
  writeFileSync(
    file('ca.conf'),
    `[ca]\ndefault_ca=c\n[c]\nnew_certs_dir=${folder}\ndatabase=${file('index.txt')}\nserial=${file('serial')}\ndefault_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n`,
  );
  openssl('req', '-new', '-key', file('old.key'), '-subj', '/CN=old', '-out', file('old.csr'));
  openssl(
    'ca',
    '-batch',
    '-notext',
    '-config',
    file('ca.conf'),
    '-cert',
    file('ca.pem'),
    '-keyfile',
    file('ca.key'),
    '-startdate',
    dates[1] ?? '',
    '-enddate',
    dates[3] ?? '',
    '-in',
    file('old.csr'),
    '-out',
    file('old.pem'),
  );
  await withServer(['-cert', file('old.pem'), '-key', file('old.key')], async (port) => {
    assert.is(said(await tls(port, { verify: true })), 'fail: certificate refused: it has expired');
    assert.is(said(await tls(port)), 'pass: handshake made, TLSv1.3');
  });
});

test('tls: a client certificate that the probe has not', () =>
  withServer(['-tls1_2', '-Verify', '1', '-verify_return_error'], async (port) => {
    const result = await tls(port);
    assert.is(result.outcome, 'fail');
    assert.match(result.reason, /^TLS handshake failed: /);
  }));

/** A server without TLS that writes `bytes` to whoever connects. */
async function withPlainServer(
  bytes: string,
  work: (port: number) => Promise<void>,
  end = false,
): Promise<void> {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    if (end) socket.once('data', () => socket.end());
    else if (bytes !== '') socket.write(bytes);
    socket.resume();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    await work((server.address() as AddressInfo).port);
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}

test('tls: a server that speaks something else', () =>
  withPlainServer('SSH-2.0-OpenSSH_9.2\r\n', async (port) =>
    assert.is(said(await tls(port)), 'fail: the answer is not TLS'),
  ));

test('tls: a server that says nothing', () =>
  withPlainServer('', async (port) =>
    assert.is(
      said(await tls(port, { timeout: 200 })),
      'fail: connected, but no TLS handshake within 200ms',
    ),
  ));

test('tls: a server that hangs up in the handshake', () =>
  withPlainServer(
    '',
    async (port) =>
      assert.is(said(await tls(port)), 'fail: connection closed in the TLS handshake'),
    true,
  ));

const settings: HttpSettings = { timeout: 5000, path: '/', method: 'GET', expect: [[200, 299]] };
const https = (
  port: number,
  more: Partial<HttpSettings> = {},
  secure: Partial<TlsSettings> = {},
): Promise<ProbeResult> =>
  probeHttp({ address: '127.0.0.1', port }, { ...settings, ...more }, new Cancellation(), {
    verify: true,
    trust,
    ...secure,
  });

test('https: status, body and certificate are checked', () =>
  withServer(['-www'], async (port) => {
    assert.is(said(await https(port)), 'pass: status 200');
    assert.is(said(await https(port, { body: 's_server' })), 'pass: status 200');
    assert.is(
      said(await https(port, { body: 'no such text' })),
      'fail: status 200, but the body lacks the expected text',
    );
    assert.is(said(await https(port, { expect: [[204, 204]] })), 'fail: status 200, expected 204');
    assert.is(
      said(await https(port, {}, { 'server-name': 'other.example' })),
      'fail: certificate refused: it is for another name',
    );
    assert.is(
      said(await https(port, {}, { 'server-name': 'other.example', verify: false })),
      'pass: status 200',
    );
  }));

test('https: a server without TLS', () =>
  withPlainServer('HTTP/1.1 200 OK\r\n\r\n', async (port) =>
    assert.is(said(await https(port)), 'fail: the answer is not TLS'),
  ));

/** Sockets of a port in TIME_WAIT (state 06) on this host, from /proc/net/tcp. */
function timeWaits(port: number): number {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  return readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(
      ([, local, remote, state]) =>
        state === '06' && [local, remote].some((end) => end?.endsWith(`:${hex}`) === true),
    ).length;
}

test('https: probes leave no TIME_WAIT of their own behind', () =>
  withServer([], async (port) => {
    for (let round = 0; round < 3; round += 1) {
      assert.is(said(await tls(port)), 'pass: handshake made, TLSv1.3');
    }
    assert.is(timeWaits(port), 0);
  }));

test.run();

/** Alerts to a server of HTTP that checks them, and answers in many ways. */
import { createHmac } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Alert } from '../../../appliance/alerts/alert.js';
import type { Outcome } from '../../../appliance/alerts/transport.js';
import { makeTransport } from '../../../appliance/alerts/transports.js';
import { ALERT as USUAL, settings } from '../../support/alert-scene.js';
import { Certificates } from '../../support/certificates.js';

const test = suite('alerts by webhook');
const forever = new AbortController().signal;
const certificates = new Certificates();
const folder = mkdtempSync(join(tmpdir(), 'weir-webhook-'));
const secretFile = join(folder, 'secret');
const SECRET = 'correct horse battery staple';
writeFileSync(secretFile, `${SECRET}\n`, { mode: 0o600 });

interface Seen {
  readonly headers: IncomingMessage['headers'];
  readonly method: string | undefined;
  readonly url: string | undefined;
  readonly body: string;
}

let seen: Seen[] = [];
let answer: (response: ServerResponse) => void = (response) => response.end();
const server = createServer((request, response) => {
  let body = '';
  request.setEncoding('utf8').on('data', (piece: string) => (body += piece));
  request.on('end', () => {
    const { headers, method, url } = request;
    seen.push({ headers, method, url, body });
    answer(response);
  });
});
let base = '';

async function listening(one: Server): Promise<number> {
  await new Promise<void>((resolve) => one.listen(0, '127.0.0.1', resolve));
  return (one.address() as AddressInfo).port;
}

test.before(async () => {
  base = `http://127.0.0.1:${await listening(server)}`;
});
test.before.each(() => {
  seen = [];
  answer = (response) => response.end();
});
test.after(() => {
  server.close();
  server.closeAllConnections();
  certificates.end();
  rmSync(folder, { recursive: true, force: true });
});

const ALERT: Alert = { ...USUAL, ...{ message: 'Pool web is down: größer.' } };
const NOW = Date.UTC(2026, 0, 1, 12);

function post(more: object = {}, signal = forever): Promise<Outcome> {
  const written = { type: 'webhook', url: `${base}/hook?a=b`, timeout: '2s', ...more };
  return makeTransport(settings(written), { version: '1.2.3', now: () => NOW }).send(
    [ALERT],
    signal,
  );
}

test('the alert is JSON, and who has the secret can tell that it is whole, of whom and of when', async () => {
  const outcome = await post({ 'secret-file': secretFile });
  assert.equal(outcome, { result: 'delivered', said: 'it answered 200', trouble: null });
  const [one] = seen;
  assert.equal([one?.method, one?.url], ['POST', '/hook?a=b']);
  assert.match(one?.headers['content-type'] ?? '', /^application\/json/);
  assert.is(one?.headers['weir-alert-id'], 'a-1');
  assert.is(one?.headers['user-agent'], 'weir/1.2.3');
  const body = one?.body ?? '';
  assert.equal(JSON.parse(body), { ...ALERT, time: '2026-01-01T00:00:00.000Z' });
  const [, time, mac] =
    /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(one?.headers['weir-signature'])) ?? [];
  assert.is(Number(time), NOW / 1000);
  const expected = createHmac('sha256', SECRET).update(`${time}.a-1.`).update(body).digest('hex');
  assert.is(mac, expected);
});

test('without a secret there is no signature', async () => {
  assert.is((await post()).result, 'delivered');
  assert.is(seen[0]?.headers['weir-signature'], undefined);
});

for (const [status, headers, expected] of [
  [204, {}, { result: 'delivered', said: 'it answered 204', trouble: null }],
  [500, {}, { result: 'failed', said: 'it answered 500: why', after: 0 }],
  [503, { 'retry-after': '7' }, { result: 'failed', said: 'it answered 503: why', after: 7000 }],
  [429, { 'retry-after': '30' }, { result: 'failed', said: 'it answered 429: why', after: 30_000 }],
  [
    429,
    { 'retry-after': 'Thu, 01 Jan 2026 12:01:00 GMT' },
    { result: 'failed', said: 'it answered 429: why', after: 60_000 },
  ],
  [
    429,
    { 'retry-after': '999999999' },
    { result: 'failed', said: 'it answered 429: why', after: 3_600_000 },
  ],
  [429, { 'retry-after': 'soon' }, { result: 'failed', said: 'it answered 429: why', after: 0 }],
  [408, {}, { result: 'failed', said: 'it answered 408: why', after: 0 }],
  [400, {}, { result: 'refused', said: 'it answered 400: why' }],
  [404, {}, { result: 'refused', said: 'it answered 404: why' }],
  [410, {}, { result: 'refused', said: 'it answered 410: why' }],
] as const) {
  test(`an answer of ${status} with ${JSON.stringify(headers)} is ${expected.result}`, async () => {
    answer = (response) => {
      response.writeHead(status, headers);
      response.end(status === 204 ? undefined : 'why\nand a lot more');
    };
    assert.equal(await post(), expected);
  });
}

test('redirects are not followed', async () => {
  answer = (response) => {
    response.writeHead(307, { location: `${base}/elsewhere` });
    response.end();
  };
  const outcome = await post();
  assert.is(outcome.result, 'refused');
  assert.match(outcome.said, /redirects are not followed/);
  assert.is(seen.length, 1);
});

test('what the server says is fit for a terminal, and is not read for ever', async () => {
  answer = (response) => {
    response.writeHead(500);
    const more = (): void => {
      if (!response.destroyed)
        response.write('\u001b[31mred'.repeat(500), () => setImmediate(more));
    };
    response.on('error', () => undefined);
    more();
  };
  const outcome = await post();
  assert.match(outcome.said, /^it answered 500: \?\[31mred/);
  assert.ok(outcome.said.length <= 300);
});

test('a server that hangs has its time, before the answer and within it', async () => {
  for (const begin of [false, true]) {
    answer = (response) => {
      if (begin) response.writeHead(500).write('half a li');
    };
    assert.equal(await post({ timeout: '1s' }), {
      ...{ result: 'failed', said: 'no answer within 1 s', after: 0 },
    });
  }
  const ending = new AbortController();
  answer = () => ending.abort();
  assert.match((await post({}, ending.signal)).said, /given up/);
});

test('nobody there, and a connection that breaks off, are failures', async () => {
  answer = (response) => response.socket?.destroy();
  assert.is((await post()).result, 'failed');
  const gone = createServer();
  const port = await listening(gone);
  await new Promise<void>((resolve) => gone.close(() => resolve()));
  const outcome = await post({ url: `http://127.0.0.1:${port}/` });
  assert.is(outcome.result, 'failed');
  assert.match(outcome.said, /ECONNREFUSED/);
});

test('secrets that cannot be used stop a delivery, and are not in what is said', async () => {
  const bad = join(folder, 'bad');
  for (const [content, mode, expected] of [
    ['hunter2', 0o600, /has fewer than 16 characters/],
    ['', 0o600, /is empty/],
    ['-----BEGIN\nhunter2-----END', 0o600, /is not one line of at most 256 printable/],
    ['hunter2'.repeat(100), 0o600, /is not one line of at most 256 printable/],
    ['x'.repeat(5000), 0o600, /is longer than 4096 bytes/],
    ['hunter2 hunter2 hunter2', 0o644, /can be changed or read by others than root/],
  ] as const) {
    writeFileSync(bad, content);
    chmodSync(bad, mode);
    const outcome = await post({ 'secret-file': bad });
    assert.is(outcome.result, 'failed');
    assert.match(outcome.said, expected);
    assert.ok(outcome.said.startsWith(`secret-file ${bad} `));
    assert.not.match(outcome.said, /hunter2/);
  }
  assert.match((await post({ 'secret-file': '/nowhere' })).said, /cannot be read: ENOENT/);
  assert.match((await post({ 'secret-file': folder })).said, /is no file/);
  assert.equal(seen, []);
});

test('https asks for a certificate of the authority that is declared', async () => {
  const { key, cert, certFile } = certificates.make('127.0.0.1');
  const secure = createHttpsServer({ key, cert }, (_request, response) => response.end());
  try {
    const url = `https://127.0.0.1:${await listening(secure)}/`;
    assert.is((await post({ url, 'ca-file': certFile })).result, 'delivered');
    assert.match((await post({ url })).said, /self-signed|self signed/);
  } finally {
    secure.close();
    secure.closeAllConnections();
  }
});

test.run();

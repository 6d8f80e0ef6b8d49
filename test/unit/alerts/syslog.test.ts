/** Alerts to collectors of syslog, over each transport: what arrives, octet by octet. */
import { createSocket } from 'node:dgram';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Alert } from '../../../appliance/alerts/alert.js';
import { syslogMessage } from '../../../appliance/alerts/syslog-message.js';
import type { Outcome, Transport } from '../../../appliance/alerts/transport.js';
import { makeTransport } from '../../../appliance/alerts/transports.js';
import { ALERT as USUAL, settings } from '../../support/alert-scene.js';
import { Certificates } from '../../support/certificates.js';

const test = suite('alerts by syslog');
const forever = new AbortController().signal;
const certificates = new Certificates();
const { key, cert, certFile } = certificates.make('127.0.0.1');
const sockets = new Set<Socket>();
const servers = new Set<Server>();

test.after(() => {
  certificates.end();
  for (const socket of sockets) socket.destroy();
  for (const server of servers) server.close();
});

const ALERT: Alert = { ...USUAL, ...{ unit: 'weir a', object: 'web"]\\' } };
const HEAD = { facility: 'local3', appName: 'lb', processId: 7, version: '1.2.3' } as const;
const data =
  '[weir@32473 id="a-1" kind="pool-down" object="web\\"\\]\\\\" severity="error" state="raised" count="2"]' +
  '[origin software="weir" swVersion="1.2.3"]';

for (const [name, change, expected] of [
  [
    'an error',
    {},
    `<155>1 2026-01-01T00:00:00.000Z weir_a lb 7 pool-down ${data} Pool web is down.`,
  ],
  ['a warning', { severity: 'warning' }, /^<156>1 /],
  ['information', { severity: 'info' }, /^<158>1 /],
  ['the end of an alarm', { state: 'cleared' }, /^<157>1 /],
  ['text that is not ASCII', { message: 'zu groß' }, /\] \ufeffzu groß$/],
  ['a unit without a name', { unit: '' }, /^<155>1 \S+ - lb /],
] as const) {
  test(`${name} has its priority and its text`, () => {
    const seen = syslogMessage({ ...ALERT, ...change }, HEAD).toString('utf8');
    if (typeof expected === 'string') assert.is(seen, expected);
    else assert.match(seen, expected);
  });
}

test('a long message is cut at the end of a character', () => {
  for (const pad of ['', 'x', 'xx']) {
    const seen = syslogMessage({ ...ALERT, message: pad + '€'.repeat(1000) }, HEAD);
    assert.ok(seen.length <= 2048 && seen.length > 2044, `seen ${seen.length}`);
    assert.is(seen.toString('utf8').includes('\ufffd'), false);
  }
});

function collector(more: object): Transport {
  return makeTransport(settings({ type: 'syslog', server: '127.0.0.1', timeout: '2s', ...more }), {
    version: '1.2.3',
    now: Date.now,
  });
}

async function listening(server: Server): Promise<number> {
  servers.add(server);
  server.on('connection', (socket: Socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

/** Everything that one connection brings, once it has ended. */
function whole(server: Server, event: 'connection' | 'secureConnection'): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once(event, (socket: Socket) => {
      let text = '';
      socket.setEncoding('utf8');
      socket.on('data', (piece: string) => (text += piece));
      socket.on('end', () => resolve(text));
      socket.on('error', reject);
    });
  });
}

/** The messages of RFC 6587 octet counting. */
function uncounted(text: string): string[] {
  const found: string[] = [];
  let rest = Buffer.from(text, 'utf8');
  while (rest.length > 0) {
    const space = rest.indexOf(' ');
    const length = Number(rest.subarray(0, space).toString());
    assert.ok(length > 0, `expected a count, seen ${rest.toString()}`);
    found.push(rest.subarray(space + 1, space + 1 + length).toString());
    rest = rest.subarray(space + 1 + length);
  }
  return found;
}

const both = [ALERT, { ...ALERT, message: 'größer' }];

test('by datagrams, one for each alert', async () => {
  const socket = createSocket('udp4');
  try {
    await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
    const seen: string[] = [];
    const two = new Promise<void>((resolve) => {
      socket.on('message', (bytes) => {
        if (seen.push(bytes.toString()) === 2) resolve();
      });
    });
    const { port } = socket.address();
    const outcome = await collector({ port }).send(both, forever);
    assert.is(outcome.result, 'delivered');
    await two;
    assert.match(seen[0] ?? '', /^<27>1 .* Pool web is down\.$/);
    assert.match(seen[1] ?? '', / \ufeffgrößer$/);
  } finally {
    socket.close();
  }
});

test('that no process has the port of a datagram is a failure', async () => {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(() => resolve()));
  failedBy(await collector({ port }).send([ALERT], forever), /ECONNREFUSED/);
});

test('over tcp with octet counting', async () => {
  const server = createServer();
  const port = await listening(server);
  const text = whole(server, 'connection');
  const outcome = await collector({ port, transport: 'tcp' }).send(both, forever);
  assert.is(outcome.result, 'delivered');
  assert.equal(
    uncounted(await text).map((one) => one.slice(one.lastIndexOf('] ') + 2)),
    ['Pool web is down.', '\ufeffgrößer'],
  );
});

test('over tls, to a collector whose authority is known', async () => {
  const server = createTlsServer({ key, cert });
  const port = await listening(server);
  const text = whole(server, 'secureConnection');
  const tls = { port, transport: 'tls' };
  const outcome = await collector({ ...tls, 'ca-file': certFile }).send([ALERT], forever);
  assert.is(outcome.result, 'delivered');
  assert.match(uncounted(await text)[0] ?? '', /^<27>1 /);
  server.on('tlsClientError', () => {
    // It is what the next line asks for.
  });
  failedBy(await collector(tls).send([ALERT], forever), /self-signed|self signed/);
});

test('files of authorities that cannot be used are said', async () => {
  const empty = join(certificates.folder, 'empty.pem');
  writeFileSync(empty, '');
  for (const [path, expected] of [
    ['/nowhere/ca.pem', /^ca-file \/nowhere\/ca\.pem cannot be read: ENOENT/],
    [certificates.folder, /is no file$/],
    [empty, /has no certificate in PEM$/],
  ] as const) {
    const tls = { port: 1, transport: 'tls', 'ca-file': path };
    failedBy(await collector(tls).send([ALERT], forever), expected);
  }
});

test('a collector that resets, refuses or says nothing is a failure', async () => {
  const server = createServer((socket) => socket.resetAndDestroy());
  const port = await listening(server);
  failedBy(await collector({ port, transport: 'tcp' }).send([ALERT], forever), /ECONNRESET|EPIPE/);
  await new Promise<void>((resolve) => server.close(() => resolve()));
  failedBy(await collector({ port, transport: 'tcp' }).send([ALERT], forever), /ECONNREFUSED/);
  const silent = await listening(createServer());
  const began = performance.now();
  const tls = collector({ port: silent, transport: 'tls', timeout: '1s' });
  failedBy(await tls.send([ALERT], forever), /^no answer within 1 s$/);
  assert.ok(performance.now() - began < 4000);
  const aborted = AbortSignal.abort();
  failedBy(await tls.send([ALERT], aborted), /given up/);
});

function failedBy(outcome: Outcome, expected: RegExp): void {
  assert.is(outcome.result, 'failed');
  assert.match(outcome.said, expected);
}

test.run();

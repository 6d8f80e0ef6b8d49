/**
 * HTTP/1 through the whole unit, seen from outside (RFC 9110, RFC 9112): old clients and quick ones,
 * bodies in chunks, nginx and Node as members, WebSockets (RFC 6455), the PROXY protocol both ways.
 */
import { once } from 'node:events';
import { createHash } from 'node:crypto';
import { request, type IncomingMessage } from 'node:http';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { WebSocket, type RawData } from 'ws';
import { needs } from '../support/needs.js';
import type { Echo } from './http-member-process.js';
import { nginxMember } from './nginx-member.js';
import { listenAt, loud, membersOf, ProxyLab, service4 } from './proxy-lab.js';
import { RawClient } from './raw-client.js';
import { addressOf } from './topology.js';

const test = suite('HTTP/1 through the unit');
const lab = needs.lab(test);
const peers = needs['http-peers'](test);
const client = addressOf('client', 4, 'outside');
const unit = addressOf('unit-a', 4);
const web = `http://${service4}`;
let stage: ProxyLab;

test.before(
  loud(async () => {
    stage = await ProxyLab.open(['member-1']);
    const nginx = (port: number, more: object = {}): object => ({
      members: membersOf(['member-2'], {}, port),
      ...more,
    });
    const proxied = { 'proxy-protocol': 'accept' };
    await stage.apply({
      pools: {
        node: { members: membersOf(['member-1']) },
        nginx: nginx(8090),
        'nginx-v1': nginx(8091, { 'proxy-protocol': 'v1' }),
        'nginx-v2': nginx(8091, { 'proxy-protocol': 'v2' }),
        gone: { members: membersOf(['member-3'], {}, 9) },
      },
      services: {
        node: { listen: listenAt(80), pool: 'node', limits: { 'request-body': '2MiB' } },
        nginx: { listen: listenAt(81), pool: 'nginx' },
        v1: { listen: listenAt(82), pool: 'nginx-v1' },
        v2: { listen: listenAt(83), pool: 'nginx-v2' },
        accepts: { listen: listenAt(84, 'http', proxied), pool: 'node' },
        passes: { listen: listenAt(85, 'http', proxied), pool: 'nginx-v2' },
        gone: { listen: listenAt(86), pool: 'gone', timeouts: { 'request-head': '1s' } },
      },
    });
  }),
);

test.after(() => stage.close());

/** The bodies of answers, of those that end with `}`. */
function echoIn(answer: string): Echo {
  return JSON.parse(answer.slice(answer.indexOf('{'))) as Echo;
}

lab('HTTP/1.0 gets an answer that it can read, and its connection closed', async () => {
  const answer = await RawClient.ask(80, service4, 'GET /chunked/70000 HTTP/1.0\r\n\r\n');
  assert.match(answer, /^HTTP\/1\.[01] 200 /);
  const [head = '', ...body] = answer.split('\r\n\r\n');
  assert.not.match(head, /transfer-encoding/i);
  assert.is(body.join('\r\n\r\n').length, 70_000);
  const { version } = JSON.parse(await stage.curl('-0', `${web}/echo`)) as Echo;
  assert.is(version, '1.1', 'expected the member to be spoken to by HTTP/1.1');
});

lab('HTTP/1.0 with keep-alive keeps its connection', async () => {
  const raw = await RawClient.connect(80, service4);
  try {
    raw.write('GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
    const first = await raw.until(/member-1\n$/);
    assert.match(first, /\r\nconnection: keep-alive\r\n/i);
    raw.write('GET /b HTTP/1.0\r\n\r\n');
    assert.match(await raw.end(), /member-1\n[^]*member-1\n$/);
  } finally {
    raw.close();
  }
});

lab('HEAD, 204 and 304 have no body, and the connection goes on', async () => {
  const raw = await RawClient.connect(80, service4);
  try {
    raw.write('HEAD /pattern/500 HTTP/1.1\r\nHost: a\r\n\r\n');
    raw.write('GET /status/204 HTTP/1.1\r\nHost: a\r\n\r\n');
    raw.write('GET /status/304 HTTP/1.1\r\nHost: a\r\n\r\n');
    raw.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    const answers = (await raw.end()).split(/(?=HTTP\/1\.1 )/);
    assert.equal(
      answers.map((one) => one.slice(9, 12)),
      ['200', '204', '304', '200'],
    );
    assert.match(answers[0] ?? '', /\r\ncontent-length: 500\r\n/i);
    assert.match(answers[0] ?? '', /^[^]*?\r\n\r\n$/);
    assert.match(answers[3] ?? '', /\r\n\r\nmember-1\n$/);
  } finally {
    raw.close();
  }
});

lab('pipelined requests are answered in their order', async () => {
  const paths = Array.from({ length: 100 }, (_, i) => `/echo?n=${i}`);
  const asked = paths.map((path, i) =>
    i % 3 === 0
      ? `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello`
      : `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`,
  );
  asked.push('GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  const answer = await RawClient.ask(80, service4, asked.join(''));
  const seen = [...answer.matchAll(/"url":"([^"]*)"/g)].map((match) => match[1]);
  assert.equal(seen, paths);
});

lab('bodies in chunks go up, with their trailer fields, and one byte at a time', async () => {
  const raw = await RawClient.connect(80, service4);
  try {
    const head =
      'POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\nTE: trailers\r\nConnection: close, TE\r\n\r\n';
    const body = '5\r\nhello\r\n7;note=b\r\n, world\r\n0\r\nX-Sum: 12\r\n\r\n';
    for (const octet of head + body) {
      if (!raw.socket.write(octet, 'latin1')) await once(raw.socket, 'drain');
      await new Promise((resolve) => setImmediate(resolve));
    }
    const echo = echoIn(
      (await raw.end()).replace(/\r\n[0-9a-f]+\r\n/g, '').replace(/\}[^}]*$/, '}'),
    );
    assert.is(echo.bytes, 12);
    assert.is(echo.sha256, createHash('sha256').update('hello, world').digest('hex'));
    assert.is(echo.trailers['x-sum'], '12');
  } finally {
    raw.close();
  }
});

lab('answers in chunks come down, with their trailer fields', async () => {
  const asked = request(`${web}/chunked/300000`, { headers: { te: 'trailers' }, agent: false });
  asked.end();
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  let bytes = 0;
  for await (const piece of response) bytes += (piece as Buffer).length;
  assert.is(response.headers['transfer-encoding'], 'chunked');
  assert.is(bytes, 300_000);
  assert.is(response.trailers['x-bytes'], '300000');
});

lab('a client that expects 100 gets it from who takes the body, or a refusal instead', async () => {
  const file = stage.file('body', 'x'.repeat(1 << 20));
  const said = await stage.run(
    ...(['curl', '-sv', '-H', 'Expect: 100-continue', '-T', file, `${web}/echo`] as const),
  );
  assert.match(said.stderr, /< HTTP\/1\.1 100 Continue/);
  assert.is((JSON.parse(said.stdout) as Echo).bytes, 1 << 20);
  const big = stage.file('big', 'x'.repeat(3 << 20));
  const refused = await stage.run(
    ...(['curl', '-sv', '-H', 'Expect: 100-continue', '-T', big, `${web}/echo`] as const),
  );
  assert.match(refused.stderr, /< HTTP\/1\.1 413 /);
  assert.not.match(refused.stderr, /100 Continue/);
});

lab('what is no HTTP is refused with the right status', async () => {
  const asked: readonly [string, number][] = [
    ['GET / HTTP/1.1\r\n\r\n', 400],
    ['GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400],
    [
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
    ],
    ['POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: br, chunked\r\n\r\n0\r\n\r\n', 501],
    [`GET /${'a'.repeat(20_000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 414],
    [`GET / HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(20_000)}\r\n\r\n`, 431],
    ['GET / HTTP/2.0\r\nHost: a\r\n\r\n', 505],
  ];
  for (const [text, status] of asked) {
    const answer = await RawClient.ask(80, service4, text);
    assert.is(answer.slice(9, 12), String(status), text.slice(0, 120));
  }
});

lab('a client that never ends its head is let go with 408', async () => {
  assert.match(
    await RawClient.ask(86, service4, 'GET / HTTP/1.1\r\nHost: a\r\nX: '),
    /^HTTP\/1\.1 408 /,
  );
});

lab('a pool that cannot be reached is a 502 or 503 at once', async () => {
  const answer = await stage.curl('-D', '-', `${web}:86/`);
  assert.match(answer, /^HTTP\/1\.1 50[23] /);
});

peers('nginx serves files, ranges and conditional requests', async () => {
  const nginx = await nginxMember(stage, 'member-2');
  const url = `${web}:81/file`;
  assert.is(await stage.curl(url), nginx.content);
  assert.is(await stage.curl('-r', '100-199', url), nginx.content.slice(100, 200));
  const tag = /\r\netag: ([^\r]+)/i.exec(await stage.curl('-I', url))?.[1] ?? '';
  const again = await stage.curl('-D', '-', '-H', `If-None-Match: ${tag}`, url);
  assert.match(again, /^HTTP\/1\.1 304 [^]*\r\n\r\n$/);
  assert.match(await stage.curl('-D', '-', `${web}:81/none`), /^HTTP\/1\.1 404 /);
});

peers('nginx hears of the client by PROXY, of either version', async () => {
  await nginxMember(stage, 'member-2');
  for (const port of [82, 83]) {
    const [address = '', from] = (
      await stage.curl('--local-port', '40000-41000', `${web}:${port}/who`)
    )
      .trim()
      .split(' ');
    assert.is(address, client);
    assert.ok(Number(from) >= 40_000 && Number(from) <= 41_000, `expected its port, seen ${from}`);
  }
});

lab('a client speaks for another one by PROXY, in either version', async () => {
  const get = 'GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
  const v1 = `PROXY TCP4 192.0.2.7 192.0.2.8 1234 80\r\n${get}`;
  assert.is(echoIn(await RawClient.ask(84, service4, v1)).headers['x-forwarded-for'], '192.0.2.7');
  const v2 = Buffer.concat([
    Buffer.from('0d0a0d0a000d0a515549540a2111000cc0000209c00002080bb80050', 'hex'),
    Buffer.from(get),
  ]).toString('latin1');
  assert.is(echoIn(await RawClient.ask(84, service4, v2)).headers['x-forwarded-for'], '192.0.2.9');
  const six = `PROXY TCP6 2001:db8::7 2001:db8::8 1234 80\r\n${get}`;
  assert.is(
    echoIn(await RawClient.ask(84, service4, six)).headers['x-forwarded-for'],
    '2001:db8::7',
  );
  const without = await RawClient.ask(84, service4, get);
  assert.not.match(without, /^HTTP\/1\.1 200/);
});

peers('what a PROXY header said is told to the member in another one', async () => {
  await nginxMember(stage, 'member-2');
  const answer = await stage.curl('--haproxy-protocol', `${web}:85/who`);
  assert.is(answer.split(' ')[0], client);
});

lab('the member is spoken to from the unit', async () => {
  const { peer } = JSON.parse(await stage.curl(`${web}/echo`)) as Echo;
  assert.is(peer, `::ffff:${unit}`);
});

lab('WebSockets carry text, bytes and a megabyte both ways, and close in order', async () => {
  const socket = new WebSocket(`ws://${service4}/ws`);
  await once(socket, 'open');
  const bytes = Buffer.alloc(1 << 20, 'a block that comes back. ');
  for (const message of ['hello', Buffer.from([0, 255, 13, 10]), bytes, '']) {
    const back = once(socket, 'message') as Promise<[RawData, boolean]>;
    socket.send(message);
    const [data, binary] = await back;
    assert.is(binary, typeof message !== 'string');
    assert.ok(Buffer.from(message as string).equals(data as Buffer), 'expected the same back');
  }
  const pong = once(socket, 'pong');
  socket.ping('still there');
  await pong;
  socket.close(4000, 'done');
  const [code, reason] = (await once(socket, 'close')) as [number, Buffer];
  assert.is(`${code} ${reason.toString()}`, '4000 done');
});

test.run();

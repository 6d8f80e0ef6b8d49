/** Answers that the engine codes, between real clients and real members. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, get, type IncomingMessage, type RequestListener } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createGunzip, gunzipSync } from 'node:zlib';
import { fetch } from 'undici';
import { availableCodings } from '../../../../appliance/l7/compress/codecs.js';
import { CompressionPlan } from '../../../../appliance/l7/compress/plan.js';
import { EngineDriver } from '../../../support/http-engine.js';
import { usualRules } from '../../../support/http1-coded.js';
import { needs } from '../../../support/needs.js';

const test = suite('answers that are coded');
const uring = needs.uring(test);

const page = Buffer.from('<p>a line of text that shrinks</p>\n'.repeat(60_000));

/** `/5000` answers with so many bytes, `/chunked/5000` without a length. */
const pages: RequestListener = (request, response) => {
  const [, size = '0'] = /(\d+)$/.exec(request.url ?? '') ?? [];
  response.setHeader('Content-Type', 'text/html');
  response.setHeader('ETag', '"1"');
  if (request.url?.startsWith('/chunked') === true) response.flushHeaders();
  else response.setHeader('Content-Length', size);
  response.end(page.subarray(0, Number(size)));
};

async function withUnit(
  member: RequestListener,
  work: (unit: EngineDriver) => Promise<void>,
): Promise<void> {
  const server = createServer(member);
  let unit: EngineDriver | null = null;
  try {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    unit = new EngineDriver({
      ports: [port],
      compression: new CompressionPlan(usualRules, availableCodings()),
    });
    await work(unit);
    const { compressors } = unit.engine.core;
    while (compressors.open > 0) await new Promise((resolve) => setImmediate(resolve));
  } finally {
    try {
      unit?.end();
    } finally {
      server.closeAllConnections();
      server.close();
    }
  }
}

const gzip = { 'accept-encoding': 'gzip' };

uring(
  'bodies of any size and framing come out whole, on one connection to the member',
  async () => {
    await withUnit(pages, async (unit) => {
      for (const accept of ['gzip', 'br', 'identity']) {
        for (const path of [
          '/500',
          '/5000',
          '/8192',
          '/8193',
          '/2000000',
          '/chunked/100',
          '/chunked/900000',
        ]) {
          const answer = await fetch(`http://127.0.0.1:${unit.port}${path}`, {
            headers: { 'accept-encoding': accept },
          });
          const size = Number(/\d+$/.exec(path)?.[0]);
          const body = Buffer.from(await answer.arrayBuffer());
          assert.ok(body.equals(page.subarray(0, size)), `${accept} ${path}: ${body.length} bytes`);
          const small = path === '/500';
          const expected = small || accept === 'identity' ? null : accept;
          assert.is(answer.headers.get('content-encoding'), expected, path);
          assert.is(answer.headers.get('vary'), small ? null : 'Accept-Encoding', path);
          assert.is(answer.headers.get('etag'), expected === null ? '"1"' : 'W/"1"', path);
        }
      }
      assert.is(unit.connects, 1);
      assert.ok(unit.ended.every(({ reason }) => reason === 'complete'));
    });
  },
);

uring('small bodies have a length, and HEAD has the head of GET', async () => {
  await withUnit(pages, async (unit) => {
    const url = `http://127.0.0.1:${unit.port}/5000`;
    // On the second one the member's answer comes on a connection that is used again.
    for (let i = 0; i < 2; i += 1) {
      const answer = await fetch(url, { headers: gzip });
      assert.ok((await answer.text()).length === 5000);
      // Where the member's head and body come in two pieces, it goes in chunks.
      const length = answer.headers.get('content-length');
      assert.ok(length === null || Number(length) < 500, `length ${length ?? ''}`);
    }
    const head = await fetch(url, { headers: gzip, method: 'HEAD' });
    assert.is(head.headers.get('content-encoding'), 'gzip');
    assert.is(head.headers.get('content-length'), null);
  });
});

uring('requests that were sent ahead are answered in order', async () => {
  await withUnit(pages, async (unit) => {
    const socket = connect({ port: unit.port, host: '127.0.0.1' });
    const ask = (path: string, more = ''): string =>
      `GET ${path} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n${more}\r\n`;
    socket.write(ask('/100000') + ask('/5000') + ask('/500', 'Connection: close\r\n'));
    const parts: Buffer[] = [];
    for await (const part of socket) parts.push(part as Buffer);
    const text = Buffer.concat(parts).toString('latin1');
    const lines = [...text.matchAll(/^(transfer-encoding: chunked|content-length: \d+)/gim)];
    assert.is(lines.length, 3);
    assert.match(lines[0]?.[0] ?? '', /chunked/i);
    assert.match(lines[2]?.[0] ?? '', /500$/);
  });
});

uring('HTTP/1.0 gets it until the end of the connection', async () => {
  await withUnit(pages, async (unit) => {
    const socket = connect({ port: unit.port, host: '127.0.0.1' });
    socket.write('GET /100000 HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n');
    const parts: Buffer[] = [];
    for await (const part of socket) parts.push(part as Buffer);
    const all = Buffer.concat(parts);
    const at = all.indexOf('\r\n\r\n') + 4;
    assert.ok(gunzipSync(all.subarray(at)).equals(page.subarray(0, 100_000)));
  });
});

uring('events reach the client as they come', async () => {
  let events: Parameters<RequestListener>[1] | null = null;
  const member: RequestListener = (_request, response) => {
    response.setHeader('Content-Type', 'text/event-stream');
    response.write('data: 0\n\n');
    events = response;
  };
  await withUnit(member, async (unit) => {
    const sent = get({ port: unit.port, host: '127.0.0.1', headers: gzip, agent: false });
    const [answer] = (await once(sent, 'response')) as [IncomingMessage];
    const plain = answer.pipe(createGunzip());
    let seen = '';
    let count = 1;
    for await (const part of plain) {
      seen += String(part);
      if (!seen.endsWith(`data: ${count - 1}\n\n`)) continue;
      if (count === 5) events?.end();
      else events?.write(`data: ${count}\n\n`);
      count += 1;
    }
    assert.is(seen, 'data: 0\n\ndata: 1\n\ndata: 2\n\ndata: 3\n\ndata: 4\n\n');
  });
});

uring(
  'a client that does not read holds the member back, and gets everything in the end',
  async () => {
    // What does not shrink, so that as much waits as was sent.
    const noise = randomBytes(1 << 20);
    let taken = 0;
    const total = 32;
    const member: RequestListener = (_request, response) => {
      response.setHeader('Content-Type', 'text/plain');
      const more = (): void => {
        while (taken < total) {
          taken += 1;
          if (!response.write(noise)) {
            response.once('drain', more);
            return;
          }
        }
        response.end();
      };
      more();
    };
    await withUnit(member, async (unit) => {
      const sent = get({ port: unit.port, host: '127.0.0.1', headers: gzip, agent: false });
      const [answer] = (await once(sent, 'response')) as [IncomingMessage];
      answer.pause();
      let last = -1;
      while (taken !== last) {
        last = taken;
        await new Promise((resolve) => setTimeout(resolve, 300));
      }
      assert.ok(
        taken < total / 2,
        `${taken} MiB of ${total} taken for a client that reads nothing`,
      );
      let bytes = 0;
      for await (const part of answer.pipe(createGunzip())) bytes += (part as Buffer).length;
      assert.is(bytes, total << 20);
    });
  },
);

uring('clients that go in the middle leave nothing', async () => {
  await withUnit(pages, async (unit) => {
    const sockets: Socket[] = [];
    for (let i = 0; i < 60; i += 1) {
      const socket = connect({ port: unit.port, host: '127.0.0.1' });
      socket.on('error', () => {
        // Its reset is what is tested.
      });
      socket.write('GET /2000000 HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n');
      // Some before the answer, some after its first bytes.
      if (i % 2 === 0) socket.once('data', () => socket.resetAndDestroy());
      else setTimeout(() => socket.destroy(), i % 7);
      sockets.push(socket);
    }
    await Promise.all(sockets.map((socket) => once(socket, 'close')));
    await unit.driver.settled(() => unit.open === 0 && unit.engine.core.exchanges === 0);
  });
});

uring('a member that dies in the middle does not make a coded answer look whole', async () => {
  const member: RequestListener = (_request, response) => {
    response.setHeader('Content-Type', 'text/html');
    response.write(page.subarray(0, 300_000), () => response.socket?.destroy());
  };
  await withUnit(member, async (unit) => {
    const answer = await fetch(`http://127.0.0.1:${unit.port}/`, { headers: gzip }).catch(
      () => null,
    );
    const whole = await answer?.arrayBuffer().then(
      () => true,
      () => false,
    );
    assert.is.not(whole, true);
    assert.equal(
      unit.ended.map(({ reason }) => reason),
      ['member-cut'],
    );
  });
});

test.run();

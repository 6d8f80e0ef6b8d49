/** PROXY protocol around streams: from the proxy in front, and to the member. */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Writer } from '../../../../appliance/l7/http1/writer.js';
import {
  ProxyHeader,
  writeAddress,
  writeProxyBinary,
} from '../../../../appliance/l7/http1/proxy-protocol.js';
import { Child } from '../../../support/child.js';
import { helloOf, recordsOf } from '../../../support/client-hello.js';
import { needs } from '../../../support/needs.js';
import { withStreams } from '../../../support/stream-stage.js';
import { endOf, readAll } from '../../../support/tcp-peers.js';

const test = suite('PROXY protocol of streams');
const uring = needs.uring(test);
const peers = needs['http-peers'](test);

/** Says to its client all that it got. */
const mirror = (socket: Socket): void => {
  void readAll(socket).then((bytes) => socket.end(bytes));
};

const accept = { proxyProtocol: 'accept' } as const;

function binary(source: string, port: number, destination: string): Buffer {
  const family = source.includes(':') ? 6 : 4;
  const ends = {
    family,
    source: new Uint8Array(16),
    destination: new Uint8Array(16),
    sourcePort: port,
    destinationPort: 443,
  } as const;
  writeAddress(ends.source, source);
  writeAddress(ends.destination, destination);
  const out = new Uint8Array(256);
  const writer = new Writer();
  writer.reset(out, 0, out.length);
  // With a TLV of a type that nobody knows.
  writeProxyBinary(writer, ends, Uint8Array.of(0xe0, 0, 2, 7, 7));
  return Buffer.from(out.subarray(0, writer.end));
}

uring('the client is who the header says, in both versions', async () => {
  await withStreams([mirror], { service: accept }, async ({ unit, client }) => {
    const cases: readonly (readonly [Buffer, string])[] = [
      [Buffer.from('PROXY TCP4 192.0.2.7 198.51.100.1 40000 443\r\n'), '192.0.2.7 40000'],
      [Buffer.from('PROXY TCP6 2001:db8::7 2001:db8::1 40001 443\r\n'), '2001:db8::7 40001'],
      [binary('192.0.2.8', 40_002, '198.51.100.1'), '192.0.2.8 40002'],
      [binary('2001:db8::8', 40_003, '2001:db8::1'), '2001:db8::8 40003'],
    ];
    for (const [index, [header, address]] of cases.entries()) {
      const socket = client();
      socket.end(Buffer.concat([header, Buffer.from('payload')]));
      assert.is(String(await readAll(socket)), 'payload', address);
      await unit.over(index + 1);
      assert.is(unit.ended.at(-1)?.client, address);
      assert.is(unit.ended.at(-1)?.fromClient, 7, 'the header is not counted');
    }
  });
});

uring('a header that says nothing of the client leaves it as it is', async () => {
  await withStreams([mirror], { service: accept }, async ({ unit, client }) => {
    const local = Buffer.from('0d0a0d0a000d0a515549540a20000000', 'hex');
    for (const [index, header] of [Buffer.from('PROXY UNKNOWN\r\n'), local].entries()) {
      const socket = client();
      await once(socket, 'connect');
      const address = `127.0.0.1 ${socket.localPort ?? 0}`;
      socket.end(Buffer.concat([header, Buffer.from('x')]));
      assert.is(String(await readAll(socket)), 'x');
      await unit.over(index + 1);
      assert.is(unit.ended.at(-1)?.client, address);
    }
  });
});

uring('a header and a hello in single bytes are read, and only the hello goes on', async () => {
  const service = { ...accept, protocol: 'tls' } as const;
  await withStreams([mirror], { service }, async ({ unit, client }) => {
    const hello = recordsOf(helloOf(), 50);
    const socket = client();
    await once(socket, 'connect');
    for (const byte of Buffer.concat([binary('192.0.2.8', 40_002, '198.51.100.1'), hello])) {
      socket.write(Buffer.of(byte));
      await new Promise(setImmediate);
    }
    socket.end();
    assert.ok((await readAll(socket)).equals(hello));
    await unit.over(1);
    assert.is(unit.ended[0]?.client, '192.0.2.8 40002');
    assert.is(unit.ended[0]?.name, 'shop.example');
  });
});

uring('without a header, or with a wrong or endless one, nobody is served', async () => {
  let reached = 0;
  const member = (): void => {
    reached += 1;
  };
  const options = { service: accept, timeouts: { head: 100 } };
  await withStreams([member], options, async ({ unit, client }) => {
    const wrong = [
      'GET / HTTP/1.1\r\n\r\n',
      'PROXY TCP4 192.0.2.7 198.51.100.1 70000 443\r\n',
      'PROXY TCP4 192.0.2.700 198.51.100.1 1 443\r\n',
      `PROXY TCP6 ${'1'.repeat(200)}`,
      '\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c',
      '\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff',
    ];
    for (const [index, text] of wrong.entries()) {
      const socket = client();
      socket.write(Buffer.from(text, 'latin1'));
      assert.is(await endOf(socket), 'ECONNRESET', JSON.stringify(text));
      await unit.over(index + 1);
      assert.is(unit.ended.at(-1)?.reason, 'bad-proxy-header', JSON.stringify(text));
    }
    const slow = client();
    slow.write('PROXY TCP4 ');
    assert.is(await endOf(slow), 'ECONNRESET');
    await unit.over(wrong.length + 1);
    assert.is(unit.ended.at(-1)?.reason, 'too-slow');
    assert.is(reached, 0, 'connections that a member saw');
  });
});

for (const version of ['v1', 'v2'] as const) {
  uring(`a member gets a header of ${version} before all else`, async () => {
    for (const proxied of [false, true]) {
      const options = {
        pool: { proxyProtocol: version },
        service: {
          ...(proxied ? accept : {}),
          address: '127.0.0.1',
          port: 4321,
        },
      };
      await withStreams([mirror], options, async ({ unit, client }) => {
        const socket = client();
        await once(socket, 'connect');
        const port = socket.localPort ?? 0;
        if (proxied) socket.write(binary('2001:db8::8', 40_003, '2001:db8::1'));
        socket.end('payload');
        const got = await readAll(socket);
        const header = new ProxyHeader({ size: 2048, versions: version === 'v1' ? '1' : '2' });
        header.reset(0);
        header.parse(got, got.length);
        assert.is(header.fault, null);
        assert.is(String(got.subarray(header.end)), 'payload');
        assert.is(header.family, proxied ? 6 : 4);
        assert.is(header.sourcePort, proxied ? 40_003 : port);
        assert.is(header.destinationPort, proxied ? 443 : 4321);
        const source = Buffer.from(header.source).toString('hex');
        if (proxied) assert.is(source, '20010db8000000000000000000000008');
        else assert.match(source, /^7f000001/);
        await unit.over(1);
      });
    }
  });
}

peers('between two HAProxys the client is still known at the end', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-stream-'));
  const children: Child[] = [];
  try {
    const seen: string[] = [];
    const member = (socket: Socket): void => {
      void readAll(socket).then((bytes) => {
        seen.push(String(bytes));
        socket.end('answer');
      });
    };
    const pool = { proxyProtocol: 'v2' } as const;
    await withStreams([member], { service: accept }, async ({ unit, peers: others }) => {
      const [last] = unit.pool('main').members;
      const front = await others.deadPort();
      const behind = await others.deadPort();
      const file = join(folder, 'haproxy.cfg');
      writeFileSync(
        file,
        `defaults
  mode tcp
  timeout connect 5s
  timeout client 5s
  timeout server 5s
listen front
  bind 127.0.0.1:${front}
  server weir 127.0.0.1:${unit.port} send-proxy-v2
listen behind
  bind 127.0.0.1:${behind} accept-proxy
  server last 127.0.0.1:${last?.key ?? ''} send-proxy
`,
      );
      unit.serve({ pools: { main: [behind] }, service: accept, pool });
      const haproxy = new Child('haproxy', ['-db', '-V', '-f', file]);
      children.push(haproxy);
      const ask = async (): Promise<number> => {
        // It says nothing when it begins to listen; the first connection that is made is the question.
        for (let tries = 0; tries < 400; tries += 1) {
          const socket = others.client(front);
          const made = await Promise.race([
            once(socket, 'connect').then(() => true),
            once(socket, 'close').then(() => false),
          ]).catch(() => false);
          if (!made) {
            await delay(25);
            continue;
          }
          const { localPort = 0 } = socket;
          socket.end('question');
          assert.is(String(await readAll(socket)), 'answer');
          return localPort;
        }
        throw new Error(`HAProxy does not listen: ${haproxy.output}`);
      };
      const port = await ask();
      await unit.over(1);
      assert.is(unit.ended[0]?.client, `127.0.0.1 ${port}`);
      assert.is(seen[0], `PROXY TCP4 127.0.0.1 127.0.0.1 ${port} ${front}\r\nquestion`);
    });
  } finally {
    for (const child of children) await child.end();
    rmSync(folder, { recursive: true, force: true });
  }
});

test.run();

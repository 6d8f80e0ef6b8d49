/** TLS is passed through by the name that the client asks for; what asks for nothing known is told so. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { connect as connectTls, createServer as createTls, type Server } from 'node:tls';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Certificates } from '../../../support/certificates.js';
import { Child } from '../../../support/child.js';
import { extensionOf, helloOf, recordsOf, serverName } from '../../../support/client-hello.js';
import { needs } from '../../../support/needs.js';
import { plainService } from '../../../support/stream-service.js';
import { withStreams } from '../../../support/stream-stage.js';
import { endOf, readAll } from '../../../support/tcp-peers.js';

const test = suite('TLS streams');
const uring = needs.uring(test);

const service = { protocol: 'tls' } as const;
const routes = [
  { hosts: ['one.example'], pool: 'one' },
  { hosts: ['two.example', '*.two.example'], pool: 'two' },
] as const;

/** Fatal, as a record of TLS 1.2. */
const alertOf = (description: number): string =>
  Buffer.of(21, 3, 3, 0, 2, 2, description).toString('hex');

const name = (text: string) => (socket: Socket) => {
  socket.once('data', () => socket.end(text));
};

/** Says to its client all that it got. */
const mirror = (socket: Socket): void => {
  void readAll(socket).then((bytes) => socket.end(bytes));
};

uring('openssl clients reach the openssl server of their name, end to end', async () => {
  const certificates = new Certificates();
  const children: Child[] = [];
  const start = (words: readonly string[]): Child => {
    const child = new Child('openssl', words);
    children.push(child);
    return child;
  };
  try {
    const ports: number[] = [];
    for (const host of ['one.example', 'two.example']) {
      const { keyFile, certFile } = certificates.make(host);
      const server = start(
        `s_server -accept 127.0.0.1:0 -key ${keyFile} -cert ${certFile} -rev`.split(' '),
      );
      ports.push(Number((await server.says(/ACCEPT .*:(\d+)/))[1]));
    }
    await withStreams([], {}, async ({ unit }) => {
      const [one = 0, two = 0] = ports;
      unit.serve({ pools: { one: [one], two: [two] }, routes, service });
      for (const host of ['one.example', 'two.example', 'deep.down.two.example']) {
        const client = start(
          `s_client -connect 127.0.0.1:${unit.port} -servername ${host}`.split(' '),
        );
        const [, seen] = await client.says(/subject=CN ?= ?(\S+)/);
        assert.is(seen, host.endsWith('two.example') ? 'two.example' : host);
        client.write('drawer\n');
        await client.says(/reward/);
        await client.end();
      }
      const lost = start(
        `s_client -connect 127.0.0.1:${unit.port} -servername three.example`.split(' '),
      );
      assert.match(await lost.whole(), /tlsv1 unrecognized name/);
      await unit.over(4);
      assert.equal(
        unit.ended.map((ended) => ended.name),
        ['one.example', 'two.example', 'deep.down.two.example', 'three.example'],
      );
      assert.is(unit.ended[3]?.reason, 'no-route');
    });
  } finally {
    for (const child of children) await child.end();
    certificates.end();
  }
});

uring('a large upload and download through TLS of node arrive as they were', async () => {
  const certificates = new Certificates();
  let server: Server | null = null;
  try {
    const { key, cert } = certificates.make('one.example');
    server = createTls({ key, cert }, (socket) => {
      socket.pipe(socket);
      socket.on('error', () => socket.destroy());
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { readonly port: number };
    await withStreams([], {}, async ({ unit, client }) => {
      unit.serve({
        pools: { one: [port] },
        routes: [{ hosts: ['one.example'], pool: 'one' }],
        service,
      });
      const raw = client();
      const tls = connectTls({ socket: raw, servername: 'one.example', ca: cert });
      await once(tls, 'secureConnect');
      assert.ok(tls.authorized, 'the certificate is the one of the member');
      const said = randomBytes(4_000_000);
      tls.end(said);
      const parts: Buffer[] = [];
      for await (const part of tls) parts.push(part as Buffer);
      assert.ok(Buffer.concat(parts).equals(said));
      raw.end();
      await unit.over(1);
    });
  } finally {
    server?.close();
    certificates.end();
  }
});

uring('a hello in single bytes and in many records finds its way, whole', async () => {
  const got: Buffer[] = [];
  const member = (socket: Socket): void => {
    void readAll(socket).then((bytes) => {
      got.push(bytes);
      socket.end('served');
    });
  };
  await withStreams([member], { service }, async ({ unit, client }) => {
    const message = helloOf({ extensions: [serverName('one.example')] });
    for (const size of [1, 3, 16_384]) {
      const stream = recordsOf(message, size);
      const socket = client();
      await once(socket, 'connect');
      for (const byte of stream) {
        socket.write(Buffer.of(byte));
        if (byte % 16 === 0) await new Promise(setImmediate);
      }
      socket.end('and more');
      assert.is(String(await readAll(socket)), 'served');
      const expected = Buffer.concat([stream, Buffer.from('and more')]);
      assert.ok(got.pop()?.equals(expected), `records of ${size} bytes`);
    }
    await unit.over(3);
    assert.ok(unit.ended.every((ended) => ended.name === 'one.example'));
  });
});

uring('hostile hellos reach nobody, and are told why', async () => {
  let reached = 0;
  const member = (): void => {
    reached += 1;
  };
  const hello = recordsOf(helloOf());
  const cut = Buffer.from(hello);
  cut.writeUInt8(0xff, 43);
  const hostile: readonly (readonly [string, Buffer, number])[] = [
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: one.example\r\n\r\n'), 10],
    ['SSL 2', Buffer.from('802e0100020015000000100100800200800', 'hex'), 10],
    ['zeros', Buffer.alloc(100), 10],
    ['another message', recordsOf(Buffer.of(2, 0, 0, 1, 0)), 10],
    ['an alert', Buffer.from('15030300020228', 'hex'), 10],
    ['another major version', Buffer.from('16090100050100000100', 'hex'), 70],
    ['an empty record', Buffer.from('1603010000', 'hex'), 50],
    ['a record above 16 KiB', Buffer.from('1603014001', 'hex'), 50],
    ['a hello above 16 KiB', Buffer.from('160301000401ffffff', 'hex'), 50],
    ['a session beyond the end', cut, 50],
    ['a name twice', recordsOf(helloOf({ extensions: [serverName('a'), serverName('b')] })), 47],
    ['a name with a zero', recordsOf(helloOf({ extensions: [serverName('a\0b')] })), 47],
    [
      'an extension beyond the end',
      recordsOf(helloOf({ extensions: [Buffer.of(0, 0, 9, 9)] })),
      50,
    ],
    ['random bytes', Buffer.concat([Buffer.of(1), randomBytes(4000)]), 10],
  ];
  await withStreams([member], { service }, async ({ unit, client }) => {
    for (const [what, bytes, description] of hostile) {
      const socket = client();
      socket.write(bytes);
      assert.is((await readAll(socket)).toString('hex'), alertOf(description), what);
      socket.end();
    }
    await unit.over(hostile.length);
    assert.ok(unit.ended.every(({ reason }) => reason === 'bad-hello'));
    assert.is(reached, 0, 'connections that a member saw');
  });
});

uring('who goes on sending after an alert is cut off', async () => {
  await withStreams([], { service }, async ({ unit, client }) => {
    const socket = client();
    socket.write(Buffer.alloc(100));
    const end = endOf(socket);
    const flood = (): void => {
      while (!socket.destroyed && socket.write(Buffer.alloc(65_536)));
    };
    socket.on('drain', flood);
    flood();
    await end;
    await unit.over(1);
    assert.is(unit.ended[0]?.reason, 'bad-hello');
  });
});

uring(
  'slow clients, more than there are buffers, stop nobody, and are served in the end',
  async () => {
    const ring = { receiving: 32, size: 4096 };
    const proxied = { ...service, proxyProtocol: 'accept' } as const;
    await withStreams([mirror], { service: proxied, ring }, async ({ unit, client }) => {
      const header = Buffer.from('PROXY TCP4 192.0.2.7 198.51.100.1 40000 443\r\n');
      const hello = recordsOf(helloOf(), 60);
      const all = Buffer.concat([header, hello]);
      const slow = Array.from({ length: 150 }, () => client());
      // Some stop within the header, some within the hello.
      slow.forEach((socket, index) => socket.write(all.subarray(0, index % 2 === 0 ? 20 : 90)));
      await unit.driver.settled(() => unit.engine.open === slow.length);
      const quick = client();
      quick.end(all);
      assert.ok((await readAll(quick)).equals(hello), 'the quick one is served');
      slow.forEach((socket, index) => socket.end(all.subarray(index % 2 === 0 ? 20 : 90)));
      const echoes = await Promise.all(slow.map((socket) => readAll(socket)));
      assert.ok(
        echoes.every((bytes) => bytes.equals(hello)),
        'all get what they said',
      );
      await unit.over(slow.length + 1);
      assert.ok(unit.ended.every((ended) => ended.client === '192.0.2.7 40000'));
      assert.ok(unit.ended.every(({ fromClient }) => fromClient === hello.length));
    });
  },
);

uring('a hello that never becomes whole is given up in time', async () => {
  await withStreams([], { service, timeouts: { head: 60 } }, async ({ unit, client }) => {
    const half = client();
    half.write(recordsOf(helloOf()).subarray(0, 60));
    assert.is(await endOf(half), 'ECONNRESET');
    assert.is(await endOf(client()), 'ECONNRESET', 'without a byte');
    await unit.over(2);
    assert.ok(unit.ended.every(({ reason }) => reason === 'too-slow'));
    const gone = client();
    gone.end(recordsOf(helloOf()).subarray(0, 60));
    await endOf(gone);
    await unit.over(3);
    assert.is(unit.ended[2]?.reason, 'client-gone');
  });
});

uring('the first route decides whose name and address fit', async () => {
  const servings = ['inner', 'exact', 'wild', 'rest'].map(name);
  await withStreams(servings, {}, async ({ unit, client }) => {
    const [inner = 0, exact = 0, wild = 0, rest = 0] = unit
      .pool('main')
      .members.map(({ key }) => Number(key));
    unit.serve({
      service,
      pools: { inner: [inner], exact: [exact], wild: [wild], rest: [rest] },
      routes: [
        { hosts: ['a.example'], sources: ['192.0.2.0/24', '10.0.0.0/8'], pool: 'inner' },
        { hosts: ['a.example'], pool: 'exact' },
        { hosts: ['*.example'], sources: ['127.0.0.0/8'], pool: 'wild' },
        { hosts: ['b.example'], pool: 'exact' },
        { pool: 'rest' },
      ],
    });
    const cases: readonly (readonly [string, string])[] = [
      ['a.example', 'exact'],
      ['A.EXAMPLE', 'exact'],
      ['b.example', 'wild'],
      ['x.y.example', 'wild'],
      ['example', 'rest'],
      ['b.example.org', 'rest'],
    ];
    for (const [host, pool] of cases) {
      const socket = client();
      socket.end(recordsOf(helloOf({ extensions: [serverName(host)] })));
      assert.is(String(await readAll(socket)), pool, host);
    }
    const nameless = client();
    nameless.end(recordsOf(helloOf({ extensions: [extensionOf(10, Buffer.of(0, 2, 0, 29))] })));
    assert.is(String(await readAll(nameless)), 'rest', 'without a name');
    await unit.over(cases.length + 1);
  });
});

test('routes are found among thousands, in the order of the document', () => {
  const hosts = Array.from({ length: 5000 }, (_, i) => ({ hosts: [`h${i}.example`], pool: 'p' }));
  const { service: many } = plainService({
    pools: { p: [1] },
    routes: [...hosts, { hosts: ['*.example'], pool: 'p' }, { hosts: ['h7.example'], pool: 'p' }],
  });
  const client = many.destination;
  assert.is(many.find('h0.example', client), 0);
  assert.is(many.find('h4999.example', client), 4999);
  assert.is(many.find('h5000.example', client), 5000);
  assert.is(many.find('h7.example', client), 7);
  assert.is(many.find('.example', client), -1, 'nothing before the dot');
  assert.is(many.find('', client), -1);
  assert.is(many.find('example', client), -1);
});

test.run();

/** The name that a TLS client asks for is read from its hello, in whatever pieces it comes. */
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { connect } from 'node:tls';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  ClientHello,
  helloProgress,
  maxHello,
} from '../../../../appliance/l7/routing/client-hello.js';
import {
  extensionOf,
  helloOf,
  protocols,
  recordsOf,
  serverName,
  with16,
  type HelloSpec,
} from '../../../support/client-hello.js';

const test = suite('l7 client hello');

/** The verdict in words, for the stream cut into pieces of `size`. */
function verdict(stream: Uint8Array, size = stream.length): string {
  const hello = new ClientHello();
  let seen: number = helloProgress.more;
  for (let at = 0; at < stream.length && seen === helloProgress.more; at += size) {
    seen = hello.feed(stream, at, Math.min(stream.length, at + size));
  }
  if (seen === helloProgress.more) return 'more';
  if (seen === helloProgress.refused) return hello.fault?.code ?? 'no fault';
  const text = (start: number, end: number): string =>
    Buffer.from(hello.bytes.subarray(start, end)).toString('latin1');
  const name = text(hello.nameStart, hello.nameEnd);
  const alpn = text(hello.alpnStart, hello.alpnEnd);
  return `name=${name} alpn=${alpn}${hello.encrypted ? ' encrypted' : ''}`;
}
const read = (spec: HelloSpec): string => verdict(recordsOf(helloOf(spec)));

const cases: readonly (readonly [string, HelloSpec, string])[] = [
  ['a name', {}, 'name=shop.example alpn='],
  ['upper case', { extensions: [serverName('SHOP.Example')] }, 'name=shop.example alpn='],
  ['a last dot', { extensions: [serverName('shop.example.')] }, 'name=shop.example alpn='],
  ['no name', { extensions: [protocols('h2')] }, 'name= alpn=\x02h2'],
  ['no extensions', { extensions: [] }, 'name= alpn='],
  ['no block of extensions', { extensions: null }, 'name= alpn='],
  [
    'protocols',
    { extensions: [protocols('h2', 'http/1.1'), serverName('a')] },
    'name=a alpn=\x02h2\x08http/1.1',
  ],
  [
    'an encrypted hello',
    { extensions: [extensionOf(0xfe0d, Buffer.alloc(200, 1)), serverName('public.example')] },
    'name=public.example alpn= encrypted',
  ],
  ['an empty session', { session: Buffer.alloc(0) }, 'name=shop.example alpn='],
  ['a long session', { session: Buffer.alloc(33) }, 'client-hello-malformed'],
  ['no suites', { suites: Buffer.alloc(0) }, 'client-hello-malformed'],
  ['half a suite', { suites: Buffer.alloc(3) }, 'client-hello-malformed'],
  ['no compression', { compressions: Buffer.alloc(0) }, 'client-hello-malformed'],
  ['two names', { extensions: [serverName('a'), serverName('b')] }, 'tls-extension-twice'],
  [
    'an unknown extension twice',
    { extensions: [extensionOf(0x1a1a, Buffer.of(0)), extensionOf(0x1a1a, Buffer.of(1))] },
    'tls-extension-twice',
  ],
  [
    'two names in one list',
    {
      extensions: [
        extensionOf(
          0,
          with16(Buffer.concat([serverName('a').subarray(6), serverName('b').subarray(6)])),
        ),
      ],
    },
    'client-hello-malformed',
  ],
  ['a name of another type', { extensions: [serverName('a', 1)] }, 'server-name'],
  ['an empty name', { extensions: [serverName('')] }, 'server-name'],
  ['a name with NUL', { extensions: [serverName('a\0.example')] }, 'server-name'],
  ['a name with a space', { extensions: [serverName('a b')] }, 'server-name'],
  ['a name of 256', { extensions: [serverName('a'.repeat(256))] }, 'server-name'],
  ['a name of 255', { extensions: [serverName('a'.repeat(255))] }, `name=${'a'.repeat(255)} alpn=`],
  [
    'an empty server_name',
    { extensions: [extensionOf(0, Buffer.alloc(0))] },
    'client-hello-malformed',
  ],
  ['an empty protocol', { extensions: [protocols('h2', '')] }, 'client-hello-malformed'],
  [
    'no protocol',
    { extensions: [extensionOf(16, with16(Buffer.alloc(0)))] },
    'client-hello-malformed',
  ],
];
for (const [what, spec, wanted] of cases) {
  test(`${what}: ${wanted.slice(0, 60)}`, () => assert.is(read(spec), wanted));
}

test('the largest hello passes, and one octet more does not', () => {
  const others = helloOf({
    extensions: [serverName('a'), extensionOf(21, Buffer.alloc(0))],
  }).length;
  const padded = (size: number): Buffer =>
    helloOf({ extensions: [serverName('a'), extensionOf(21, Buffer.alloc(size))] });
  assert.is(verdict(recordsOf(padded(maxHello - others))), 'name=a alpn=');
  assert.is(verdict(recordsOf(padded(maxHello - others + 1))), 'client-hello-size');
});

test('nonsense is refused at its first wrong octet', () => {
  assert.is(verdict(Buffer.from('G')), 'not-tls');
  assert.is(verdict(Buffer.of(22)), 'more');
  assert.is(verdict(Buffer.of(22, 2)), 'tls-version');
  assert.is(verdict(Buffer.of(22, 3, 1, 0, 0)), 'tls-record-size');
  assert.is(verdict(Buffer.of(22, 3, 1, 0x40, 1)), 'tls-record-size');
  assert.is(verdict(Buffer.of(22, 3, 1, 0, 5, 2)), 'not-client-hello');
  assert.is(verdict(Buffer.of(22, 3, 1, 0, 5, 1, 1, 0, 0)), 'client-hello-size');
  assert.is(verdict(Buffer.of(0x80, 0x2e, 1)), 'not-tls');
  assert.is(verdict(Buffer.of(21, 3, 1, 0, 2, 1, 0)), 'not-tls');
});

test('nothing may follow the hello in its record, another record may', () => {
  const hello = helloOf();
  assert.is(verdict(recordsOf(Buffer.concat([hello, Buffer.of(0)]))), 'client-hello-trailing');
  const early = Buffer.concat([recordsOf(hello), Buffer.of(23, 3, 3, 0, 1, 0)]);
  assert.is(verdict(early), 'name=shop.example alpn=');
});

test('any records and any pieces give the same', () => {
  const hello = helloOf({ extensions: [protocols('h2'), serverName('Shop.example')] });
  const wanted = 'name=shop.example alpn=\x02h2';
  for (const record of [1, 2, 3, 5, 7, 64, 16_384]) {
    const stream = recordsOf(hello, record);
    for (const piece of [1, 2, 3, 4, 5, 6, 100, stream.length]) {
      assert.is(verdict(stream, piece), wanted, `records of ${record}, pieces of ${piece}`);
    }
    for (let cut = 1; cut < stream.length; cut += 1) {
      assert.is(verdict(stream.subarray(0, cut), 11), 'more', `records of ${record}, ${cut}`);
    }
  }
});

test('one object reads one connection after the other', () => {
  const hello = new ClientHello();
  const stream = recordsOf(helloOf());
  assert.is(hello.feed(Buffer.from('x'), 0, 1), helloProgress.refused);
  assert.is(hello.feed(stream, 0, stream.length), helloProgress.refused);
  hello.reset();
  assert.is(hello.feed(stream, 0, stream.length), helloProgress.done);
  assert.is(hello.nameEnd - hello.nameStart, 12);
  hello.reset();
  const other = recordsOf(helloOf({ extensions: null }));
  assert.is(hello.feed(other, 0, other.length), helloProgress.done);
  assert.is(hello.nameEnd - hello.nameStart, 0);
});

test('memory grows with what came, not with what is announced', () => {
  const hello = new ClientHello();
  hello.feed(Buffer.of(22, 3, 1, 0x3f, 0xff, 1, 0, 0x3f, 0x00), 0, 9);
  assert.ok(hello.bytes.length <= 1024, `${hello.bytes.length} bytes for 4`);
});

test('reads what a real client says', async () => {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const arrived = new Promise<string>((resolve, reject) => {
    server.once('connection', (socket) => {
      const hello = new ClientHello();
      socket.on('error', reject);
      socket.on('data', (data: Buffer) => {
        if (hello.feed(data, 0, data.length) === helloProgress.more) return;
        const name = Buffer.from(hello.bytes.subarray(hello.nameStart, hello.nameEnd));
        resolve(`${name.toString()} ${hello.fault?.code ?? 'good'}`);
        socket.destroy();
      });
    });
  });
  const client = connect({ port, host: '127.0.0.1', servername: 'Real.Example' });
  // The server above ends every handshake.
  client.on('error', () => client.destroy());
  try {
    assert.is(await arrived, 'real.example good');
  } finally {
    client.destroy();
    server.close();
  }
});

test.run();

/** Clients that break TLS, on purpose or not: nothing of theirs is left, and others are served. */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { connect as tlsConnect, type TLSSocket } from 'node:tls';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { addressOf } from '../../../../native/ffi/memory.js';
import { raw } from '../../../../native/ffi/openssl-raw.js';
import { TlsContext } from '../../../../native/ffi/tls-context.js';
import { TlsEngine } from '../../../../native/ffi/tls-engine.js';
import { noLines } from '../../../../appliance/l7/http1/peer.js';
import { KeyRing } from '../../../../appliance/l7/tls/key-ring.js';
import type { ServerSide } from '../../../../appliance/l7/tls/sides.js';
import {
  extensionOf,
  helloOf as helloMessage,
  recordsOf,
  serverName,
} from '../../../support/client-hello.js';
import { heardOf, type RawStage, withRawMembers } from '../../../support/http-stage.js';
import { needs } from '../../../support/needs.js';
import { generator } from '../../../support/random.js';
import { sClient } from '../../../support/s-client.js';
import { TestAuthority } from '../../../support/tls-material.js';
import { withhold } from '../../../support/withheld.js';

const test = suite('hostile TLS');
const uring = needs.uring(test);

let authority: TestAuthority;
const ring = new KeyRing();
let side: Omit<ServerSide, 'ends'>;
let context: TlsContext;
let earlyContext: TlsContext;

test.before(() => {
  authority = new TestAuthority();
  ring.set({
    certificates: [authority.secret('a', ['a'])],
    ticketKeys: [Buffer.alloc(80, 7)],
    challenges: [],
  });
  const held = ring.get('a');
  if (held?.key === undefined || held.key === null) throw new Error('the certificate has no key');
  const { chain, key } = held;
  const make = (earlyData: boolean): TlsContext =>
    TlsContext.server({
      policy: 'intermediate',
      identities: [{ chain, key }],
      alpn: ['http/1.1'],
      tickets: true,
      earlyData,
      sessionContext: Buffer.alloc(32, 1),
      clients: null,
    });
  context = make(false);
  earlyContext = make(true);
  side = {
    ...{ service: 'web', earlyData: false, choose: () => context },
    ...{ demands: '', certificateLines: () => noLines },
  };
});
test.after(() => {
  context.close();
  earlyContext.close();
  ring.close();
  authority.close();
});

const get = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
const body = 'x'.repeat(50_000);

function member(socket: Socket): void {
  socket.on('data', () =>
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`),
  );
  socket.on('end', () => socket.end());
}

async function onStage(work: (stage: RawStage) => Promise<void>): Promise<void> {
  await withRawMembers([member], { tls: side, timeouts: { head: 2000 } }, work);
}

function talk(socket: Socket, facts: object = {}): TLSSocket {
  return tlsConnect({ socket, servername: 'a', rejectUnauthorized: false, ...facts });
}

async function served({ socket }: RawStage): Promise<void> {
  const client = talk(socket());
  client.write(get);
  const { text } = await heardOf(client);
  assert.match(text, /^HTTP\/1\.1 200 OK\r\n/);
  assert.ok(text.endsWith(body), `${text.length} bytes came`);
}

/** What a client of node says first. */
async function helloOf(): Promise<Buffer> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const client = tlsConnect({ port, host: '127.0.0.1', servername: 'a' });
  client.on('error', () => undefined);
  const [accepted] = (await once(server, 'connection')) as [Socket];
  const [hello] = (await once(accepted, 'data')) as [Buffer];
  client.destroy();
  accepted.destroy();
  server.close();
  return hello;
}

uring('what is no TLS is told so by an alert, or just closed, and others are served', async () => {
  await onStage(async (stage) => {
    for (const first of [
      'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
      Buffer.from([22, 3, 1, 0, 0]),
      Buffer.from([22, 3, 1, 0xff, 0xff, 1]),
      Buffer.from([21, 3, 3, 0, 2, 2, 40]),
      Buffer.from([0x80, 0x2e, 1, 0, 2]),
      Buffer.alloc(40_000, 22),
    ]) {
      const client = stage.socket();
      client.write(first);
      const { text } = await heardOf(client);
      assert.ok(
        text === '' || text.charCodeAt(0) === 21,
        `an alert or nothing: ${text.length} bytes`,
      );
    }
    await served(stage);
  });
});

uring('a hello that breaks off anywhere leaves nothing', async () => {
  const hello = await helloOf();
  await onStage(async (stage) => {
    for (let end = 1; end < hello.length; end += 7) {
      const client = stage.socket();
      client.on('error', () => undefined);
      client.end(hello.subarray(0, end));
      await heardOf(client);
    }
    await served(stage);
  });
});

uring('long hellos that are never whole leave memory for others', async () => {
  const long = helloMessage({
    extensions: [serverName('a'), extensionOf(0x7a7a, Buffer.alloc(15_900))],
  });
  // Six octets of records for each of the hello.
  const said = recordsOf(long, 1);
  await withRawMembers([member], { tls: side, timeouts: { head: 20_000 } }, async (stage) => {
    const { pool } = stage.unit.driver.loop.connections;
    const clients = Array.from({ length: 150 }, () => stage.socket());
    for (const client of clients) {
      client.on('error', () => undefined);
      client.resume();
    }
    await Promise.all(
      clients.map(
        (client) =>
          new Promise((resolve) => client.write(said.subarray(0, said.length - 6), resolve)),
      ),
    );
    await served(stage);
    assert.ok(pool.withKernel > 0, 'something can be received');
    for (const client of clients) client.destroy();
  });
});

uring('hellos with any octet changed are refused or served, and nothing is left', async () => {
  const hello = await helloOf();
  await onStage(async (stage) => {
    const next = generator(20_261_126);
    for (let turn = 0; turn < 300; turn += 1) {
      const changed = Buffer.from(hello);
      for (let i = next(3); i >= 0; i -= 1) changed[next(changed.length)] = next(256);
      const client = stage.socket();
      client.on('error', () => undefined);
      client.write(changed);
      if (turn % 2 === 0) client.end();
      else client.once('data', () => client.destroy());
      await heardOf(client);
    }
    await served(stage);
  });
});

/** A way to the engine on which, from some byte of the client's on, octets are changed or lost. */
async function withDamage(
  stage: RawStage,
  next: (below: number) => number,
  work: (port: number) => Promise<void>,
): Promise<void> {
  const { port } = stage.unit;
  const way = createServer((client) => {
    const engine = connect(port, '127.0.0.1');
    client.on('error', () => engine.destroy());
    engine.on('error', () => client.destroy());
    let left = next(3000);
    client.on('data', (data: Buffer) => {
      const at = left;
      left -= data.length;
      if (at >= 0 && at < data.length) {
        const what = next(4);
        if (what === 0) data[at] = (data[at] ?? 0) ^ (1 << next(8));
        else if (what === 1) data = Buffer.concat([data.subarray(0, at), data.subarray(at + 1)]);
        else if (what === 2) {
          engine.end(data.subarray(0, at));
          return;
        } else
          data = Buffer.concat([
            data.subarray(0, at),
            Buffer.from([23, 3, 3, 0, 1, 0]),
            data.subarray(at),
          ]);
      }
      if (engine.writable) engine.write(data);
    });
    client.on('close', () => engine.destroy());
    engine.on('data', (data: Buffer) => client.write(data));
    engine.on('end', () => client.end());
    engine.on('close', () => client.destroy());
  });
  way.listen(0, '127.0.0.1');
  await once(way, 'listening');
  try {
    await work((way.address() as AddressInfo).port);
  } finally {
    way.close();
  }
}

uring('records that are changed on their way end the connection, and nothing else', async () => {
  await onStage(async (stage) => {
    const next = generator(8446);
    let whole = 0;
    for (let turn = 0; turn < 150; turn += 1) {
      await withDamage(stage, next, async (port) => {
        const maxVersion = turn % 2 === 0 ? 'TLSv1.2' : 'TLSv1.3';
        const client = talk(connect(port, '127.0.0.1'), { maxVersion });
        client.on('error', () => undefined);
        client.write(
          `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\nConnection: close\r\n\r\n`,
        );
        client.write('y'.repeat(2000));
        const { text } = await heardOf(client);
        if (text.endsWith(body)) whole += 1;
      });
    }
    assert.ok(whole < 150, 'some of the damage was done');
    await served(stage);
  });
});

uring('early data that breaks off, is changed or repeated anywhere leaves nothing', async () => {
  const early = { ...side, earlyData: true, choose: () => earlyContext };
  await withRawMembers([member], { tls: early, timeouts: { head: 2000 } }, async (stage) => {
    const { port } = stage.unit;
    const session = join(authority.folder, 'early-session');
    const file = join(authority.folder, 'early-requests');
    const speaks = ['-tls1_3', '-ign_eof'];
    await sClient(port, [...speaks, '-sess_out', session], get);
    const begun = get.replace('Connection: close\r\n', '');
    writeFileSync(file, `${begun}${begun}POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n`);
    const way = await withhold(port);
    let first: Buffer;
    try {
      const client = sClient(way.port, [...speaks, '-sess_in', session, '-early_data', file], '');
      first = await way.first;
      way.close();
      await client;
    } finally {
      way.close();
    }
    const next = generator(8470);
    for (let turn = 0; turn < 200; turn += 1) {
      const said = Buffer.from(first);
      const client = stage.socket();
      client.on('error', () => undefined);
      if (turn % 4 === 1) said[next(said.length)] = next(256);
      const cut = turn % 4 === 2 ? next(said.length) : said.length;
      // In two pieces, since the hello and what follows it need not come together.
      const middle = next(cut + 1);
      client.write(said.subarray(0, middle));
      client.write(said.subarray(middle, cut));
      if (turn % 2 === 0) client.end();
      else client.once('data', () => client.destroy());
      await heardOf(client);
    }
    await served(stage);
  });
});

uring('renegotiation is refused, and the connection goes on', async () => {
  await onStage(async ({ socket }) => {
    const client = talk(socket(), { maxVersion: 'TLSv1.2' });
    await once(client, 'secureConnect');
    const error = await new Promise<Error | null>((resolve) => {
      client.on('error', resolve);
      client.renegotiate({}, resolve);
    });
    assert.match(String(error), /no renegotiation/i);
    client.destroy();
  });
});

uring('an end without the end of TLS is seen as one, and frees the connection', async () => {
  await onStage(async (stage) => {
    const raw = stage.socket();
    const client = talk(raw);
    client.on('error', () => undefined);
    await once(client, 'secureConnect');
    await stage.unit.driver.settled(() => stage.unit.handshakes.length === 1);
    raw.end();
    await stage.unit.driver.settled(() => stage.unit.open === 0);
    assert.equal(stage.unit.handshakes, [null]);
  });
});

/** Of SSL_key_update(3): the other side is to change its keys as well. */
const REQUESTED = 1;

/** A client that asks its server for new keys. */
class KeyChanger {
  readonly #engine = new TlsEngine();
  readonly #context = TlsContext.client({
    ...{ policy: 'intermediate', verify: false, authorities: [], identity: null },
  });
  readonly #ssl = this.#engine.connection(this.#context, 'client');
  readonly #out = Buffer.alloc(65_536);

  constructor(private readonly socket: Socket) {}

  /** Until the handshake is over. */
  async begin(): Promise<void> {
    this.#engine.feed(0, 0, 0);
    while (this.#engine.handshake(this.#ssl) !== 1) {
      this.socket.write(this.#taken());
      const [data] = (await once(this.socket, 'data')) as [Buffer];
      this.#feed(data);
    }
    this.socket.write(this.#taken());
  }

  say(text: string): void {
    const bytes = Buffer.from(text);
    this.#engine.write(this.#ssl, Number(addressOf(bytes)), bytes.length);
    this.socket.write(this.#taken());
  }

  /** So many changes of keys, as records. */
  changes(count: number): Buffer {
    for (let i = 0; i < count; i += 1) {
      assert.is(raw.SSL_key_update(this.#ssl, REQUESTED), 1);
      assert.is(this.#engine.handshake(this.#ssl), 1);
    }
    return this.#taken();
  }

  /** What a piece from the server says. */
  heard(data: Buffer): string {
    this.#feed(data);
    const text = Buffer.alloc(data.length);
    const count = this.#engine.read(this.#ssl, Number(addressOf(text)), text.length);
    return text.toString('latin1', 0, Math.max(0, count));
  }

  close(): void {
    this.#engine.free(this.#ssl);
    this.#context.close();
    this.#engine.close();
  }

  #feed(data: Buffer): void {
    const at = addressOf(data);
    this.#engine.feed(Number(at & 0xffff_ffffn) | 0, Number(at >> 32n), data.length);
  }

  #taken(): Buffer {
    const count = this.#engine.take(Number(addressOf(this.#out)), this.#out.length);
    return Buffer.from(this.#out.subarray(0, count));
  }
}

uring(
  'new keys are given to who asks for them, and no memory to who does not take them',
  async () => {
    const answers = (one: Socket): void => {
      one.on('data', (data: Buffer) => {
        if (data.includes('/answer')) one.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
      });
    };
    await withRawMembers([answers], { tls: side, timeouts: { head: 20_000 } }, async (stage) => {
      const { pool } = stage.unit.driver.loop.connections;
      const socket = stage.socket();
      const client = new KeyChanger(socket);
      try {
        await client.begin();
        socket.write(client.changes(500));
        client.say('GET /answer HTTP/1.1\r\nHost: a\r\n\r\n');
        let text = '';
        while (!text.endsWith('ok')) {
          const [data] = (await once(socket, 'data')) as [Buffer];
          text += client.heard(data);
        }
        client.say('GET /never HTTP/1.1\r\nHost: a\r\n\r\n');
        socket.pause();
        socket.on('error', () => undefined);
        const closed = new Promise((resolve) => socket.once('close', resolve));
        let least = pool.free;
        while (!socket.destroyed && socket.writable) {
          const records = client.changes(1000);
          await new Promise((resolve) => socket.write(records, resolve));
          least = Math.min(least, pool.free);
        }
        await closed;
        assert.ok(least > 200, `of 256 buffers ${least} were left for others`);
      } finally {
        client.close();
      }
      await stage.unit.driver.settled(() => stage.unit.open === 0);
    });
  },
);

test.run();

/** Early data of TLS 1.3 (RFC 8446 §2.3, RFC 8470): openssl before whole workers. */
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { L7Service, L7Tls } from '../../../../appliance/l7/tables.js';
import { poolWith, serviceAt, tablesOf, timeouts } from '../../../support/l7-tables.js';
import { needs } from '../../../support/needs.js';
import { TestAuthority } from '../../../support/tls-material.js';
import { sClient } from '../../../support/s-client.js';
import { ask, give, handshakes, tls } from '../../../support/tls-workers.js';
import { withhold, type Withheld } from '../../../support/withheld.js';
import { type Stage, withTier } from '../../../support/worker-stage.js';

const test = suite('early data of TLS');
const uring = needs.uring(test);

let authority: TestAuthority;
test.before(() => {
  authority = new TestAuthority();
});
test.after(() => {
  authority.close();
});

interface Member {
  readonly port: number;
  /** "METHOD TARGET EARLY-DATA" of each request, and its body, in order. */
  readonly asked: string[];
  status: number;
  /** Of answers; null: they name the target. */
  body: string | null;
}

interface Scene {
  readonly stage: Stage;
  readonly member: Member;
  serve(facts?: Partial<L7Tls>, more?: Partial<L7Service>): Promise<void>;
  /** Resolves with a file that holds a session. */
  session(): Promise<string>;
  /**
   * Comes back with a session and sends `early` with its hello; `rest` when the handshake is over.
   * What it said, when it has ended.
   */
  comeBack(session: string, early: string, rest?: string, port?: number): Promise<string>;
  /** All that came before has been seen by the worker when this is answered. */
  fence(): Promise<void>;
}

let files = 0;
function newFile(content?: string): string {
  const file = join(authority.folder, `early-${(files += 1)}`);
  if (content !== undefined) writeFileSync(file, content);
  return file;
}

const speaks = ['-tls1_3', '-alpn', 'http/1.1', '-ign_eof'] as const;

const requestOf = (target: string, close = true): string =>
  `GET ${target} HTTP/1.1\r\nHost: shop.example\r\n${close ? 'Connection: close\r\n' : ''}\r\n`;
const postOf = (target: string, body: string): string =>
  `POST ${target} HTTP/1.1\r\nHost: shop.example\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`;

async function withScene(work: (scene: Scene) => Promise<void>): Promise<void> {
  await withTier(async (stage) => {
    const asked: string[] = [];
    const server: Server = createServer((request, response) => {
      let body = '';
      request.setEncoding('latin1').on('data', (data: string) => (body += data));
      request.on('end', () => {
        const early = String(request.headers['early-data'] ?? '-');
        asked.push(`${request.method ?? ''} ${request.url ?? ''} ${early} ${body}`.trimEnd());
        response.statusCode = member.status;
        response.end(member.body ?? `answer to ${request.url ?? ''}`);
      });
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const member: Member = {
      port: (server.address() as AddressInfo).port,
      asked,
      status: 200,
      body: null,
    };
    const serve: Scene['serve'] = async (facts = {}, more = {}) => {
      const service = serviceAt(stage.port, {
        tls: { ...tls, earlyData: true, ...facts },
        ...more,
      });
      await stage.tier.execute(tablesOf([service], [poolWith([member.port])], 1));
    };
    try {
      give(stage, [authority.secret('shop', ['shop.example'])]);
      await serve();
      await work({
        stage,
        member,
        serve,
        async session() {
          const file = newFile();
          const said = sClient(stage.port, [...speaks, '-sess_out', file], requestOf('/first'));
          assert.match(await said, /answer to \/first/);
          asked.length = 0;
          return file;
        },
        comeBack: (session, early, rest = '', port = stage.port) =>
          sClient(port, [...speaks, '-sess_in', session, '-early_data', newFile(early)], rest),
        async fence() {
          await ask(authority, stage.port);
          assert.is(asked.pop(), 'GET / -');
        },
      });
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
}

/** Resolves when the member was asked so often. */
async function askedTimes({ stage, member }: Scene, times: number): Promise<void> {
  await stage.settled(() => member.asked.length >= times);
}

async function through(
  scene: Scene,
  work: (way: Withheld) => Promise<void>,
  before = '',
): Promise<void> {
  const way = await withhold(scene.stage.port, before);
  try {
    await work(way);
  } finally {
    way.close();
  }
}

uring('off: what comes early is thrown away, and the request is served when it comes again', () =>
  withScene(async (scene) => {
    const session = await scene.session();
    await scene.serve({ earlyData: false });
    const said = await scene.comeBack(session, requestOf('/early'), requestOf('/again'));
    assert.match(said, /Early data was rejected/);
    assert.match(said, /^Reused, TLSv1\.3/m);
    assert.match(said, /answer to \/again/);
    assert.equal(scene.member.asked, ['GET /again -']);
    const plain = await scene.session();
    const second = await scene.comeBack(plain, requestOf('/early'), requestOf('/again'));
    assert.match(second, /Early data was not sent/, 'new sessions allow none');
  }),
);

uring('a GET is answered before the handshake is over, and the member is told', () =>
  withScene(async (scene) => {
    const session = await scene.session();
    await through(scene, async (way) => {
      const client = scene.comeBack(session, requestOf('/early'), '', way.port);
      await way.first;
      await askedTimes(scene, 1);
      assert.equal(scene.member.asked, ['GET /early 1']);
      assert.is(handshakes(scene.stage).resumed, 0, 'the handshake is not over');
      way.release();
      const said = await client;
      assert.match(said, /Early data was accepted/);
      assert.match(said, /answer to \/early/);
      const { resumed, early } = handshakes(scene.stage);
      assert.equal([resumed, early], [1, 1]);
    });
  }),
);

uring('HEAD and OPTIONS are passed on early, a field of the client stays, requests follow', () =>
  withScene(async (scene) => {
    const session = await scene.session();
    const early =
      'HEAD /head HTTP/1.1\r\nHost: shop.example\r\n\r\n' +
      'OPTIONS /options HTTP/1.1\r\nHost: shop.example\r\nEarly-Data: 1\r\n\r\n';
    await through(scene, async (way) => {
      const client = scene.comeBack(session, early, requestOf('/last'), way.port);
      await way.first;
      await askedTimes(scene, 2);
      // Two fields of one meaning are one list.
      assert.equal(scene.member.asked, ['HEAD /head 1', 'OPTIONS /options 1, 1']);
      way.release();
      assert.match(await client, /answer to \/last/);
      assert.is(scene.member.asked[2], 'GET /last -', 'after the handshake it is as any other');
    });
  }),
);

uring('what is not safe reaches the member when the handshake is over', () =>
  withScene(async (scene) => {
    const upgrade =
      'GET /socket HTTP/1.1\r\nHost: shop.example\r\nConnection: upgrade, close\r\nUpgrade: websocket\r\n' +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n';
    for (const [early, seen] of [
      [postOf('/post', 'paid'), 'POST /post - paid'],
      [
        'DELETE /gone HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n',
        'DELETE /gone -',
      ],
      [
        'GET /body HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody',
        'GET /body - body',
      ],
      [upgrade, 'GET /socket -'],
    ] as const) {
      const session = await scene.session();
      await through(scene, async (way) => {
        const client = scene.comeBack(session, early, '', way.port);
        await way.first;
        await scene.fence();
        assert.equal(scene.member.asked, [], `${seen}: before`);
        way.release();
        const said = await client;
        assert.match(said, /Early data was accepted/);
        assert.match(said, /answer to /);
        assert.equal(scene.member.asked, [seen], 'after');
      });
    }
  }),
);

uring('requests behind one that waits wait, too', () =>
  withScene(async (scene) => {
    const session = await scene.session();
    const post = postOf('/post', 'paid').replace('Connection: close\r\n', '');
    await through(scene, async (way) => {
      const early = requestOf('/before', false) + post + requestOf('/behind');
      const client = scene.comeBack(session, early, '', way.port);
      await way.first;
      await askedTimes(scene, 1);
      await scene.fence();
      assert.equal(scene.member.asked, ['GET /before 1']);
      way.release();
      assert.match(await client, /answer to \/behind/);
      assert.equal(scene.member.asked, ['GET /before 1', 'POST /post - paid', 'GET /behind -']);
    });
  }),
);

/** Says the same bytes on a connection of its own, and ends when something has come back. */
async function repeat(port: number, bytes: Buffer): Promise<void> {
  const socket = connect({ port, host: '127.0.0.1' });
  socket.on('error', () => undefined);
  socket.write(bytes);
  await once(socket, 'data');
  socket.destroy();
}

uring('an answer that is longer than what fits before the end of the handshake comes whole', () =>
  withScene(async (scene) => {
    const session = await scene.session();
    scene.member.body = 'x'.repeat(3_000_000);
    const said = await scene.comeBack(session, requestOf('/large'));
    assert.is(said.split('x'.repeat(1000)).length - 1, 3000);
    assert.is(scene.member.asked[0], 'GET /large 1');
  }),
);

uring('behind a PROXY header it is the same', () =>
  withScene(async (scene) => {
    for (const [early, before, after] of [
      [requestOf('/early'), ['GET /early 1'], ['GET /early 1']],
      [postOf('/post', 'paid'), [], ['POST /post - paid']],
    ] as const) {
      await scene.serve();
      const session = await scene.session();
      await scene.serve({}, { proxyProtocol: 'accept' });
      const work = async (way: Withheld): Promise<void> => {
        const client = scene.comeBack(session, early, '', way.port);
        await way.first;
        await askedTimes(scene, before.length);
        assert.equal(scene.member.asked, before);
        way.release();
        assert.match(await client, /answer to /);
        assert.equal(scene.member.asked, after);
      };
      await through(scene, work, 'PROXY TCP4 192.0.2.7 192.0.2.8 1000 443\r\n');
    }
  }),
);

uring('whoever repeats what waits gets no further than the time for a request', () =>
  withScene(async (scene) => {
    const session = await scene.session();
    await scene.serve({}, { timeouts: { ...timeouts, head: 300 } });
    await through(scene, async (way) => {
      const client = scene.comeBack(session, postOf('/post', 'paid'), '', way.port);
      // Its second flight never comes.
      assert.match(await client, /unexpected eof|reset by peer|errno/i);
    });
    assert.equal(scene.member.asked, []);
    await scene.stage.settled(() => handshakes(scene.stage).failed.gone > 0);
    assert.is(handshakes(scene.stage).failed.gone, 1);
  }),
);

uring('a hello that somebody repeats leads to safe requests alone, which say so', () =>
  withScene(async (scene) => {
    for (const [early, times] of [
      [requestOf('/safe'), 3],
      [postOf('/once', 'paid'), 1],
    ] as const) {
      const session = await scene.session();
      await through(scene, async (way) => {
        const client = scene.comeBack(session, early, '', way.port);
        const first = await way.first;
        for (let i = 0; i < 2; i += 1) {
          await repeat(scene.stage.port, first);
          await scene.fence();
        }
        way.release();
        assert.match(await client, /answer to /);
        await askedTimes(scene, times);
      });
      const wanted =
        times === 1 ? ['POST /once - paid'] : Array.from({ length: 3 }, () => 'GET /safe 1');
      assert.equal(scene.member.asked, wanted);
    }
  }),
);

uring('a member that says 425 is heard by the client', () =>
  withScene(async (scene) => {
    const session = await scene.session();
    scene.member.status = 425;
    const said = await scene.comeBack(session, requestOf('/early'));
    assert.match(said, /HTTP\/1\.1 425 /);
    assert.is(scene.member.asked.length, 1);
  }),
);

uring('early data above the limit ends the connection by an alert, and others are served', () =>
  withScene(async (scene) => {
    const session = await scene.session();
    // A client that does not heed the limit of its session: that is the last of its numbers.
    const pem = readFileSync(session, 'latin1').replaceAll(/-----[^-]+-----|\s/g, '');
    const der = Buffer.from(pem, 'base64');
    const at = der.indexOf(Buffer.from('af0402024000', 'hex'));
    assert.ok(at > 0, 'the session allows 16,384 bytes');
    der.writeUInt16BE(0x7fff, at + 4);
    const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
    const label = 'SSL SESSION PARAMETERS';
    const heedless = newFile(
      `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`,
    );
    const large = `GET / HTTP/1.1\r\nHost: shop.example\r\nX-Large: ${'x'.repeat(20_000)}\r\n\r\n`;
    const said = await scene.comeBack(heedless, large);
    assert.match(said, /unexpected message/);
    assert.equal(scene.member.asked, []);
    await scene.fence();
    assert.is(handshakes(scene.stage).failed.other, 1);
    const most = `GET /most HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\nX-Large: ${'x'.repeat(7000)}\r\n\r\n`;
    assert.match(await scene.comeBack(session, most), /answer to \/most/);
  }),
);

test.run();

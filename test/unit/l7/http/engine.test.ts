/** The HTTP engine between real clients and real members. */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  Agent,
  createServer,
  request,
  type IncomingMessage,
  type RequestListener,
  type Server,
} from 'node:http';
import {
  connect,
  createServer as createTcp,
  type AddressInfo,
  type Server as TcpServer,
  type Socket,
} from 'node:net';
import { gunzipSync } from 'node:zlib';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { availableCodings } from '../../../../appliance/l7/compress/codecs.js';
import { CompressionPlan } from '../../../../appliance/l7/compress/plan.js';
import { LARGE } from '../../../../appliance/l7/ring/buffer-pool.js';
import { EngineDriver, type EngineOptions } from '../../../support/http-engine.js';
import { needs } from '../../../support/needs.js';

const test = suite('HTTP engine');
const uring = needs.uring(test);

interface Stage {
  readonly unit: EngineDriver;
  readonly agent: Agent;
  /** A whole exchange by node's own client. */
  readonly ask: (options?: Asked) => Promise<Answer>;
  /** Bytes on a connection of their own, until it ends. */
  readonly talk: (text: string | Buffer) => Promise<string>;
  readonly socket: () => Socket;
}

interface Asked {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Record<string, string>;
  readonly body?: Buffer;
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly trailers: IncomingMessage['trailers'];
  readonly body: Buffer;
}

async function withEngine(
  members: readonly { readonly http?: RequestListener; readonly tcp?: (s: Socket) => void }[],
  options: Omit<EngineOptions, 'ports'>,
  work: (stage: Stage) => Promise<void>,
): Promise<void> {
  const servers: (Server | TcpServer)[] = [];
  const sockets: Socket[] = [];
  let unit: EngineDriver | null = null;
  const agent = new Agent({ keepAlive: true });
  try {
    for (const { http, tcp } of members) {
      const server =
        http === undefined ? createTcp({ allowHalfOpen: true }, tcp) : createServer(http);
      server.on('connection', (socket: Socket) => {
        sockets.push(socket);
        socket.on('error', () => {
          // A reset is part of some tests; what it leads to is what they look at.
        });
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      servers.push(server);
    }
    const ports = servers.map((server) => (server.address() as AddressInfo).port);
    unit = new EngineDriver({ ...options, ports });
    const { port } = unit;
    const socket = (): Socket => {
      const made = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
      sockets.push(made);
      return made;
    };
    await work({
      unit,
      agent,
      socket,
      ask: (asked) => ask(port, agent, asked),
      async talk(text) {
        const made = socket();
        made.write(text);
        const pieces: Buffer[] = [];
        for await (const piece of made) pieces.push(piece as Buffer);
        made.end();
        return Buffer.concat(pieces).toString('latin1');
      },
    });
  } finally {
    agent.destroy();
    try {
      unit?.end();
    } finally {
      for (const socket of sockets) socket.destroy();
      for (const server of servers) server.close();
    }
  }
}

async function ask(port: number, agent: Agent, asked: Asked = {}): Promise<Answer> {
  const { method = 'GET', path = '/', headers = {}, body } = asked;
  const sent = request({ port, host: '127.0.0.1', agent, method, path, headers });
  const answer = once(sent, 'response') as Promise<[IncomingMessage]>;
  sent.end(body);
  const [response] = await answer;
  // From here on the answer's own end tells.
  sent.on('error', () => undefined);
  const pieces: Buffer[] = [];
  for await (const piece of response) pieces.push(piece as Buffer);
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    trailers: response.trailers,
    body: Buffer.concat(pieces),
  };
}

const hello: RequestListener = (_request, response) => {
  response.setHeader('Content-Length', '6');
  response.end('hello\n');
};

const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

uring('requests of one connection go on, and connections to members are used again', async () => {
  await withEngine([{ http: hello }], {}, async ({ ask: get, unit }) => {
    for (let i = 0; i < 5; i += 1) {
      const { status, body } = await get();
      assert.is(status, 200);
      assert.is(body.toString(), 'hello\n');
    }
    assert.is(unit.connects, 1, 'one connection to the member');
    assert.is(unit.reuses, 4, 'used for the four others');
    assert.is(unit.open, 1, 'one connection of the client');
  });
});

uring('the member hears who asks, and nothing of the client’s hop', async () => {
  let heard: IncomingMessage['headers'] = {};
  const tell: RequestListener = (asked, response) => {
    heard = asked.headers;
    response.end();
  };
  await withEngine([{ http: tell }], {}, async ({ ask: get }) => {
    await get({
      headers: { Host: 'shop.example', 'X-Forwarded-For': '192.0.2.7', TE: 'trailers' },
    });
    assert.is(heard.host, 'shop.example');
    assert.is(heard['x-forwarded-for'], '192.0.2.7, 127.0.0.1');
    assert.is(heard['x-forwarded-proto'], 'http');
    assert.is(heard.te, undefined);
    assert.is(heard.connection, undefined);
  });
});

const echo: RequestListener = (asked, response) => {
  const pieces: Buffer[] = [];
  asked.on('data', (piece: Buffer) => pieces.push(piece));
  asked.on('end', () => {
    const body = Buffer.concat(pieces);
    response.setHeader('X-Framing', asked.headers['transfer-encoding'] ?? 'length');
    response.setHeader('Content-Length', body.length);
    response.end(body);
  });
};

for (const size of [0, 1, 100, 16_000, 16_384, 70_000, 3_000_000]) {
  uring(`a body of ${size} bytes comes back as it was sent`, async () => {
    await withEngine([{ http: echo }], {}, async ({ ask: post }) => {
      const body = randomBytes(size);
      for (const headers of [
        { 'Content-Length': String(size) },
        { 'Transfer-Encoding': 'chunked' },
      ]) {
        const answer = await post({ method: 'POST', body, headers });
        assert.is(answer.status, 200);
        assert.is(digest(answer.body), digest(body), JSON.stringify(headers));
      }
    });
  });
}

uring('chunked answers keep their trailers', async () => {
  const serve: RequestListener = (_asked, response) => {
    response.writeHead(200, { Trailer: 'X-Sum', 'Content-Type': 'text/plain' });
    response.write('first ');
    response.write('second');
    response.addTrailers({ 'X-Sum': '42' });
    response.end();
  };
  await withEngine([{ http: serve }], {}, async ({ ask: get }) => {
    const { body, trailers } = await get();
    assert.is(body.toString(), 'first second');
    assert.is(trailers['x-sum'], '42');
  });
});

uring('HEAD, 204 and 304 have no body and the connection goes on', async () => {
  const serve: RequestListener = (asked, response) => {
    if (asked.method === 'HEAD') {
      response.writeHead(200, { 'Content-Length': '1000' });
      response.end();
    } else {
      response.writeHead(asked.url === '/204' ? 204 : 304, { ETag: '"x"' });
      response.end();
    }
  };
  await withEngine([{ http: serve }], {}, async ({ ask: get, unit }) => {
    const head = await get({ method: 'HEAD' });
    assert.is(head.headers['content-length'], '1000');
    assert.is(head.body.length, 0);
    assert.is((await get({ path: '/204' })).status, 204);
    assert.is((await get({ path: '/304' })).status, 304);
    assert.is(unit.connects, 1);
    assert.is(unit.open, 1);
  });
});

uring('requests that a client sends ahead are answered in order', async () => {
  const serve: RequestListener = (asked, response) => {
    response.end(asked.url);
  };
  await withEngine([{ http: serve }], {}, async ({ talk }) => {
    const one = (path: string, more = ''): string =>
      `GET ${path} HTTP/1.1\r\nHost: a\r\n${more}\r\n`;
    const all = await talk(one('/1') + one('/2') + one('/3') + one('/4', 'Connection: close\r\n'));
    assert.equal(
      [...all.matchAll(/\r\n(\/\d)/g)].map(([, path]) => path),
      ['/1', '/2', '/3', '/4'],
    );
  });
});

uring('a client of single bytes is understood', async () => {
  await withEngine([{ http: echo }], {}, async ({ socket }) => {
    const client = socket();
    client.setNoDelay(true);
    await once(client, 'connect');
    const text =
      'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n' +
      '3\r\nabc\r\n2;x="y"\r\nde\r\n0\r\nX-Trailer: t\r\n\r\n';
    const got: Buffer[] = [];
    const whole = (async () => {
      for await (const piece of client) got.push(piece as Buffer);
    })();
    for (const byte of text) {
      client.write(byte);
      await new Promise(setImmediate);
    }
    await whole;
    assert.match(Buffer.concat(got).toString('latin1'), /^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\nabcde$/);
  });
});

uring('HTTP/1.0 without keep-alive ends with the answer, chunks taken off', async () => {
  const serve: RequestListener = (_asked, response) => {
    response.write('one ');
    response.end('two');
  };
  await withEngine([{ http: serve }], {}, async ({ talk }) => {
    const answer = await talk('GET / HTTP/1.0\r\n\r\n');
    assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/);
    assert.not.match(answer, /Transfer-Encoding/i);
    assert.match(answer, /\r\nConnection: close\r\n[^]*\r\none two$/);
  });
});

uring('a request that is none gets its status, and the connection ends', async () => {
  await withEngine([{ http: hello }], {}, async ({ talk, unit }) => {
    const cases: [string, number, string][] = [
      ['GET / HTTP/1.1\r\n\r\n', 400, 'no-host'],
      ['GET / HTTP/2.0\r\nHost: a\r\n\r\n', 505, 'version-unknown'],
      [
        'GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx',
        400,
        'many-content-lengths',
      ],
      ['CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n', 501, 'method-unknown'],
      [`GET /${'a'.repeat(9000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 414, 'target-too-long'],
      [`GET / HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(17000)}\r\n\r\n`, 431, 'head-too-large'],
      [
        'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
        400,
        'bad-chunk-size',
      ],
      ['GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n', 417, 'expectation'],
    ];
    for (const [text, status, code] of cases) {
      const answer = await talk(text);
      assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `), code);
      assert.match(answer, /\r\nConnection: close\r\n/);
      assert.is(unit.refusals.at(-1), code);
    }
  });
});

uring('100 Continue comes from the member before the body is sent', async () => {
  const server: RequestListener = echo;
  await withEngine([{ http: server }], {}, async ({ socket }) => {
    const client = socket();
    client.write(
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n',
    );
    const [first] = (await once(client, 'data')) as [Buffer];
    assert.match(first.toString(), /^HTTP\/1\.1 100 Continue\r\n\r\n$/);
    client.write('tea\r\n');
    const pieces: Buffer[] = [];
    for await (const piece of client) pieces.push(piece as Buffer);
    assert.match(Buffer.concat(pieces).toString(), /^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\ntea\r\n$/);
  });
});

uring('a tunnel after an Upgrade carries bytes both ways until both ends have ended', async () => {
  const tcp = (socket: Socket): void => {
    socket.once('data', () => {
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi',
      );
      socket.on('data', (piece: Buffer) => socket.write(piece.toString().toUpperCase()));
      socket.on('end', () => socket.end('bye'));
    });
  };
  await withEngine([{ tcp }], {}, async ({ socket, unit }) => {
    const client = socket();
    const got: Buffer[] = [];
    client.write(
      'GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\nahead',
    );
    for await (const piece of client) {
      got.push(piece as Buffer);
      const text = Buffer.concat(got).toString();
      if (text.endsWith('hiAHEAD')) client.write('more');
      if (text.endsWith('AHEADMORE')) client.end();
    }
    const text = Buffer.concat(got).toString();
    assert.match(text, /^HTTP\/1\.1 101 Switching Protocols\r\n/);
    assert.ok(text.endsWith('\r\n\r\nhiAHEADMOREbye'), text);
    await unit.driver.settled(() => unit.ended.length === 1);
    assert.is(unit.ended[0]?.reason, 'complete');
  });
});

uring('a member that refuses connections is passed over', async () => {
  await withEngine([{ http: hello }, { http: hello }], {}, async ({ ask: get, unit }) => {
    const [dead] = unit.members;
    dead?.address.set([0, 1], 2); // port 1: nobody listens there
    for (let i = 0; i < 6; i += 1) assert.is((await get({ method: 'POST' })).status, 200);
    assert.ok(unit.retries > 0, 'some were tried again');
    assert.ok((dead?.failures ?? 0) > 0, 'the failures were told');
  });
});

uring('without any member that can be reached the answer is 502', async () => {
  await withEngine([{ http: hello }], {}, async ({ ask: get, unit }) => {
    unit.members[0]?.address.set([0, 1], 2);
    const { status, body } = await get();
    assert.is(status, 502);
    assert.match(body.toString(), /could not be reached/);
    assert.is(unit.open, 1, 'the connection of the client goes on');
  });
});

/** Answers the first request of a connection, and cuts it at the second. */
function cutsSecond(answer: string): (socket: Socket) => void {
  return (socket) => {
    let requests = 0;
    socket.on('data', () => {
      requests += 1;
      if (requests === 1) socket.write(answer);
      else socket.destroy();
    });
  };
}

uring('a request that meets a connection which the member just closed is sent again', async () => {
  const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
  await withEngine([{ tcp: cutsSecond(answer) }], {}, async ({ ask: get, unit }) => {
    for (let i = 0; i < 6; i += 1) assert.is((await get()).status, 200);
    assert.ok(unit.retries >= 2, `${unit.retries} retries`);
    const posted = await get({ method: 'POST', body: Buffer.from('x') });
    assert.is(posted.status, 502, 'a POST that may have been carried out is not sent again');
    assert.is(
      unit.members[0]?.failures,
      0,
      'a connection that had waited tells nothing of a member',
    );
  });
});

uring('an answer that breaks off is cut for the client, too', async () => {
  const tcp = (socket: Socket): void => {
    socket.once('data', () => {
      socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this');
    });
  };
  await withEngine([{ tcp }], {}, async ({ ask: get, unit }) => {
    let broke = false;
    try {
      await get();
    } catch (error) {
      broke = true;
      assert.match(String(error), /aborted|ECONNRESET/);
    }
    assert.ok(broke, 'the client saw no end of the answer');
    assert.is(unit.ended[0]?.reason, 'member-cut');
  });
});

uring('an answer until the end of the connection becomes chunks', async () => {
  const tcp = (socket: Socket): void => {
    socket.once('data', () => {
      socket.end('HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nall of it');
    });
  };
  await withEngine([{ tcp }], {}, async ({ ask: get, unit }) => {
    const { body, headers } = await get();
    assert.is(body.toString(), 'all of it');
    assert.is(headers['transfer-encoding'], 'chunked');
    assert.is((await get()).status, 200);
    assert.is(unit.open, 1);
  });
});

for (const [what, answer] of [
  ['no HTTP', 'nonsense\r\n\r\n'],
  ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'],
  ['a bare LF', 'HTTP/1.1 200 OK\nContent-Length: 1\n\na'],
  ['a head that is too large', `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`],
] as const) {
  uring(`an answer with ${what} becomes a 502`, async () => {
    const tcp = (socket: Socket): void => {
      socket.once('data', () => socket.write(answer));
    };
    await withEngine([{ tcp }], {}, async ({ ask: get }) => {
      const { status, body } = await get();
      assert.is(status, 502);
      assert.match(body.toString(), /could not be understood/);
    });
  });
}

uring('a member that says nothing becomes a 504 after the time limit', async () => {
  const tcp = (): void => {
    // Says nothing.
  };
  await withEngine(
    [{ tcp }],
    { timeouts: { response: 50 }, pool: { retries: 0 } },
    async (stage) => {
      assert.is((await stage.ask()).status, 504);
      assert.is(stage.unit.ended[0]?.reason, 'member-timeout');
    },
  );
});

uring('a head that does not come whole in time is answered by 408', async () => {
  await withEngine([{ http: hello }], { timeouts: { head: 50 } }, async ({ talk }) => {
    assert.match(await talk('GET / HTTP/1.1\r\nHost:'), /^HTTP\/1\.1 408 /);
  });
});

uring('a connection without a next request ends by itself, in silence', async () => {
  await withEngine([{ http: hello }], { timeouts: { keepAlive: 50 } }, async ({ talk }) => {
    const answer = await talk('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.match(answer, /^HTTP\/1\.1 200 OK\r\n[^]*hello\n$/);
  });
});

uring('a client that goes away while it is served frees everything', async () => {
  let closed = 0;
  const http: RequestListener = (_asked, response) => {
    response.on('close', () => (closed += 1));
    response.write('begin');
  };
  await withEngine([{ http }], {}, async ({ socket, unit }) => {
    const client = socket();
    client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await once(client, 'data');
    client.resetAndDestroy();
    await unit.driver.settled(() => unit.ended.length === 1 && closed === 1);
    assert.is(unit.ended[0]?.reason, 'client-gone');
  });
});

uring('a body that comes drop by drop is answered by 408, though no drop is late', async () => {
  const member: RequestListener = (incoming, response) => {
    incoming.resume();
    incoming.on('end', () => response.end());
  };
  const limits = { timeouts: { idle: 400, slowestBody: 100 } };
  await withEngine([{ http: member }], limits, async ({ socket }) => {
    const client = socket();
    client.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n');
    // 20 bytes a second, where 100 are wanted.
    const drops = setInterval(() => client.write('x'), 50);
    try {
      const [answer] = (await once(client, 'data')) as [Buffer];
      assert.match(answer.toString(), /^HTTP\/1\.1 408 /);
    } finally {
      clearInterval(drops);
    }
  });
});

uring('a client is not to blame for a member that reads late', async () => {
  const size = 30_000_000;
  const member: RequestListener = (incoming, response) => {
    // Far longer than a client may be slow.
    setTimeout(() => {
      let got = 0;
      incoming.on('data', (piece: Buffer) => (got += piece.length));
      incoming.on('end', () => response.end(String(got)));
    }, 1500);
  };
  const limits = { timeouts: { idle: 200, slowestBody: 1_000_000_000, response: 20_000 } };
  await withEngine([{ http: member }], limits, async ({ ask: post }) => {
    const { status, body } = await post({ method: 'POST', body: Buffer.alloc(size) });
    assert.is(status, 200);
    assert.is(body.toString(), String(size));
  });
});

uring('a slow reader holds up its member, and memory stays within the window', async () => {
  const total = 64 << 20;
  const http: RequestListener = (_asked, response) => {
    response.writeHead(200, { 'Content-Length': String(total) });
    const piece = Buffer.alloc(1 << 20, 7);
    let left = total / piece.length;
    const more = (): void => {
      while (left > 0) {
        left -= 1;
        if (!response.write(piece)) {
          response.once('drain', more);
          return;
        }
      }
      response.end();
    };
    more();
  };
  await withEngine([{ http }], {}, async ({ socket, unit }) => {
    const client = socket();
    client.pause();
    client.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    const { pool } = unit.driver;
    let most = 0;
    let got = 0;
    const large = pool.freeLarge;
    client.on('data', (piece: Buffer) => (got += piece.length));
    await unit.driver.settled(() => {
      const held = pool.receiving - pool.withKernel + LARGE * (large - pool.freeLarge);
      most = Math.max(most, held);
      if (most >= 12) client.resume();
      return got > total;
    });
    await once(client, 'end');
    client.end();
    // A window of 16, of which a large buffer counts as what is in it: at least half of it.
    assert.ok(most <= 36, `${most} buffers were in use for one slow reader`);
  });
});

uring('a PROXY header says who the client is', async () => {
  let heard: IncomingMessage['headers'] = {};
  const http: RequestListener = (asked, response) => {
    heard = asked.headers;
    response.end('ok');
  };
  await withEngine([{ http }], { service: { proxyProtocol: 'accept' } }, async ({ talk }) => {
    const one = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
    assert.match(
      await talk(`PROXY TCP4 192.0.2.9 192.0.2.1 4000 80\r\n${one}`),
      /^HTTP\/1\.1 200 /,
    );
    assert.is(heard['x-forwarded-for'], '192.0.2.9');
    await assertReset(talk(one));
  });
});

uring('members hear of each client by PROXY, on connections of its own', async () => {
  const begun: string[] = [];
  const tcp = (socket: Socket): void => {
    let text = '';
    socket.on('data', (bytes: Buffer) => {
      text += bytes.toString('latin1');
      if (!text.endsWith('\r\n\r\n')) return;
      begun.push(text);
      text = '';
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    });
  };
  const service = { proxyProtocol: 'accept' } as const;
  await withEngine([{ tcp }], { pool: { proxyProtocol: 'v1' }, service }, async ({ talk }) => {
    const one = 'GET /1 HTTP/1.1\r\nHost: a\r\n\r\n';
    const last = 'GET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
    for (const client of ['TCP4 192.0.2.7 192.0.2.1', 'TCP6 2001:db8::7 2001:db8::1']) {
      await talk(`PROXY ${client} 4000 80\r\n${one}${last}`);
    }
    assert.equal(
      begun.map((text) => text.split(' HTTP/')[0]),
      [
        'PROXY TCP4 192.0.2.7 192.0.2.1 4000 80\r\nGET /1',
        'PROXY TCP4 192.0.2.7 192.0.2.1 4000 80\r\nGET /2',
        'PROXY TCP6 2001:db8:0:0:0:0:0:7 2001:db8:0:0:0:0:0:1 4000 80\r\nGET /1',
        'PROXY TCP6 2001:db8:0:0:0:0:0:7 2001:db8:0:0:0:0:0:1 4000 80\r\nGET /2',
      ],
    );
  });
});

async function assertReset(talk: Promise<string>): Promise<void> {
  let answer = 'a reset';
  try {
    answer = await talk;
  } catch (error) {
    assert.match(String(error), /ECONNRESET/);
  }
  assert.is(answer, 'a reset');
}

uring('requests wait for a member with room, in order, and not for ever', async () => {
  const held: (() => void)[] = [];
  const http: RequestListener = (asked, response) => {
    held.push(() => {
      response.end(asked.url);
    });
  };
  const options = { most: 1, pool: { queue: 2 }, timeouts: { queue: 300 } };
  await withEngine([{ http }], options, async ({ unit }) => {
    const agent = new Agent({ keepAlive: true });
    try {
      const get = (path: string): Promise<Answer> => ask(unit.port, agent, { path });
      const first = get('/1');
      await unit.driver.settled(() => held.length === 1);
      const second = get('/2');
      const list = unit.binding.service.routes[0]?.poolFor(0)?.waiting;
      await unit.driver.settled(() => list?.length === 1);
      const third = get('/3');
      await unit.driver.settled(() => list?.length === 2);
      assert.is((await get('/4')).status, 503, 'the queue was full');
      held.shift()?.();
      assert.is((await first).body.toString(), '/1');
      await unit.driver.settled(() => held.length === 1);
      held.shift()?.();
      assert.is((await second).body.toString(), '/2', 'the first that waited comes first');
      await unit.driver.settled(() => held.length === 1);
      const late = await get('/5');
      assert.is(late.status, 503, 'it waited as long as it may');
      held.shift()?.();
      assert.is((await third).body.toString(), '/3');
    } finally {
      agent.destroy();
    }
  });
});

uring('answers are compressed for clients that ask for it', async () => {
  const text = 'a line that comes again and again\n'.repeat(20_000);
  const http: RequestListener = (asked, response) => {
    response.setHeader('Content-Type', 'text/plain');
    response.setHeader('ETag', '"v1"');
    if (asked.url === '/length') response.setHeader('Content-Length', text.length);
    response.end(text);
  };
  const compression = new CompressionPlan(
    { codings: ['br', 'gzip'], minimumSize: 100, types: ['text/*'] },
    availableCodings(),
  );
  await withEngine([{ http }], { compression }, async ({ ask: get, unit }) => {
    for (const path of ['/length', '/chunks']) {
      const headers = { 'Accept-Encoding': 'gzip;q=1, br;q=0.5' };
      const coded = await get({ path, headers });
      assert.is(coded.headers['content-encoding'], 'gzip');
      assert.is(coded.headers['etag'], 'W/"v1"');
      assert.is(coded.headers.vary, 'Accept-Encoding');
      assert.is(coded.headers['content-length'], undefined);
      assert.ok(coded.body.length < text.length / 10, `${coded.body.length} bytes`);
      assert.is(gunzipSync(coded.body).toString(), text);
      const plain = await get({ path, headers: { 'Accept-Encoding': 'identity' } });
      assert.is(plain.headers['content-encoding'], undefined);
      assert.is(plain.body.toString(), text);
      const head = await get({ path, method: 'HEAD', headers });
      assert.is(head.headers['content-encoding'], 'gzip');
    }
    assert.is(unit.open, 1, 'one connection for all');
    await unit.driver.settled(() => unit.engine.core.compressors.open === 0);
  });
});

uring('a client that goes away while its answer is compressed leaves nothing behind', async () => {
  const http: RequestListener = (_asked, response) => {
    response.setHeader('Content-Type', 'text/plain');
    const more = (): void => {
      while (response.write(randomBytes(30_000).toString('base64')));
    };
    response.on('drain', more);
    more();
  };
  const compression = new CompressionPlan(
    { codings: ['gzip'], minimumSize: 100, types: ['text/*'] },
    availableCodings(),
  );
  await withEngine([{ http }], { compression }, async ({ socket, unit }) => {
    const client = socket();
    client.write('GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n');
    await once(client, 'data');
    client.pause();
    const { pool } = unit.driver;
    await unit.driver.settled(() => unit.engine.core.compressors.open === 1);
    client.resetAndDestroy();
    await unit.driver.settled(() => unit.ended.length === 1);
    await unit.driver.settled(() => unit.engine.core.compressors.open === 0);
    assert.ok(pool.receiving - pool.withKernel <= 16, 'no more buffers than a window');
  });
});

uring('a body that comes too slowly is answered by 408', async () => {
  const timeouts = { idle: 150, slowestBody: 1000 };
  await withEngine([{ http: echo }], { timeouts }, async ({ socket, unit }) => {
    const client = socket();
    client.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n');
    // A byte each 20 ms: each one comes in time, all of them do not.
    const drip = setInterval(() => client.write('x'), 20);
    try {
      const [answer] = (await once(client, 'data')) as [Buffer];
      assert.match(answer.toString(), /^HTTP\/1\.1 408 /);
      assert.is(unit.refusals.at(-1), 'request-timeout');
    } finally {
      clearInterval(drip);
    }
  });
});

uring('a copy goes to the mirror, and nothing of it comes back', async () => {
  const copies: string[] = [];
  const mirror = createServer((asked, response) => {
    asked.on('data', (piece: Buffer) => copies.push(`${asked.method ?? ''} ${piece.toString()}`));
    asked.on('end', () => {
      response.writeHead(500);
      response.end('of the mirror');
    });
  });
  mirror.listen(0, '127.0.0.1');
  await once(mirror, 'listening');
  try {
    const options = { mirror: (mirror.address() as AddressInfo).port };
    await withEngine([{ http: echo }], options, async ({ ask: post, unit }) => {
      for (let i = 0; i < 3; i += 1) {
        const answer = await post({ method: 'POST', body: Buffer.from(`body ${i}`) });
        assert.is(answer.status, 200);
        assert.is(answer.body.toString(), `body ${i}`);
      }
      await unit.driver.settled(() => unit.ended.length === 6);
      assert.equal(copies, ['POST body 0', 'POST body 1', 'POST body 2']);
    });
  } finally {
    mirror.closeAllConnections();
    mirror.close();
  }
});

uring('many clients at once', async () => {
  await withEngine([{ http: echo }, { http: echo }], {}, async ({ unit }) => {
    const agent = new Agent({ keepAlive: true, maxSockets: 100 });
    try {
      const answers = await Promise.all(
        Array.from({ length: 600 }, (_, i) =>
          ask(unit.port, agent, { method: 'PUT', body: Buffer.from(`body ${i}`) }),
        ),
      );
      answers.forEach(({ status, body }, i) => {
        assert.is(status, 200);
        assert.is(body.toString(), `body ${i}`);
      });
    } finally {
      agent.destroy();
    }
  });
});

test.run();

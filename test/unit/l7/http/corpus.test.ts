/**
 * Every message of the corpus through the running engine: clients' to a member that records, members'
 * to a client. What reaches the other side is what the codec says, and nothing else.
 */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { upgradeKind } from '../../../../appliance/l7/http1/connection.js';
import { defaultLimits, type Limits } from '../../../../appliance/l7/http1/limits.js';
import { method } from '../../../../appliance/l7/http1/methods.js';
import { peerOf } from '../../../../appliance/l7/http1/peer.js';
import {
  defaultRequestRules,
  RequestPlan,
} from '../../../../appliance/l7/http1/rewrite-request.js';
import { ResponsePlan } from '../../../../appliance/l7/http1/rewrite-response.js';
import { corpus, type Case } from '../../../support/http1-corpus.js';
import {
  PlainReader,
  requestsIn,
  responsesIn,
  type Message,
} from '../../../support/http1-expected.js';
import { EngineDriver } from '../../../support/http-engine.js';
import { needs } from '../../../support/needs.js';

const test = suite('corpus through the HTTP engine');
const uring = needs.uring(test);

const cases = corpus();
const answers = new ResponsePlan();
const plan = new RequestPlan(defaultRequestRules);
const peer = peerOf('127.0.0.1', 'http', 80);
const tunnelLimits: Limits = { ...defaultLimits, connect: 'forward' };

/** An engine, a member that is told what to do, and the bytes that reached the engine. */
class Stage {
  readonly unit: EngineDriver;
  /** Bytes of clients that the engine has seen. */
  seen = 0;
  /** Bytes of members. */
  answered = 0;

  private constructor(
    port: number,
    limits: Limits,
    private readonly stop: () => void,
  ) {
    this.unit = new EngineDriver({ ports: [port], limits, pool: { retries: 0 } });
    const { engine } = this.unit;
    const onData = engine.onData.bind(engine);
    const { pool } = this.unit.driver;
    engine.onData = (slot, buffer) => {
      if (engine.core.role[slot] === 1) this.seen += pool.length[buffer] ?? 0;
      else this.answered += pool.length[buffer] ?? 0;
      onData(slot, buffer);
    };
  }

  static async open(limits: Limits, serve: (socket: Socket) => void): Promise<Stage> {
    const sockets = new Set<Socket>();
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      socket.on('error', () => socket.destroy());
      socket.setNoDelay(true);
      serve(socket);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new Stage((server.address() as AddressInfo).port, limits, () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
  }

  end(): void {
    try {
      this.unit.end();
    } finally {
      this.stop();
    }
  }

  /** Sends pieces, each after the engine has the one before; then the end. */
  async talk(pieces: readonly Uint8Array[], until: (text: string) => boolean): Promise<Heard> {
    const { driver, port } = this.unit;
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    socket.setNoDelay(true);
    let text = '';
    let over = false;
    let cut = false;
    socket.setEncoding('latin1');
    socket.on('data', (piece: string) => {
      text += piece;
      if (until(text)) socket.end();
    });
    socket.on('end', () => {
      over = true;
      socket.end();
    });
    socket.on('error', () => (cut = true));
    const closed = new Promise<void>((resolve) => {
      socket.on('close', () => {
        over = true;
        resolve();
      });
    });
    let sent = this.seen;
    for (const piece of pieces) {
      socket.write(piece);
      sent += piece.length;
      await driver.settled(() => over || this.seen >= sent);
    }
    if (pieces.length > 0 && until('')) socket.end();
    await closed;
    return { text, cut };
  }
}

interface Heard {
  readonly text: string;
  /** Ended by a reset. */
  readonly cut: boolean;
}

/** Whole, in two at some places, and for some cases byte by byte. */
function splits(bytes: Uint8Array, index: number): Uint8Array[][] {
  const at = (place: number): Uint8Array[] => [bytes.subarray(0, place), bytes.subarray(place)];
  const { length } = bytes;
  const all = [[bytes]];
  if (length > 4) {
    for (const part of [1, 2, 3])
      all.push(at(1 + (((index * 7 + part * length) >> 2) % (length - 1))));
    all.push(at(length - 1), at(length - 2));
  }
  if (index % 8 === 0 && length < 400) all.push([...bytes].map((byte) => Uint8Array.of(byte)));
  return all;
}

const clean = 'GET /clean HTTP/1.1\r\nHost: clean.example\r\n\r\n';
const show = (value: unknown): string => JSON.stringify(value);

/** Answers each whole request; `messages` are those. */
class Recorder {
  messages: Message[] = [];
  broken: Error | null = null;

  serve = (socket: Socket): void => {
    const reader = new PlainReader();
    socket.setEncoding('latin1');
    socket.on('data', (piece: string) => {
      reader.push(piece);
      try {
        for (;;) {
          const message = reader.next(() => false);
          if (message === null) return;
          this.messages.push(message);
          const refused = message.head.startsWith('CONNECT ');
          const body = message.head.startsWith('HEAD ') ? '' : 'ok';
          socket.write(
            `HTTP/1.1 ${refused ? '403 Forbidden' : '200 OK'}\r\nContent-Length: 2\r\n\r\n${body}`,
          );
        }
      } catch (error) {
        this.broken = error instanceof Error ? error : new Error(String(error));
        socket.destroy();
      }
    });
    socket.on('end', () => socket.end());
  };
}

/** Statuses of answers in a client's text, with what is left over. */
function statusesIn(text: string, methods: readonly number[]): string[] {
  const reader = new PlainReader();
  reader.push(text);
  const statuses: string[] = [];
  for (;;) {
    const bodyless = methods[statuses.length] === method.head;
    const message = reader.next(() => bodyless);
    if (message === null) break;
    statuses.push(message.head.slice(9, 12));
  }
  if (reader.rest !== '') statuses.push(`and ${show(reader.rest)}`);
  return statuses;
}

async function replayRequest(stage: Stage, recorder: Recorder, one: Case, index: number) {
  const limits = one.tunnels ? tunnelLimits : defaultLimits;
  const { requests, ending, goesOn } = requestsIn(one.bytes, limits, plan, peer);
  const bytes = goesOn ? Buffer.concat([one.bytes, Buffer.from(clean)]) : one.bytes;
  const wanted = goesOn ? requestsIn(bytes, limits, plan, peer).requests : requests;
  const messages = wanted.map(({ head, body, trailers }) => ({ head, body, trailers }));
  const statuses: string[] = wanted.map((request) =>
    request.method === method.connect ? '403' : '200',
  );
  if (typeof ending === 'object') statuses.push(String(ending.fault.status));
  const methods = wanted.map((request) => request.method);
  for (const pieces of splits(bytes, index)) {
    recorder.messages = [];
    const where = `${one.id}, in ${pieces.length} (${pieces[0]?.length ?? 0})`;
    const heard = await stage.talk(pieces, (text) => text === '');
    if (recorder.broken !== null) throw new Error(`${where}: ${recorder.broken.message}`);
    assert.equal(recorder.messages, messages, `${where}: what reached the member`);
    assert.equal(statusesIn(heard.text, methods), statuses, `${where}: what the client got`);
    assert.not(heard.cut, `${where}: the connection was cut`);
  }
}

for (const tunnels of [false, true]) {
  uring(
    `requests of the corpus reach the member as they must${tunnels ? ', tunnels too' : ''}`,
    async () => {
      const recorder = new Recorder();
      const stage = await Stage.open(tunnels ? tunnelLimits : defaultLimits, recorder.serve);
      try {
        let index = 0;
        for (const one of cases) {
          if (one.side === 'request' && one.tunnels === tunnels) {
            await replayRequest(stage, recorder, one, (index += 1));
          }
        }
        assert.ok(index > (tunnels ? 0 : 300), `${index} requests were tried`);
      } finally {
        stage.end();
      }
    },
  );
}

const asks = {
  GET: 'GET /a HTTP/1.1\r\nHost: a\r\n\r\n',
  HEAD: 'HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n',
  CONNECT: 'CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n',
  websocket:
    'GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n',
} as const;
const cleanAnswer = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Clean: yes\r\n\r\nclean';

/** Says the bytes of a case to the first request that it hears, and a clean answer to all others. */
class Player {
  pieces: readonly Uint8Array[] = [];
  /** Whether the end of the connection follows. */
  ends = false;
  /** The first request was heard; everything was said. */
  begun = false;
  done = false;
  /** Resolves when the engine has so many bytes of members, or the socket is gone. */
  said: (bytes: number, socket: Socket) => Promise<void> = () => Promise.resolve();

  play(pieces: readonly Uint8Array[], ends: boolean): void {
    this.pieces = pieces;
    this.ends = ends;
    this.begun = false;
    this.done = false;
  }

  serve = (socket: Socket): void => {
    const reader = new PlainReader();
    let raw = false;
    socket.setEncoding('latin1');
    socket.on('data', (piece: string) => {
      if (raw) return;
      reader.push(piece);
      while (reader.next(() => false) !== null) {
        if (this.begun) socket.write(cleanAnswer);
        else {
          this.begun = true;
          raw = true;
          void this.#say(socket).then(() => {
            raw = false;
            this.done = true;
          });
        }
      }
    });
    socket.on('end', () => socket.end());
  };

  async #say(socket: Socket): Promise<void> {
    for (const piece of this.pieces) {
      if (socket.destroyed) return;
      socket.write(piece);
      await this.said(piece.length, socket);
    }
    if (this.ends) socket.end();
  }
}

/** Asks, and asks for something clean behind it where the connection goes on. */
async function hear(stage: Stage, player: Player, one: Case): Promise<Heard & { after: string }> {
  const { driver, port } = stage.unit;
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  socket.setEncoding('latin1');
  const reader = new PlainReader();
  let text = '';
  let final = 0;
  let after = '';
  let cut = false;
  let over = false;
  const isBodyless = (head: string): boolean =>
    /^HTTP\/1\.1 (1..|204|304) /.test(head) ||
    (one.to === 'HEAD' && final === 0 && !/^HTTP\/1\.1 1/.test(head));
  socket.on('data', (piece: string) => {
    if (final === 0) text += piece;
    else after += piece;
    if (final === 0) {
      reader.push(piece);
      for (let message = reader.next(isBodyless); message !== null;) {
        if (!/^HTTP\/1\.1 1(?!01)/.test(message.head)) final += 1;
        message = final > 0 ? null : reader.next(isBodyless);
      }
    }
  });
  socket.on('error', () => (cut = true));
  socket.on('end', () => socket.end());
  const closed = new Promise<void>((resolve) => {
    socket.on('close', () => {
      over = true;
      resolve();
    });
  });
  socket.write(asks[one.upgrade === 'websocket' ? 'websocket' : one.to]);
  await driver.settled(() => over || (final > 0 && player.done));
  const tunnel =
    /^HTTP\/1\.1 101 /m.test(text) || (one.to === 'CONNECT' && text.startsWith('HTTP/1.1 200'));
  if (!over && !tunnel) {
    socket.write(clean);
    await driver.settled(() => over || after.endsWith('clean'));
  }
  if (!over) socket.end();
  await closed;
  return { text, cut, after };
}

async function replayResponse(stage: Stage, player: Player, one: Case, index: number) {
  const to = {
    method:
      one.upgrade === 'websocket'
        ? method.get
        : method[one.to === 'GET' ? 'get' : one.to === 'HEAD' ? 'head' : 'connect'],
    minor: 1,
    upgrade: upgradeKind[one.upgrade],
  };
  const wanted = responsesIn(one.bytes, to, tunnelLimits, answers);
  const { responses, ending, tunnel } = wanted;
  const bodyless = (head: string): boolean =>
    to.method === method.head || /^HTTP\/1\.1 (1..|204|304) /.test(head);
  for (const pieces of splits(one.bytes, index)) {
    player.play(
      pieces,
      wanted.untilClose || tunnel || ending === 'in-head' || ending === 'in-body',
    );
    const where = `${one.id}, in ${pieces.length} (${pieces[0]?.length ?? 0})`;
    const { text, cut, after } = await hear(stage, player, one);
    const heads = responses.map(({ head }) => head);
    if (ending === 'in-body' || (typeof ending === 'object' && ending.in === 'body')) {
      assert.ok(cut, `${where}: the answer that is not whole was cut: ${show(text)}`);
      assert.ok(
        heads.join('').startsWith(text) || text.startsWith(heads.join('')),
        `${where}: ${show(text)}`,
      );
      continue;
    }
    if (tunnel) {
      assert.is(text + after, `${heads.join('')}${responses.at(-1)?.body ?? ''}`, where);
      continue;
    }
    const reader = new PlainReader();
    reader.push(text);
    for (const [place, { head, body, trailers }] of responses.entries()) {
      const final = place === responses.length - 1;
      const got = reader.next(
        (which) => bodyless(which) || (!final && which.startsWith('HTTP/1.1 1')),
      );
      assert.equal(got, { head, body, trailers }, `${where}: answer ${place + 1}`);
    }
    if (ending === 'whole') assert.is(reader.rest, '', `${where}: nothing follows the answer`);
    else {
      const what = ending === 'in-head' ? 'could not be reached' : 'could not be understood';
      assert.match(reader.rest, new RegExp(`^HTTP/1\\.1 502 Bad Gateway\\r\\n`), where);
      if (to.method !== method.head) assert.match(reader.rest, what, where);
    }
    assert.match(
      after,
      /^HTTP\/1\.1 200 OK\r\n[^]*X-Clean: yes\r\n[^]*\r\n\r\nclean$/,
      `${where}: the next answer`,
    );
  }
}

uring('answers of the corpus reach the client as they must', async () => {
  const player = new Player();
  const stage = await Stage.open(tunnelLimits, player.serve);
  let sent = 0;
  player.said = async (bytes, socket) => {
    sent = stage.answered + bytes;
    await stage.unit.driver.settled(
      () => socket.destroyed || socket.closed || stage.answered >= sent,
    );
  };
  try {
    let index = 0;
    for (const one of cases) {
      if (one.side === 'response') await replayResponse(stage, player, one, (index += 1));
    }
    assert.ok(index > 50, `${index} answers were tried`);
  } finally {
    stage.end();
  }
});

test.run();

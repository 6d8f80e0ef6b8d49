/**
 * Every message of the corpus through the running engine: clients' to a member that records, members'
 * to a client. What reaches the other side is what the codec says, and nothing else.
 */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { defaultLimits, type Limits } from '../../../../appliance/l7/http1/limits.js';
import { method } from '../../../../appliance/l7/http1/methods.js';
import { peerOf } from '../../../../appliance/l7/http1/peer.js';
import {
  defaultRequestRules,
  RequestPlan,
} from '../../../../appliance/l7/http1/rewrite-request.js';
import { corpus, type Case } from '../../../support/http1-corpus.js';
import { PlainReader, requestsIn, type Message } from '../../../support/http1-expected.js';
import { EngineDriver } from '../../../support/http-engine.js';
import { needs } from '../../../support/needs.js';

const test = suite('corpus through the HTTP engine');
const uring = needs.uring(test);

const cases = corpus();
const plan = new RequestPlan(defaultRequestRules);
const peer = peerOf('127.0.0.1', 'http', 80);
const tunnelLimits: Limits = { ...defaultLimits, connect: 'forward' };

/** An engine, a member that is told what to do, and the bytes that reached the engine. */
class Stage {
  readonly unit: EngineDriver;
  /** Bytes of clients that the engine has seen. */
  seen = 0;

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
    if (ending === 'in-body') assert.ok(heard.cut, `${where}: the connection was cut`);
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

test.run();

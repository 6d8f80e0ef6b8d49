/** The link of a pair: messages once and in order, over links that go, and nothing foreign or old. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { noRefusals } from '../../../../appliance/ha/pair/counts.js';
import { dial } from '../../../../appliance/ha/pair/dial.js';
import { FrameSocket } from '../../../../appliance/ha/pair/frame-socket.js';
import { encodeFrame, numbers, type FrameType } from '../../../../appliance/ha/pair/frames.js';
import { loadIdentity } from '../../../../appliance/ha/pair/identity.js';
import { encodeJson, encodeMessage } from '../../../../appliance/ha/pair/messages.js';
import { UndeliveredError, type Session } from '../../../../appliance/ha/pair/session.js';
import { PairStore } from '../../../../appliance/ha/pair/store.js';
import { MachineKey } from '../../../../appliance/tls/machine-key.js';
import { pairOf, PairUnit, freePort } from '../../../support/two-units.js';

const test = suite('session of the pair');

async function paired(
  work: (a: PairUnit, b: PairUnit) => Promise<void>,
  links?: readonly string[],
): Promise<void> {
  const [a, b] = await pairOf(links);
  try {
    await work(a, b);
    assert.equal([...a.errors, ...b.errors], []);
  } finally {
    a.close();
    b.close();
  }
}

function sessionOf({ session }: PairUnit): Session {
  if (session === null) throw new Error('expected a session');
  return session;
}

async function codeOf(sent: Promise<void>): Promise<string> {
  try {
    await sent;
    return 'delivered';
  } catch (error) {
    return error instanceof UndeliveredError ? error.code : String(error);
  }
}

test('messages are delivered in order and acknowledged, both ways, up to a MiB', () =>
  paired(async (a, b) => {
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      const heard: string[] = [];
      sessionOf(to).on('words', (body) => heard.push(body.toString()));
      const sent = Array.from({ length: 500 }, (_, index) =>
        sessionOf(from).send('words', Buffer.from(`${from.name} ${index}`)),
      );
      await Promise.all(sent);
      assert.equal(
        heard,
        Array.from({ length: 500 }, (_, index) => `${from.name} ${index}`),
      );
      let size = 0;
      sessionOf(to).on('large', (body) => (size = body.length));
      await sessionOf(from).send('large', Buffer.alloc(1 << 20, 1));
      assert.is(size, 1 << 20);
      assert.throws(() => void sessionOf(from).send('large', Buffer.alloc((1 << 20) + 1)), /bytes/);
    }
  }));

test('a heartbeat tells how the clocks of the two stand to each other', () =>
  paired(async (a, b) => {
    // The first is sent with the greeting, and answered before a message is.
    await sessionOf(a).send('nobody', Buffer.from('x'));
    await sessionOf(b).send('nobody', Buffer.from('x'));
    for (const unit of [a, b]) {
      const clocks = unit.pair.state().links.flatMap(({ clock }) => clock ?? []);
      assert.ok(clocks.length > 0, unit.name);
      // Both have the clock of this machine; a whole millisecond is how fine it is read.
      for (const { ms, errorMs } of clocks)
        assert.ok(Math.abs(ms) <= errorMs + 1, `${ms} ${errorMs}`);
    }
  }));

test('a channel that nobody hears is counted, and holds nothing up', () =>
  paired(async (a, b) => {
    await sessionOf(a).send('nobody', Buffer.from('x'));
    assert.is(b.pair.state().refused.unheard, 1);
  }));

test('messages survive the loss of one link, and then of both', () =>
  paired(async (a, b) => {
    const heard: number[] = [];
    sessionOf(b).on('count', (body) => heard.push(Number(body.toString())));
    const sent: Promise<void>[] = [];
    const send = (count: number): void => {
      for (let left = count; left > 0; left -= 1) {
        sent.push(sessionOf(a).send('count', Buffer.from(String(sent.length))));
      }
    };
    for (const all of [false, true, false, true]) {
      await a.untilLinks(2);
      send(100);
      // The one that carries them, in their midst.
      const { links, active } = sessionOf(a);
      const from = a.news.length;
      for (const link of links) if (all || link === active) link.close('cut by the test');
      send(100);
      await a.heard(all ? 'alone' : 'down', from);
    }
    await Promise.all(sent);
    assert.equal(
      heard,
      Array.from({ length: 800 }, (_, index) => index),
    );
    assert.is(b.pair.state().refused.malformed, 0);
  }));

test('a restarted daemon is another: what waited for the former is told so, numbers begin anew', () =>
  paired(async (a, b) => {
    sessionOf(b).on('words', () => undefined);
    await sessionOf(a).send('words', Buffer.from('before'));
    const former = b.pair.state().epoch;
    const from = a.news.length;
    b.stop();
    await a.heard('alone', from);
    const waiting = codeOf(sessionOf(a).send('words', Buffer.from('meanwhile')));
    b.restart();
    const heard: string[] = [];
    sessionOf(b).on('words', (body) => heard.push(body.toString()));
    await a.heard('together', from);
    assert.is(await waiting, 'restarted');
    await sessionOf(a).send('words', Buffer.from('after'));
    assert.equal(heard, ['after']);
    assert.ok((a.pair.state().peerEpoch ?? 0) > former);
    assert.is(a.pair.state().peerEpoch, b.pair.state().epoch);
  }));

test('leaving is told to the other unit, which forgets this one; both may pair anew', () =>
  paired(async (a, b) => {
    const known = a.pair.state().fingerprint;
    const waiting = sessionOf(a);
    b.pair.leave();
    await a.heard('left');
    for (const unit of [a, b]) assert.is(unit.pair.state().peer, null);
    assert.is(await codeOf(waiting.send('words', Buffer.from('x'))), 'left');
    const { code, fingerprint } = await b.pair.invite(['127.0.0.1']);
    await a.pair.join(code, '127.0.0.1');
    assert.is.not(a.pair.state().fingerprint, known, 'with a new key');
    assert.is(a.pair.state().peer?.fingerprint, fingerprint);
  }));

test('a unit that was forgotten while it was away says so, and forgets nothing by itself', () =>
  paired(
    async (a, b) => {
      const from = a.news.length;
      b.stop();
      await a.heard('alone', from);
      a.pair.leave();
      await a.pair.invite(['127.0.0.1']);
      b.restart();
      while (!/another key/.test(b.pair.state().links[0]?.reason ?? '')) {
        await new Promise<void>((resolve) => setImmediate(resolve));
      }
      assert.is(b.pair.state().peer?.name, 'unit-a', 'only its administrator makes it forget');
      assert.is(a.pair.state().peer, null);
    },
    ['127.0.0.1'],
  ));

/** One that has the other unit's key, and says what the test wants. */
class Impostor {
  readonly heard: FrameType[] = [];
  closed: Promise<string>;
  #end: (reason: string) => void = () => undefined;
  #socket: Awaited<ReturnType<typeof dial>> | null = null;

  constructor() {
    this.closed = new Promise((resolve) => (this.#end = resolve));
  }

  async open(as: PairUnit, epoch: number): Promise<void> {
    const store = PairStore.open(as.folder);
    const identity = loadIdentity(store, MachineKey.open(as.folder, false));
    store.close();
    if (identity === null) throw new Error('expected a key');
    this.#socket = await dial('127.0.0.1', as.port, identity.context);
    new FrameSocket(this.#socket, epoch, noRefusals()).listen({
      frame: ({ type }) => this.heard.push(type),
      closed: (reason) => this.#end(reason),
    });
  }

  say(type: FrameType, payload: Buffer, number: number, epoch: number): void {
    this.#socket?.write(encodeFrame({ type, payload, number, epoch }));
  }

  raw(bytes: Buffer): void {
    this.#socket?.write(bytes);
  }
}

const hello = encodeJson({ version: 1, received: { epoch: 0, message: 0 } });
const text = (number: number): Buffer =>
  encodeMessage({ number, channel: 'words', body: Buffer.from(`message ${number}`) });

for (const [what, refusal, heard, say] of [
  [
    'a frame that comes again',
    'replayed',
    1,
    (one: Impostor, epoch: number) => {
      one.say('data', text(1), 2, epoch);
      one.say('data', text(1), 2, epoch);
    },
  ],
  [
    'a message that was delivered before',
    'repeated',
    1,
    (one: Impostor, epoch: number) => {
      one.say('data', text(1), 2, epoch);
      one.say('data', text(1), 3, epoch);
      one.say('bye', Buffer.alloc(0), 5, epoch);
    },
  ],
  [
    'a frame of a former run',
    'stale',
    0,
    (one: Impostor, epoch: number) => one.say('data', text(1), 2, epoch - 1),
  ],
  [
    'an acknowledgement for a former run of this daemon',
    'stale',
    0,
    (one: Impostor, epoch: number) => one.say('ack', numbers(1, 1), 2, epoch),
  ],
  [
    'a gap in the frames',
    'malformed',
    0,
    (one: Impostor, epoch: number) => one.say('data', text(1), 3, epoch),
  ],
  [
    'a gap in the messages',
    'malformed',
    0,
    (one: Impostor, epoch: number) => one.say('data', text(2), 2, epoch),
  ],
  [
    'a frame of the pairing',
    'malformed',
    0,
    (one: Impostor, epoch: number) => one.say('join', hello, 2, epoch),
  ],
  [
    'a frame that is too long',
    'malformed',
    0,
    (one: Impostor) => one.raw(Buffer.from('7fffffff', 'hex')),
  ],
] as const) {
  test(`${what} is refused and counted, and ends the link`, () =>
    paired(
      async (a, b) => {
        const epoch = b.pair.state().epoch + 10;
        b.stop();
        const words: string[] = [];
        sessionOf(a).on('words', (body) => words.push(body.toString()));
        const one = new Impostor();
        await one.open(b, epoch);
        one.say('hello', hello, 1, epoch);
        say(one, epoch);
        await one.closed;
        assert.is(a.pair.state().refused[refusal], 1, JSON.stringify(a.pair.state().refused));
        assert.is(words.length, heard, words.join());
        b.restart();
      },
      ['127.0.0.1'],
    ));
}

test('a run of the other daemon that is older than the latest is refused', () =>
  paired(async (a, b) => {
    const one = new Impostor();
    await one.open(b, b.pair.state().epoch - 1);
    one.say('hello', hello, 1, b.pair.state().epoch - 1);
    await one.closed;
    assert.is(a.pair.state().refused.stale, 1);
    assert.is(sessionOf(a).links.length, 2, 'the links of the present run stay');
  }));

test('a frame before the greeting is refused', () =>
  paired(async (a, b) => {
    const one = new Impostor();
    await one.open(b, b.pair.state().epoch);
    one.say('data', text(1), 1, b.pair.state().epoch);
    await one.closed;
    assert.is(a.pair.state().refused.malformed, 1);
  }));

test('another key at the other unit’s address is refused by the one that dials', () =>
  paired(
    async (a, b) => {
      a.stop();
      await b.heard('alone');
      const foreign = new PairUnit('foreign', a.port);
      try {
        await foreign.pair.invite(['127.0.0.1']);
        while (b.pair.state().refused.foreign === 0) {
          await new Promise<void>((resolve) => setImmediate(resolve));
        }
        assert.match(b.pair.state().links[0]?.reason ?? '', /another key/);
      } finally {
        foreign.close();
        a.restart();
      }
    },
    ['127.0.0.1'],
  ));

test('an epoch is never given twice, also from an older copy of the file', async () => {
  const unit = new PairUnit('unit-a', await freePort());
  try {
    const first = unit.pair.state().epoch;
    unit.stop();
    const copy = readFileSync(join(unit.folder, 'pair.db'));
    unit.restart();
    const second = unit.pair.state().epoch;
    unit.stop();
    writeFileSync(join(unit.folder, 'pair.db'), copy);
    unit.restart();
    const third = unit.pair.state().epoch;
    assert.ok(first < second && second < third, `${first}, ${second}, ${third}`);
  } finally {
    unit.close();
  }
});

test.run();

/**
 * Two units' flow mirrors over a real pair (mutual TLS, loopback), with tables in memory: what comes
 * after loss of the link, a restart, lost tables, and more than fits.
 */
import { setTimeout } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  FlowMirror,
  type FlowChannel,
  type Remembered,
} from '../../../../appliance/ha/flows/flow-mirror.js';
import {
  CHANNEL,
  decode,
  encodeEnd,
  encodeHello,
  encodeRecords,
} from '../../../../appliance/ha/flows/messages.js';
import { UndeliveredError } from '../../../../appliance/ha/pair/session.js';
import { PlayedFlowTable } from '../../../support/flow-table.js';
import { pairOf, type PairUnit } from '../../../support/two-units.js';

const test = suite('flow mirror');
const timing = { tickMs: 2, walkMs: 5, passMs: 600_000, repeatMs: 10 };

/** Another reason than a wrong result to end a test that hangs. */
const PATIENCE_MS = 20_000;

async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`expected ${what}`);
    await setTimeout(2);
  }
}

class Side {
  readonly errors: unknown[] = [];
  remembered: Remembered | null = null;
  mirror: FlowMirror;

  constructor(
    readonly unit: PairUnit,
    readonly table: PlayedFlowTable,
  ) {
    this.mirror = this.#open();
  }

  #open(): FlowMirror {
    const mirror = new FlowMirror({
      table: this.table,
      remembered: {
        get: () => this.remembered,
        set: (other) => (this.remembered = other),
      },
      onError: (error) => this.errors.push(error),
      timing,
    });
    this.unit.pair.onSession((session) => {
      mirror.attach(session);
    });
    return mirror;
  }

  /** Of the daemon. Its tables stay in the kernel. */
  async restart(): Promise<void> {
    await this.mirror.close();
    this.unit.restart();
    this.mirror = this.#open();
  }

  async close(): Promise<void> {
    await this.mirror.close();
    this.unit.close();
  }
}

async function withPair(
  work: (a: Side, b: Side) => Promise<void>,
  ringRecords?: number,
): Promise<void> {
  const [unitA, unitB] = await pairOf(['127.0.0.1']);
  const a = new Side(unitA, new PlayedFlowTable('tables of a', ringRecords));
  const b = new Side(unitB, new PlayedFlowTable('tables of b', ringRecords));
  try {
    await work(a, b);
    assert.equal([...a.errors, ...b.errors], [], 'errors');
  } finally {
    await a.close();
    await b.close();
  }
}

const synchronised = (...sides: Side[]): boolean =>
  sides.every(({ mirror }) => mirror.state().synchronised && mirror.state().complete);
const numbers = (from: number, to: number): number[] =>
  Array.from({ length: to - from }, (_, index) => from + index);
const same = (side: Side, wanted: readonly number[]): boolean =>
  JSON.stringify(side.table.known()) === JSON.stringify(wanted);

test('each unit comes to know the flows of the other, those before and those after', () =>
  withPair(async (a, b) => {
    a.table.begin(...numbers(0, 1200));
    b.table.begin(...numbers(5000, 5100));
    const all = [...numbers(0, 1200), ...numbers(5000, 5100)];
    await until('the flows of both', () => synchronised(a, b) && same(a, all) && same(b, all));
    a.table.begin(2000, 2001);
    a.table.end(7, 8, 2001);
    const after = [...numbers(0, 7), ...numbers(9, 1200), 2000, ...numbers(5000, 5100)];
    await until('what came and went', () => same(b, after));
    assert.is(b.table.own.size, 100, 'what is told is never told back');
    assert.is(a.mirror.state().received['stored'], 100);
    assert.is(a.mirror.state().received['own'], undefined);
    await until('all of it taken', () => a.mirror.state().lag === 0);
    assert.is(a.mirror.state().told, 1200 + 2 + 3);
  }));

test('while the link is lost flows wait in the table, then all are told', () =>
  withPair(async (a, b) => {
    a.table.begin(...numbers(0, 100));
    await until('the first ones', () => synchronised(a, b) && same(b, numbers(0, 100)));
    const from = a.unit.news.length;
    a.unit.session?.active?.close('the cable was pulled');
    await a.unit.heard('alone', from);
    a.table.begin(...numbers(100, 400));
    a.table.end(...numbers(0, 50));
    await until('the others', () => same(b, numbers(50, 400)));
    assert.is(a.mirror.state().adopted + b.mirror.state().adopted, 0);
  }));

test('a unit that was out of hearing knows the flows of the other once all were told again', () =>
  withPair(async (a, b) => {
    a.table.begin(...numbers(0, 100));
    await until('the first ones', () => synchronised(a, b) && same(b, numbers(0, 100)));
    const from = a.unit.news.length;
    b.mirror.parted();
    assert.is(b.mirror.state().complete, false);
    a.unit.session?.active?.close('the cable was pulled');
    await a.unit.heard('alone', from);
    const passes = a.mirror.state().passes;
    await a.unit.heard('together', from);
    b.mirror.linked();
    await until('all of them', () => b.mirror.state().complete);
    assert.ok(a.mirror.state().passes > passes, 'by a pass of its own');
    assert.is(a.mirror.state().complete, true, 'who noticed nothing asks for nothing');
  }));

test('after a restart of a daemon both tell everything anew; nothing is taken for lost', () =>
  withPair(async (a, b) => {
    a.table.begin(...numbers(0, 100));
    b.table.begin(...numbers(500, 550));
    const all = [...numbers(0, 100), ...numbers(500, 550)];
    await until('the flows of both', () => synchronised(a, b) && same(a, all) && same(b, all));
    await b.restart();
    a.table.end(3);
    a.table.begin(100);
    const after = [...numbers(0, 3), ...numbers(4, 101), ...numbers(500, 550)];
    await until('the flows of both', () => synchronised(a, b) && same(a, after) && same(b, after));
    assert.is(a.mirror.state().adopted + b.mirror.state().adopted, 0);
    assert.is(b.table.own.size, 50);
  }));

test('what a unit lost with its tables is the other’s, and told back', () =>
  withPair(async (a, b) => {
    a.table.begin(...numbers(0, 300));
    await until('the flows', () => synchronised(a, b) && same(b, numbers(0, 300)));
    a.table.lose('tables of a, after a power failure');
    await a.restart();
    await until('them at both', () => synchronised(a, b) && same(a, numbers(0, 300)));
    assert.is(b.table.own.size, 300);
    assert.is(a.table.theirs, 300);
    assert.is(b.mirror.state().adopted, 300);
    // A carries them again.
    a.table.begin(...numbers(0, 10));
    await until('that B keeps them', () => same(b, numbers(0, 300)));
  }));

test('a flood is told bit by bit, in bounded memory', () =>
  withPair(async (a, b) => {
    await until('both units', () => synchronised(a, b));
    a.table.begin(...numbers(0, 20_000));
    assert.is(a.table.most, 512);
    await until('20,000 flows', () => b.table.theirs === 20_000);
    assert.ok((a.unit.session?.unacknowledged ?? 0) <= 8, 'batches under way');
    // Ends that could not be told come out with the next pass.
    a.table.end(...numbers(1000, 20_000));
    assert.ok(a.mirror.state().untold > 10_000);
    await until('their ends', () => same(b, numbers(0, 1000)));
  }, 512));

test('a unit hears which addresses it has to hold for the other, and what becomes of them', () =>
  withPair(async (a, b) => {
    await until('both units', () => synchronised(a, b));
    assert.equal(b.mirror.otherNatAddresses, []);
    a.table.natAddresses = ['10.0.0.20', 'fd00::20'];
    await until('them', () => b.mirror.otherNatAddresses.length === 2);
    await b.restart();
    assert.equal(b.mirror.otherNatAddresses, ['10.0.0.20', 'fd00::20'], 'known while A is silent');
  }));

test('a walk that fails is tried again', () =>
  withPair(async (a, b) => {
    a.table.failNextWalk = true;
    a.table.begin(1, 2, 3);
    await until('the flows', () => same(b, [1, 2, 3]));
    assert.is(a.errors.length, 1);
    a.errors.length = 0;
  }));

/** A session that does as it is told. */
class PlayedChannel implements FlowChannel {
  peerEpoch = 1;
  refuse: UndeliveredError['code'] | null = null;
  readonly sent: Buffer[] = [];
  listener: ((body: Buffer) => void) | null = null;

  send(channel: string, body: Buffer): Promise<void> {
    assert.is(channel, CHANNEL);
    if (this.refuse !== null) return Promise.reject(new UndeliveredError(this.refuse, 'refused'));
    this.sent.push(body);
    return Promise.resolve();
  }

  on(channel: string, listener: (body: Buffer) => void): () => void {
    assert.is(channel, CHANNEL);
    this.listener = listener;
    return () => (this.listener = null);
  }
}

async function withChannel(
  work: (channel: PlayedChannel, table: PlayedFlowTable, mirror: FlowMirror) => Promise<void>,
): Promise<void> {
  const table = new PlayedFlowTable('tables');
  const channel = new PlayedChannel();
  const mirror = new FlowMirror({
    ...{ table, timing },
    remembered: { get: () => null, set: () => undefined },
    onError: (error) => {
      throw error;
    },
  });
  mirror.attach(channel);
  try {
    await work(channel, table, mirror);
  } finally {
    await mirror.close();
  }
}

const kindOf = (body: Buffer): string => decode(body, 8)?.kind ?? 'none';

test('what the session refuses is told in a further pass', () =>
  withChannel(async (channel, table, mirror) => {
    await until('a session', () => mirror.state().synchronised);
    channel.refuse = 'full';
    table.begin(...numbers(0, 10));
    await until('that it is lost', () => !mirror.state().synchronised);
    channel.refuse = null;
    await until('that it is told again', () => mirror.state().synchronised);
    const told = new PlayedFlowTable('other');
    for (const body of channel.sent) {
      const message = decode(body, 8);
      if (message?.kind === 'records') told.take(message.records);
    }
    assert.equal(told.known(), numbers(0, 10));
  }));

test('nothing is told while there is no session', () =>
  withChannel(async (channel, table, mirror) => {
    channel.peerEpoch = 0;
    await until(
      'the end of the session',
      () => mirror.state().pass === 0 || channel.sent.length > 0,
    );
    const sent = channel.sent.length;
    table.begin(1);
    await setTimeout(20);
    assert.is(channel.sent.length, sent);
  }));

test('nothing is taken before the other unit has said what it is', () =>
  withChannel(async (channel, table, mirror) => {
    await until('a session', () => mirror.state().pass > 0);
    const record = Buffer.from([9, 0, 0, 0, 1, 1, 0, 0]);
    channel.listener?.(encodeRecords(Buffer.concat([record, record])));
    channel.listener?.(encodeEnd(1, 2));
    assert.equal(mirror.state().received, { early: 3 });
    channel.listener?.(encodeHello({ table: 'others', natAddresses: [], ways: [] }));
    channel.listener?.(encodeRecords(record));
    assert.equal(table.known(), [9]);
    assert.is(mirror.state().complete, false);
    channel.listener?.(encodeEnd(1, 2));
    assert.is(mirror.state().complete, true);
    assert.is(kindOf(channel.sent[0] ?? Buffer.of()), 'hello');
  }));

test('what is no message is counted and does nothing', () =>
  withChannel(async (channel, table, mirror) => {
    await until('a session', () => mirror.state().pass > 0);
    channel.listener?.(encodeHello({ table: 'others', natAddresses: [], ways: [] }));
    const wrong = [
      Buffer.of(),
      Buffer.of(0),
      Buffer.of(9, 1, 2),
      Buffer.of(1),
      Buffer.concat([
        Buffer.of(1),
        Buffer.from('{"version":2,"table":"x","natAddresses":[],"ways":[]}'),
      ]),
      Buffer.concat([
        Buffer.of(1),
        Buffer.from('{"version":1,"table":"","natAddresses":[],"ways":[]}'),
      ]),
      Buffer.concat([
        Buffer.of(1),
        Buffer.from('{"version":1,"table":"x","natAddresses":[],"ways":[],"more":1}'),
      ]),
      Buffer.concat([Buffer.of(1), Buffer.of(0xff, 0xfe)]),
      Buffer.of(2),
      Buffer.of(2, 1, 2, 3),
      Buffer.of(3, 1),
      Buffer.of(3, 0, 1),
      Buffer.of(3, 1, 127),
    ];
    for (const body of wrong) channel.listener?.(body);
    assert.equal(mirror.state().received, { malformed: wrong.length });
    assert.is(mirror.state().complete, false);
    assert.equal(table.known(), []);
  }));

test.run();

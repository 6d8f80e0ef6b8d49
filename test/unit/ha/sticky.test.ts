/** Clients that stick to members on two units: two tables over a real pair. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CHANNEL, StickyExchange } from '../../../appliance/ha/sticky/exchange.js';
import { StickyTable } from '../../../appliance/l7/balance/sticky-table.js';
import { generator } from '../../support/random.js';
import { pairOf, type PairUnit } from '../../support/two-units.js';

const test = suite('sticky clients of two units');
const TIMEOUT = 60_000;

function tableOf(entries = 64): StickyTable {
  return new StickyTable(new ArrayBuffer(StickyTable.bytes(entries)), 0, entries, 0);
}

/** What there is to tell now, as the other unit takes it. */
function give(from: StickyTable, to: StickyTable, now: number, all = false): number {
  let count = 0;
  from.tell(0, from.sets, now, all, (low, high, tagLow, tagHigh, left) => {
    count += 1;
    to.take(low, high, tagLow, tagHigh, now, left);
  });
  return count;
}

test('an entry is told once, again when it went on for a while or goes elsewhere, and never back', () => {
  const [a, b] = [tableOf(), tableOf()];
  a.put(1, 2, 11, 12, 0, TIMEOUT);
  assert.is(give(a, b, 0), 1);
  assert.is(give(a, b, 0), 0);
  assert.is(give(b, a, 0), 0, 'it came from there');
  assert.ok(b.find(1, 2, 10, TIMEOUT));
  assert.equal([b.tagLow, b.tagHigh], [11, 12]);
  assert.ok(a.find(1, 2, 2000, TIMEOUT));
  assert.is(give(a, b, 2000), 0, 'two of sixty seconds are nothing');
  assert.ok(a.find(1, 2, 9000, TIMEOUT));
  assert.is(give(a, b, 9000), 1);
  assert.ok(b.find(1, 2, 9000 + TIMEOUT - 1, TIMEOUT), 'so it is known there for as long');
  a.put(1, 2, 21, 22, 100_000, TIMEOUT);
  assert.is(give(a, b, 100_000), 1);
  assert.ok(b.find(1, 2, 100_000, TIMEOUT));
  assert.is(b.tagLow, 21);
  assert.is(give(a, b, 100_000, true), 1, 'all are told to a unit that comes');
});

test('who saw the client last is right; nobody gives way to one that ends sooner', () => {
  const [a, b] = [tableOf(8), tableOf(8)];
  a.put(1, 1, 11, 1, 0, TIMEOUT);
  b.put(1, 1, 22, 1, 5000, TIMEOUT);
  give(a, b, 5000);
  assert.ok(b.find(1, 1, 5000, TIMEOUT));
  assert.is(b.tagLow, 22);
  give(b, a, 5000);
  assert.ok(a.find(1, 1, 5000, TIMEOUT));
  assert.is(a.tagLow, 22);
  for (let key = 2; key < 9; key += 1) a.put(key * 8, 1, 11, 1, 6000, TIMEOUT);
  assert.not.ok(a.take(80, 1, 33, 1, 6000, 1000), 'the set is full of others');
  assert.ok(a.take(80, 1, 33, 1, 6000, TIMEOUT - 1), 'one of them would be forgotten before');
  assert.not.ok(a.find(1, 1, 6000, TIMEOUT), 'that one');
});

test('whatever happens on either, both come to the same for every client that is still known', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2 ** 31 - 1 }), (seed) => {
      const random = generator(seed);
      const tables = [tableOf(1024), tableOf(1024)] as const;
      let now = 2 ** 31 - 100_000;
      const latest = new Map<number, { tag: number; at: number }>();
      for (let step = 0; step < 400; step += 1) {
        now += 1 + random(400);
        const table = tables[random(2) as 0 | 1];
        const key = 1 + random(30);
        const known = latest.get(key);
        if (random(3) === 0 && known !== undefined && table.find(key, ~key, now, TIMEOUT)) {
          // It may be what the other one knew before.
          latest.set(key, { tag: table.tagLow, at: now });
        } else if (random(2) === 0) {
          const tag = 1 + random(9);
          table.put(key, ~key, tag, 7, now, TIMEOUT);
          latest.set(key, { tag, at: now });
        }
        if (random(10) === 0) give(tables[0], tables[1], now);
        if (random(10) === 0) give(tables[1], tables[0], now);
      }
      give(tables[0], tables[1], now, true);
      give(tables[1], tables[0], now, true);
      for (const [key, { tag, at }] of latest) {
        for (const table of tables) {
          const found = table.find(key, ~key, now, TIMEOUT);
          if (at + TIMEOUT > now) assert.is(found && table.tagLow, tag, `client ${key}`);
        }
      }
    }),
    { numRuns: 100 },
  );
});

class StickyUnit {
  readonly table = tableOf(20_000);
  readonly malformed: string[] = [];
  readonly exchange: StickyExchange;
  /** Null: there are no workers yet. */
  shown: StickyTable | null = this.table;

  constructor(readonly unit: PairUnit) {
    this.exchange = new StickyExchange({
      table: () => this.shown,
      onMalformed: (why) => this.malformed.push(why),
      now: () => 0,
      tickMs: 1,
    });
    unit.pair.onSession((session) => {
      this.exchange.attach(session);
    });
  }

  async untilTaken(count: number): Promise<void> {
    const deadline = Date.now() + 20_000;
    while (this.exchange.state.taken < count) {
      if (Date.now() > deadline) throw new Error(`${this.exchange.state.taken} were taken`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  close(): void {
    this.exchange.close();
    this.unit.close();
  }
}

test('over a pair: all in pages, all anew to another run, and nothing that is no message', async () => {
  const [one, other] = await pairOf();
  const [a, b] = [new StickyUnit(one), new StickyUnit(other)];
  try {
    b.shown = null;
    for (let key = 1; key <= 5000; key += 1) a.table.put(key, key ^ 77, key, 1, 0, TIMEOUT);
    while (a.exchange.state.told < 5000) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.is(b.exchange.state.taken, 0, 'nobody to take them yet');
    b.shown = b.table;
    a.exchange.together();
    await b.untilTaken(5000);
    for (let key = 1; key <= 5000; key += 1) {
      assert.ok(b.table.find(key, key ^ 77, 0, TIMEOUT) && b.table.tagLow === key, `client ${key}`);
    }
    b.table.put(9999, 1, 5, 1, 0, TIMEOUT);
    await a.untilTaken(1);
    const bad = Buffer.alloc(40);
    bad.writeInt32LE(-1, 16);
    for (const body of [Buffer.alloc(0), Buffer.alloc(21), bad]) {
      await a.unit.session?.send(CHANNEL, body);
    }
    assert.equal(b.malformed, ['0 bytes', '21 bytes']);
    assert.is(b.exchange.state.taken, 5000, 'entries that are none are passed over');
    assert.equal([...one.errors, ...other.errors], []);
  } finally {
    a.close();
    b.close();
  }
});

test.run();

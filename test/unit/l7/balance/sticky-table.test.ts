/** The table of sticky clients: timeouts, who gives way, two writers, and the hash of clients. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { StickyTable } from '../../../../appliance/l7/balance/sticky-table.js';
import { ValueHash } from '../../../../appliance/l7/balance/value-hash.js';
import { generator } from '../../../support/random.js';

const test = suite('l7 sticky table');

function tables(workers: number, entries: number): StickyTable[] {
  const buffer = new ArrayBuffer(StickyTable.bytes(entries));
  // Each worker counts its milliseconds from another beginning.
  return Array.from({ length: workers }, (_, i) => new StickyTable(buffer, 0, entries, -i * 1000));
}

test('random histories of three workers, with the least recently seen giving way in full sets', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2 ** 31 - 1 }), (seed) => {
      const random = generator(seed);
      const workers = tables(3, 16);
      const timeout = 500;
      /** By set, in the order in which they were seen. */
      const model = new Map<number, Map<number, { tag: number; deadline: number }>>();
      let now = 2 ** 31 - 5000;
      for (let step = 0; step < 600; step += 1) {
        now += 1 + random(20);
        const key = 1 + random(40);
        const index = random(3);
        const worker = workers[index]!;
        const clock = (now + index * 1000) | 0;
        const set = model.get(key & 1) ?? new Map<number, { tag: number; deadline: number }>();
        model.set(key & 1, set);
        const entry = set.get(key);
        if (random(2) === 0) {
          const due = entry !== undefined && entry.deadline > now;
          assert.is(worker.find(key, ~key, clock, timeout), due, `step ${step}, key ${key}`);
          if (!due) continue;
          assert.equal([worker.tagLow, worker.tagHigh], [entry.tag, -entry.tag]);
          set.delete(key);
          set.set(key, { tag: entry.tag, deadline: now + timeout });
          continue;
        }
        const tag = 1 + random(1000);
        worker.put(key, ~key, tag, -tag, clock, timeout);
        set.delete(key);
        if (set.size === 8) set.delete([...set.keys()][0]!);
        set.set(key, { tag, deadline: now + timeout });
      }
    }),
    { numRuns: 60 },
  );
});

test('what two writers wrote half each is nobody', () => {
  const buffer = new ArrayBuffer(StickyTable.bytes(8));
  const words = new Int32Array(buffer);
  const table = new StickyTable(buffer, 0, 8, 0);
  table.put(11, 12, 100, 101, 0, 1000);
  const first = words.slice(0, 5);
  words.fill(0);
  table.put(21, 22, 200, 201, 0, 1000);
  const second = words.slice(0, 5);
  for (let mask = 1; mask < 15; mask += 1) {
    for (let i = 0; i < 4; i += 1) words[i] = ((mask >> i) & 1 ? first[i] : second[i]) ?? 0;
    for (const [low, high] of [
      [11, 12],
      [21, 22],
    ] as const) {
      assert.not(table.find(low, high, 1, 1000), `words of the first: ${mask.toString(2)}`);
    }
  }
});

test('the sweep empties what is expired and nothing else', () => {
  const [table] = tables(1, 64) as [StickyTable];
  assert.is(table.capacity, 64);
  for (let key = 1; key <= 32; key += 1) table.put(key, 7, 1, 1, 0, key % 2 === 0 ? 100 : 5000);
  for (let i = 0; i < 4; i += 1) table.sweep(200, 2);
  for (let key = 1; key <= 32; key += 1) {
    // Looked for at a time when the expired ones would look alive, were they still there.
    assert.is(table.find(key, 7, 50, 5000), key % 2 === 1, `${key}`);
  }
});

test('hashes of clients: spread, scoped, cut by the prefix', () => {
  const hash = new ValueHash('a');
  const other = new ValueHash('b');
  const seen = new Set<string>();
  const low = new Int32Array(64);
  for (let i = 0; i < 50_000; i += 1) {
    const text = Buffer.from(`session-${i}`);
    hash.of(text, 0, text.length);
    seen.add(`${hash.low} ${hash.high}`);
    low[hash.low & 63]! += 1;
    other.of(text, 0, text.length);
    assert.not(hash.low === other.low && hash.high === other.high);
  }
  assert.is(seen.size, 50_000);
  for (const count of low) assert.ok(count > 600 && count < 1000, `${count} of about 781`);
  const of = (address: Uint8Array, bits: number): string => {
    hash.ofPrefix(address, bits);
    return `${hash.low} ${hash.high}`;
  };
  for (let bit = 0; bit < 128; bit += 1) {
    const address = new Uint8Array(16).fill(0x5a);
    const changed = Uint8Array.from(address);
    changed[bit >> 3]! ^= 0x80 >> (bit & 7);
    for (const bits of [0, 1, 7, 8, 9, 24, 56, 64, 65, 120, 127, 128]) {
      assert.is(of(address, bits) === of(changed, bits), bit >= bits, `bit ${bit} of ${bits}`);
    }
  }
});

test.run();

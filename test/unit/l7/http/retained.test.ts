/** What is kept of requests is what was there, wherever it lay. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Retained } from '../../../../appliance/l7/http/retained.js';
import { generator } from '../../../support/random.js';

const test = suite('kept requests');

test('pieces of any length and place come back whole, and cells are used again', () => {
  const retained = new Retained(16);
  try {
    const next = generator(7);
    const sources = [0, 1, 2, 3].map((offset) => {
      const bytes = new Uint8Array(new ArrayBuffer(40_000), offset, 36_001 + offset);
      for (let i = 0; i < bytes.length; i += 1) bytes[i] = next(256);
      return bytes;
    });
    const held: { at: number; source: Uint8Array; start: number; end: number }[] = [];
    for (let round = 0; round < 4000; round += 1) {
      const [first] = held;
      if (first !== undefined && next(2) === 0) {
        held.shift();
        const { at, source, start, end } = first;
        assert.equal(retained.bytes.slice(at, at + end - start), source.slice(start, end));
        retained.release(at);
        continue;
      }
      const source = sources[next(4)] as Uint8Array;
      const length = next(4) === 0 ? next(Retained.most + 1) : next(2100);
      const start = next(source.length - length + 1);
      const at = retained.keep(source, start, start + length);
      if (at >= 0) held.push({ at, source, start, end: start + length });
      else assert.ok(held.length > 0, 'there is room while nothing is kept');
    }
    for (const { at, source, start, end } of held) {
      assert.equal(retained.bytes.slice(at, at + end - start), source.slice(start, end));
      const again = retained.keep(retained.bytes, at, at + end - start);
      if (again >= 0) {
        assert.equal(retained.bytes.slice(again, again + end - start), source.slice(start, end));
        retained.release(again);
      }
      retained.release(at);
    }
    assert.is(retained.used, 0);
  } finally {
    retained.close();
  }
});

test('the largest piece fits, a larger one does not', () => {
  const retained = new Retained(4);
  try {
    const source = new Uint8Array(Retained.most + 8).fill(7);
    for (const start of [0, 1, 2, 3]) {
      const at = retained.keep(source, start, start + Retained.most);
      assert.ok(at >= 0);
      retained.release(at);
    }
    assert.is(retained.keep(source, 0, Retained.most + 1), -1);
    assert.is(retained.used, 0);
  } finally {
    retained.close();
  }
});

test.run();

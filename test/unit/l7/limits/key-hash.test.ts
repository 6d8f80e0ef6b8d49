/** The hash of keys is the published one, and folds only what it is told to. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hashKey, seedOf } from '../../../../appliance/l7/limits/key-hash.js';

const test = suite('keys of limits');

function hex(bytes: Uint8Array, fold = false, start = 0, end = bytes.length): string {
  const out = new Int32Array(2);
  hashKey(bytes, start, end, fold, 0x03020100, 0x07060504, out);
  return Buffer.from(out.buffer).toString('hex');
}

test('the vectors of the reference', () => {
  const vectors = [
    '218d1f59b9b83cc8',
    'be552412f8387315',
    '064f39ef7c50eb57',
    'ce0f1a45f7060679',
    'd5e78a175be52ea1',
    'cb9d7c3f2f3db580',
    'ce3e91358aa2bc25',
  ];
  for (const [length, vector] of vectors.entries()) {
    assert.is(hex(Uint8Array.from({ length }, (_, i) => i)), vector, `${length} bytes`);
  }
});

test('the same wherever the bytes lie', () => {
  const text = Buffer.from('xxapi.example:80yy');
  assert.is(hex(text, false, 2, 16), hex(Buffer.from('api.example:80')));
});

test('letters are folded when asked, and nothing else', () => {
  const of = (text: string, fold: boolean): string => hex(Buffer.from(text), fold);
  assert.is(of('API.Example', true), of('api.example', true));
  assert.is.not(of('API.Example', false), of('api.example', false));
  assert.is.not(of('[', true), of('{', true));
  assert.is.not(of('@', true), of('`', true));
});

test('limits of other names have other seeds', () => {
  assert.equal(seedOf('a', 1, 2), seedOf('a', 1, 2));
  assert.not.equal(seedOf('a', 1, 2), seedOf('b', 1, 2));
  assert.not.equal(seedOf('a', 1, 2), seedOf('a', 1, 3));
});

test.run();

/**
 * Which coding a client gets: a table of Accept-Encoding, each line with where it comes from. The
 * order of the service is zstd, br, gzip unless the line says otherwise.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { contentCoding } from '../../../../appliance/l7/http1/coding.js';
import { chosen } from '../../../support/http1-coded.js';

const test = suite('negotiation of codings');

type Row = readonly [accept: string | readonly string[] | null, expected: string, source: string];

const rows: readonly Row[] = [
  // What the field says at all.
  [null, 'identity', 'RFC 9110 §12.5.3: without the field anything is acceptable; plain is safe'],
  ['', 'identity', 'RFC 9110 §12.5.3: an empty field asks for no coding'],
  ['gzip', 'gzip', 'RFC 9110 §12.5.3: a listed coding is acceptable'],
  ['br', 'br', 'RFC 7932 §13'],
  ['zstd', 'zstd', 'RFC 8878 §7.2'],
  ['GZIP', 'gzip', 'RFC 9110 §8.4.1: names of codings are case-insensitive'],
  ['x-gzip', 'gzip', 'RFC 9110 §8.4.1.3: x-gzip is gzip'],
  ['compress', 'identity', 'RFC 9110 §8.4.1.1: a coding that we have not'],
  ['deflate', 'identity', 'RFC 9110 §8.4.1.2: a coding that we have not'],
  ['compress, gzip', 'gzip', 'RFC 9110 §12.5.3, first example'],
  ['*', 'zstd', 'RFC 9110 §12.5.3, third example: any coding'],
  ['compress;q=0.5, gzip;q=1.0', 'gzip', 'RFC 9110 §12.5.3, fourth example'],
  ['gzip;q=1.0, identity; q=0.5, *;q=0', 'gzip', 'RFC 9110 §12.5.3, fifth example'],
  // What browsers and tools send.
  ['gzip, deflate', 'gzip', 'curl 7, old browsers'],
  ['gzip, deflate, br', 'br', 'Firefox, Safari'],
  ['gzip, deflate, br, zstd', 'zstd', 'Chrome 123 and later'],
  ['deflate, gzip, br, zstd', 'zstd', 'curl --compressed'],
  ['identity', 'identity', 'clients that measure lengths'],
  ['gzip,deflate,sdch', 'gzip', 'old Chrome: an unknown coding beside'],
  // Weights.
  ['gzip;q=0', 'identity', 'RFC 9110 §12.4.2: 0 is not acceptable'],
  ['gzip;q=0.0', 'identity', 'RFC 9110 §12.4.2'],
  ['gzip;q=0.000', 'identity', 'RFC 9110 §12.4.2'],
  ['gzip;q=0.001', 'gzip', 'RFC 9110 §12.4.2: the least weight'],
  ['gzip;q=1.000', 'gzip', 'RFC 9110 §12.4.2: three digits'],
  ['gzip;q=1.', 'gzip', 'RFC 9110 §12.4.2: no digit behind the point'],
  ['br;q=0.9, gzip', 'gzip', 'RFC 9110 §12.4.2: the greater weight'],
  ['zstd;q=0.1, br;q=0.2, gzip;q=0.3', 'gzip', 'RFC 9110 §12.4.2'],
  ['zstd;q=0.3, br;q=0.31, gzip;q=0.309', 'br', 'RFC 9110 §12.4.2: digits by place'],
  ['gzip;q=0.5, br;q=0.5', 'br', 'equal weights: the order of the service'],
  ['gzip;Q=0.5, br;Q=0.4', 'gzip', 'RFC 9110 §5.6.6: names of parameters are case-insensitive'],
  ['gzip ; q=0.2 , br ; q=0.1', 'gzip', 'RFC 9110 §12.4.2: spaces around the semicolon'],
  ['gzip\t;\tq=0.2', 'gzip', 'RFC 9110 §5.6.3: tabs are spaces'],
  // identity and *.
  ['identity, gzip;q=0.5', 'identity', 'RFC 9110 §12.5.3: identity named with a greater weight'],
  ['identity;q=0.5, gzip;q=0.5', 'gzip', 'equal weights: what saves bytes'],
  ['identity;q=0.4, gzip;q=0.5', 'gzip', 'RFC 9110 §12.4.2'],
  ['identity;q=0', 'identity', 'RFC 9110 §12.5.3: nothing acceptable, so plain after all'],
  ['identity;q=0, gzip', 'gzip', 'RFC 9110 §12.5.3'],
  ['*;q=0', 'identity', 'RFC 9110 §12.5.3: nothing acceptable, so plain after all'],
  ['gzip, *;q=0', 'gzip', 'RFC 9110 §12.5.3: a named coding stands above *'],
  ['br;q=0, *', 'zstd', 'RFC 9110 §12.5.3: * is any that is not named'],
  ['zstd;q=0, br;q=0, *', 'gzip', 'RFC 9110 §12.5.3'],
  ['zstd;q=0, br;q=0, gzip;q=0, *', 'identity', 'RFC 9110 §12.5.3'],
  ['gzip, *;q=0.5', 'gzip', 'RFC 9110 §12.5.3: * with less weight'],
  ['gzip;q=0.5, *', 'zstd', 'RFC 9110 §12.5.3: * with more weight'],
  ['identity, *;q=0.1', 'identity', 'RFC 9110 §12.5.3: identity named above *'],
  // Lists and lines.
  [['gzip', 'br'], 'br', 'RFC 9110 §5.3: lines are one list'],
  [['gzip;q=0.1', '', 'zstd;q=0.05'], 'gzip', 'RFC 9110 §5.3'],
  [', ,gzip,,', 'gzip', 'RFC 9110 §5.6.1.2: empty elements are ignored'],
  [' gzip ', 'gzip', 'RFC 9110 §5.5: spaces around a value are no part of it'],
  ['gzip,br', 'br', 'RFC 9110 §5.6.1: spaces are optional'],
  ['gzip, gzip;q=0', 'identity', 'named twice: the lower weight, in either order'],
  ['gzip;q=0, gzip', 'identity', 'named twice: the lower weight, in either order'],
  ['x-gzip;q=0, gzip', 'identity', 'RFC 9110 §8.4.1.3: two names of one coding'],
  // What is no weight or no coding: never a coding that was not asked for without doubt.
  ['gzip;q=1.001', 'identity', 'RFC 9110 §12.4.2: at most 1'],
  ['gzip;q=2', 'identity', 'RFC 9110 §12.4.2'],
  ['gzip;q=-1', 'identity', 'RFC 9110 §12.4.2'],
  ['gzip;q=0.5555', 'identity', 'RFC 9110 §12.4.2: at most three digits'],
  ['gzip;q=.5', 'identity', 'RFC 9110 §12.4.2: a digit comes first'],
  ['gzip;q=', 'identity', 'RFC 9110 §12.4.2'],
  ['gzip;q', 'identity', 'RFC 9110 §12.4.2'],
  ['gzip;', 'identity', 'RFC 9110 §12.4.2'],
  ['gzip; q =1', 'identity', 'RFC 9110 §12.4.2: no space around the equals sign'],
  ['gzip;q=1;x=2', 'identity', 'RFC 9110 §12.5.3: codings have no other parameters'],
  ['gzip;level=9', 'identity', 'RFC 9110 §12.5.3'],
  ['gzip;q="1"', 'identity', 'RFC 9110 §12.4.2: no quotes'],
  ['gzip br', 'identity', 'RFC 9110 §5.6.1: a comma is missing'],
  ['"gzip"', 'identity', 'RFC 9110 §8.4.1: a token'],
  ['gzip;q=0,5', 'identity', 'a comma for a point: 0, and a coding named 5'],
  ['gzip;q=x, br', 'br', 'one bad element harms no other'],
  ['gzip;q=x, *;q=0.1', 'zstd', 'a bad weight is none that * could replace'],
  ['gzipx', 'identity', 'RFC 9110 §8.4.1: the whole token'],
  ['xgzip', 'identity', 'RFC 9110 §8.4.1: the whole token'],
  ['**', 'identity', 'RFC 9110 §12.5.3: not *'],
  [`${'a,'.repeat(2000)}gzip`, 'gzip', 'a long list is read to its end'],
];

for (const [accept, expected, source] of rows) {
  const name = JSON.stringify(accept);
  test(`${name.length > 60 ? `${name.slice(0, 60)}…` : name}: ${source}`, () => {
    assert.is(chosen(accept), expected);
  });
}

test('there are sixty cases at least', () => assert.ok(rows.length >= 60, `${rows.length} cases`));

test('the order of the service decides between equals, and what it leaves out is never chosen', () => {
  const all = 'gzip, br, zstd';
  assert.is(chosen(all, { codings: ['gzip', 'br'] }), 'gzip');
  assert.is(chosen(all, { codings: ['br', 'gzip', 'zstd'] }), 'br');
  assert.is(chosen('zstd, gzip;q=0.1', { codings: ['gzip'] }), 'gzip');
  assert.is(chosen('zstd', { codings: ['gzip'] }), 'identity');
  assert.is(chosen('*', { codings: ['br'] }), 'br');
});

test('a coding that the runtime lacks is never chosen', () => {
  const { gzip, br } = contentCoding;
  assert.is(chosen('zstd, gzip;q=0.5', {}, [gzip, br]), 'gzip');
  assert.is(chosen('zstd', {}, [gzip, br]), 'identity');
  assert.is(chosen('*', {}, []), 'identity');
});

test.run();

/** Limits that a service sets for itself; those of the defaults are in the corpus. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ChunkDecoder, chunkStep } from '../../../../appliance/l7/http1/chunked.js';
import { progress } from '../../../../appliance/l7/http1/faults.js';
import { defaultLimits, type Limits } from '../../../../appliance/l7/http1/limits.js';
import { RequestHead } from '../../../../appliance/l7/http1/request-head.js';

const test = suite('http1 limits');

function verdict(text: string, limits: Partial<Limits>): string {
  const head = new RequestHead({ ...defaultLimits, ...limits });
  const bytes = Uint8Array.from(Buffer.from(text, 'latin1'));
  head.reset(0);
  const result = head.parse(bytes, bytes.length);
  if (result === progress.done) return 'ok';
  return head.fault === null ? 'more' : `${head.fault.status} ${head.fault.code}`;
}

test('a body above the limit is refused by its length', () => {
  const post = (length: string): string =>
    `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n`;
  assert.is(verdict(post('100'), { body: 100 }), 'ok');
  assert.is(verdict(post('101'), { body: 100 }), '413 body-too-large');
  assert.is(verdict(post('5000000000'), { body: 100 }), '413 body-too-large');
  assert.is(verdict(post('5000000000'), {}), 'ok');
});

test('a chunked body above the limit is refused before any byte of that chunk', () => {
  const decoder = new ChunkDecoder({ ...defaultLimits, body: 8 });
  const bytes = Uint8Array.from(Buffer.from('5\r\nhello\r\n4\r\nabcd\r\n0\r\n\r\n'));
  decoder.reset(0);
  assert.is(decoder.next(bytes, bytes.length), chunkStep.data);
  assert.is(decoder.next(bytes, bytes.length), chunkStep.refused);
  assert.is(decoder.fault?.status, 413);
  assert.is(decoder.total, 5);
});

test('methods that nobody named are refused when the service says so', () => {
  const text = 'PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n';
  assert.is(verdict(text, {}), 'ok');
  assert.is(verdict(text, { unknownMethods: 'refuse' }), '501 method-unknown');
  assert.is(verdict(text.replace('PROPFIND', 'PATCH'), { unknownMethods: 'refuse' }), 'ok');
});

test('each limit of a head is exact', () => {
  const text = 'GET /12345 HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n';
  assert.is(verdict(text, { line: 19 }), 'ok');
  assert.is(verdict(text, { line: 18 }), '414 target-too-long');
  assert.is(verdict(text, { head: text.length }), 'ok');
  assert.is(verdict(text, { head: text.length - 1 }), '431 head-too-large');
  assert.is(verdict(text, { fields: 2 }), 'ok');
  assert.is(verdict(text, { fields: 1 }), '431 too-many-fields');
  assert.is(verdict(text, { method: 3 }), 'ok');
  assert.is(verdict(text, { method: 2 }), '501 method-too-long');
});

test.run();

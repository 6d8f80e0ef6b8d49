/** Which responses are coded, and the heads that clients get then. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CompressionPlan } from '../../../../appliance/l7/compress/plan.js';
import { contentCoding, withoutCoding } from '../../../../appliance/l7/http1/coding.js';
import { progress } from '../../../../appliance/l7/http1/faults.js';
import { RequestHead } from '../../../../appliance/l7/http1/request-head.js';
import { ResponseHead } from '../../../../appliance/l7/http1/response-head.js';
import {
  passage,
  passageOf,
  ResponsePlan,
  writeResponse,
} from '../../../../appliance/l7/http1/rewrite-response.js';
import { Writer } from '../../../../appliance/l7/http1/writer.js';
import { coded, usualRules, type CodedCase } from '../../../support/http1-coded.js';

const test = suite('responses that are coded');

const gzip = ['Accept-Encoding: gzip'];
const html = ['Content-Type: text/html', 'Content-Length: 5000'];
const lines = (of: CodedCase): readonly string[] => coded({ request: gzip, ...of }).lines;

type Verdict = 'coded' | 'varies' | 'untouched';
function verdict(of: CodedCase): Verdict {
  const { lines: seen } = coded({ request: gzip, ...of });
  if (seen.some((line) => line.startsWith('Content-Encoding: gzip'))) return 'coded';
  return seen.includes('Vary: Accept-Encoding') ? 'varies' : 'untouched';
}

const and = (...more: string[]): CodedCase => ({ response: [...html, ...more] });
const typed = (type: string): CodedCase => ({ response: [type, 'Content-Length: 5000'] });

const rows: readonly (readonly [string, CodedCase, Verdict])[] = [
  ['a page', {}, 'coded'],
  ['a page for a client that takes no coding', { request: [] }, 'varies'],
  ['without a length', { response: ['Content-Type: text/html'] }, 'coded'],
  ['in chunks', { response: ['Content-Type: text/html', 'Transfer-Encoding: chunked'] }, 'coded'],
  // Type (RFC 9110 §8.3).
  ['with parameters', typed('Content-Type: text/html; charset=utf-8'), 'coded'],
  ['with parameters at once', typed('Content-Type: text/html;charset=utf-8'), 'coded'],
  ['a type in capitals', typed('CONTENT-TYPE: Text/HTML'), 'coded'],
  ['any text', typed('Content-Type: text/x-log'), 'coded'],
  ['an exact type', typed('Content-Type: application/json'), 'coded'],
  ['a suffix', typed('Content-Type: application/ld+json'), 'coded'],
  ['a suffix that is none', typed('Content-Type: application/ldjson'), 'untouched'],
  ['a longer type', typed('Content-Type: application/json-seq'), 'untouched'],
  ['another type', typed('Content-Type: image/png'), 'untouched'],
  ['a type within parameters', typed('Content-Type: image/png; x="text/html"'), 'untouched'],
  ['no type', { response: ['Content-Length: 5000'] }, 'untouched'],
  ['an empty type', typed('Content-Type:'), 'untouched'],
  ['two types', and('Content-Type: text/plain'), 'untouched'],
  // Size.
  ['too small', { response: ['Content-Type: text/html', 'Content-Length: 999'] }, 'untouched'],
  ['just enough', { response: ['Content-Type: text/html', 'Content-Length: 1000'] }, 'coded'],
  [
    'empty, without a least size',
    { response: ['Content-Type: text/html', 'Content-Length: 0'], rules: { minimumSize: 0 } },
    'untouched',
  ],
  // Status (RFC 9110 §15).
  ['404 with a page', { status: '404 Not Found' }, 'coded'],
  ['500 with a page', { status: '500 Internal Server Error' }, 'coded'],
  ['204', { status: '204 No Content', response: ['Content-Type: text/html'] }, 'untouched'],
  ['205', { status: '205 Reset Content' }, 'untouched'],
  ['206', { status: '206 Partial Content' }, 'untouched'],
  ['304', { status: '304 Not Modified' }, 'untouched'],
  ['103', { status: '103 Early Hints', response: ['Link: x'] }, 'untouched'],
  ['416', { status: '416 Range Not Satisfiable', ...and('Content-Range: bytes */9') }, 'untouched'],
  ['HEAD gets the head of GET', { requestLine: 'HEAD / HTTP/1.1' }, 'coded'],
  ['an answer to POST', { requestLine: 'POST / HTTP/1.1' }, 'coded'],
  // What forbids it.
  ['coded by the member', and('Content-Encoding: br'), 'untouched'],
  ['a part', and('Content-Range: bytes 0-1/9'), 'untouched'],
  ['no-transform', and('Cache-Control: no-transform'), 'untouched'],
  ['no-transform in a list', and('Cache-Control: public, max-age=5, No-Transform'), 'untouched'],
  [
    'no-transform in a second line',
    and('Cache-Control: a', 'Cache-Control: no-transform'),
    'untouched',
  ],
  ['no-transform before a comma', and('Cache-Control: no-transform,public'), 'untouched'],
  ['no-transform with an argument', and('Cache-Control: no-transform=1'), 'untouched'],
  ['no-transform within quotes', and('Cache-Control: private="no-transform"'), 'coded'],
  ['no-transform behind an escape', and('Cache-Control: x="a\\", no-transform"'), 'coded'],
  ['a longer directive', and('Cache-Control: no-transformer'), 'coded'],
  ['another directive that ends so', and('Cache-Control: x-no-transform'), 'coded'],
  ['no-transform of the client', { request: [...gzip, 'Cache-Control: no-transform'] }, 'varies'],
  ['Content-Digest (RFC 9530 §2)', and('Content-Digest: sha-256=:AA==:'), 'untouched'],
  ['Repr-Digest (RFC 9530 §3)', and('Repr-Digest: sha-256=:AA==:'), 'untouched'],
  ['Digest (RFC 3230)', and('Digest: sha-256=AA=='), 'untouched'],
  ['Content-MD5 (RFC 2616 §14.15)', and('Content-MD5: AA=='), 'untouched'],
  [
    'a coding that the administrator sets',
    { edits: [{ action: 'set', name: 'Content-Encoding', value: 'aes128gcm' }] },
    'untouched',
  ],
  [
    'one that the administrator adds',
    { edits: [{ action: 'add', name: 'content-encoding', value: 'br' }] },
    'untouched',
  ],
];

for (const [name, of, expected] of rows) {
  test(name, () => assert.is(verdict(of), expected));
}

test('the length goes, and the body comes in chunks', () => {
  assert.equal(lines({}), [
    'Content-Type: text/html',
    'Content-Encoding: gzip',
    'Vary: Accept-Encoding',
    'Transfer-Encoding: chunked',
  ]);
});

test('to a client of HTTP/1.0 until the connection ends', () => {
  const seen = lines({ requestLine: 'GET / HTTP/1.0' });
  assert.ok(seen.includes('Connection: close'));
  assert.not.ok(seen.some((line) => /^(transfer-encoding|content-length)/i.test(line)));
});

test('with its length where that is known', () => {
  const seen = lines({ codedLength: 1234 });
  assert.ok(seen.includes('Content-Length: 1234'));
  assert.not.ok(seen.some((line) => line.startsWith('Transfer-Encoding')));
  const old = lines({ codedLength: 1234, requestLine: 'GET / HTTP/1.0' });
  assert.ok(old.includes('Content-Length: 1234'));
  const unknown = lines({ codedLength: 9, response: ['Content-Type: text/html'] });
  assert.ok(unknown.includes('Content-Length: 9'));
});

test('HEAD has no length, since GET would not have this one', () => {
  assert.equal(lines({ requestLine: 'HEAD / HTTP/1.1' }), [
    'Content-Type: text/html',
    'Content-Encoding: gzip',
    'Vary: Accept-Encoding',
  ]);
  assert.ok(
    lines({ requestLine: 'HEAD / HTTP/1.1', request: [] }).includes('Content-Length: 5000'),
  );
});

test('what passes plain keeps its length and gains Vary alone', () => {
  assert.equal(lines({ request: [], ...and('ETag: "a"', 'Accept-Ranges: bytes') }), [
    'Content-Type: text/html',
    'ETag: "a"',
    'Accept-Ranges: bytes',
    'Vary: Accept-Encoding',
    'Content-Length: 5000',
  ]);
});

test('a strong ETag becomes weak, a weak one stays, and what is none goes', () => {
  const etags = (...more: string[]): readonly string[] =>
    lines(and(...more)).filter((line) => /^etag/i.test(line));
  assert.equal(etags('etag: "a"'), ['ETag: W/"a"']);
  assert.equal(etags('ETag: ""'), ['ETag: W/""']);
  assert.equal(etags('ETag: W/"a"'), ['ETag: W/"a"']);
  assert.equal(etags('ETag: a'), []);
  assert.equal(etags('ETag: w/"a"'), []);
  assert.equal(etags('X-ETag: "a"'), []);
});

test('ranges of the plain body are not offered', () => {
  assert.not.ok(lines(and('Accept-Ranges: bytes')).some((line) => /ranges/i.test(line)));
});

test('Vary names Accept-Encoding exactly once', () => {
  const vary = (of: CodedCase): readonly string[] =>
    lines(of).filter((line) => /^vary/i.test(line));
  assert.equal(vary(and('Vary: Origin')), ['Vary: Origin', 'Vary: Accept-Encoding']);
  assert.equal(vary(and('Vary: accept-encoding')), ['Vary: accept-encoding']);
  assert.equal(vary(and('VARY: Origin,Accept-Encoding')), ['VARY: Origin,Accept-Encoding']);
  assert.equal(vary(and('Vary: Origin', 'Vary: Accept-Encoding')), [
    'Vary: Origin',
    'Vary: Accept-Encoding',
  ]);
  assert.equal(vary(and('Vary: *')), ['Vary: *']);
  assert.equal(vary(and('Vary: X-Accept-Encoding')), [
    'Vary: X-Accept-Encoding',
    'Vary: Accept-Encoding',
  ]);
  assert.equal(vary({ request: [], ...and('Vary: Accept-Encoding') }), ['Vary: Accept-Encoding']);
});

test('edits of Vary cannot take away what caches need', () => {
  const vary = (action: 'set' | 'add', value: string): readonly string[] =>
    lines({ ...and('Vary: Accept-Encoding'), edits: [{ action, name: 'Vary', value }] }).filter(
      (line) => /^vary/i.test(line),
    );
  assert.equal(vary('set', 'Origin'), ['Vary: Accept-Encoding', 'Vary: Origin']);
  assert.equal(vary('set', 'Origin, accept-encoding'), ['Vary: Origin, accept-encoding']);
  assert.equal(vary('add', 'Origin'), ['Vary: Accept-Encoding', 'Vary: Origin']);
  assert.equal(
    lines({ ...and('Vary: X'), edits: [{ action: 'remove', name: 'Vary' }] }).filter((line) =>
      line.startsWith('Vary'),
    ),
    ['Vary: Accept-Encoding'],
  );
});

test('304 has the weak validator for whoever knows it (RFC 9110 §15.4.5)', () => {
  const etags = (...request: string[]): readonly string[] =>
    lines({ request, status: '304 Not Modified', response: ['ETag: "a"'] });
  assert.equal(etags('If-None-Match: W/"a"'), ['ETag: W/"a"', 'Vary: Accept-Encoding']);
  assert.equal(etags('If-None-Match: "b", W/"a"'), ['ETag: W/"a"', 'Vary: Accept-Encoding']);
  assert.equal(etags('If-None-Match: "a"'), ['ETag: "a"']);
  assert.equal(etags('If-None-Match: "W/"', 'Accept-Encoding: gzip'), ['ETag: "a"']);
  assert.equal(etags('If-None-Match: *'), ['ETag: "a"']);
  assert.equal(etags(), ['ETag: "a"']);
});

test('without a free compressor a response passes plain, and still varies', () => {
  const { treated } = coded({ request: gzip });
  assert.is(withoutCoding(treated), coded({ request: [] }).treated);
  assert.is(withoutCoding(0), 0);
});

test('deciding and writing allocate nothing', () => {
  const bytes = new Uint8Array(16_384);
  const put = (at: number, text: string): number => at + Buffer.from(bytes.buffer).write(text, at);
  const requestEnd = put(
    0,
    'GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip, deflate, br;q=0.9\r\nIf-None-Match: "a", "b"\r\nCache-Control: max-age=0\r\n\r\n',
  );
  const responseEnd = put(
    4096,
    'HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nETag: "abc"\r\nCache-Control: private, max-age=5\r\nVary: Origin\r\nAccept-Ranges: bytes\r\nContent-Length: 5000\r\n\r\n',
  );
  const request = new RequestHead();
  const response = new ResponseHead();
  const plan = new CompressionPlan(usualRules, [contentCoding.gzip, contentCoding.br]);
  const back = new ResponsePlan();
  const writer = new Writer();
  const round = (): boolean => {
    request.reset(0);
    if (request.parse(bytes, requestEnd) !== progress.done) return false;
    const accepted = plan.accepted(request, bytes);
    response.reset(4096, request.method, request.upgrade);
    if (response.parse(bytes, responseEnd) !== progress.done) return false;
    const treated = plan.treat(accepted, response, bytes, back);
    writer.reset(bytes, 8192, bytes.length);
    writeResponse(writer, response, bytes, request, back, true, treated);
    return writer.end > 0 && passageOf(response, request, treated) === passage.chunked;
  };
  const rounds = 50_000;
  // Before the compiler knows the code it makes numbers on the heap: the least of some runs counts.
  let least = Number.POSITIVE_INFINITY;
  for (let run = 0; run < 8; run += 1) {
    const before = process.memoryUsage().heapUsed;
    let good = true;
    for (let i = 0; i < rounds; i += 1) good = round() && good;
    assert.ok(good, 'a message was refused');
    least = Math.min(least, Math.abs(process.memoryUsage().heapUsed - before));
  }
  assert.ok(least / rounds < 2, `${(least / rounds).toFixed(1)} bytes of heap a message`);
});

test.run();

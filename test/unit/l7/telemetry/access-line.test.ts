/** Lines of the access log: whole, readable by machines, and the same text as the request had. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import fc from 'fast-check';
import { defaultLimits } from '../../../../appliance/l7/http1/limits.js';
import { RequestHead } from '../../../../appliance/l7/http1/request-head.js';
import { progress } from '../../../../appliance/l7/http1/faults.js';
import { AccessLine, lineMost } from '../../../../appliance/l7/telemetry/access-line.js';
import { AccessRecord, endings } from '../../../../appliance/l7/telemetry/access-record.js';
import { LineText } from '../../../../appliance/l7/telemetry/line-text.js';

const test = suite('l7 telemetry: access lines');
const utf8 = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text));
const decode = (bytes: Uint8Array): string =>
  new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);

interface Parts {
  readonly method: Uint8Array;
  readonly target: Uint8Array;
  readonly host: Uint8Array;
  readonly agent: Uint8Array;
  readonly referer: Uint8Array;
  readonly id: Uint8Array;
  readonly service: Uint8Array;
}

function recordOf(parts: Parts): AccessRecord {
  const record = new AccessRecord();
  record.reset();
  const all = [parts.method, parts.target, parts.host, parts.agent, parts.referer];
  record.bytes = Uint8Array.from([7, ...all.flatMap((part) => [...part])]);
  let at = 1;
  const next = (part: Uint8Array): [number, number] => [at, (at += part.length)];
  [record.methodStart, record.methodEnd] = next(parts.method);
  [record.targetStart, record.targetEnd] = next(parts.target);
  [record.hostStart, record.hostEnd] = next(parts.host);
  [record.agentStart, record.agentEnd] = next(parts.agent);
  [record.refererStart, record.refererEnd] = next(parts.referer);
  record.idBytes = parts.id;
  record.idEnd = parts.id.length;
  record.service = parts.service;
  record.client = utf8('2001:db8::7');
  record.minor = 1;
  return record;
}

function lineOf(line: AccessLine, record: AccessRecord): Buffer {
  return Buffer.from(line.bytes.subarray(0, line.write(record)));
}

function parsed(line: Buffer): Record<string, unknown> {
  // Strict: whatever is no UTF-8 throws here.
  const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(line);
  return JSON.parse(text) as Record<string, unknown>;
}

const request =
  'POST /buy?item=7&q=%22x%22 HTTP/1.1\r\nHost: shop.example:8080\r\nCookie: session=secret1\r\nAuthorization: Basic secret2\r\nUser-Agent: agent "x"\\1\r\nReferer: https://me:secret3@shop.example/a@b?c\r\n\r\n';

function shopRecord(): AccessRecord {
  const bytes = utf8(request);
  const head = new RequestHead(defaultLimits);
  head.reset(0);
  assert.is(head.parse(bytes, bytes.length), progress.done);
  const record = new AccessRecord();
  record.reset();
  record.takeHead(head, bytes);
  record.time = Date.UTC(2026, 10, 25, 16, 28, 36, 123);
  record.service = utf8('shop');
  record.route = utf8('buy');
  record.member = utf8('10.0.0.1:80');
  record.client = utf8('192.0.2.7');
  record.clientPort = 4711;
  record.status = 502;
  record.bytesIn = 2 ** 40;
  record.bytesOut = 1234;
  record.connectMicros = 0;
  record.headMicros = 1999;
  record.totalMicros = 2001;
  record.retries = 2;
  record.idBytes = utf8('xxid-1');
  record.idStart = 2;
  record.idEnd = 6;
  record.ended = 'member-timeout';
  return record;
}

const shopLine = {
  time: '2026-11-25T16:28:36.123Z',
  service: 'shop',
  route: 'buy',
  client: '192.0.2.7',
  clientPort: 4711,
  method: 'POST',
  target: '/buy?item=7&q=%22x%22',
  host: 'shop.example:8080',
  protocol: 'HTTP/1.1',
  status: 502,
  bytesIn: 2 ** 40,
  bytesOut: 1234,
  queueUs: null,
  connectUs: 0,
  headUs: 1999,
  totalUs: 2001,
  member: '10.0.0.1:80',
  retries: 2,
  requestId: 'id-1',
  userAgent: 'agent "x"\\1',
  referer: 'https://shop.example/a@b?c',
  ended: 'member-timeout',
  cut: false,
};

test('a request is one JSON object with all that is known of it', () => {
  const line = lineOf(new AccessLine('json'), shopRecord());
  assert.equal(parsed(line), shopLine);
  assert.is(line.at(-1), 0x0a);
});

test('a request is one line of the combined format, with its microseconds', () => {
  assert.is(
    lineOf(new AccessLine('combined'), shopRecord()).toString(),
    '192.0.2.7 - - [25/Nov/2026:16:28:36 +0000] "POST /buy?item=7&q=%22x%22 HTTP/1.1" 502 1234 "https://shop.example/a@b?c" "agent \\x22x\\x22\\x5c1" 2001\n',
  );
});

test('neither cookies nor credentials are in a line', () => {
  for (const format of ['json', 'combined'] as const) {
    assert.not.match(lineOf(new AccessLine(format), shopRecord()).toString(), 'secret');
  }
});

test('a head that is put aside gives the same line after its buffer is used again', () => {
  const record = shopRecord();
  const aside = new Uint8Array(4096);
  const end = record.keep(aside, 100, aside.length);
  assert.ok(end > 100 && end < 300, `the parts took ${end - 100} bytes`);
  const line = new AccessLine('json');
  assert.equal(parsed(lineOf(line, record)), shopLine);
  const small = shopRecord();
  assert.is(small.keep(aside, 0, 10), 10);
  assert.is(parsed(lineOf(line, small))['method'], 'POST');
});

test('of a request that was never read, the rest is told', () => {
  const record = new AccessRecord();
  record.reset();
  record.client = utf8('192.0.2.7');
  record.ended = 'client-too-slow';
  const seen = parsed(lineOf(new AccessLine('json'), record));
  assert.is(seen['method'], null);
  assert.is(seen['protocol'], null);
  assert.is(seen['member'], null);
  assert.is(seen['status'], 0);
  assert.is(seen['ended'], 'client-too-slow');
  assert.is(
    lineOf(new AccessLine('combined'), record).toString(),
    '192.0.2.7 - - [01/Jan/1970:00:00:00 +0000] "-" - - "-" "-" -\n',
  );
});

test('each ending has its word', () => {
  const record = shopRecord();
  const line = new AccessLine('json');
  for (const word of endings) {
    record.ended = word;
    assert.is(parsed(lineOf(line, record))['ended'], word);
  }
});

test('times are those of the calendar, also around leap days and beyond 2038', () => {
  const text = new LineText(new Uint8Array(64));
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 253_402_300_799_999 }), (time) => {
      text.start();
      text.time(Float64Array.of(time));
      const seen = Buffer.from(text.bytes.subarray(0, text.at)).toString();
      assert.is(seen, new Date(time).toISOString());
      text.start();
      text.apacheTime(Float64Array.of(time));
      const date = new Date(time).toUTCString();
      const [, day, month, year, hours] = /(\d+) (\w+) (\d+) ([\d:]+)/.exec(date) ?? [];
      const apache = Buffer.from(text.bytes.subarray(0, text.at)).toString();
      assert.is(apache, `${day}/${month}/${year}:${hours} +0000`);
    }),
    { numRuns: 2000 },
  );
  for (const odd of [Number.NaN, -1, Infinity, 1e300]) {
    text.start();
    text.time(Float64Array.of(odd));
    assert.is(Buffer.from(text.bytes.subarray(0, text.at)).toString(), '1970-01-01T00:00:00.000Z');
  }
});

const octetArray = (most: number): fc.Arbitrary<Uint8Array> =>
  fc.oneof(
    fc.uint8Array({ maxLength: most }),
    fc.string({ unit: 'binary', maxLength: Math.floor(most / 4) }).map(utf8),
    // Pieces that are dangerous together.
    fc
      .array(
        fc.constantFrom(
          '"',
          '\\',
          '\n',
          '\r',
          '\u0000',
          '\u001b[2J',
          '\u007f',
          '\u0085',
          '\u009b',
          '\u2028',
          '\u202e',
          '\ufeff',
          '\u200b',
          '😀',
          'é',
          '://',
          '@',
          '/',
          ' "',
          '","x":"',
        ),
        { maxLength: Math.floor(most / 12) },
      )
      .map((pieces) => utf8(pieces.join(''))),
    fc
      .array(fc.constantFrom(0xc2, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xbf, 0x80, 0x9f, 0xa0, 0x22), {
        maxLength: 20,
      })
      .map((list) => Uint8Array.from(list)),
  );

const parts: fc.Arbitrary<Parts> = fc.record({
  method: octetArray(10),
  target: octetArray(200),
  host: octetArray(40),
  agent: octetArray(120),
  referer: octetArray(200),
  id: octetArray(40),
  service: octetArray(40),
});

/** A URL as the log tells it: without what stands before the last @ of its authority. */
function withoutUser(bytes: Uint8Array): string | null {
  if (bytes.length === 0) return null;
  const latin = Buffer.from(bytes).toString('latin1');
  const kept = latin.replace(/^([^/?#:]*:\/\/)[^/?#\\]*@/, '$1');
  return decode(Uint8Array.from(Buffer.from(kept, 'latin1')));
}

test('whatever a request says, its JSON line is one object that gives the same strings back', () => {
  const line = new AccessLine('json');
  fc.assert(
    fc.property(parts, (of) => {
      const text = lineOf(line, recordOf(of));
      const seen = parsed(text);
      const orNull = (bytes: Uint8Array): string | null =>
        bytes.length === 0 ? null : decode(bytes);
      assert.is(seen['cut'], false);
      assert.is(seen['method'], orNull(of.method));
      assert.is(seen['target'], withoutUser(of.target));
      assert.is(seen['host'], orNull(of.host));
      assert.is(seen['userAgent'], orNull(of.agent));
      assert.is(seen['referer'], withoutUser(of.referer));
      assert.is(seen['requestId'], orNull(of.id));
      assert.is(seen['service'], orNull(of.service));
      assert.is(text.indexOf(0x0a), text.length - 1, 'a line feed inside');
      assert.not.match(text.subarray(0, -1).toString(), /[\p{Cc}\u2028-\u202e]/u);
    }),
    { numRuns: 3000 },
  );
});

test('whatever a request says, its combined line has six quotes and printable ASCII only', () => {
  const line = new AccessLine('combined');
  fc.assert(
    fc.property(parts, (of) => {
      const text = lineOf(line, recordOf(of)).toString('latin1');
      assert.match(
        text,
        /^\S+ - - \[[^\]]+\] "[ !#-~]*" (\d+|-) (\d+|-) "[ !#-~]*" "[ !#-~]*" (\d+|-)\n$/,
      );
    }),
    { numRuns: 3000 },
  );
});

test('long parts are cut between characters, and the line says so', () => {
  const long = (text: string): Uint8Array => utf8(text.repeat(20_000));
  for (const text of ['a', '"', 'é', '😀', '\u0001', 'http://a@']) {
    const all = long(text);
    const of = {
      method: all,
      target: all,
      host: all,
      agent: all,
      referer: all,
      id: all,
      service: all,
    };
    const record = recordOf(of);
    record.route = all;
    record.member = all;
    record.client = all;
    record.bytesIn = record.bytesOut = Number.MAX_SAFE_INTEGER;
    record.queueMicros = record.connectMicros = 2 ** 31 - 1;
    record.headMicros = record.totalMicros = 2 ** 31 - 1;
    const line = lineOf(new AccessLine('json'), record);
    assert.ok(line.length < lineMost, `${line.length} bytes`);
    const seen = parsed(line);
    assert.is(seen['cut'], true);
    const agent = String(seen['userAgent']);
    assert.is(text.repeat(20_000).indexOf(agent), 0, 'a character was cut');
    const combined = lineOf(new AccessLine('combined'), record);
    assert.ok(combined.length < lineMost, `${combined.length} bytes`);
    assert.is(combined.at(-1), 0x0a);
  }
});

test('characters that hide or turn what stands beside them are written as escapes', () => {
  for (const one of [
    '\u0080',
    '\u009b',
    '\u061c',
    '\u200e',
    '\u2028',
    '\u202e',
    '\u2066',
    '\ufeff',
  ]) {
    const record = shopRecord();
    const bytes = utf8(`a${one}b`);
    record.bytes = bytes;
    record.agentStart = 0;
    record.agentEnd = bytes.length;
    const line = lineOf(new AccessLine('json'), record).toString();
    const escape = `a\\u${(one.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}b`;
    assert.match(line, `"userAgent":"${escape}"`);
  }
});

test.run();

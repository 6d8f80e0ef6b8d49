/** Properties of the codec over generated messages: pieces, moves, round trips. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  chunkSizeRoom,
  writeChunkSize,
  writeLastChunk,
  writeLineEnd,
} from '../../../../appliance/l7/http1/chunked.js';
import { progress } from '../../../../appliance/l7/http1/faults.js';
import { RequestHead } from '../../../../appliance/l7/http1/request-head.js';
import { judge, type Situation } from '../../../support/http1-judge.js';
import { forwarded, parsed } from '../../../support/http1-rewrite.js';

const test = suite('http1 properties');
const situation: Situation = { side: 'request', to: 'GET', upgrade: 'none', tunnels: false };

const chars = (from: string, min: number, max: number): fc.Arbitrary<string> =>
  fc
    .array(fc.constantFrom(...from), { minLength: min, maxLength: max })
    .map((list) => list.join(''));
const letters = 'abcdefghijklmnopqrstuvwxyzABCXYZ019';
// Names begin with "Z-", so that none of them has a meaning.
const name = chars(`${letters}!#$%&'*+-.^_|~`, 0, 20).map((text) => `Z-${text}`);
const value = chars(`${letters} \t:;,"\\()<>@/[]?={}\xe4\x80\xff`, 0, 60).map((text) =>
  text.trim(),
);
const path = chars(`${letters}/-._~%!$&'()*+,;=:@?|[]{}`, 0, 40).map((text) => `/${text}`);
const host = fc.constantFrom(
  'a',
  'shop.example',
  'shop.example:8080',
  '[2001:db8::1]:1',
  '192.0.2.1',
);
const methodName = fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'PROPFIND');
const field = fc.record({
  name,
  value,
  before: fc.constantFrom('', ' ', '\t '),
  after: fc.constantFrom('', ' '),
});
const body = fc.oneof(
  fc.constant({ kind: 'none' as const, text: '' }),
  chars(`${letters}\r\n\0`, 1, 50).map((text) => ({ kind: 'length' as const, text })),
  chars(`${letters}\r\n\0`, 1, 50).map((text) => ({ kind: 'chunked' as const, text })),
);
const message = fc.record({
  methodName,
  path,
  host,
  fields: fc.array(field, { maxLength: 12 }),
  body,
});
type Message = typeof message extends fc.Arbitrary<infer T> ? T : never;

/** A body in chunks of up to 7 bytes, made by the encoder. */
function chunksOf(text: string): string {
  const out = new Uint8Array(2000);
  let at = 0;
  for (let i = 0; i < text.length; i += 7) {
    const piece = Buffer.from(text.slice(i, i + 7), 'latin1');
    at = writeChunkSize(out, at, piece.length);
    out.set(piece, at);
    at = writeLineEnd(out, at + piece.length);
  }
  at = writeLastChunk(out, at, out.length, out, null);
  return Buffer.from(out.subarray(0, at)).toString('latin1');
}

function textOf(one: Message): string {
  const framing = {
    none: '',
    length: `Content-Length: ${one.body.text.length}\r\n`,
    chunked: 'Transfer-Encoding: chunked\r\n',
  }[one.body.kind];
  const fields = one.fields.map((f) => `${f.name}:${f.before}${f.value}${f.after}\r\n`).join('');
  const content = one.body.kind === 'chunked' ? chunksOf(one.body.text) : one.body.text;
  return `${one.methodName} ${one.path} HTTP/1.1\r\nHost: ${one.host}\r\n${fields}${framing}\r\n${content}`;
}

function expected(one: Message): string {
  const text = one.body.text;
  const data = {
    none: '',
    length: ` length:${text.length}="${text}"`,
    chunked: ` chunked="${text}"`,
  };
  return `${one.methodName} ${one.path}${data[one.body.kind]}`;
}

const latin = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));

test('valid messages in a row are read as they were meant, in any pieces', () => {
  fc.assert(
    fc.property(
      fc.array(message, { minLength: 1, maxLength: 3 }),
      fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 6 }),
      (messages, places) => {
        const bytes = latin(messages.map(textOf).join(''));
        const cuts = places.map((part) => Math.floor(part * bytes.length)).sort((a, b) => a - b);
        assert.is(judge(bytes, situation, cuts).verdict, messages.map(expected).join(' | '));
      },
    ),
    { numRuns: 300 },
  );
});

test('a forwarded head says the same as the one that came, and is forwarded unchanged again', () => {
  fc.assert(
    fc.property(message, (one) => {
      const head = textOf(one).slice(0, textOf(one).indexOf('\r\n\r\n') + 4);
      const first = forwarded(head);
      const seen = judge(latin(first), situation);
      const wanted = judge(latin(head), situation);
      assert.is(seen.verdict, wanted.verdict);
      assert.is(seen.host, one.host);
      assert.equal(seen.fields, wanted.fields);
      assert.is(forwarded(first), first);
    }),
    { numRuns: 300 },
  );
});

test('any bytes after any begin give the same in pieces', () => {
  const junk = fc.array(fc.oneof(fc.constantFrom(13, 10, 32, 58, 0), fc.nat(255)), {
    maxLength: 60,
  });
  fc.assert(
    fc.property(message, fc.nat(400), junk, fc.nat(400), (one, keep, tail, cut) => {
      const bytes = Uint8Array.from([...latin(textOf(one)).subarray(0, keep), ...tail]);
      const whole = judge(bytes, situation);
      assert.equal(judge(bytes, situation, [Math.min(cut, bytes.length)]), whole);
    }),
    { numRuns: 500 },
  );
});

test('a head may be moved while it is read', () => {
  fc.assert(
    fc.property(message, fc.nat(300), fc.nat(50), fc.nat(50), (one, cut, from, to) => {
      const bytes = latin(textOf(one));
      const arena = new Uint8Array(bytes.length + 100);
      const head = new RequestHead();
      const part = Math.min(cut, bytes.length);
      arena.set(bytes.subarray(0, part), from);
      head.reset(from);
      head.parse(arena, from + part);
      arena.copyWithin(to, from, from + part);
      head.move(to - from);
      arena.set(bytes, to);
      arena.fill(0, 0, to);
      assert.is(head.parse(arena, to + bytes.length), progress.done, head.fault?.code);
      const plain = parsed(textOf(one));
      const offset = to - plain.start;
      const place = (h: RequestHead): number[] => [
        h.methodStart,
        h.targetStart,
        h.pathEnd,
        h.hostStart,
        h.end,
      ];
      assert.equal(
        place(head),
        place(plain).map((p) => p + offset),
      );
      for (let i = 0; i < plain.count; i += 1) {
        assert.is(head.valueEnd[i], (plain.valueEnd[i] ?? 0) + offset);
      }
    }),
    { numRuns: 300 },
  );
});

test('chunk sizes are written as they are read', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), (size) => {
      const out = new Uint8Array(chunkSizeRoom + 1).fill(0x58);
      const end = writeChunkSize(out, 0, size);
      assert.ok(end <= chunkSizeRoom);
      assert.is(Buffer.from(out.subarray(0, end)).toString(), `${size.toString(16)}\r\n`);
    }),
  );
});

test.run();

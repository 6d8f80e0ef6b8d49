/** Echo requests and answers as bytes, against packets put together by hand. */
import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decodeAnswer, encodeRequest } from '../../../appliance/health/echo-packet.js';

const token = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
const name = { identifier: 0x1234, sequence: 0xfffe };

/** RFC 1071, word by word with BigInt: not the way of the code. */
function checksum(bytes: Uint8Array): number {
  let sum = 0n;
  for (let at = 0; at < bytes.length; at += 2) {
    sum += BigInt((bytes[at] ?? 0) * 256 + (bytes[at + 1] ?? 0));
  }
  while (sum >> 16n !== 0n) sum = (sum & 0xffffn) + (sum >> 16n);
  return Number(~sum & 0xffffn);
}

function sealed(message: Buffer): Buffer {
  message.writeUInt16BE(0, 2);
  message.writeUInt16BE(checksum(message), 2);
  return message;
}

/** RFC 791 §3.1, with 4 bytes of options when asked for. */
function ipv4(payload: Buffer, options = 0, protocol = 1): Buffer {
  const header = Buffer.alloc(20 + options);
  header[0] = 0x40 | (header.length / 4);
  header[9] = protocol;
  header.set([10, 0, 0, 1], 12);
  header.set([10, 0, 0, 2], 16);
  return Buffer.concat([header, payload]);
}

function ipv6(payload: Buffer): Buffer {
  const header = Buffer.alloc(40);
  header[0] = 0x60;
  header[6] = 58;
  header[24] = 0xfd;
  return Buffer.concat([header, payload]);
}

/** What a host makes of a request: the same with another type. */
function replyTo(family: 4 | 6): Buffer {
  const message = encodeRequest(family, name, token);
  message[0] = family === 4 ? 0 : 129;
  return sealed(message);
}

test('a request has type, identifier, sequence, token and a right checksum', () => {
  const packet = encodeRequest(4, name, token);
  assert.is(packet.subarray(0, 2).toString('hex'), '0800');
  assert.is(packet.subarray(4, 16).toString('hex'), '1234fffe0102030405060708');
  assert.is(checksum(packet), 0);
  assert.is(encodeRequest(6, name, token).subarray(0, 4).toString('hex'), '80000000');
});

test('replies of both families are read, with options of IPv4 in front', () => {
  for (const packet of [ipv4(replyTo(4)), ipv4(replyTo(4), 4)]) {
    const answer = decodeAnswer(4, packet);
    assert.is(answer?.kind, 'reply');
    assert.equal([answer?.identifier, answer?.sequence], [0x1234, 0xfffe]);
    assert.equal([...(answer?.token ?? [])], [...token]);
  }
  assert.is(decodeAnswer(6, replyTo(6))?.kind, 'reply');
});

test('a wrong checksum, another protocol, a request and another code are nothing', () => {
  const broken = ipv4(replyTo(4));
  broken[broken.length - 1] = 7;
  assert.is(decodeAnswer(4, broken), null);
  assert.is(decodeAnswer(4, ipv4(replyTo(4), 0, 17)), null);
  assert.is(decodeAnswer(4, ipv4(encodeRequest(4, name, token))), null);
  const coded = replyTo(4);
  coded[1] = 1;
  assert.is(decodeAnswer(4, ipv4(sealed(coded))), null);
});

const errors: readonly (readonly [family: 4 | 6, type: number, code: number, reason: string])[] = [
  [4, 3, 0, 'network unreachable'],
  [4, 3, 1, 'host unreachable'],
  [4, 3, 13, 'forbidden by a filter'],
  [4, 3, 99, 'unreachable, code 99'],
  [4, 11, 0, 'the way there is a loop, or too long'],
  [6, 1, 0, 'network unreachable'],
  [6, 1, 3, 'host unreachable'],
  [6, 3, 0, 'the way there is a loop, or too long'],
];

function errorFor(family: 4 | 6, type: number, code: number, quoted: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head[0] = type;
  head[1] = code;
  const message = Buffer.concat([head, quoted]);
  return family === 4 ? ipv4(sealed(message)) : message;
}

for (const [family, type, code, reason] of errors) {
  test(`ICMP of IPv${family}, type ${type}, code ${code}: ${reason}`, () => {
    const request = encodeRequest(family, name, token);
    const quoted = family === 4 ? ipv4(request) : ipv6(request);
    const answer = decodeAnswer(family, errorFor(family, type, code, quoted));
    assert.is(answer?.kind, 'error');
    assert.is(answer?.reason, reason);
    assert.is(answer?.sequence, 0xfffe);
    assert.is(answer?.destination?.[0], family === 4 ? 10 : 0xfd);
    assert.equal([...(answer?.token ?? [])], [...token]);
  });
}

test('an error that quotes no more than 8 bytes of the request still names it', () => {
  const quoted = ipv4(encodeRequest(4, name, token)).subarray(0, 28);
  const answer = decodeAnswer(4, errorFor(4, 3, 1, quoted));
  assert.is(answer?.sequence, 0xfffe);
  assert.is(answer?.token, null);
});

test('an error about something else is nothing', () => {
  const tcp = ipv4(encodeRequest(4, name, token), 0, 6);
  assert.is(decodeAnswer(4, errorFor(4, 3, 1, tcp)), null);
  assert.is(decodeAnswer(4, errorFor(4, 3, 1, ipv4(replyTo(4)))), null, 'about a reply');
});

test('no bytes make the reader throw, and what it reads has a whole token or none', () => {
  const good4 = errorFor(4, 3, 1, ipv4(encodeRequest(4, name, token)));
  const good6 = errorFor(6, 1, 3, ipv6(encodeRequest(6, name, token)));
  const mutated = (good: Buffer): fc.Arbitrary<Buffer> =>
    fc
      .tuple(
        fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 4 }),
        fc.nat(good.length),
      )
      .map(([changes, length]) => {
        const copy = Buffer.from(good);
        for (const [at, value] of changes) copy[at] = value;
        return copy.subarray(0, length);
      });
  fc.assert(
    fc.property(
      fc.constantFrom<4 | 6>(4, 6),
      fc.oneof(
        fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
        mutated(good4),
        mutated(good6),
      ),
      (family, bytes) => {
        const answer = decodeAnswer(family, bytes);
        assert.ok(answer === null || answer.token === null || answer.token.length === 8);
      },
    ),
    { numRuns: 5000 },
  );
});

test.run();

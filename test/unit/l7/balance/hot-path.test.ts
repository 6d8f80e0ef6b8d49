/** What happens for each request allocates nothing: choosing, sticking, counting, waiting. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Choosers } from '../../../../appliance/l7/balance/persistence.js';
import { StickyTable } from '../../../../appliance/l7/balance/sticky-table.js';
import { WaitingLinks, WaitingQueue } from '../../../../appliance/l7/balance/waiting-queue.js';
import { progress } from '../../../../appliance/l7/http1/faults.js';
import { RequestHead } from '../../../../appliance/l7/http1/request-head.js';
import { ResponseHead } from '../../../../appliance/l7/http1/response-head.js';
import type { L7Algorithm, L7Persistence } from '../../../../appliance/l7/tables.js';
import { memberOf, poolOf, workersOf, type PlayedWorker } from '../../../support/balance.js';

const test = suite('l7 balance hot path');
const latin = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));
const ejection = { failures: 5, share: 0.9, minimum: 50, within: 1000, hold: 100, most: 0.5 };

/** Bytes of heap that a round takes, the least of some runs: the compiler needs a while. */
function bytesOf(round: (i: number) => boolean): number {
  const rounds = 20_000;
  let least = Number.POSITIVE_INFINITY;
  for (let run = 0; run < 12; run += 1) {
    const before = process.memoryUsage().heapUsed;
    let good = true;
    for (let i = 0; i < rounds; i += 1) good = round(i) && good;
    assert.ok(good, 'a round went wrong');
    least = Math.min(least, Math.abs(process.memoryUsage().heapUsed - before));
  }
  return least / rounds;
}

function nothing(round: (i: number) => boolean): void {
  const bytes = bytesOf(round);
  assert.ok(bytes < 1, `${bytes.toFixed(1)} bytes of heap a round`);
}

const algorithms: readonly L7Algorithm[] = [
  'weighted-round-robin',
  'weighted-least-connections',
  'maglev',
  'least-response-time',
  'least-bandwidth',
  'random',
  'custom',
];

for (const algorithm of algorithms) {
  test(`a choice by ${algorithm}, with limits and ejection`, () => {
    const members = Array.from({ length: 12 }, (_, i) =>
      memberOf(i, { weight: i + 1, maxConnections: i % 2 === 0 ? 0 : 2 }),
    );
    const [{ balancer }] = workersOf(1, poolOf(members, { algorithm, ejection })) as [PlayedWorker];
    const held = Array.from({ length: 8 }, () => balancer.pick(0, 0, null));
    nothing((i) => {
      const at = i & 7;
      const old = held[at] ?? null;
      old?.end(i, (i & 1023) + 100, 2000 + (i & 511), (i & 31) === 0);
      const hash = Math.imul(i, 0x9e37_79b1);
      const member = balancer.pick(hash, i, (i & 15) === 0 ? old : null);
      held[at] = member;
      return member !== null;
    });
  });
}

const kinds: readonly L7Persistence[] = [
  {
    kind: 'cookie',
    name: 'WEIR',
    protection: 'signed',
    key: Buffer.alloc(32, 1).toString('base64'),
    maxAge: null,
    path: '/',
    domain: null,
    secure: true,
    httpOnly: true,
    sameSite: 'lax',
  },
  { kind: 'application-cookie', name: 'SESSION', timeout: 1000 },
  { kind: 'header', name: 'X-User', timeout: 1000 },
  { kind: 'query', name: 'sid', timeout: 1000 },
  { kind: 'source-address', timeout: 1000, prefix: 24, prefix6: 64 },
];

for (const persistence of kinds) {
  test(`stickiness by ${persistence.kind}`, () => {
    const members = Array.from({ length: 12 }, (_, i) => memberOf(i));
    const [{ balancer }] = workersOf(1, poolOf(members)) as [PlayedWorker];
    const table = new StickyTable(new ArrayBuffer(StickyTable.bytes(256)), 0, 256, 0);
    const chooser = new Choosers(table).of('shop', persistence, balancer, false);
    const client = { bytes: new Uint8Array(16), family: 6 as const };
    const set = (): string => {
      const head = new RequestHead();
      const member = chooser.choose(head, latin(''), client, 1, 0, null);
      member?.end(0, 1, 0, false);
      return /WEIR=([^;]*)/.exec(Buffer.from(chooser.setCookie ?? []).toString())?.[1] ?? '';
    };
    const bytes = latin(
      `GET /?a=b&sid=0000 HTTP/1.1\r\nHost: a\r\nX-User: 0000\r\nCookie: a=1; WEIR=${set()}; SESSION=0000\r\n\r\n`,
    );
    const end = bytes.length;
    const marks = [
      bytes.indexOf(0x30),
      latinIndex(bytes, '0000\r\nC'),
      latinIndex(bytes, '0000\r\n\r'),
    ];
    const answer = latin(
      'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: SESSION=0000\r\n\r\n',
    );
    const mark = latinIndex(answer, '0000');
    const head = new RequestHead();
    const back = new ResponseHead();
    nothing((i) => {
      for (let digit = 0; digit < 4; digit += 1) {
        const octet = 0x30 + ((i >> (digit * 2)) & 3);
        for (let m = 0; m < marks.length; m += 1) bytes[(marks[m] as number) + digit] = octet;
        answer[mark + digit] = octet;
        client.bytes[digit] = octet;
      }
      head.reset(0);
      if (head.parse(bytes, end) !== progress.done) return false;
      const member = chooser.choose(head, bytes, client, i, i, null);
      if (member === null) return false;
      back.reset(0, head.method, head.upgrade);
      if (back.parse(answer, answer.length) !== progress.done) return false;
      chooser.answered(back, answer, i, member);
      member.end(i, 100, 500, false);
      return true;
    });
    assert.is(bytes.length, end);
  });
}

function latinIndex(bytes: Uint8Array, text: string): number {
  const at = Buffer.from(bytes).indexOf(text, 0, 'latin1');
  assert.ok(at >= 0, text);
  return at;
}

test('the queue', () => {
  const [{ memory }] = workersOf(1, poolOf([memberOf(0)])) as [PlayedWorker];
  const queue = new WaitingQueue(memory, new WaitingLinks(64), 0, 32);
  nothing((i) => {
    const pushed = queue.push(i & 63);
    if ((i & 3) === 0) queue.remove((i - 5) & 63);
    if (queue.length > 20) queue.shift();
    return pushed || queue.length > 0;
  });
});

test.run();

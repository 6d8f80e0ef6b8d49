/** The hot path allocates nothing per message; refusals are ready-made; trailers go on. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ChunkDecoder, chunkStep, writeLastChunk } from '../../../../appliance/l7/http1/chunked.js';
import { faults, progress } from '../../../../appliance/l7/http1/faults.js';
import { octets } from '../../../../appliance/l7/http1/octets.js';
import { pathFaults } from '../../../../appliance/l7/http1/path.js';
import { peerOf, addressText } from '../../../../appliance/l7/http1/peer.js';
import { badGateway, continueAnswer, refusalOf } from '../../../../appliance/l7/http1/refusal.js';
import { RequestHead } from '../../../../appliance/l7/http1/request-head.js';
import { RequestIds } from '../../../../appliance/l7/http1/request-id.js';
import { ResponseHead } from '../../../../appliance/l7/http1/response-head.js';
import {
  defaultRequestRules,
  RequestPlan,
  writeRequest,
} from '../../../../appliance/l7/http1/rewrite-request.js';
import { ResponsePlan, writeResponse } from '../../../../appliance/l7/http1/rewrite-response.js';
import { writeAddress } from '../../../../appliance/l7/http1/proxy-protocol.js';
import { Writer } from '../../../../appliance/l7/http1/writer.js';
import { judge } from '../../../support/http1-judge.js';

const test = suite('http1 hot path');
const latin = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));

test('parsing and forwarding allocate nothing', () => {
  const arena = new Uint8Array(65_536);
  const request = latin(
    'POST http://a.example/x?y HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\nConnection: keep-alive, x-a\r\nX-A: 1\r\nForwarded: for="x"\r\nX-Forwarded-For: 192.0.2.7\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n',
  );
  const chunks = latin('5;a=b\r\nhello\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n');
  const response = latin(
    'HTTP/1.1 200 OK\r\nDate: x\r\nConnection: close\r\nContent-Length: 12345\r\n\r\n',
  );
  arena.set(request, 1000);
  arena.set(chunks, 1000 + request.length);
  arena.set(response, 4000);
  const head = new RequestHead();
  const answer = new ResponseHead();
  const decoder = new ChunkDecoder();
  const writer = new Writer();
  const certificate = octets('X-SSL-Client-Verify: SUCCESS\r\n');
  const peer = { ...peerOf('192.0.2.1', 'https', 443), certificate };
  const plan = new RequestPlan({
    ...defaultRequestRules,
    forwarded: 'append',
    via: 'weir',
    requestId: { name: 'X-Request-Id', client: 'keep' },
  });
  const back = new ResponsePlan();
  const ids = new RequestIds('{uuid}', Uint32Array.of(1, 2, 3, 4), { unit: 'a', worker: 0 });
  const requestEnd = 1000 + request.length;
  const round = (): boolean => {
    head.reset(1000);
    if (head.parse(arena, 1100) !== progress.more) return false;
    if (head.parse(arena, requestEnd) !== progress.done) return false;
    decoder.reset(head.end);
    for (;;) {
      const step = decoder.next(arena, requestEnd + chunks.length);
      if (step === chunkStep.done) break;
      if (step !== chunkStep.data) return false;
    }
    writer.reset(arena, 32_768, arena.length);
    writeRequest(writer, head, arena, plan, peer, ids);
    answer.reset(4000, head.method, head.upgrade);
    if (answer.parse(arena, 4000 + response.length) !== progress.done) return false;
    writeResponse(writer, answer, arena, head, back, true);
    return writer.end > 0;
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

test('every refusal is a whole answer that ends the connection', () => {
  for (const fault of [...Object.values(faults), ...Object.values(pathFaults)]) {
    const { head, body } = refusalOf(fault);
    const seen = judge(Uint8Array.from([...head, ...body]), {
      side: 'response',
      to: 'GET',
      upgrade: 'none',
      tunnels: false,
    });
    assert.is(
      seen.verdict,
      `${fault.status} length:${fault.sentence.length + 1}="${fault.sentence}\n" close`,
    );
  }
  assert.match(Buffer.from(badGateway.head).toString(), 'HTTP/1.1 502 Bad Gateway\r\n');
  assert.is(Buffer.from(continueAnswer).toString(), 'HTTP/1.1 100 Continue\r\n\r\n');
});

test('codes and sentences of faults are each their own', () => {
  const list = [...Object.values(faults), ...Object.values(pathFaults)];
  assert.is(new Set(list.map(({ code }) => code)).size, list.length);
  for (const { sentence } of list) assert.match(sentence, /^[A-Z].*\.$/);
});

test('trailers that may go on are written after the last chunk', () => {
  const bytes = latin('0\r\nX: y\r\nContent-Length: 5\r\nZ:  w\r\n\r\n');
  const decoder = new ChunkDecoder();
  decoder.reset(0);
  assert.is(decoder.next(bytes, bytes.length), chunkStep.done);
  const out = new Uint8Array(100);
  const end = writeLastChunk(out, 0, out.length, bytes, decoder.trailers);
  const wanted = '0\r\nX: y\r\nZ:  w\r\n\r\n';
  assert.is(Buffer.from(out.subarray(0, end)).toString(), wanted);
  for (let room = 0; room < wanted.length; room += 1) {
    assert.is(writeLastChunk(out, 0, room, bytes, decoder.trailers), -1, `${room} bytes`);
  }
});

test('addresses are written as RFC 5952 wants them', () => {
  for (const text of [
    '::',
    '::1',
    '1::',
    '2001:db8::1',
    '2001:db8:0:1:1:1:1:1',
    '2001:0:0:1::1',
    '1:2:3:4:5:6:7:8',
    'fe80::a:0:0:b',
    '1:0:0:2::3',
    '100:0:0:1000::',
    '2001:db8::100:0:1',
  ]) {
    const address = new Uint8Array(16);
    writeAddress(address, text);
    const again = new Uint8Array(16);
    const seen = addressText(address, 6);
    writeAddress(again, seen);
    assert.equal(again, address, `${text} became ${seen}`);
    assert.not.match(seen, /:::|::.*::/);
  }
  const text = (of: string): string => {
    const address = new Uint8Array(16);
    writeAddress(address, of);
    return addressText(address, 6);
  };
  assert.is(text('2001:DB8:0:0:0:0:0:1'), '2001:db8::1');
  assert.is(text('0:0:0:0:0:0:0:0'), '::');
  assert.is(text('1:0:0:2:0:0:0:3'), '1:0:0:2::3');
  assert.is(text('1:0:2:3:4:5:6:7'), '1:0:2:3:4:5:6:7');
  assert.throws(() => peerOf('fe80::1%eth0', 'http', 80), RangeError);
  assert.throws(() => peerOf('x\r\ny', 'http', 80), RangeError);
});

test.run();

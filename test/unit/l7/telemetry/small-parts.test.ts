/** Sampling, Server-Timing, and that a line costs no memory. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { octets } from '../../../../appliance/l7/http1/octets.js';
import { Writer } from '../../../../appliance/l7/http1/writer.js';
import { AccessLine } from '../../../../appliance/l7/telemetry/access-line.js';
import { AccessRecord } from '../../../../appliance/l7/telemetry/access-record.js';
import { Sampler } from '../../../../appliance/l7/telemetry/sampler.js';
import { writeServerTiming } from '../../../../appliance/l7/telemetry/server-timing.js';
import { wholeMicros } from '../../../../appliance/l7/telemetry/worker-counters.js';

const test = suite('l7 telemetry: small parts');

test('a sample is as large as asked, whatever the pattern of requests', () => {
  for (const share of [0.001, 0.1, 0.5, 0.9]) {
    const sampler = new Sampler(share, 42);
    const rounds = 200_000;
    const seen = [0, 0];
    for (let i = 0; i < rounds; i += 1) if (sampler.next()) seen[i & 1] = (seen[i & 1] ?? 0) + 1;
    const spread = 6 * Math.sqrt((rounds / 2) * share);
    for (const half of seen) {
      const wanted = (rounds / 2) * share;
      assert.ok(Math.abs(half - wanted) < spread, `${half} of each second one, not ${wanted}`);
    }
  }
});

test('all means all, nothing nothing, and the same seed is the same sample', () => {
  const all = new Sampler(1, 1);
  const none = new Sampler(0, 1);
  const a = new Sampler(0.3, 7);
  const b = new Sampler(0.3, 7);
  for (let i = 0; i < 1000; i += 1) {
    assert.is(all.next(), true);
    assert.is(none.next(), false);
    assert.is(a.next(), b.next());
  }
  for (const bad of [-0.1, 1.1, Number.NaN]) assert.throws(() => new Sampler(bad, 1), RangeError);
});

function timing(weir: number, member: number): string {
  const out = new Uint8Array(100);
  const writer = new Writer();
  writer.reset(out, 0, out.length);
  writeServerTiming(writer, weir, member);
  return Buffer.from(out.subarray(0, writer.end)).toString();
}

test('Server-Timing tells milliseconds', () => {
  assert.is(timing(1234, 56_007), 'weir;dur=1.234, member;dur=56.007');
  assert.is(timing(9, 0), 'weir;dur=0.009, member;dur=0.000');
  assert.is(timing(1_000_000, -1), 'weir;dur=1000.000');
  assert.is(timing(-5, -1), 'weir;dur=0.000');
  const writer = new Writer();
  writer.reset(new Uint8Array(12), 0, 12);
  writeServerTiming(writer, 1, 1);
  assert.is(writer.end, -1, 'too little room is noticed');
});

test('milliseconds become whole microseconds and never overflow', () => {
  assert.is(wholeMicros(1.2345), 1235);
  assert.is(wholeMicros(0), 0);
  assert.is(wholeMicros(2_147_482.9), 2_147_482_900);
  assert.is(wholeMicros(1e9), 2_147_483_647);
});

test('writing a line allocates nothing', () => {
  const text = octets('GET/index.html?a=b&c=dshop.exampleMozilla/5.0 "x" \xe9\xff http://x@y/z');
  const record = new AccessRecord();
  const names = [octets('shop'), octets('192.0.2.7'), octets('10.0.0.1:80')] as const;
  const lines = [new AccessLine('json'), new AccessLine('combined')] as const;
  const sampler = new Sampler(0.5, 3);
  const out = new Uint8Array(200);
  const writer = new Writer();
  const times = Float64Array.from({ length: 16 }, (_, i) => 1.76e12 + i * 333.25);
  let total = 0;
  const round = (i: number): void => {
    record.reset();
    record.time = times[i & 15] ?? 0;
    record.service = names[0];
    record.client = names[1];
    record.member = names[2];
    record.bytes = text;
    record.methodEnd = 3;
    record.targetStart = 3;
    record.targetEnd = 22;
    record.hostStart = 22;
    record.hostEnd = 34;
    record.agentStart = 34;
    record.agentEnd = 53;
    record.refererStart = 53;
    record.refererEnd = text.length;
    record.minor = 1;
    record.status = 200;
    record.bytesIn = 300 + i;
    record.bytesOut = 9000 + i;
    record.totalMicros = 700 + i;
    total += lines[0].write(record) + lines[1].write(record);
    if (sampler.next()) total += 1;
    writer.reset(out, 0, 200);
    writeServerTiming(writer, 1000 + i, 2000 + i);
    total += writer.end;
  };
  const rounds = 10_000;
  let least = Number.POSITIVE_INFINITY;
  for (let run = 0; run < 8; run += 1) {
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < rounds; i += 1) round(i);
    least = Math.min(least, Math.abs(process.memoryUsage().heapUsed - before));
  }
  assert.ok(total > 0);
  assert.ok(least / rounds < 1, `${(least / rounds).toFixed(1)} bytes of heap a line`);
});

test.run();

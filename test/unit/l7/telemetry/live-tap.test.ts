import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { AccessLine } from '../../../../appliance/l7/telemetry/access-line.js';
import { AccessRecord } from '../../../../appliance/l7/telemetry/access-record.js';
import { LiveTap } from '../../../../appliance/l7/telemetry/live-tap.js';
import {
  LogRing,
  logRingBytes,
  LogRingReader,
} from '../../../../appliance/l7/telemetry/log-ring.js';

const ROOM = 65_536;
const test = suite('l7 telemetry: live tap');

function stage(budget = 100): { tap: LiveTap; ring: LogRing; reader: LogRingReader } {
  const memory = new SharedArrayBuffer(logRingBytes(ROOM));
  const ring = new LogRing(memory, 0, ROOM);
  return { ring, reader: new LogRingReader(memory, 0, ROOM), tap: new LiveTap(ring, 3, budget) };
}

test('nothing is wanted until somebody looks, and not after the daemon ceased to say so', () => {
  const { tap, reader } = stage();
  assert.equal(tap.weight(5000), 0);
  reader.watch(8000);
  assert.deepEqual([tap.weight(5000), tap.weight(7999), tap.weight(8000)], [1, 1, 0]);
  reader.watch(9000);
  assert.equal(tap.weight(8000), 1);
  reader.watch(0);
  assert.equal(tap.weight(8000), 0);
});

test('the clock may wrap meanwhile', () => {
  const { tap, reader } = stage();
  const now = 2 ** 31 - 100;
  reader.watch((now + 3000) | 0);
  assert.deepEqual([tap.weight(now), tap.weight((now + 200) | 0)], [1, 1]);
  assert.equal(tap.weight((now + 3000) | 0), 0);
});

test('of many a sample is told, and its weights are about all of them', () => {
  const { tap, reader } = stage(100);
  const PER_SECOND = 5000;
  reader.watch(100_000);
  for (let second = 1; second <= 10; second += 1) {
    let told = 0;
    let stands = 0;
    for (let n = 0; n < PER_SECOND; n += 1) {
      const weight = tap.weight(second * 1000 + Math.floor((n * 1000) / PER_SECOND));
      if (weight > 0) told += 1;
      stands += weight;
    }
    assert.ok(told <= 200, `${told} were told`);
    // The first second knows nothing of how many come.
    if (second > 1) assert.ok(Math.abs(stands - PER_SECOND) < PER_SECOND / 2, `${stands}`);
  }
});

test('lines of live requests leave half of the ring to the access log', () => {
  const { tap, ring, reader } = stage();
  const record = new AccessRecord();
  const line = new AccessLine('json');
  for (let n = 0; n < 1000; n += 1) tap.write(record, line, 2);
  const told: string[] = [];
  assert.ok(ring.write(7, Buffer.alloc(ROOM / 3), 0, ROOM / 3), 'the log has room');
  reader.drain({
    line: (target, bytes, start, end) => {
      if (target === 0) told.push(Buffer.from(bytes).toString('utf8', start, end));
    },
  });
  assert.ok(told.length > 50 && told.length < 1000);
  assert.match(told[0] ?? '', /^2 \{"time":.*"ended":"complete","cut":false\}\n$/);
});

test.run();

/** The ring between a worker and the daemon: order, loss that is counted, and damage that ends. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import fc from 'fast-check';
import { Mapping } from '../../../../native/ffi/memory.js';
import {
  LogRing,
  logRingBytes,
  LogRingReader,
  type LogSink,
} from '../../../../appliance/l7/telemetry/log-ring.js';

const test = suite('l7 telemetry: log ring');
const room = 4096;
const linesOfChild = 20_000;

class Taken implements LogSink {
  lines: { target: number; text: string }[] = [];
  line(target: number, bytes: Uint8Array, start: number, end: number): void {
    this.lines.push({ target, text: Buffer.from(bytes.subarray(start, end)).toString('latin1') });
  }
}

function ends(): { memory: ArrayBuffer; ring: LogRing; reader: LogRingReader } {
  const memory = new ArrayBuffer(logRingBytes(room) + 64);
  return {
    memory,
    ring: new LogRing(memory, 64, room),
    reader: new LogRingReader(memory, 64, room),
  };
}

const line = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));

test('what goes in comes out, in order, as long as there is room', () => {
  const step = fc.oneof(
    fc.record({ target: fc.nat(255), length: fc.nat(1500) }),
    fc.constant('drain' as const),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const { ring, reader } = ends();
      let model: { target: number; text: string }[] = [];
      let filled = 0;
      const lost = new Map<number, number>();
      for (const [i, one] of steps.entries()) {
        if (one === 'drain') {
          const taken = new Taken();
          assert.is(reader.drain(taken), true);
          assert.equal(taken.lines, model);
          model = [];
          filled = 0;
          continue;
        }
        const text = String.fromCharCode(33 + (i % 90)).repeat(one.length);
        const size = 8 + Math.ceil(one.length / 4) * 4;
        const fits = filled + size <= room;
        assert.is(ring.write(one.target, line(`..${text}.`), 2, 2 + one.length), fits);
        if (fits) {
          model.push({ target: one.target, text });
          filled += size;
        } else lost.set(one.target, (lost.get(one.target) ?? 0) + 1);
      }
      for (const [target, count] of lost) {
        assert.is(reader.dropped(target), count);
        assert.is(reader.dropped(target), 0, 'it is told once');
      }
      assert.is(reader.broken, 0);
    }),
  );
});

test('a drain with a limit says that there is more', () => {
  const { ring, reader } = ends();
  for (let i = 0; i < 10; i += 1) ring.write(1, line('0123456789'), 0, 10);
  const taken = new Taken();
  assert.is(reader.drain(taken, 40), false);
  assert.is(taken.lines.length, 2);
  assert.is(reader.drain(taken), true);
  assert.is(taken.lines.length, 10);
});

test('positions may pass the end of 32-bit numbers', () => {
  const { memory } = ends();
  const words = new Int32Array(memory, 64);
  words[0] = words[16] = 0x7fffffff - 2047;
  const ring = new LogRing(memory, 64, room);
  const reader = new LogRingReader(memory, 64, room);
  for (const from of [0x7ffffffc, -4 - 1000]) {
    words[0] = words[16] = from & ~3;
    for (let i = 0; i < 100; i += 1) {
      const taken = new Taken();
      assert.is(ring.write(i, line(`line ${i}`), 0, 6), true);
      reader.drain(taken);
      assert.equal(taken.lines, [{ target: i, text: `line ${i}`.slice(0, 6) }]);
    }
  }
});

test('a ring that makes no sense is emptied, counted, and used again', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer(), { minLength: 40, maxLength: 40 }),
      fc.nat(4),
      (noise, where) => {
        const { memory, ring, reader } = ends();
        for (let i = 0; i < 20; i += 1) ring.write(3, line('x'.repeat(i)), 0, i);
        const words = new Int32Array(memory, 64);
        // A position, the other, or what is in the ring.
        if (where === 0) words[0] = noise[0] ?? 0;
        else if (where === 1) words[16] = noise[0] ?? 0;
        else words.set(noise, 32 + 256 + where);
        for (let i = 0; i < 3; i += 1) reader.drain({ line: () => undefined });
        const next = new LogRing(memory, 64, room);
        reader.drain({ line: () => undefined });
        const taken = new Taken();
        assert.is(next.write(9, line('alive'), 0, 5), true);
        reader.drain(taken);
        assert.equal(taken.lines, [{ target: 9, text: 'alive' }]);
      },
    ),
    // A length that wraps when it is padded.
    { examples: [[[2 ** 31 - 3, ...new Array<number>(39).fill(0)], 2]] },
  );
});

test('a room that is no power of two is refused', () => {
  for (const bad of [0, 100, 4097, 2 ** 29]) assert.throws(() => logRingBytes(bad), RangeError);
});

test('two processes share a ring: each line arrives whole and in order, or is counted', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-ring-'));
  const path = join(folder, 'memory');
  const fd = openSync(path, 'w+');
  const length = logRingBytes(65_536);
  ftruncateSync(fd, length);
  const mapping = Mapping.open(fd, { length, access: 'write' });
  const child = fork(fileURLToPath(import.meta.url), [path], {
    env: { ...process.env, WEIR_RING_CHILD: '1' },
  });
  try {
    const reader = new LogRingReader(mapping.buffer, 0, 65_536);
    const exited = once(child, 'exit');
    let over = false;
    void exited.then(() => (over = true));
    let last = -1;
    let count = 0;
    const sink: LogSink = {
      line(target, bytes, start, end) {
        const text = Buffer.from(bytes.subarray(start, end)).toString('latin1');
        const number = Number(text.split(' ')[0]);
        assert.ok(number > last, `line ${number} came after ${last}`);
        assert.is(text, childLine(number));
        assert.is(target, number % 256);
        last = number;
        count += 1;
      },
    };
    while (!over) {
      reader.drain(sink);
      await new Promise((resolve) => setImmediate(resolve));
    }
    reader.drain(sink);
    assert.equal(await exited, [0, null]);
    let dropped = 0;
    for (let target = 0; target < 256; target += 1) dropped += reader.dropped(target);
    assert.is(count + dropped, linesOfChild);
    assert.ok(count > 0, 'nothing arrived');
    assert.is(reader.broken, 0);
  } finally {
    child.kill('SIGKILL');
    mapping.close();
    closeSync(fd);
    rmSync(folder, { recursive: true });
  }
});

test('writing allocates nothing', () => {
  const { memory, ring } = ends();
  const bytes = line('0123456789'.repeat(30));
  const words = new Int32Array(memory, 64);
  let good = true;
  let least = Number.POSITIVE_INFINITY;
  const rounds = 20_000;
  for (let run = 0; run < 8; run += 1) {
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < rounds; i += 1) {
      good = ring.write(i & 255, bytes, i & 7, 300) && good;
      good = !ring.write(i & 255, bytes, 0, 5000) && good;
      // As a reader that took everything.
      words[16] = words[0] ?? 0;
    }
    least = Math.min(least, Math.abs(process.memoryUsage().heapUsed - before));
  }
  assert.ok(good, 'a line was refused, or a too long one was not');
  assert.ok(least / rounds < 1, `${(least / rounds).toFixed(1)} bytes of heap a line`);
});

function childLine(number: number): string {
  return `${number} ${'x'.repeat(number % 300)}`;
}

function beChild(path: string): void {
  const fd = openSync(path, 'r+');
  const mapping = Mapping.open(fd, { length: logRingBytes(65_536), access: 'write' });
  const ring = new LogRing(mapping.buffer, 0, 65_536);
  for (let i = 0; i < linesOfChild; i += 1) {
    const bytes = line(childLine(i));
    ring.write(i % 256, bytes, 0, bytes.length);
  }
  mapping.close();
  closeSync(fd);
}

if (process.env['WEIR_RING_CHILD'] === '1') beChild(process.argv[2] ?? '');
else test.run();

/** Bodies through the coders: whole, bounded, given up in the middle, and in time. */
import { randomBytes } from 'node:crypto';
import type { Transform } from 'node:stream';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as zlib from 'node:zlib';
import { availableCodings, codeAtOnce } from '../../../../appliance/l7/compress/codecs.js';
import {
  Compressors,
  type Compressor,
  type CompressorSink,
} from '../../../../appliance/l7/compress/compressor.js';
import { contentCoding, type ContentCoding } from '../../../../appliance/l7/http1/coding.js';
import { BufferPool } from '../../../../appliance/l7/ring/buffer-pool.js';
import { WorkerLoop } from '../../../../appliance/l7/ring/worker-loop.js';
import { needs } from '../../../support/needs.js';
import { generator } from '../../../support/random.js';
import { QuietHandler } from '../../../support/ring-handlers.js';

const test = suite('compressors');
const uring = needs.uring(test);

/** The other side of a coding, by the runtime's own decoder. */
function decoder(coding: ContentCoding): Transform {
  switch (coding) {
    case contentCoding.gzip:
      return zlib.createGunzip();
    case contentCoding.br:
      return zlib.createBrotliDecompress();
    default: {
      const newer = zlib as unknown as { createZstdDecompress: () => Transform };
      return newer.createZstdDecompress();
    }
  }
}

async function decoded(coding: ContentCoding, parts: readonly Buffer[]): Promise<Buffer> {
  const stream = decoder(coding);
  const out: Buffer[] = [];
  stream.on('data', (part: Buffer) => out.push(part));
  const done = new Promise<void>((resolve, reject) => {
    stream.on('end', resolve);
    stream.on('error', reject);
  });
  for (const part of parts) stream.write(part);
  stream.end();
  await done;
  return Buffer.concat(out);
}

/** A client that takes `window` bytes and then no more until it is told to. */
class Reader implements CompressorSink {
  readonly parts: Buffer[] = [];
  bytes = 0;
  ended = false;
  after = 0;
  failed: Error | null = null;
  window = Number.POSITIVE_INFINITY;
  #changed: () => void = () => {};

  onOutput(bytes: Uint8Array): boolean {
    if (this.ended) this.after += 1;
    this.parts.push(Buffer.from(bytes));
    this.bytes += bytes.length;
    this.#changed();
    return this.bytes < this.window;
  }
  onRoom(): void {
    this.#changed();
  }
  onEnd(): void {
    this.ended = true;
    this.#changed();
  }
  onError(error: Error): void {
    this.failed = error;
    this.#changed();
  }
  async until(what: () => boolean): Promise<void> {
    while (!what()) {
      if (this.failed !== null) throw this.failed;
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
  }
}

/** Text that shrinks, or bytes that do not. */
function body(random: (below: number) => number, size: number, text: boolean): Buffer {
  const words = ['the ', 'load ', 'balancer ', '<p>', '</p>\n', 'of '];
  const out = Buffer.alloc(size);
  for (let at = 0; at < size;) {
    if (text) at += out.write(words[random(words.length)] ?? '', at) || size;
    else out[at++] = random(256);
  }
  return out;
}

async function pushAll(
  compressor: Compressor,
  reader: Reader,
  bytes: Buffer,
  piece: () => number,
): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    await reader.until(() => compressor.room > 0);
    const end = Math.min(bytes.length, at + Math.min(compressor.room, piece()));
    // From an array that changes at once: a copy was taken.
    const scratch = Buffer.concat([Buffer.alloc(3), bytes.subarray(at, end)]);
    compressor.push(scratch, 3, scratch.length);
    scratch.fill(0x21);
    at = end;
  }
}

const names = Object.entries(contentCoding).filter(([, coding]) => coding !== 0);
for (const [name, coding] of names) {
  const has = availableCodings().includes(coding);
  const run: typeof uring = (what, fn) => {
    if (has) test(what, fn);
    else {
      test.skip(what, fn);
      console.log(`~ skipped "${what}": it needs Node.js 22.15 or newer, whose zlib has ${name}.`);
    }
  };

  for (const when of ['dry', 'end'] as const) {
    run(`${name}: random bodies in random pieces come out whole (flushed ${when})`, async () => {
      const random = generator(coding * 31 + when.length);
      const compressors = new Compressors(4);
      for (const size of [0, 1, 100, 5000, 65_536, 65_537, 300_000]) {
        for (const text of [true, false]) {
          const bytes = body(random, size, text);
          const reader = new Reader();
          const compressor = compressors.start(coding, reader, when);
          const most = [1 + random(40), 5000, 65_536][random(3)] ?? 1;
          await pushAll(compressor, reader, bytes, () => 1 + random(size > 1e5 ? 20_000 : most));
          compressor.finish();
          await reader.until(() => reader.ended);
          assert.ok((await decoded(coding, reader.parts)).equals(bytes), `${size} bytes`);
          assert.is(reader.after, 0);
        }
      }
    });
  }

  run(`${name}: at once as well`, async () => {
    const random = generator(coding);
    const bytes = body(random, 8000, true);
    const out = codeAtOnce(coding, Buffer.concat([Buffer.alloc(5), bytes]), 5, 5 + bytes.length);
    assert.ok(out.length < bytes.length / 2);
    assert.ok((await decoded(coding, [Buffer.from(out)])).equals(bytes));
  });

  run(`${name}: what was pushed can be read before the end`, async () => {
    const reader = new Reader();
    const compressor = new Compressors(1).start(coding, reader, 'dry');
    const stream = decoder(coding);
    let seen = '';
    let told: () => void = () => {};
    stream.on('data', (part: Buffer) => {
      seen += part.toString();
      told();
    });
    const events = ['data: one\n\n', 'data: two\n\n', 'data: three\n\n'];
    let given = 0;
    for (const [index, event] of events.entries()) {
      const bytes = Buffer.from(event);
      compressor.push(bytes, 0, bytes.length);
      const wanted = events.slice(0, index + 1).join('');
      while (seen !== wanted) {
        await reader.until(() => reader.parts.length > given);
        const news = new Promise<void>((resolve) => {
          told = resolve;
        });
        for (; given < reader.parts.length; given += 1) stream.write(reader.parts[given]);
        // A part that is no whole block of the coding brings nothing yet.
        await Promise.race([news, new Promise((resolve) => setTimeout(resolve, 5))]);
      }
    }
    compressor.abort();
    stream.destroy();
  });

  run(`${name}: a reader that does not read stops the input`, async () => {
    const reader = new Reader();
    reader.window = 1;
    const compressors = new Compressors(1);
    const compressor = compressors.start(coding, reader, 'end');
    let pushed = 0;
    // What cannot be coded smaller, and is never the same: as much comes out as goes in.
    const untilStuck = async (): Promise<void> => {
      for (let still = 0; still < 50;) {
        const size = compressor.room;
        if (size > 0) {
          compressor.push(randomBytes(size), 0, size);
          pushed += size;
          still = 0;
        } else still += 1;
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    };
    await untilStuck();
    assert.is(compressor.room, 0);
    // Input, what the coder keeps to itself, and two chunks of output.
    assert.ok(pushed < 1_000_000, `${pushed} bytes for a reader of ${reader.bytes}`);
    const before = pushed;
    reader.window = Number.POSITIVE_INFINITY;
    compressor.resume();
    await reader.until(() => compressor.room === 65_536);
    assert.ok(pushed === before && reader.bytes > 0);
    compressor.finish();
    await reader.until(() => reader.ended);
    assert.is((await decoded(coding, reader.parts)).length, pushed);
  });

  run(`${name}: bodies that are given up leave nothing`, async () => {
    const random = generator(11);
    const bytes = body(random, 65_536, true);
    const compressors = new Compressors(64);
    const external = (): number => process.memoryUsage().external;
    const round = async (): Promise<void> => {
      const all = Array.from({ length: 64 }, (_, index) => {
        const reader = new Reader();
        const compressor = compressors.start(coding, reader, index % 2 === 0 ? 'dry' : 'end');
        if (index % 4 !== 0) compressor.push(bytes, 0, 1 + random(65_536));
        if (index % 3 === 0) compressor.finish();
        return { reader, compressor };
      });
      assert.not.ok(compressors.available);
      assert.throws(() => compressors.start(coding, new Reader(), 'end'), RangeError);
      // Some in the middle of a thread's work, some before and some after.
      await new Promise((resolve) => setTimeout(resolve, random(5)));
      for (const { compressor, reader } of all) {
        compressor.abort();
        compressor.abort();
        reader.ended = true;
        compressor.push(bytes, 0, 0);
        compressor.finish();
        compressor.resume();
      }
      while (compressors.open > 0) await new Promise((resolve) => setTimeout(resolve, 1));
      for (const { reader } of all) assert.is(reader.after, 0, 'heard after it was given up');
    };
    await round();
    const before = external();
    for (let again = 0; again < 5; again += 1) await round();
    // 320 of them had a quarter of a MiB each at least.
    const kept = external() - before;
    assert.ok(kept < 40 * 1024 * 1024, `${kept} bytes kept`);
  });
}

uring('bodies are coded promptly while a loop has nothing else to do', async () => {
  const pool = new BufferPool({ size: 1024, receiving: 64, working: 64 });
  const loop = WorkerLoop.open({ pool, slots: 8, timers: 1 });
  if (loop instanceof Error) throw loop;
  try {
    let late = false;
    loop.serve(
      new (class extends QuietHandler {
        override onTimer(): void {
          late = true;
        }
      })(loop.connections),
    );
    // Each body needs several turns of node, which an idle loop gives once a second by itself.
    loop.setTimer(0, 30_000);
    const running = loop.run();
    const random = generator(5);
    const compressors = new Compressors(8);
    for (let round = 0; round < 20; round += 1) {
      const reader = new Reader();
      const compressor = compressors.start(contentCoding.gzip, reader, 'dry');
      const bytes = body(random, 200_000, true);
      await pushAll(compressor, reader, bytes, () => 16_384);
      compressor.finish();
      await reader.until(() => reader.ended);
      assert.ok((await decoded(contentCoding.gzip, reader.parts)).equals(bytes));
    }
    loop.stop();
    await running;
    assert.not.ok(late, 'half a minute for what takes half a second');
  } finally {
    loop.close();
  }
});

test.run();

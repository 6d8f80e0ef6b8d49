/** Frames: what comes out is what went in, however it is cut, and nothing else comes out. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  encodeFrame,
  FRAME_LIMIT,
  FrameError,
  FrameReader,
  frameTypes,
  numbers,
  SMALL_LIMIT,
  type Frame,
  type FrameType,
} from '../../../../appliance/ha/pair/frames.js';
import {
  decodeJson,
  decodeMessage,
  encodeMessage,
  helloSchema,
} from '../../../../appliance/ha/pair/messages.js';
import { generator } from '../../../support/random.js';

const test = suite('frames of the pair');
const seed = Number(process.env['WEIR_SEED'] ?? Date.now() % 2 ** 32);
const types = Object.keys(frameTypes) as FrameType[];

function framesOf(random: (below: number) => number, count: number): Frame[] {
  return Array.from({ length: count }, (_, index) => {
    const payload = Buffer.alloc(random(200), random(256));
    return { type: types[random(types.length)] ?? 'data', epoch: 7, number: index + 1, payload };
  });
}

function readAll(reader: FrameReader, bytes: Buffer, piece: () => number): Frame[] {
  const frames: Frame[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = at + piece();
    frames.push(...reader.read(bytes.subarray(at, end)));
    at = end;
  }
  return frames;
}

test(`frames come out as they went in, in any pieces (WEIR_SEED=${seed})`, () => {
  const random = generator(seed);
  for (let round = 0; round < 300; round += 1) {
    const frames = framesOf(random, 1 + random(6));
    const bytes = Buffer.concat(frames.map(encodeFrame));
    const most = 1 + random(100);
    assert.equal(
      readAll(new FrameReader(), bytes, () => 1 + random(most)),
      frames,
    );
  }
});

test('a stream that is cut off gives the whole frames before the cut, and no part of one', () => {
  const frames = framesOf(generator(3), 3);
  const lengths = frames.map((frame) => encodeFrame(frame).length);
  const bytes = Buffer.concat(frames.map(encodeFrame));
  for (let cut = 0; cut <= bytes.length; cut += 1) {
    const reader = new FrameReader();
    let [whole, end] = [0, 0];
    for (const length of lengths) if (end + length <= cut) [whole, end] = [whole + 1, end + length];
    assert.is([...reader.read(bytes.subarray(0, cut))].length, whole, `cut at ${cut}`);
    assert.is(reader.unfinished, cut > end, `cut at ${cut}`);
  }
});

test(`whatever comes, it is refused or read within its limits (WEIR_SEED=${seed})`, () => {
  const random = generator(seed + 1);
  let [refused, read] = [0, 0];
  for (let round = 0; round < 3000; round += 1) {
    const bytes = Buffer.concat(framesOf(random, 1 + random(3)).map(encodeFrame));
    for (let change = random(3); change >= 0; change -= 1)
      bytes[random(bytes.length)] = random(256);
    try {
      for (const frame of readAll(new FrameReader(), bytes, () => 1 + random(60))) {
        assert.ok(frame.payload.length <= SMALL_LIMIT);
        assert.ok(Number.isSafeInteger(frame.epoch) && Number.isSafeInteger(frame.number));
        read += 1;
        if (frame.type === 'data') decodeMessage(frame.payload);
        if (frame.type === 'hello') decodeJson(helloSchema, frame.payload);
      }
    } catch (error) {
      assert.instance(error, FrameError, String(error));
      refused += 1;
    }
  }
  assert.ok(refused > 100 && read > 100, `${refused} refused, ${read} read`);
});

test('a length out of bounds is refused before anything of that length comes', () => {
  const header = (length: number): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(length);
    return bytes;
  };
  for (const length of [0, 16, SMALL_LIMIT + 1, 2 ** 32 - 1]) {
    assert.throws(() => [...new FrameReader().read(header(length))], /a frame of/, String(length));
  }
  const known = new FrameReader();
  known.allow(FRAME_LIMIT);
  assert.equal([...known.read(header(FRAME_LIMIT))], []);
  const large = {
    type: 'hello',
    epoch: 1,
    number: 1,
    payload: Buffer.alloc(SMALL_LIMIT + 1),
  } as const;
  const reader = new FrameReader();
  reader.allow(FRAME_LIMIT);
  assert.throws(() => [...reader.read(encodeFrame(large))], /bytes in a frame of type hello/);
});

test('messages come out as they went in; channels are named strictly', () => {
  const message = { number: 3, channel: 'flows', body: Buffer.from('body') };
  assert.equal(decodeMessage(encodeMessage(message)), message);
  for (const channel of ['', 'Flows', 'a b', '-a']) {
    assert.throws(() => decodeMessage(encodeMessage({ ...message, channel })), /without name/);
  }
  const cut = Buffer.concat([numbers(1), Buffer.of(200), Buffer.from('flows')]);
  assert.throws(() => decodeMessage(cut), /without name/);
  assert.throws(() => decodeMessage(Buffer.alloc(5)), /cut off/);
});

test('control frames are strict', () => {
  const hello = { version: 1, received: { epoch: 0, message: 0 } };
  const decode = (value: unknown) => decodeJson(helloSchema, Buffer.from(JSON.stringify(value)));
  assert.equal(decode(hello), hello);
  for (const other of [{ ...hello, more: 1 }, { version: 1 }, [], null, 1]) {
    assert.throws(() => decode(other), /not as it should be/, JSON.stringify(other));
  }
  assert.throws(() => decode({ ...hello, version: 2 }), /its version of the pair's protocol is 2/);
  assert.throws(() => decodeJson(helloSchema, Buffer.from([0xff, 0xfe])), /no JSON/);
});

test.run();

/**
 * Frames on a connection between units, in network order:
 *
 *     length 4 | type 1 | epoch 8 | number 8 | payload
 *
 * `length` counts what follows it. `epoch` is that run of the sender's daemon, `number` counts the
 * sender's frames on this connection from 1.
 *
 * Invariant: a reader holds no more than one frame, of no more than the limit that it has now; what is
 * wrong with a frame ends the connection (`FrameError`), since nothing after it can be trusted.
 */
export const frameTypes = {
  /** JSON: what a connection begins with, on both sides. */
  hello: 1,
  /** Eight octets, which come back in `pong`. */
  ping: 2,
  /** Those 8 | the clock of who answers, microseconds since 1970 8. */
  pong: 3,
  /** Message number 8 | length of the channel's name 1 | name | body. */
  data: 4,
  /** Epoch of the messages 8 | the last that was delivered 8. */
  ack: 5,
  /** The sender has left the pair. */
  bye: 6,
  /** JSON, of the pairing, in this order. */
  join: 16,
  welcome: 17,
  agreed: 18,
  done: 19,
  /** JSON: why not. */
  refused: 20,
} as const;
export type FrameType = keyof typeof frameTypes;

export interface Frame {
  readonly type: FrameType;
  readonly epoch: number;
  readonly number: number;
  readonly payload: Buffer;
}

export class FrameError extends Error {
  override readonly name = 'FrameError';
}

const HEADER = 17;
/** A message of a later layer. */
export const MESSAGE_LIMIT = 1 << 20;
/** Of a frame once the other unit is known; the name of a channel and two numbers are in it too. */
export const FRAME_LIMIT = MESSAGE_LIMIT + 512;
/** Of a frame of anybody, and of everything that is not `data`. */
export const SMALL_LIMIT = 4096;

const names = new Map<number, FrameType>(
  (Object.entries(frameTypes) as [FrameType, number][]).map(([name, value]) => [value, name]),
);

export function encodeFrame({ type, epoch, number, payload }: Frame): Buffer {
  const frame = Buffer.allocUnsafe(4 + HEADER + payload.length);
  frame.writeUInt32BE(HEADER + payload.length, 0);
  frame.writeUInt8(frameTypes[type], 4);
  frame.writeBigUInt64BE(BigInt(epoch), 5);
  frame.writeBigUInt64BE(BigInt(number), 13);
  payload.copy(frame, 4 + HEADER);
  return frame;
}

export class FrameReader {
  #pieces: Buffer[] = [];
  #held = 0;
  /** What the frame in progress needs; 4 while its length is not known. */
  #needed = 4;
  #limit = SMALL_LIMIT;

  /** From the next frame on. */
  allow(limit: number): void {
    this.#limit = limit;
  }

  /** Whether a frame has begun and not ended. */
  get unfinished(): boolean {
    return this.#held > 0;
  }

  /** The frames that this piece completes, one by one, so that `allow` counts for the next. @throws FrameError */
  *read(piece: Buffer): Generator<Frame, void, void> {
    let rest = piece;
    while (rest.length > 0) {
      const taken = rest.subarray(0, this.#needed - this.#held);
      this.#pieces.push(taken);
      this.#held += taken.length;
      rest = rest.subarray(taken.length);
      if (this.#held < this.#needed) return;
      const [only = Buffer.alloc(0)] = this.#pieces;
      const whole = this.#pieces.length === 1 ? only : Buffer.concat(this.#pieces);
      if (this.#needed === 4) {
        this.#needed = 4 + checkedLength(whole.readUInt32BE(0), this.#limit);
        this.#pieces = [whole];
        continue;
      }
      this.#pieces = [];
      this.#held = 0;
      this.#needed = 4;
      yield decode(whole);
    }
  }
}

function checkedLength(length: number, limit: number): number {
  if (length >= HEADER && length <= limit) return length;
  throw new FrameError(`a frame of ${length} bytes, where ${HEADER} to ${limit} are allowed`);
}

function decode(whole: Buffer): Frame {
  const type = names.get(whole.readUInt8(4));
  if (type === undefined) throw new FrameError(`a frame of unknown type ${whole.readUInt8(4)}`);
  const payload = whole.subarray(4 + HEADER);
  if (type !== 'data' && payload.length > SMALL_LIMIT) {
    throw new FrameError(`${payload.length} bytes in a frame of type ${type}`);
  }
  return { type, epoch: numberAt(whole, 5), number: numberAt(whole, 13), payload };
}

/** @throws FrameError where it is no number that both sides count with */
export function numberAt(bytes: Buffer, at: number): number {
  if (at + 8 > bytes.length) throw new FrameError('a frame is cut off');
  const value = bytes.readBigUInt64BE(at);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new FrameError('a number out of range');
  return Number(value);
}

export function numbers(...values: readonly number[]): Buffer {
  const bytes = Buffer.allocUnsafe(8 * values.length);
  for (const [index, value] of values.entries()) {
    bytes.writeBigUInt64BE(BigInt(value), 8 * index);
  }
  return bytes;
}

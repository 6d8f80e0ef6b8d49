/**
 * Consumer of a BPF ring buffer by shared memory.
 * Layout: Documentation/bpf/ringbuf.rst. One page holds the consumer's position (ours to write),
 * the next the producers' position, then the data, mapped twice in a row so that no record is cut.
 *
 * Invariant: records are read only up to the producers' position and stop at the first that is
 * still being written (busy bit); our position moves only after a record was handed over.
 */
import { BpfError } from './bpf-error.js';
import { mapTypes, type BpfMap } from './bpf-map.js';
import { Mapping, pageSize } from './memory.js';

/** Bits of a record's length word (linux/bpf.h). */
const BUSY = 0x80000000;
const DISCARDED = 0x40000000;
const HEADER_BYTES = 8;

/** `record` is a window into the ring: copy what must outlive the call. */
export type OnRecord = (record: Uint8Array) => void;

export class RingBuffer {
  /** Readable (EPOLLIN) when there are records. Belongs to the map. */
  readonly fd: number;
  readonly #size: number;
  readonly #consumer: Mapping;
  readonly #producer: Mapping;
  readonly #consumerAt: BigUint64Array<ArrayBuffer>;
  readonly #producerAt: BigUint64Array<ArrayBuffer>;
  readonly #lengths: Int32Array<ArrayBuffer>;
  readonly #data: Uint8Array;
  #closed = false;

  private constructor(map: BpfMap, consumer: Mapping, producer: Mapping) {
    this.fd = map.fd;
    this.#size = map.maxEntries;
    this.#consumer = consumer;
    this.#producer = producer;
    this.#consumerAt = new BigUint64Array(consumer.buffer, 0, 1);
    this.#producerAt = new BigUint64Array(producer.buffer, 0, 1);
    this.#lengths = new Int32Array(producer.buffer, pageSize, (2 * this.#size) / 4);
    this.#data = new Uint8Array(producer.buffer, pageSize, 2 * this.#size);
  }

  /** Throws BpfError when the map is no ring buffer or cannot be mapped. `close` before the map. */
  static open(map: BpfMap): RingBuffer {
    if (map.type !== mapTypes.ringBuffer) {
      throw new BpfError(`the table ${map.name} is no ring buffer`, { code: 'EINVAL' });
    }
    const consumer = Mapping.open(map.fd, { length: pageSize, access: 'write' });
    try {
      const producer = Mapping.open(map.fd, {
        length: pageSize + 2 * map.maxEntries,
        offset: pageSize,
        access: 'read',
      });
      return new RingBuffer(map, consumer, producer);
    } catch (cause) {
      consumer.close();
      throw cause;
    }
  }

  /**
   * Hands over the records that are there, at most `limit`. Returns how many. When `onRecord`
   * throws, its record counts as read and the error passes through.
   */
  drain(onRecord: OnRecord, limit = Number.MAX_SAFE_INTEGER): number {
    if (this.#closed) throw new BpfError('the ring buffer is closed', { code: 'ECLOSED' });
    let at = Atomics.load(this.#consumerAt, 0);
    let count = 0;
    while (count < limit && at < Atomics.load(this.#producerAt, 0)) {
      const offset = Number(at % BigInt(this.#size));
      const word = Atomics.load(this.#lengths, offset / 4) >>> 0;
      if ((word & BUSY) !== 0) break;
      const length = word & ~(BUSY | DISCARDED);
      at += BigInt(HEADER_BYTES + Math.ceil(length / 8) * 8);
      try {
        if ((word & DISCARDED) === 0) {
          count++;
          onRecord(this.#data.subarray(offset + HEADER_BYTES, offset + HEADER_BYTES + length));
        }
      } finally {
        Atomics.store(this.#consumerAt, 0, at);
      }
    }
    return count;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#consumer.close();
    this.#producer.close();
  }
}

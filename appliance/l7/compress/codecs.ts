/**
 * The codings that this runtime has (RFC 9110 §8.4.1, RFC 7932, RFC 8878), as node:zlib offers
 * them; zstd only in newer ones.
 *
 * Levels are those where a further step costs much more time than it saves bytes.
 */
import type { Transform } from 'node:stream';
import * as zlib from 'node:zlib';
import { contentCoding, type ContentCoding } from '../http1/coding.js';

/** A stream of node:zlib. */
export interface ZlibStream extends Transform {
  flush(kind: number, callback: () => void): void;
}

interface Codec {
  stream(): ZlibStream;
  now(bytes: Uint8Array): Uint8Array;
  /** The flush that lets the other side read all that was written. */
  readonly flushed: number;
}

/** What the types of Node 20 do not know yet. */
interface Zstd {
  createZstdCompress?: (options: object) => ZlibStream;
  zstdCompressSync?: (bytes: Uint8Array, options: object) => Uint8Array;
  readonly constants: { readonly ZSTD_e_flush?: number; readonly ZSTD_c_compressionLevel?: number };
}

const { constants } = zlib;
const gzipOptions = { level: 5 } as const;
const brotliOptions = {
  params: {
    [constants.BROTLI_PARAM_QUALITY]: 4,
    // 256 KiB: a window of 4 MiB, the default, would be memory for each response.
    [constants.BROTLI_PARAM_LGWIN]: 18,
  },
};

function zstdCodec(): Codec | null {
  const { createZstdCompress, zstdCompressSync, constants: numbers } = zlib as unknown as Zstd;
  const { ZSTD_c_compressionLevel: level, ZSTD_e_flush: flushed } = numbers;
  if (createZstdCompress === undefined || zstdCompressSync === undefined) return null;
  if (level === undefined || flushed === undefined) return null;
  const options = { params: { [level]: 3 } };
  return {
    stream: () => createZstdCompress(options),
    now: (bytes) => zstdCompressSync(bytes, options),
    flushed,
  };
}

const codecs = new Map<ContentCoding, Codec>([
  [
    contentCoding.gzip,
    {
      stream: () => zlib.createGzip(gzipOptions),
      now: (bytes) => zlib.gzipSync(bytes, gzipOptions),
      flushed: constants.Z_SYNC_FLUSH,
    },
  ],
  [
    contentCoding.br,
    {
      stream: () => zlib.createBrotliCompress(brotliOptions),
      now: (bytes) => zlib.brotliCompressSync(bytes, brotliOptions),
      flushed: constants.BROTLI_OPERATION_FLUSH,
    },
  ],
]);
const zstd = zstdCodec();
if (zstd !== null) codecs.set(contentCoding.zstd, zstd);

export function availableCodings(): readonly ContentCoding[] {
  return [...codecs.keys()];
}

/** Throws RangeError for a coding that is not available. */
export function codecOf(coding: ContentCoding): Codec {
  const codec = codecs.get(coding);
  if (codec === undefined) throw new RangeError(`this runtime has no coding ${coding}`);
  return codec;
}

/**
 * Bodies up to this are better coded at once than in a thread. Measured on the documentation of
 * this project, CPU time of one body with gzip level 5: 8 KiB 64 µs at once, 290 µs in a thread
 * (what a stream and its hand-overs cost does not depend on the size); 32 KiB 600 µs against 710
 * µs, and so long nothing else of the worker would go on.
 */
export const CODE_AT_ONCE = 8192;

/** A whole body, coded in the caller's turn: for up to CODE_AT_ONCE bytes that are all there. */
export function codeAtOnce(
  coding: ContentCoding,
  bytes: Uint8Array,
  start: number,
  end: number,
): Uint8Array {
  return codecOf(coding).now(bytes.subarray(start, end));
}

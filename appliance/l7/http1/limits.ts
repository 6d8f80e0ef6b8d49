/** What one message may cost, RFC 9112 §3 and RFC 9110 §5.4; sizes in bytes. */
export interface Limits {
  /** The request line or status line without its end. */
  readonly line: number;
  /** The whole head. */
  readonly head: number;
  /** Fields of a head. */
  readonly fields: number;
  readonly method: number;
  readonly body: number;
  /** Extensions of all chunks of one body. */
  readonly chunkExtensions: number;
  /** The trailer section. */
  readonly trailers: number;
  readonly trailerFields: number;
  /** Methods that RFC 9110 and RFC 5789 do not name. */
  readonly unknownMethods: 'forward' | 'refuse';
  readonly connect: 'forward' | 'refuse';
}

export const defaultLimits: Limits = Object.freeze({
  line: 8192,
  head: 16384,
  fields: 100,
  method: 32,
  body: Number.MAX_SAFE_INTEGER,
  chunkExtensions: 4096,
  trailers: 8192,
  trailerFields: 32,
  unknownMethods: 'forward',
  connect: 'refuse',
});

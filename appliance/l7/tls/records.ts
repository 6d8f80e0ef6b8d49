/**
 * Where records of TLS begin and end in what arrives (RFC 8446 §5.1, RFC 5246 §6.2.1): five octets of
 * header, the last two of which say how many follow. OpenSSL finds that out by itself; what is asked
 * here is whether a buffer begins with the rest of a record that OpenSSL has the beginning of.
 *
 * Invariant: `rest` and `header` are right between two buffers of a connection.
 */
const HEADER = 5;

export class RecordEdges {
  /** By slot: what the record in hand lacks; octets of a header that is not whole; its fourth one. */
  readonly #rest: Int32Array;
  readonly #header: Uint8Array;
  readonly #high: Uint8Array;

  constructor(slots: number) {
    this.#rest = new Int32Array(slots);
    this.#header = new Uint8Array(slots);
    this.#high = new Uint8Array(slots);
  }

  begin(slot: number): void {
    this.#rest[slot] = 0;
    this.#header[slot] = 0;
  }

  /** Whether the next octet is the first one of a record. */
  atEdge(slot: number): boolean {
    return this.#rest[slot] === 0 && this.#header[slot] === 0;
  }

  /**
   * How many of these octets belong to the record that began before; all of them when it goes on
   * behind them. To be asked before `pass`.
   */
  firstPart(slot: number, bytes: Uint8Array, start: number, end: number): number {
    let p = start;
    let rest = this.#rest[slot] as number;
    if (rest === 0) {
      const had = this.#header[slot] as number;
      const lacks = HEADER - had;
      if (end - start < lacks) return end - start;
      const high = had > 3 ? (this.#high[slot] as number) : (bytes[start + 3 - had] as number);
      rest = high * 256 + (bytes[start + 4 - had] as number);
      p = start + lacks;
    }
    return Math.min(end, p + rest) - start;
  }

  /** These octets go by. */
  pass(slot: number, bytes: Uint8Array, start: number, end: number): void {
    let p = start;
    let rest = this.#rest[slot] as number;
    let had = this.#header[slot] as number;
    let high = this.#high[slot] as number;
    while (p < end) {
      if (rest > 0) {
        const step = rest < end - p ? rest : end - p;
        rest -= step;
        p += step;
      } else if (had === 0 && end - p >= HEADER) {
        rest = (bytes[p + 3] as number) * 256 + (bytes[p + 4] as number);
        p += HEADER;
      } else {
        const octet = bytes[p++] as number;
        if (had === 3) high = octet;
        had += 1;
        if (had === HEADER) {
          rest = high * 256 + octet;
          had = 0;
        }
      }
    }
    this.#rest[slot] = rest;
    this.#header[slot] = had;
    this.#high[slot] = high;
  }
}

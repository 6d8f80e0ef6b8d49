/**
 * What a rate limit counts by: the service as a whole, the client's address, the host, the path or
 * a field's value, as 64 bits. RFC 9110 §4.2.3: hosts are compared without regard to case; ports
 * of them do not count.
 *
 * Invariant: a client gains nothing by leaving a field out or sending it twice. All requests
 * without it share one bucket, and all that have it more than once another.
 */
import type { ClientAddress } from '../client-address.js';
import { octets } from '../http1/octets.js';
import type { RequestHead } from '../http1/request-head.js';
import type { L7RateLimit } from '../tables.js';
import { hashKey, type Words } from './key-hash.js';

export interface Prefixes {
  /** Bits of a client's address that count. */
  readonly clientPrefix: number;
  readonly clientPrefix6: number;
}

const nothing = new Uint8Array(0);
/** Seeds of keys that are no value differ by these from those of values. */
const ABSENT = 1;
const MANY = 2;
const SLASH = 0x2f;
const QUESTION = 0x3f;

/** The first `bits` of an address of 16 bytes. */
export class AddressCut {
  readonly #mask4 = new Uint8Array(16);
  readonly #mask6 = new Uint8Array(16);
  readonly #cut = new Uint8Array(16);

  constructor(prefixes: Prefixes) {
    fill(this.#mask4, 96 + prefixes.clientPrefix);
    fill(this.#mask6, prefixes.clientPrefix6);
  }

  hash(client: ClientAddress, seed: Words, out: Words): void {
    const mask = client.family === 4 ? this.#mask4 : this.#mask6;
    const { bytes } = client;
    for (let i = 0; i < 16; i += 1) this.#cut[i] = (bytes[i] ?? 0) & (mask[i] ?? 0);
    hashKey(this.#cut, 0, 16, false, seed[0] ?? 0, seed[1] ?? 0, out);
  }
}

function fill(mask: Uint8Array, bits: number): void {
  for (let i = 0; i < 16; i += 1) {
    const left = Math.min(8, Math.max(0, bits - 8 * i));
    mask[i] = (0xff << (8 - left)) & 0xff;
  }
}

const kinds = { service: 0, 'client-address': 1, host: 2, path: 3, header: 4 } as const;

/** Makes the keys of one limit. */
export class LimitKey {
  readonly #kind: number;
  readonly #name: Uint8Array;
  readonly #seed: Words;
  readonly #cut: AddressCut;

  constructor(per: L7RateLimit['per'], seed: Words, cut: AddressCut) {
    this.#kind = kinds[per.kind];
    this.#name = per.kind === 'header' ? octets(per.name.toLowerCase()) : nothing;
    this.#seed = seed;
    this.#cut = cut;
  }

  hash(head: RequestHead, bytes: Uint8Array, client: ClientAddress, out: Words): void {
    switch (this.#kind) {
      case kinds['client-address']:
        this.#cut.hash(client, this.#seed, out);
        return;
      case kinds.host:
        this.#value(bytes, head.hostStart, head.hostEnd, true, 0, out);
        return;
      case kinds.path:
        this.#path(bytes, head.pathStart, head.pathEnd, out);
        return;
      case kinds.header:
        this.#field(head, bytes, out);
        return;
      default:
        this.#value(nothing, 0, 0, false, 0, out);
    }
  }

  #value(
    bytes: Uint8Array,
    start: number,
    end: number,
    fold: boolean,
    apart: number,
    out: Words,
  ): void {
    hashKey(bytes, start, end, fold, this.#seed[0] ?? 0, (this.#seed[1] ?? 0) ^ apart, out);
  }

  /** Without the query; of `http://host` it is empty, which is the path `/` (RFC 9110 §4.2.3). */
  #path(bytes: Uint8Array, start: number, end: number, out: Words): void {
    let stop = start;
    while (stop < end && bytes[stop] !== QUESTION) stop += 1;
    if (stop === start) this.#value(slash, 0, 1, false, 0, out);
    else this.#value(bytes, start, stop, false, 0, out);
  }

  #field(head: RequestHead, bytes: Uint8Array, out: Words): void {
    const index = head.find(bytes, this.#name);
    if (index < 0) this.#value(nothing, 0, 0, false, ABSENT, out);
    else if (head.find(bytes, this.#name, index + 1) >= 0) {
      this.#value(nothing, 0, 0, false, MANY, out);
    } else {
      const start = head.valueStart[index] ?? 0;
      this.#value(bytes, start, head.valueEnd[index] ?? 0, false, 0, out);
    }
  }
}

const slash = Uint8Array.of(SLASH);

/**
 * The lease on which a speaker holds addresses: memory that it shares with its guard. The speaker
 * renews it with every turn; when it has run out, the guard ends the speaker and takes the
 * addresses off the unit (guard.ts).
 *
 * Invariants:
 * - Times are milliseconds of CLOCK_MONOTONIC, as monotonicNow() counts; Infinity: nothing is held.
 * - Farewells are read whole or not at all: `version` is odd while they are being written, and stays
 *   so if the writer dies over it.
 */
import { randomUUID } from 'node:crypto';
import { Mapping } from '../../../../native/ffi/memory.js';
import { seal, sharedMemory } from '../../../../native/ffi/packet-channel.js';
import type { Family } from '../../../config/address-codec.js';

/** A message that says for a dead speaker that it gives a router up (RFC 9568 §6.4.3, Shutdown). */
export interface Farewell {
  readonly interface: { readonly name: string; readonly index: number };
  readonly family: Family;
  /** That it comes from; null: the interface's own. */
  readonly mac: Uint8Array | null;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly message: Uint8Array;
}

/** Hundreds of routers with as many addresses each. Pages are taken as they are written. */
const LENGTH = 4 << 20;
/** As float64: until when, when the guard last looked; as uint32: version and length of what follows. */
const UNTIL = 0;
const SEEN = 1;
const VERSION = 4;
const SIZE = 5;
const TEXT = 24;

export class Lease {
  readonly #mapping: Mapping;
  readonly #times: Float64Array;
  readonly #words: Uint32Array;
  readonly #bytes: Uint8Array;

  private constructor(readonly fd: number) {
    this.#mapping = Mapping.open(fd, { length: LENGTH, access: 'write' });
    const { buffer } = this.#mapping;
    this.#times = new Float64Array(buffer, 0, 2);
    this.#words = new Uint32Array(buffer, 0, 6);
    this.#bytes = new Uint8Array(buffer, TEXT);
  }

  /** Of a speaker that holds nothing. Throws SystemError. */
  static create(): Lease {
    const fd = sharedMemory(`vrrp-lease-${randomUUID()}`, LENGTH);
    seal(fd, false);
    const lease = new Lease(fd);
    lease.until = Infinity;
    return lease;
  }

  /** One that was handed over as a descriptor. Throws BpfError. */
  static open(fd: number): Lease {
    return new Lease(fd);
  }

  get until(): number {
    return this.#times[UNTIL] ?? Infinity;
  }

  set until(moment: number) {
    this.#times[UNTIL] = moment;
  }

  /** When the guard last looked; 0: never yet. */
  get seen(): number {
    return this.#times[SEEN] ?? 0;
  }

  set seen(moment: number) {
    this.#times[SEEN] = moment;
  }

  /** What shall be said if the speaker cannot. More than there is room for is left out: others wait their time. */
  set farewells(list: readonly Farewell[]) {
    const text = Buffer.from(JSON.stringify(list.map(asText)));
    Atomics.add(this.#words, VERSION, 1);
    const fits = text.length <= this.#bytes.length;
    if (fits) this.#bytes.set(text);
    this.#words[SIZE] = fits ? text.length : 0;
    Atomics.add(this.#words, VERSION, 1);
  }

  get farewells(): readonly Farewell[] {
    const size = this.#words[SIZE] ?? 0;
    if (Atomics.load(this.#words, VERSION) % 2 === 1 || size === 0) return [];
    const text = Buffer.from(this.#bytes.subarray(0, size)).toString();
    return (JSON.parse(text) as FarewellText[]).map(fromText);
  }
}

type FarewellText = ReturnType<typeof asText>;

function asText({ mac, source, destination, message, ...rest }: Farewell) {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
  return {
    ...rest,
    mac: mac === null ? null : hex(mac),
    source: hex(source),
    destination: hex(destination),
    message: hex(message),
  };
}

function fromText({ mac, source, destination, message, ...rest }: FarewellText): Farewell {
  const bytes = (hex: string): Buffer => Buffer.from(hex, 'hex');
  return {
    ...rest,
    mac: mac === null ? null : bytes(mac),
    source: bytes(source),
    destination: bytes(destination),
    message: bytes(message),
  };
}

/**
 * Request ids: a format with places for what makes an id unique, written without
 * allocating. Random bits are xoshiro128** seeded by the caller from a good source: ids
 * are unique, not secret.
 *
 * Invariant: an id has visible ASCII only.
 */
import { octets } from './octets.js';
import type { Writer } from './writer.js';

/** The words that may stand in braces in a format. */
export const idPlaces = ['uuid', 'random', 'counter', 'time', 'unit', 'worker'] as const;
type Place = (typeof idPlaces)[number];

type Part =
  { readonly literal: Uint8Array } | { readonly place: 'uuid' | 'random' | 'counter' | 'time' };

/** What is wrong with a format such as `{unit}-{time}-{counter}`, or null. */
export function idFormatFault(format: string): string | null {
  if (format === '' || format.length > 128) return 'a request id has 1 to 128 characters.';
  if (/[^!-~]/.test(format)) return 'a request id has visible ASCII characters only.';
  for (const [, word] of format.matchAll(/\{([^}]*)\}/g)) {
    if (!idPlaces.some((place) => place === word)) {
      return `"{${word ?? ''}}" is unknown in a request id; there are ${idPlaces.map((p) => `{${p}}`).join(', ')}.`;
    }
  }
  if (/[{}]/.test(format.replaceAll(/\{[^{}]*\}/g, '')))
    return 'a brace is not closed or not opened.';
  return /\{(uuid|random|counter)\}/.test(format)
    ? null
    : 'a request id needs {uuid}, {random} or {counter} to be unique.';
}

export class RequestIds {
  /** Seconds since 1970, set by the event loop, not asked from the clock for each request. */
  now = 0;
  private readonly parts: readonly Part[];
  private readonly s: Int32Array;
  private counter = 0;

  /** `seed` is four random 32-bit numbers. Throws RangeError with what `idFormatFault` says. */
  constructor(
    format: string,
    seed: Uint32Array,
    names: { readonly unit: string; readonly worker: number },
  ) {
    const fault = idFormatFault(format);
    if (fault !== null) throw new RangeError(fault);
    this.s = Int32Array.from([seed[0] ?? 0, seed[1] ?? 0, seed[2] ?? 0, (seed[3] ?? 0) | 1]);
    const unit = names.unit.replaceAll(/[^!-~]/g, '_');
    this.parts = format
      .split(/(\{[^}]*\})/)
      .filter((text) => text !== '')
      .map((text): Part => {
        const place = text.startsWith('{') ? (text.slice(1, -1) as Place) : null;
        if (place === null) return { literal: octets(text) };
        if (place === 'unit') return { literal: octets(unit) };
        if (place === 'worker') return { literal: octets(String(names.worker)) };
        return { place };
      });
  }

  private random(): number {
    const s = this.s;
    const s1 = s[1] ?? 0;
    const five = Math.imul(s1, 5);
    const result = Math.imul((five << 7) | (five >>> 25), 9);
    const t = s1 << 9;
    s[2] = (s[2] ?? 0) ^ (s[0] ?? 0);
    s[3] = (s[3] ?? 0) ^ s1;
    s[1] = s1 ^ (s[2] ?? 0);
    s[0] = (s[0] ?? 0) ^ (s[3] ?? 0);
    s[2] = (s[2] ?? 0) ^ t;
    const s3 = s[3] ?? 0;
    s[3] = (s3 << 11) | (s3 >>> 21);
    return result;
  }

  write(writer: Writer): void {
    this.counter += 1;
    for (const part of this.parts) {
      if ('literal' in part) writer.all(part.literal);
      else if (part.place === 'counter') writer.decimal(this.counter);
      else if (part.place === 'time') writer.decimal(this.now);
      else if (part.place === 'uuid') this.writeUuid(writer);
      else for (let i = 0; i < 4; i += 1) writer.hex(this.random(), 8);
    }
  }

  /** RFC 9562 §5.4: version 4. */
  private writeUuid(writer: Writer): void {
    writer.hex(this.random(), 8);
    writer.octet(0x2d);
    const b = this.random();
    writer.hex(b >>> 16, 4);
    writer.octet(0x2d);
    writer.hex((b & 0x0fff) | 0x4000, 4);
    writer.octet(0x2d);
    const c = this.random();
    writer.hex(((c >>> 16) & 0x3fff) | 0x8000, 4);
    writer.octet(0x2d);
    writer.hex(c, 4);
    writer.hex(this.random(), 8);
  }
}

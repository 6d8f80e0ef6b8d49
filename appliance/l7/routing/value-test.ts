/**
 * What a header field, a query parameter or a cookie must be.
 *
 * Invariant: of a name that is there several times one value is enough, each looked at by
 * itself; `absent` needs that there is none. The head counts as the client sent it, with the
 * fields that end at this hop.
 */
import type { RequestHead } from '../http1/request-head.js';
import type { L7FieldTest } from '../tables.js';
import { hashName, sameName } from '../http1/names.js';
import { pairHash, type Pairs } from './pairs.js';
import { Regex } from './regex/regex.js';

const kinds = { exact: 0, prefix: 1, regex: 2, present: 3, absent: 4 } as const;
const nothing = new Uint8Array(0);

export class ValueTest {
  private readonly name: Uint8Array;
  private readonly nameHash: number;
  private readonly pairHash: number;
  /** Of name and value. */
  private readonly wholeHash: number;
  private readonly kind: number;
  private readonly value: Uint8Array;
  private readonly regex: Regex | null;

  constructor(test: L7FieldTest) {
    this.name = Uint8Array.from(Buffer.from(test.name, 'utf8'));
    this.nameHash = hashName(this.name, 0, this.name.length);
    this.pairHash = pairHash(this.name, 0, this.name.length);
    this.kind = kinds[test.kind];
    const literal = test.kind === 'exact' || test.kind === 'prefix';
    this.value = literal ? Uint8Array.from(Buffer.from(test.value, 'utf8')) : nothing;
    this.wholeHash = pairHash(this.value, 0, this.value.length, this.pairHash);
    this.regex = test.kind === 'regex' ? new Regex(test.value) : null;
  }

  holdsOfHead(head: RequestHead, bytes: Uint8Array): boolean {
    const name = this.name;
    for (let i = 0; i < head.count; i += 1) {
      if (head.hashes[i] !== this.nameHash) continue;
      const start = head.nameStart[i] ?? 0;
      if (!sameName(bytes, start, head.nameEnd[i] ?? 0, name, 0, name.length)) continue;
      if (this.kind === kinds.absent) return false;
      if (this.accepts(bytes, head.valueStart[i] ?? 0, head.valueEnd[i] ?? 0)) return true;
    }
    return this.kind === kinds.absent;
  }

  holdsOfPairs(pairs: Pairs): boolean {
    if (this.kind === kinds.exact) return pairs.hasWhole(this.name, this.value, this.wholeHash);
    let at = pairs.find(this.name, this.pairHash, -1);
    if (this.kind === kinds.absent) return at < 0;
    while (at >= 0) {
      if (this.accepts(pairs.bytes, pairs.valueStart[at] ?? 0, pairs.valueEnd[at] ?? 0)) {
        return true;
      }
      at = pairs.find(this.name, this.pairHash, at);
    }
    return false;
  }

  private accepts(bytes: Uint8Array, start: number, end: number): boolean {
    if (this.kind === kinds.present) return true;
    if (this.regex !== null) return this.regex.test(bytes, start, end);
    const value = this.value;
    const size = end - start;
    if (this.kind === kinds.exact ? size !== value.length : size < value.length) return false;
    for (let i = 0; i < value.length; i += 1) if (bytes[start + i] !== value[i]) return false;
    return true;
  }
}

/**
 * Whether a request is one of those that a route or a limit is for: L7Conditions carried out.
 *
 * Invariant: all that are not null hold, of each list one. Asking allocates nothing.
 */
import type { ClientAddress } from '../client-address.js';
import { findMethod, method } from '../http1/methods.js';
import type { RequestHead } from '../http1/request-head.js';
import type { L7Conditions } from '../tables.js';
import {
  HostPattern,
  matchesPattern,
  parsePattern,
  sameOctets,
  type PathPattern,
} from './patterns.js';
import { PrefixSet } from './prefix-set.js';
import { Regex } from './regex/regex.js';
import type { RequestParts } from './request-parts.js';
import { ValueTest } from './value-test.js';

export class Conditions {
  private readonly hosts: readonly HostPattern[] | null;
  private readonly patterns: readonly PathPattern[] | null;
  private readonly regexes: readonly Regex[];
  /** Bits of http1's numbers of methods, and the names of others. */
  private readonly methods: number;
  private readonly otherMethods: readonly Uint8Array[];
  private readonly headers: readonly ValueTest[];
  private readonly query: readonly ValueTest[];
  private readonly cookies: readonly ValueTest[];
  private readonly sources: PrefixSet | null;

  /** Throws RegexError or RangeError for what the configuration's checks refuse. */
  constructor(when: L7Conditions) {
    this.hosts = when.hosts === null ? null : when.hosts.map((text) => new HostPattern(text));
    const paths = when.paths ?? [];
    const patterns = paths.flatMap((one) => (one.kind === 'pattern' ? [one.value] : []));
    this.patterns = when.paths === null ? null : patterns.map(parsePattern);
    this.regexes = paths.flatMap((one) => (one.kind === 'regex' ? [new Regex(one.value)] : []));
    let methods = when.methods === null ? -1 : 0;
    const others: Uint8Array[] = [];
    for (const name of when.methods ?? []) {
      const bytes = Uint8Array.from(Buffer.from(name, 'latin1'));
      const number = findMethod(bytes, 0, bytes.length);
      if (number === method.other) others.push(bytes);
      else methods |= 1 << number;
    }
    this.methods = methods;
    this.otherMethods = others;
    this.headers = when.headers.map((test) => new ValueTest(test));
    this.query = when.query.map((test) => new ValueTest(test));
    this.cookies = when.cookies.map((test) => new ValueTest(test));
    this.sources = when.sources === null ? null : new PrefixSet(when.sources);
  }

  /** `parts` began with the same request. */
  hold(head: RequestHead, bytes: Uint8Array, client: ClientAddress, parts: RequestParts): boolean {
    return (
      this.methodHolds(head, bytes) &&
      this.hostHolds(parts) &&
      this.pathHolds(parts) &&
      this.othersHold(head, bytes, client, parts)
    );
  }

  /** All but host and path, for whoever found those by an index. */
  restHolds(
    head: RequestHead,
    bytes: Uint8Array,
    client: ClientAddress,
    parts: RequestParts,
  ): boolean {
    return this.methodHolds(head, bytes) && this.othersHold(head, bytes, client, parts);
  }

  regexHolds(parts: RequestParts): boolean {
    for (let i = 0; i < this.regexes.length; i += 1) {
      if (this.regexes[i]?.test(parts.path, 0, parts.pathEnd) === true) return true;
    }
    return false;
  }

  sourceHolds(client: ClientAddress): boolean {
    return this.sources === null || this.sources.has(client.bytes);
  }

  private hostHolds(parts: RequestParts): boolean {
    const hosts = this.hosts;
    if (hosts === null) return true;
    for (let i = 0; i < hosts.length; i += 1) {
      if (hosts[i]?.matches(parts.host, parts.hostEnd) === true) return true;
    }
    return false;
  }

  private pathHolds(parts: RequestParts): boolean {
    const patterns = this.patterns;
    if (patterns === null) return true;
    for (let i = 0; i < patterns.length; i += 1) {
      const pattern = patterns[i];
      if (pattern !== undefined && matchesPattern(pattern, parts.path, parts.pathEnd)) return true;
    }
    return this.regexHolds(parts);
  }

  private methodHolds(head: RequestHead, bytes: Uint8Array): boolean {
    if (head.method !== method.other) return ((this.methods >> head.method) & 1) === 1;
    if (this.methods === -1) return true;
    const others = this.otherMethods;
    for (let i = 0; i < others.length; i += 1) {
      const name = others[i];
      if (name !== undefined && sameOctets(name, bytes, head.methodStart, head.methodEnd)) {
        return true;
      }
    }
    return false;
  }

  private othersHold(
    head: RequestHead,
    bytes: Uint8Array,
    client: ClientAddress,
    parts: RequestParts,
  ): boolean {
    if (!this.sourceHolds(client)) return false;
    for (let i = 0; i < this.headers.length; i += 1) {
      if (this.headers[i]?.holdsOfHead(head, bytes) !== true) return false;
    }
    if (this.query.length > 0) {
      const pairs = parts.query(head, bytes);
      for (let i = 0; i < this.query.length; i += 1) {
        if (this.query[i]?.holdsOfPairs(pairs) !== true) return false;
      }
    }
    if (this.cookies.length > 0) {
      const pairs = parts.cookies(head, bytes);
      for (let i = 0; i < this.cookies.length; i += 1) {
        if (this.cookies[i]?.holdsOfPairs(pairs) !== true) return false;
      }
    }
    return true;
  }
}

/**
 * What conditions ask of a request and what has to be made first: its host in lower case, its
 * path in the one form that routes are compared with (http1/path.ts), query and cookies decoded.
 * Made once for a request, query and cookies only when a test asks for them.
 *
 * Invariant: good for the request of the last `begin`, until the next one; it holds no position
 * in the request's bytes but relative ones, so the head may move meanwhile.
 */
import type { Fault } from '../http1/faults.js';
import { tokenLower } from '../http1/octets.js';
import { RoutePath } from '../http1/path.js';
import type { RequestHead } from '../http1/request-head.js';
import { targetForm } from '../http1/target.js';
import { Pairs } from './pairs.js';

const DOT = 0x2e;
const STAR = 0x2a;

export class RequestParts {
  /** Why the path is refused, after `begin` said false. */
  fault: Fault | null = null;
  /** [0, pathEnd): begins with "/"; "*" for OPTIONS of the whole server; nothing for CONNECT. */
  path = new Uint8Array(2048);
  pathEnd = 0;
  /** [0, hostEnd): without port and without a last dot. */
  readonly host = new Uint8Array(256);
  hostEnd = 0;
  /** The query behind its "?", from the beginning of the head's path. */
  private queryAt = 0;
  private readonly normaliser = new RoutePath();
  private readonly queryPairs = new Pairs();
  private readonly cookiePairs = new Pairs();
  private hasQuery = false;
  private hasCookies = false;

  /** False when the path cannot be compared safely: then `fault` says why. */
  begin(head: RequestHead, bytes: Uint8Array): boolean {
    this.fault = null;
    this.hasQuery = false;
    this.hasCookies = false;
    this.readHost(bytes, head.hostStart, head.hostEnd);
    this.queryAt = 0;
    this.pathEnd = 0;
    if (head.form === targetForm.authority) return true;
    if (head.form === targetForm.asterisk) {
      this.path[0] = STAR;
      this.pathEnd = 1;
      return true;
    }
    const size = head.pathEnd - head.pathStart + 1;
    if (size > this.path.length) this.path = new Uint8Array(2 * size);
    const end = this.normaliser.normalise(bytes, head.pathStart, head.pathEnd, this.path, 0);
    if (end < 0) {
      this.fault = this.normaliser.fault;
      return false;
    }
    this.pathEnd = end;
    this.queryAt = this.normaliser.sourceEnd - head.pathStart + 1;
    return true;
  }

  /** Of a connection that has no request: only its host. */
  beginName(bytes: Uint8Array, start: number, end: number): void {
    this.fault = null;
    this.pathEnd = 0;
    this.readHost(bytes, start, end);
  }

  private readHost(bytes: Uint8Array, start: number, end: number): void {
    let stop = end;
    // "shop.example." is the same name in DNS (RFC 1034 §3.1).
    if (stop > start + 1 && bytes[stop - 1] === DOT) stop -= 1;
    const size = Math.min(stop - start, this.host.length);
    for (let i = 0; i < size; i += 1) {
      const c = bytes[start + i] ?? 0;
      const lower = tokenLower[c] ?? 0;
      this.host[i] = lower === 0 ? c : lower;
    }
    this.hostEnd = size;
  }

  /** Where the path ends as the client wrote it: at the "?", or at the end. */
  sourceEnd(head: RequestHead): number {
    return this.queryAt === 0 ? head.pathStart : head.pathStart + this.queryAt - 1;
  }

  query(head: RequestHead, bytes: Uint8Array): Pairs {
    if (!this.hasQuery) {
      this.hasQuery = true;
      if (this.queryAt === 0) this.queryPairs.clear();
      else this.queryPairs.readQuery(bytes, head.pathStart + this.queryAt, head.pathEnd);
    }
    return this.queryPairs;
  }

  cookies(head: RequestHead, bytes: Uint8Array): Pairs {
    if (!this.hasCookies) {
      this.hasCookies = true;
      this.cookiePairs.readCookies(head, bytes);
    }
    return this.cookiePairs;
  }
}

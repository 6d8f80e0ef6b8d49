/**
 * What a route changes of the target and the host on the way to a member.
 *
 * `**` in the new path is what the `**` of the route's pattern matched, and without a condition on
 * the path the whole of it; the query stays. Where the pattern took a path without anything behind
 * it (`/v1` by `/v1/**`), the new path ends so, too.
 *
 * Invariant: the new target has octets of targets only, and begins with "/".
 */
import { octets } from '../http1/octets.js';
import type { RequestHead } from '../http1/request-head.js';
import type { TargetChange } from '../http1/rewrite-request.js';
import { hostEnd } from '../http1/target.js';
import { Writer } from '../http1/writer.js';
import type { L7Route } from '../tables.js';
import { matchesPattern, parsePattern, type PathPattern } from './patterns.js';
import { RequestParts } from './request-parts.js';
import { asWritten, uriOctets, writePathFrom, writeQuery } from './uri-text.js';

const QUESTION = 0x3f;
const AMPERSAND = 0x26;

/** Room for what a route makes of one request; one for a worker is enough. */
export class RouteChange implements TargetChange {
  bytes = new Uint8Array(4096);
  readonly start = 0;
  end = 0;
  host: Uint8Array | null = null;
  readonly parts = new RequestParts();
  readonly writer = new Writer();
}

export class Rewrite {
  private readonly host: Uint8Array | null;
  /** Null: the path stays. */
  private readonly before: Uint8Array | null;
  /** `before` without its last slash, for a `**` that stands for nothing. */
  private readonly bare: Uint8Array;
  private readonly after: Uint8Array;
  private readonly takesRest: boolean;
  private readonly joint: number;
  /** Null: no condition on the path. */
  private readonly patterns: readonly PathPattern[] | null;

  private constructor(
    path: string | null,
    host: string | null,
    patterns: readonly PathPattern[] | null,
  ) {
    this.host = host === null ? null : octets(host);
    if (this.host !== null && hostEnd(this.host, 0, this.host.length) < 0) {
      throw new RangeError(`"${host ?? ''}" is not a host with or without a port`);
    }
    if (path?.startsWith('/') === false) {
      throw new RangeError(`the new path "${path}" begins without "/"`);
    }
    const [before = '', ...after] = path?.split('**') ?? [];
    this.takesRest = after.length > 0;
    this.before = path === null ? null : uriOctets(before.replaceAll('#', '%23'));
    this.after = uriOctets(after.join('**').replaceAll('#', '%23'));
    const bare = before.length > 1 && before.endsWith('/') && this.after.length === 0;
    this.bare = uriOctets((bare ? before.slice(0, -1) : before).replaceAll('#', '%23'));
    this.joint = path?.includes('?') === true ? AMPERSAND : QUESTION;
    this.patterns = patterns;
  }

  /** Null when the route changes neither. Throws RangeError for what the configuration refuses. */
  static of(route: L7Route): Rewrite | null {
    const { action, when } = route;
    if (action.kind !== 'pools' || (action.rewrite === null && action.host === null)) return null;
    const patterns = when?.paths?.flatMap((one) =>
      one.kind === 'pattern' ? [parsePattern(one.value)] : [],
    );
    return new Rewrite(action.rewrite, action.host, patterns ?? null);
  }

  /** Makes the change for writeRequest. The request was routed: its path is known to be good. */
  fill(change: RouteChange, head: RequestHead, bytes: Uint8Array): void {
    change.host = this.host;
    change.end = 0;
    if (this.before === null || !change.parts.begin(head, bytes)) return;
    const { parts, writer } = change;
    // Every octet of the path may become three; the query, too.
    const most = 3 * (head.pathEnd - head.pathStart + 2) + this.before.length + this.after.length;
    if (most > change.bytes.length) change.bytes = new Uint8Array(2 * most);
    writer.reset(change.bytes, 0, change.bytes.length);
    const depth = this.takesRest ? this.depthFor(parts) : -1;
    writer.all(this.before);
    if (this.takesRest) {
      const found = depth >= 0 && writePathFrom(writer, head, bytes, parts, depth, asWritten);
      if (!found) {
        writer.reset(change.bytes, 0, change.bytes.length);
        writer.all(this.bare);
      }
      writer.all(this.after);
    }
    writeQuery(writer, head, bytes, parts, this.joint, asWritten);
    change.end = writer.at;
  }

  /** Segments before the `**` of the first pattern that matches; -1: it has none. */
  private depthFor(parts: RequestParts): number {
    const patterns = this.patterns;
    if (patterns === null) return 0;
    for (let i = 0; i < patterns.length; i += 1) {
      const pattern = patterns[i];
      if (pattern !== undefined && matchesPattern(pattern, parts.path, parts.pathEnd)) {
        return pattern.deep ? pattern.segments.length : -1;
      }
    }
    return -1;
  }
}

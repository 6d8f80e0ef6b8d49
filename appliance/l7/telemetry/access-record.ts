/**
 * A finished request, as the engine tells it to the access log. One object is used again and
 * again; `reset` comes first.
 *
 * Text is never made: names are octets of the snapshot, the rest are ranges of the request's head,
 * which must still be there when the line is written; `keep` puts them aside where it is not.
 * There is no place for credentials or cookies here, and there shall be none.
 */
import { octets } from '../http1/octets.js';
import type { RequestHead } from '../http1/request-head.js';

const nothing = new Uint8Array(0);
const userAgent = octets('user-agent');
const referer = octets('referer');

/** Why it ended: the words of http/observer.ts, of refusals, and of stream/observer.ts. */
export const endings = [
  'complete',
  'client-gone',
  'client-too-slow',
  'member-failed',
  'member-cut',
  'member-timeout',
  'bad-response',
  'bad-request',
  'no-memory',
  'no-member',
  'queue-full',
  'queue-timeout',
  'rate-limit',
  'bad-proxy-header',
  'bad-hello',
  'no-route',
  'limit',
  'too-slow',
  'busy',
  'connect-failed',
  'client-reset',
  'member-reset',
  'idle',
  'stopped',
] as const;
export type Ending = (typeof endings)[number];

export class AccessRecord {
  /** Empty where there is none: a request that no route or member had. `member` is its key. */
  service: Uint8Array = nothing;
  route: Uint8Array = nothing;
  member: Uint8Array = nothing;
  /** The client's address as text (http1/peer.ts has it), and its port; -1: unknown. */
  client: Uint8Array = nothing;
  clientPort = -1;
  /** What the ranges are in. */
  bytes: Uint8Array = nothing;
  methodStart = 0;
  methodEnd = 0;
  targetStart = 0;
  targetEnd = 0;
  hostStart = 0;
  hostEnd = 0;
  agentStart = 0;
  agentEnd = 0;
  refererStart = 0;
  refererEnd = 0;
  /** HTTP/1.x; -1: the request line was never read. */
  minor = -1;
  /** The request id, in an array of its own since it may be Weir's. */
  idBytes: Uint8Array = nothing;
  idStart = 0;
  idEnd = 0;
  /** Of the final answer; 0: the client got none. */
  status = 0;
  retries = 0;
  ended: Ending = 'complete';
  /** Whole microseconds; -1: it never came to that. Until a member had it; to connect (0: reused). */
  queueMicros = -1;
  connectMicros = -1;
  /** From the request to the head of its answer, and to its end. */
  headMicros = -1;
  totalMicros = -1;
  /** `time`, `bytesIn` and `bytesOut`: in fields, or given to a function, doubles are objects. */
  readonly doubles = new Float64Array(3);

  /** When the request began: milliseconds since 1970. */
  get time(): number {
    return this.doubles[0] ?? 0;
  }
  set time(value: number) {
    this.doubles[0] = value;
  }

  /** Content, without heads: from the client, and to it. */
  get bytesIn(): number {
    return this.doubles[1] ?? 0;
  }
  set bytesIn(value: number) {
    this.doubles[1] = value;
  }
  get bytesOut(): number {
    return this.doubles[2] ?? 0;
  }
  set bytesOut(value: number) {
    this.doubles[2] = value;
  }

  reset(): void {
    this.service = nothing;
    this.route = nothing;
    this.member = nothing;
    this.client = nothing;
    this.clientPort = -1;
    this.bytes = nothing;
    this.methodStart = this.methodEnd = 0;
    this.targetStart = this.targetEnd = 0;
    this.hostStart = this.hostEnd = 0;
    this.agentStart = this.agentEnd = 0;
    this.refererStart = this.refererEnd = 0;
    this.minor = -1;
    this.idBytes = nothing;
    this.idStart = this.idEnd = 0;
    this.status = 0;
    this.retries = 0;
    this.ended = 'complete';
    this.queueMicros = -1;
    this.connectMicros = -1;
    this.headMicros = -1;
    this.totalMicros = -1;
    this.time = 0;
    this.bytesIn = 0;
    this.bytesOut = 0;
  }

  /** Takes the ranges of a head that was read to its end. */
  takeHead(head: RequestHead, bytes: Uint8Array): void {
    this.bytes = bytes;
    this.methodStart = head.methodStart;
    this.methodEnd = head.methodEnd;
    this.targetStart = head.targetStart;
    this.targetEnd = head.targetEnd;
    this.hostStart = head.hostStart;
    this.hostEnd = head.authorityEnd;
    this.minor = head.minor;
    const agent = head.find(bytes, userAgent);
    this.agentStart = agent < 0 ? 0 : (head.valueStart[agent] ?? 0);
    this.agentEnd = agent < 0 ? 0 : (head.valueEnd[agent] ?? 0);
    const from = head.find(bytes, referer);
    this.refererStart = from < 0 ? 0 : (head.valueStart[from] ?? 0);
    this.refererEnd = from < 0 ? 0 : (head.valueEnd[from] ?? 0);
  }

  /**
   * Copies what the ranges hold to `out` from `at` on and points them there, so that the head's
   * buffer may go. What is beyond `limit` is cut. Returns where it ends.
   */
  keep(out: Uint8Array, at: number, limit: number): number {
    const most = Math.min(limit, out.length);
    let p = this.copy(this.methodStart, this.methodEnd, out, at, most);
    this.methodStart = at;
    this.methodEnd = p;
    let from = p;
    p = this.copy(this.hostStart, this.hostEnd, out, p, most);
    this.hostStart = from;
    this.hostEnd = p;
    from = p;
    p = this.copy(this.targetStart, this.targetEnd, out, p, most);
    this.targetStart = from;
    this.targetEnd = p;
    from = p;
    p = this.copy(this.agentStart, this.agentEnd, out, p, most);
    this.agentStart = from;
    this.agentEnd = p;
    from = p;
    p = this.copy(this.refererStart, this.refererEnd, out, p, most);
    this.refererStart = from;
    this.refererEnd = p;
    this.bytes = out;
    return p;
  }

  private copy(start: number, end: number, out: Uint8Array, at: number, limit: number): number {
    const bytes = this.bytes;
    let p = at;
    for (let i = start; i < end && p < limit; i += 1) out[p++] = bytes[i] ?? 0;
    return p;
  }
}

/**
 * What the engine asks of a snapshot: services, routes and pools in the form in which they are carried
 * out. Made once for each snapshot; an exchange keeps what it began with.
 */
import type { FieldSection } from '../http1/fields.js';
import type { Fault } from '../http1/faults.js';
import { RequestHead } from '../http1/request-head.js';
import type { RequestIds } from '../http1/request-id.js';
import { ResponseHead } from '../http1/response-head.js';
import { defaultLimits, type Limits } from '../http1/limits.js';
import type { RequestPlan } from '../http1/rewrite-request.js';
import type { ResponsePlan } from '../http1/rewrite-response.js';
import type { L7Pool, L7Route, L7Service } from '../tables.js';
import type { ClientAddress } from '../client-address.js';
import type { CompressionPlan } from '../compress/plan.js';
import type { Writer } from '../http1/writer.js';
import type { ClientSide, ServerSide } from '../tls/sides.js';
import type { Rewrite } from '../routing/rewrite.js';
import type { IdleList } from './idle.js';
import type { WaitingList } from './waiting.js';

/** Where requests go: the same object as long as the member keeps its name and address. */
export interface HttpMember extends IdleList {
  readonly id: string;
  readonly key: string;
  /** Its address as text, and as a sockaddr. */
  readonly host: string;
  readonly address: Uint8Array;
  /** Bytes of a long answer while it runs. */
  transferred(now: number, bytes: number): void;
  /** A request that it was picked for is over; `micros` to the head of the answer, below 0 without one. */
  end(now: number, micros: number, bytes: number, failed: boolean): void;
}

export interface HttpPool {
  readonly pool: L7Pool;
  /** How a connection to a member is made secret; null: it is plain. */
  tlsTo(member: HttpMember): ClientSide | null;
  readonly waiting: WaitingList;
  /** After choose() said null: members serve, but none has room. */
  readonly full: boolean;
  /** After choose(): a field line that tells the client its member, or null. */
  readonly setCookie: Uint8Array | null;
  /**
   * The member that the client sticks to or another, not `tried` if another can, with the room for a
   * request taken, which its end() gives back; null: none serves, or none has room.
   *
   * @param hash a word of the client's address
   */
  choose(
    head: RequestHead,
    bytes: Uint8Array,
    client: ClientAddress,
    hash: number,
    now: number,
    tried: HttpMember | null,
  ): HttpMember | null;
  /** The head of the member's answer. */
  answered(answer: FieldSection, bytes: Uint8Array, now: number, member: HttpMember): void;
  /** Takes out of a request, where it lies, what is for Weir alone; right before it is written. */
  hide(head: RequestHead, bytes: Uint8Array): void;
}

export interface HttpRoute {
  readonly route: L7Route;
  readonly request: RequestPlan;
  readonly response: ResponsePlan;
  /** What it changes of the target and the host; null: nothing. */
  readonly rewrite: Rewrite | null;
  /** Of a redirect or a fixed answer; 0: the route leads to pools. */
  readonly status: number;
  /** Writes the head of that answer, right after find(). */
  writeAnswer(writer: Writer, head: RequestHead, bytes: Uint8Array, persistent: boolean): void;
  /** What follows it. */
  bodyFor(head: RequestHead): Uint8Array;
  /** One of its pools, for a request whose hash or random number this is. */
  poolFor(number: number): HttpPool | null;
  /** Where a copy of the request goes, too. */
  mirrorFor(number: number): HttpPool | null;
}

export interface HttpService {
  readonly service: L7Service;
  readonly heads: Heads;
  readonly ids: RequestIds | null;
  readonly routes: readonly HttpRoute[];
  readonly compression: CompressionPlan | null;
  /** TLS ends here; null: clients speak in the clear. */
  readonly tls: ServerSide | null;
  /** Whether a connection may be; it counts until leave(). */
  enter(slot: number, client: ClientAddress): boolean;
  leave(slot: number): void;
  /** Takes a request of a route from all limits: 0, or the milliseconds until they would let it pass. */
  limit(
    route: number,
    head: RequestHead,
    bytes: Uint8Array,
    client: ClientAddress,
    now: number,
  ): number;
  /** Why find() said -2. */
  readonly fault: Fault | null;
  /** Index in `routes`; -1: none; -2: the path is refused. */
  find(head: RequestHead, bytes: Uint8Array, client: ClientAddress): number;
}

/**
 * Heads for parsing. One of each kind serves all messages that come whole; those that come in pieces
 * take theirs along, and another takes its place.
 */
export class Heads {
  request: RequestHead;
  response: ResponseHead;
  readonly #requests: RequestHead[] = [];
  readonly #responses: ResponseHead[] = [];

  /** Of answers: the largest body is for what clients send. */
  readonly answers: Limits;

  constructor(readonly limits: Limits) {
    this.answers = Object.freeze({ ...limits, body: defaultLimits.body });
    this.request = new RequestHead(limits);
    this.response = new ResponseHead(limits);
  }

  /** The common head is somebody's own from now on. */
  lendRequest(): RequestHead {
    const lent = this.request;
    this.request = this.#requests.pop() ?? new RequestHead(this.limits);
    return lent;
  }

  lendResponse(): ResponseHead {
    const lent = this.response;
    this.response = this.#responses.pop() ?? new ResponseHead(this.limits);
    return lent;
  }

  /** Those of other limits are forgotten. */
  giveBack(head: FieldSection): void {
    if (head instanceof RequestHead) {
      if (head.limits === this.limits) this.#requests.push(head);
    } else if (head instanceof ResponseHead && head.limits === this.limits) {
      this.#responses.push(head);
    }
  }
}

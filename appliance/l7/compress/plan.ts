/**
 * What becomes of the responses of a service that compresses: decided by the heads of request and
 * response alone. RFC 9110 §8.4, §12.5.3, §12.5.5, §15.4.5; RFC 9111 §5.2.2.6; RFC 9530.
 *
 * A response is coded when it is whole (no part, no 304), plain so far, of a type that shrinks, not
 * too small, and nobody forbade it: no-transform, or a digest over the bytes as the member sent
 * them. Every response that would have been coded for another client says so by Vary. HEAD gets the
 * head that GET would get (§9.3.2).
 *
 * Invariant: pure and without allocation; what the client accepts is one small number, so the
 * request's bytes may go before the response comes.
 */
import { asItIs, contentCoding, treatment, type ContentCoding } from '../http1/coding.js';
import { bodyKind } from '../http1/framing.js';
import { method } from '../http1/methods.js';
import { hashName, nameId, sameName } from '../http1/names.js';
import { octets } from '../http1/octets.js';
import type { RequestHead } from '../http1/request-head.js';
import type { ResponseHead } from '../http1/response-head.js';
import type { ResponsePlan } from '../http1/rewrite-response.js';
import type { L7Compression } from '../tables.js';
import { chooseCoding } from './accept-encoding.js';
import { forbidsTransform, hasWeakTag, MediaTypes } from './values.js';

const cacheControl = octets('cache-control');
const ifNoneMatch = octets('if-none-match');
const contentType = octets('content-type');
/** Over the content as it is sent, or over this representation, which the coded one is not. */
const digests = ['content-digest', 'repr-digest', 'digest', 'content-md5'].map(octets);

const cacheControlHash = hashName(cacheControl, 0, cacheControl.length);
const contentTypeHash = hashName(contentType, 0, contentType.length);
const digestHashes = digests.map((name) => hashName(name, 0, name.length));

/** Behind the coding in what `accepted` returns: the client knows a weak validator. */
const KNOWS_WEAK = 4;

export class CompressionPlan {
  readonly #preference: Uint8Array;
  readonly #types: MediaTypes;
  readonly #minimum: number;

  /** `available`: the codings that the runtime has (availableCodings()). */
  constructor(rules: L7Compression, available: readonly ContentCoding[]) {
    this.#preference = Uint8Array.from(
      rules.codings
        .map((name) => contentCoding[name])
        .filter((coding) => available.includes(coding)),
    );
    this.#types = new MediaTypes(rules.types);
    this.#minimum = rules.minimumSize;
  }

  /** What a client accepts, for treat(); its head is not needed any more then. */
  accepted(head: RequestHead, bytes: Uint8Array): number {
    let index = head.find(bytes, ifNoneMatch);
    let weak = 0;
    for (; index >= 0; index = head.find(bytes, ifNoneMatch, index + 1)) {
      const start = head.valueStart[index] ?? 0;
      if (hasWeakTag(bytes, start, head.valueEnd[index] ?? 0)) weak = KNOWS_WEAK;
    }
    index = head.find(bytes, cacheControl);
    for (; index >= 0; index = head.find(bytes, cacheControl, index + 1)) {
      const start = head.valueStart[index] ?? 0;
      if (forbidsTransform(bytes, start, head.valueEnd[index] ?? 0)) return weak;
    }
    return chooseCoding(head, bytes, this.#preference) | weak;
  }

  /**
   * The treatment (http1/coding.ts) of a response to a request that `accepted` so much; `back` is
   * how its head will be written. Where the treatment has a coding and the response a body, the
   * body is to be coded.
   */
  treat(accepted: number, response: ResponseHead, bytes: Uint8Array, back: ResponsePlan): number {
    // What the administrator says of the coding stands above this.
    if (back.setsCoding) return asItIs;
    if (response.status === 304) {
      // §15.4.5, RFC 9111 §4.3.4: a cache finds what it stored by the validator that it got.
      return (accepted & KNOWS_WEAK) !== 0 ? treatment.vary | treatment.weaken : asItIs;
    }
    if (!this.#wouldCode(response, bytes)) return asItIs;
    const coding = accepted & treatment.codings;
    return coding === contentCoding.identity
      ? treatment.vary
      : coding | treatment.vary | treatment.weaken;
  }

  #wouldCode(response: ResponseHead, bytes: Uint8Array): boolean {
    const { status, body } = response;
    if (status < 200 || status === 204 || status === 205 || status === 206) return false;
    if (body === bodyKind.tunnel || this.#preference.length === 0) return false;
    if (body === bodyKind.none && response.requestMethod !== method.head) return false;
    if (response.has(nameId['content-length']) && response.length < this.#minimum) return false;
    if (response.has(nameId['content-encoding']) || response.has(nameId['content-range'])) {
      return false;
    }
    return this.#fieldsAllow(response, bytes);
  }

  #fieldsAllow(head: ResponseHead, bytes: Uint8Array): boolean {
    let fits = false;
    for (let i = 0; i < head.count; i += 1) {
      const hash = head.hashes[i] ?? 0;
      const start = head.valueStart[i] ?? 0;
      const end = head.valueEnd[i] ?? 0;
      if (hash === contentTypeHash && isNamed(head, bytes, i, contentType)) {
        // Of two types nobody knows which one holds.
        if (fits || !this.#types.has(bytes, start, end)) return false;
        fits = true;
      } else if (hash === cacheControlHash && isNamed(head, bytes, i, cacheControl)) {
        if (forbidsTransform(bytes, start, end)) return false;
      } else if (isDigest(head, bytes, i, hash)) return false;
    }
    return fits;
  }
}

function isNamed(head: ResponseHead, bytes: Uint8Array, index: number, name: Uint8Array): boolean {
  const start = head.nameStart[index] ?? 0;
  return sameName(bytes, start, head.nameEnd[index] ?? 0, name, 0, name.length);
}

function isDigest(head: ResponseHead, bytes: Uint8Array, index: number, hash: number): boolean {
  for (let i = 0; i < digests.length; i += 1) {
    const name = digests[i];
    if (digestHashes[i] === hash && name !== undefined && isNamed(head, bytes, index, name)) {
      return true;
    }
  }
  return false;
}

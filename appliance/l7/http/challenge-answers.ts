/**
 * What an authority reads to see that a name leads here (RFC 8555 §8.3). Every service of HTTP gives
 * it, before routes and limits: the token is known to nobody else.
 *
 * Invariant: while no challenge is under way, no request is looked at.
 */
import { method } from '../http1/methods.js';
import { latin1 } from '../http1/fields.js';
import { octets } from '../http1/octets.js';
import type { RequestHead } from '../http1/request-head.js';
import type { ChallengeSecret } from '../tls/secrets.js';
import { answerOf, type Answer } from './answers.js';

const PATH = '/.well-known/acme-challenge/';

export class ChallengeAnswers {
  #answers = new Map<string, Answer>();

  /** From now on these and no others. */
  set(challenges: readonly ChallengeSecret[]): void {
    this.#answers = new Map(
      challenges.flatMap((one) =>
        one.type === 'http-01'
          ? [
              [
                `${PATH}${one.token}`,
                answerOf(200, 'OK', 'application/octet-stream', octets(one.keyAuthorization)),
              ] as const,
            ]
          : [],
      ),
    );
  }

  get empty(): boolean {
    return this.#answers.size === 0;
  }

  /** Null: it asks for something else. */
  find(head: RequestHead, bytes: Uint8Array): Answer | null {
    if (head.method !== method.get && head.method !== method.head) return null;
    return this.#answers.get(latin1(bytes, head.pathStart, head.pathEnd)) ?? null;
  }
}

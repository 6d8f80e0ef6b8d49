/**
 * Answers to the challenges of authorities (RFC 8555 §8.3, RFC 8737): they travel to the workers with
 * the certificates, and every service there gives them.
 *
 * Invariants:
 * - `present` resolves only when every worker answers, since nobody knows which one the authority will
 *   reach.
 * - Of a name there is one certificate for tls-alpn-01: a hello does not say whose challenge it asks for.
 */
import type { Intent } from '../config/schema.js';
import type { ChallengeExchange } from './shared/challenge-exchange.js';
import { AcmeFailure } from '../tls/acme/failure.js';
import type { Challenge, ChallengeResponder, ChallengeType } from '../tls/acme/issuer.js';

export interface AcmeChallengesOptions {
  /** What is executed now. */
  readonly intent: () => Intent | null;
  /** Gives the workers what is shown now. Whether all have it. */
  readonly publish: () => Promise<boolean>;
  /** Has the other unit of the pair answer too; null, or left out: there is none. */
  readonly other?: () => Pick<ChallengeExchange, 'present' | 'withdraw'> | null;
}

const answering: Readonly<Record<ChallengeType, string>> = {
  'http-01':
    'http-01 is answered by services with protocol http or https, and there is none: declare one that listens on port 80',
  'tls-alpn-01':
    'tls-alpn-01 is answered by services that end TLS, and there is none: declare one with protocol https that listens on port 443',
};

export class AcmeChallenges implements ChallengeResponder {
  readonly #options: AcmeChallengesOptions;
  readonly #shown = new Set<Challenge>();
  /** Of the other unit's orders, by its names for them. */
  readonly #foreign = new Map<string, Challenge>();

  constructor(options: AcmeChallengesOptions) {
    this.#options = options;
  }

  get shown(): readonly Challenge[] {
    return [...this.#shown, ...this.#foreign.values()];
  }

  /** Answers for an order of the other unit. Whether all workers do. */
  async take(id: string, challenge: Challenge): Promise<boolean> {
    if (!answers(this.#options.intent(), challenge.type)) return false;
    if (this.#foreign.get(id) === undefined) {
      // One of this unit's own, which is under way, goes first.
      if (challenge.type === 'tls-alpn-01' && this.#proves(challenge.domain)) return false;
      this.#foreign.set(id, challenge);
    }
    return this.#options.publish();
  }

  /** Null: all of the other unit's. */
  async drop(id: string | null): Promise<void> {
    const some = id === null ? this.#foreign.size > 0 : this.#foreign.has(id);
    if (id === null) this.#foreign.clear();
    else this.#foreign.delete(id);
    if (some) await this.#options.publish();
  }

  async present(challenge: Challenge): Promise<void> {
    if (!answers(this.#options.intent(), challenge.type)) {
      throw new AcmeFailure(answering[challenge.type]);
    }
    if (challenge.type === 'tls-alpn-01' && this.#proves(challenge.domain)) {
      throw new AcmeFailure(
        `another order is proving ${challenge.domain} by tls-alpn-01, and a name is proved once at a time`,
        { passing: true },
      );
    }
    this.#shown.add(challenge);
    const others = this.#options.other?.()?.present(challenge);
    const published = await this.#options.publish();
    // The authority may reach either: it is asked when both answer, or the other one cannot.
    await others;
    if (published) return;
    throw new AcmeFailure('the workers that would answer the authority did not take the answer', {
      passing: true,
    });
  }

  #proves(domain: string): boolean {
    return this.shown.some((one) => one.type === 'tls-alpn-01' && one.domain === domain);
  }

  async withdraw(challenge: Challenge): Promise<void> {
    // One that could not be presented is not there.
    if (!this.#shown.delete(challenge)) return;
    this.#options.other?.()?.withdraw(challenge);
    await this.#options.publish();
  }
}

function answers(intent: Intent | null, type: ChallengeType): boolean {
  return Object.values(intent?.services ?? {}).some(({ listen, certificates }) =>
    type === 'http-01'
      ? listen.protocol === 'http' || listen.protocol === 'https'
      : certificates !== undefined,
  );
}

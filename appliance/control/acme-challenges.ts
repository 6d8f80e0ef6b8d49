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
import { AcmeFailure } from '../tls/acme/failure.js';
import type { Challenge, ChallengeResponder, ChallengeType } from '../tls/acme/issuer.js';

export interface AcmeChallengesOptions {
  /** What is executed now. */
  readonly intent: () => Intent | null;
  /** Gives the workers what is shown now. Whether all have it. */
  readonly publish: () => Promise<boolean>;
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

  constructor(options: AcmeChallengesOptions) {
    this.#options = options;
  }

  get shown(): readonly Challenge[] {
    return [...this.#shown];
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
    if (await this.#options.publish()) return;
    throw new AcmeFailure('the workers that would answer the authority did not take the answer', {
      passing: true,
    });
  }

  #proves(domain: string): boolean {
    return this.shown.some((one) => one.type === 'tls-alpn-01' && one.domain === domain);
  }

  async withdraw(challenge: Challenge): Promise<void> {
    // One that could not be presented is not there.
    if (this.#shown.delete(challenge)) await this.#options.publish();
  }
}

function answers(intent: Intent | null, type: ChallengeType): boolean {
  return Object.values(intent?.services ?? {}).some(({ listen, certificates }) =>
    type === 'http-01'
      ? listen.protocol === 'http' || listen.protocol === 'https'
      : certificates !== undefined,
  );
}

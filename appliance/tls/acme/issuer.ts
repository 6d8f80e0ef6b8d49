/**
 * One certificate from one authority (RFC 8555 §7.3 to §7.5): account, order, challenges, chain.
 *
 * Invariant: what was presented for a challenge is withdrawn however the order ends, and a chain
 * is given out only when its leaf is for the key and for every name that was asked for.
 */
import { X509Certificate, type KeyObject } from 'node:crypto';
import { z } from 'zod';
import { makeKey, pkcs8Of, type KeyKind } from '../keys.js';
import { AccountKey } from './account-key.js';
import { reasonOf, systemClock, type Clock } from './clock.js';
import { certificateRequest, challengeCertificate } from './der.js';
import { AcmeFailure, clean, problemSchema, problemText } from './failure.js';
import { Session, type Answer } from './session.js';

export interface Account {
  /** PKCS#8 of a key on P-256. */
  readonly key: Buffer;
  /** Where the authority keeps the account; null until it has said so. */
  readonly url: string | null;
}

export interface AccountStore {
  /** The key of what is given is wiped after use. */
  load(directory: string): Promise<Account | null>;
  save(directory: string, account: Account): Promise<void>;
}

export type Challenge =
  | {
      readonly type: 'http-01';
      readonly domain: string;
      readonly token: string;
      readonly keyAuthorization: string;
    }
  | {
      readonly type: 'tls-alpn-01';
      readonly domain: string;
      /** DER */ readonly certificate: Buffer;
      /** PKCS#8 */ readonly key: Buffer;
    };
export type ChallengeType = Challenge['type'];

export interface ChallengeResponder {
  /** Resolves when every place that the authority may ask answers. */
  present(challenge: Challenge): Promise<void>;
  withdraw(challenge: Challenge): Promise<void>;
}

export interface CertificateSpec {
  readonly directory: string;
  readonly names: readonly string[];
  readonly key: KeyKind;
  readonly challenge: ChallengeType;
  readonly contact?: string | undefined;
  /** The administrator has agreed to the authority's terms. */
  readonly termsAgreed: boolean;
  /** Asked when an account is opened; the key is wiped after use. */
  readonly externalAccount?:
    (() => { readonly keyId: string; readonly hmacKey: Buffer }) | undefined;
  readonly ca?: string | Buffer | undefined;
}

export interface Issued {
  /** DER, the leaf first. */
  readonly chain: Buffer[];
  /** DER of PKCS#8. */
  readonly key: Buffer;
}

export interface IssuerOptions {
  readonly accounts: AccountStore;
  readonly responder: ChallengeResponder;
  readonly clock?: Clock;
  readonly requestTimeoutMs?: number;
  readonly orderTimeoutMs?: number;
  /** What went wrong beside an order, without ending it. */
  readonly warn: (sentence: string) => void;
}

const url = z.url({ protocol: /^https$/ });
const orderSchema = z.object({
  status: z.string(),
  authorizations: z.array(url).max(200),
  finalize: url,
  certificate: url.optional(),
  error: problemSchema.optional(),
});
const authorizationSchema = z.object({
  status: z.string(),
  identifier: z.object({ type: z.string(), value: z.string() }),
  challenges: z.array(
    z.object({
      type: z.string(),
      url: url.optional(),
      token: z.string().optional(),
      status: z.string().optional(),
      error: problemSchema.optional(),
    }),
  ),
});

const POLL_FIRST_MS = 500;
const POLL_LONGEST_MS = 30_000;
const reach = { 'http-01': 'port 80', 'tls-alpn-01': 'port 443' } as const;

/** A spec's names as they are ordered, or an AcmeFailure that says why they cannot be. */
export function orderedNames(names: readonly string[]): string[] {
  const ordered = [...new Set(names.map((name) => name.toLowerCase().replace(/\.$/, '')))];
  if (ordered.length === 0) throw new AcmeFailure('a certificate needs at least one name');
  for (const name of ordered) {
    if (name.startsWith('*.')) {
      throw new AcmeFailure(
        `${clean(name)} is a wildcard, which authorities issue by dns-01 only, and this unit answers http-01 and tls-alpn-01: list the names one by one, or import the certificate`,
      );
    }
    if (
      name.length > 253 ||
      !/^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name)
    ) {
      throw new AcmeFailure(`${clean(name)} is no host name that a certificate can be ordered for`);
    }
  }
  return ordered;
}

export class AcmeIssuer {
  readonly #options: IssuerOptions;
  readonly #clock: Clock;
  /** The last order at each directory: one at a time, so that no unit meets limits by itself. */
  readonly #lines = new Map<string, Promise<unknown>>();

  constructor(options: IssuerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  issue(spec: CertificateSpec, cancelled: AbortSignal): Promise<Issued> {
    const { directory } = spec;
    const before = this.#lines.get(directory) ?? Promise.resolve();
    const order = before.then(() => this.#order(spec, cancelled));
    const settled = order.then(nothing, nothing).finally(() => {
      if (this.#lines.get(directory) === settled) this.#lines.delete(directory);
    });
    this.#lines.set(directory, settled);
    return order;
  }

  async #order(spec: CertificateSpec, cancelled: AbortSignal): Promise<Issued> {
    if (cancelled.aborted) throw reasonOf(cancelled);
    const names = orderedNames(spec.names);
    const limit = this.#options.orderTimeoutMs ?? 300_000;
    const deadline = AbortSignal.timeout(limit);
    const signal = AbortSignal.any([cancelled, deadline]);
    const session = new Session({
      directory: spec.directory,
      ca: spec.ca,
      requestTimeoutMs: this.#options.requestTimeoutMs ?? 30_000,
      clock: this.#clock,
      signal,
    });
    try {
      return await new Order(session, spec, names, this.#options, this.#clock, signal).run();
    } catch (error) {
      if (cancelled.aborted) throw reasonOf(cancelled);
      if (!deadline.aborted) throw error;
      throw new AcmeFailure(
        `the order for ${names.join(', ')} was not finished within ${limit / 1000} s`,
        { passing: true, cause: error },
      );
    } finally {
      await session.close();
    }
  }
}

const nothing = (): void => undefined;

class Order {
  #key: AccountKey | null = null;
  #account: string | null = null;

  constructor(
    readonly session: Session,
    readonly spec: CertificateSpec,
    readonly names: readonly string[],
    readonly options: IssuerOptions,
    readonly clock: Clock,
    readonly signal: AbortSignal,
  ) {}

  async run(): Promise<Issued> {
    await this.session.directory();
    const kept = await this.options.accounts.load(this.spec.directory);
    const key = new AccountKey(kept?.key ?? (await makeKey('ecdsa-p256')));
    kept?.key.fill(0);
    this.#key = key;
    this.#account = kept?.url ?? null;
    // Kept before the authority sees it: an account whose key is lost cannot be used again.
    if (kept === null) {
      await this.options.accounts.save(this.spec.directory, { key: key.pkcs8(), url: null });
    }
    const created = await this.#create(key);
    const order = this.session.read(created, orderSchema, 'the order');
    const orderUrl = this.#location(created, 'the order');
    await this.#authorize(order.authorizations, key);
    await this.#poll(orderUrl, orderSchema, 'the order', (now) => now.status !== 'pending');

    const certificateKey = await makeKey(this.spec.key);
    const csr = certificateRequest(this.names, certificateKey).toString('base64url');
    await this.#post(order.finalize, { csr }, 'finish the order');
    const done = await this.#poll(
      orderUrl,
      orderSchema,
      'the order',
      ({ status }) => status !== 'processing' && status !== 'ready' && status !== 'pending',
    );
    if (done.status !== 'valid' || done.certificate === undefined) {
      const why =
        done.error === undefined ? `its status is ${clean(done.status)}` : problemText(done.error);
      throw new AcmeFailure(`the authority refused the order for ${this.names.join(', ')}: ${why}`);
    }
    const answer = await this.#post(done.certificate, null, 'hand out the certificate');
    return {
      chain: this.#chain(answer.body, certificateKey),
      key: pkcs8Of(certificateKey),
    };
  }

  /** The order, with the account made first when there is none or the authority has forgotten it. */
  async #create(key: AccountKey): Promise<Answer> {
    const { newOrder } = await this.session.directory();
    const identifiers = this.names.map((value) => ({ type: 'dns', value }));
    if (this.#account !== null) {
      try {
        return await this.#post(newOrder, { identifiers }, 'take the order');
      } catch (error) {
        if (!(error instanceof AcmeFailure) || error.kind !== 'accountDoesNotExist') throw error;
      }
    }
    await this.#register(key);
    return this.#post(newOrder, { identifiers }, 'take the order');
  }

  async #register(key: AccountKey): Promise<void> {
    const { newAccount, meta } = await this.session.directory();
    const { contact, termsAgreed, externalAccount } = this.spec;
    if (meta?.termsOfService !== undefined && !termsAgreed) {
      throw new AcmeFailure(
        `the authority asks for agreement to its terms: read ${clean(meta.termsOfService)}, and agree to them in the configuration`,
      );
    }
    if (meta?.externalAccountRequired === true && externalAccount === undefined) {
      throw new AcmeFailure(
        'the authority takes only customers of its own (external account binding), and the certificate names no external account',
      );
    }
    const binding: { externalAccountBinding?: object } = {};
    if (externalAccount !== undefined) {
      const { keyId, hmacKey } = externalAccount();
      binding.externalAccountBinding = key.bind(newAccount, keyId, hmacKey);
      hmacKey.fill(0);
    }
    const payload = {
      termsOfServiceAgreed: termsAgreed,
      ...(contact === undefined ? {} : { contact: [`mailto:${contact}`] }),
      ...binding,
    };
    const answer = await this.session.post(newAccount, payload, key, null, 'open an account');
    this.#account = this.#location(answer, 'the account');
    await this.options.accounts.save(this.spec.directory, { key: key.pkcs8(), url: this.#account });
  }

  async #authorize(urls: readonly string[], key: AccountKey): Promise<void> {
    const presented: Challenge[] = [];
    try {
      const waiting: { url: string; challengeUrl: string; type: ChallengeType }[] = [];
      for (const at of urls) {
        const answer = await this.#post(at, null, 'show an authorization');
        const found = this.session.read(answer, authorizationSchema, 'an authorization');
        if (found.status === 'valid') continue; // from an earlier order (§7.1.3)
        const domain = found.identifier.value.toLowerCase();
        if (!this.names.includes(domain)) {
          throw new AcmeFailure(
            `the authority asks for proof of ${clean(domain)}, which was not ordered`,
          );
        }
        const offered = found.challenges.filter(({ type }) => type in reach);
        const chosen = offered.find(({ type }) => type === this.spec.challenge) ?? offered[0];
        if (chosen?.url === undefined || !/^[\w-]+$/.test(chosen.token ?? '')) {
          throw new AcmeFailure(
            `the authority offers neither http-01 nor tls-alpn-01 for ${domain}`,
          );
        }
        const type: ChallengeType = chosen.type === 'http-01' ? 'http-01' : 'tls-alpn-01';
        const challenge = await this.#challenge(type, domain, chosen.token ?? '', key);
        presented.push(challenge); // before it is presented: half a presentation is withdrawn, too
        await this.options.responder.present(challenge);
        waiting.push({ url: at, challengeUrl: chosen.url, type });
      }
      for (const { challengeUrl } of waiting)
        await this.#post(challengeUrl, {}, 'begin a challenge');
      for (const { url: at, type } of waiting) {
        const end = await this.#poll(
          at,
          authorizationSchema,
          'an authorization',
          ({ status }) => status !== 'pending',
        );
        if (end.status === 'valid') continue;
        const error = end.challenges.find((one) => one.error !== undefined)?.error;
        throw new AcmeFailure(
          `the authority could not confirm ${clean(end.identifier.value)} by ${type}: ${error === undefined ? `its status is ${clean(end.status)}` : problemText(error)}; make sure that the name leads to this unit on ${reach[type]}`,
        );
      }
    } finally {
      for (const challenge of presented) {
        try {
          await this.options.responder.withdraw(challenge);
        } catch (error) {
          const why = error instanceof Error ? error.message : String(error);
          this.options.warn(
            `the answer to ${challenge.type} for ${challenge.domain} was not withdrawn: ${why}`,
          );
        }
      }
    }
  }

  async #challenge(
    type: ChallengeType,
    domain: string,
    token: string,
    account: AccountKey,
  ): Promise<Challenge> {
    const keyAuthorization = account.authorize(token);
    if (type === 'http-01') return { type, domain, token, keyAuthorization };
    const key = await makeKey('ecdsa-p256');
    const certificate = challengeCertificate(domain, keyAuthorization, key, this.clock.now());
    return { type, domain, certificate, key: pkcs8Of(key) };
  }

  /** Reads until it is over; what passes (5xx, a lost connection) is tried again within the order's deadline. */
  async #poll<T>(
    at: string,
    schema: z.ZodType<T>,
    what: string,
    over: (seen: T) => boolean,
  ): Promise<T> {
    let pause = POLL_FIRST_MS;
    let faults = 0;
    for (;;) {
      let asked: number | null | undefined;
      try {
        const answer = await this.#post(at, null, `show ${what}`);
        const seen = this.session.read(answer, schema, what);
        if (over(seen)) return seen;
        asked = answer.retryAfterMs;
        faults = 0;
      } catch (error) {
        if (!(error instanceof AcmeFailure) || !error.passing || ++faults > 3) throw error;
        asked = error.retryAfterMs;
      }
      // A time to wait that is none: one of the clocks is wrong.
      await this.clock.wait(Math.max(pause, asked ?? 0), this.signal);
      pause = Math.min(POLL_LONGEST_MS, pause * 1.5);
    }
  }

  #post(at: string, payload: unknown, what: string): Promise<Answer> {
    if (this.#key === null) throw new Error('no account key yet');
    return this.session.post(at, payload, this.#key, this.#account, what);
  }

  #location({ location }: Answer, what: string): string {
    const parsed = url.safeParse(location);
    if (!parsed.success) throw new AcmeFailure(`the authority did not say where ${what} is`);
    return parsed.data;
  }

  #chain(pem: Buffer, key: KeyObject): Buffer[] {
    const blocks =
      pem.toString('latin1').match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ??
      [];
    let certificates: X509Certificate[];
    try {
      certificates = blocks.map((block) => new X509Certificate(block));
    } catch (error) {
      throw new AcmeFailure('the authority handed out a chain that cannot be read', {
        cause: error,
      });
    }
    const leaf = certificates[0];
    if (leaf === undefined) throw new AcmeFailure('the authority handed out no certificate');
    if (!leaf.checkPrivateKey(key)) {
      throw new AcmeFailure('the authority handed out a certificate for another key');
    }
    const missing = this.names.filter(
      (name) => leaf.checkHost(name, { subject: 'never' }) === undefined,
    );
    if (missing.length > 0) {
      throw new AcmeFailure(
        `the certificate that the authority handed out lacks ${missing.join(', ')}`,
      );
    }
    return certificates.map(({ raw }) => raw);
  }
}

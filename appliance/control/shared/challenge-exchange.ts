/**
 * Challenges of authorities on both units of a pair: the one that orders tells the other what to answer,
 * and waits until it does, since an authority may reach either.
 *
 * Invariant: what is answered for the other unit ends with its order, with the pair, or after the time
 * that an order has, whatever is lost on the way; and there is a bound to it.
 */
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import type { Pair } from '../../ha/pair/pair.js';
import type { Session } from '../../ha/pair/session.js';
import type { PairNews } from '../../ha/pair/state.js';
import type { Challenge } from '../../tls/acme/issuer.js';

export const CHANNEL = 'acme';
/** Challenges that are answered for the other unit at a time: as many as an order may have. */
const MOST = 200;
/** How long an order waits for the other unit. */
const PATIENCE_MS = 5000;
/** An order has five minutes (tls/acme/issuer.ts). */
const LONGEST_MS = 600_000;

const bytes = z.base64().max(16_384);
const id = z.string().regex(/^[0-9a-f]{32}$/);
const messageSchema = z.discriminatedUnion('what', [
  z.strictObject({
    ...{ what: z.literal('http-01'), id, domain: z.string().max(253) },
    ...{ token: z.string().regex(/^[\w-]{1,512}$/), keyAuthorization: z.string().max(1024) },
  }),
  z.strictObject({
    ...{ what: z.literal('tls-alpn-01'), id, domain: z.string().max(253) },
    ...{ certificate: bytes, key: bytes },
  }),
  z.strictObject({ what: z.literal('withdraw'), id }),
  /** All workers of the other unit answer, or they do not. */
  z.strictObject({ what: z.literal('answered'), id, well: z.boolean() }),
]);
type Message = z.output<typeof messageSchema>;

export interface ChallengeExchangeOptions {
  readonly pair: Pick<Pair, 'onSession'>;
  /** Answers for the other unit. Whether all workers do. */
  readonly take: (id: string, challenge: Challenge) => Promise<boolean>;
  /** Null: all of the other unit's. */
  readonly drop: (id: string | null) => Promise<void>;
  readonly onError: (error: unknown) => void;
  readonly patienceMs?: number;
}

export class ChallengeExchange {
  readonly #options: ChallengeExchangeOptions;
  readonly #ids = new Map<Challenge, string>();
  readonly #waiting = new Map<string, () => void>();
  /** What ends each that is answered for the other unit. */
  readonly #taken = new Map<string, NodeJS.Timeout>();
  readonly #stop: () => void;
  #session: Session | null = null;
  #silence: (() => void) | null = null;

  constructor(options: ChallengeExchangeOptions) {
    this.#options = options;
    this.#stop = options.pair.onSession((session) => {
      this.#attach(session);
    });
  }

  /** Resolves when the other unit answers, says that it cannot, or is away or silent for too long. */
  async present(challenge: Challenge): Promise<void> {
    const name = randomBytes(16).toString('hex');
    this.#ids.set(challenge, name);
    if (this.#session === null || this.#session.links.length === 0) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(name);
        resolve();
      };
      const timer = setTimeout(done, this.#options.patienceMs ?? PATIENCE_MS);
      this.#waiting.set(name, done);
      this.#send(messageOf(name, challenge), done);
    });
  }

  withdraw(challenge: Challenge): void {
    const name = this.#ids.get(challenge);
    this.#ids.delete(challenge);
    if (name !== undefined) this.#send({ what: 'withdraw', id: name });
  }

  /** What happens to the pair. */
  heard({ what }: PairNews): void {
    // Another run of the other unit has other orders; each tells its own anew.
    if (what === 'together') {
      this.#endAll();
      for (const [challenge, name] of this.#ids) this.#send(messageOf(name, challenge));
    }
    if (what === 'alone') for (const done of [...this.#waiting.values()]) done();
    if (what === 'left') this.#attach(null);
  }

  close(): void {
    this.#stop();
    this.#attach(null);
  }

  #attach(session: Session | null): void {
    this.#silence?.();
    this.#session = session;
    for (const done of [...this.#waiting.values()]) done();
    this.#endAll();
    this.#silence =
      session?.on(CHANNEL, (body) => {
        this.#hear(body);
      }) ?? null;
  }

  /** `lost`: called when it surely does not arrive by this session. */
  #send(message: Message, lost: () => void = () => undefined): void {
    // The reason is the pair's to tell.
    this.#session?.send(CHANNEL, Buffer.from(JSON.stringify(message))).catch(lost);
  }

  #hear(body: Buffer): void {
    const parsed = messageSchema.safeParse(json(body));
    body.fill(0);
    if (!parsed.success) {
      this.#options.onError(new Error('what came about challenges is no message'));
      return;
    }
    const message = parsed.data;
    switch (message.what) {
      case 'answered':
        this.#waiting.get(message.id)?.();
        return;
      case 'withdraw':
        this.#end(message.id);
        return;
      default:
        this.#take(message.id, challengeOf(message));
    }
  }

  #take(name: string, challenge: Challenge): void {
    const before = this.#taken.get(name);
    if (before === undefined && this.#taken.size >= MOST) {
      this.#send({ what: 'answered', id: name, well: false });
      return;
    }
    clearTimeout(before);
    const timer = setTimeout(() => {
      this.#end(name);
    }, LONGEST_MS).unref();
    this.#taken.set(name, timer);
    this.#after(
      this.#options.take(name, challenge).then((well) => {
        this.#send({ what: 'answered', id: name, well });
      }),
    );
  }

  #end(name: string): void {
    clearTimeout(this.#taken.get(name));
    this.#taken.delete(name);
    this.#after(this.#options.drop(name));
  }

  #endAll(): void {
    for (const timer of this.#taken.values()) clearTimeout(timer);
    this.#taken.clear();
    this.#after(this.#options.drop(null));
  }

  #after(work: Promise<void>): void {
    work.catch(this.#options.onError);
  }
}

function messageOf(name: string, challenge: Challenge): Message {
  if (challenge.type === 'http-01') {
    const { type, domain, token, keyAuthorization } = challenge;
    return { what: type, id: name, domain, token, keyAuthorization };
  }
  const { type, domain, certificate, key } = challenge;
  return {
    ...{ what: type, id: name, domain },
    // Good for nothing but this proof, for minutes (RFC 8737).
    ...{ certificate: certificate.toString('base64'), key: key.toString('base64') },
  };
}

function challengeOf(message: Extract<Message, { what: 'http-01' | 'tls-alpn-01' }>): Challenge {
  const { domain } = message;
  if (message.what === 'http-01') {
    const { token, keyAuthorization } = message;
    return { type: message.what, domain, token, keyAuthorization };
  }
  const [certificate, key] = [message.certificate, message.key].map((one) =>
    Buffer.from(one, 'base64'),
  );
  if (certificate === undefined || key === undefined) throw new Error('two make two');
  return { type: message.what, domain, certificate, key };
}

function json(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return null;
  }
}

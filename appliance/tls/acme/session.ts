/**
 * One conversation with an authority (RFC 8555 §6, §7.1): its directory, nonces, signed requests.
 *
 * Invariant: every request has a deadline and a largest answer, goes to https only, and ends in an
 * answer of the expected shape or in an AcmeFailure with the authority's own reason.
 */
import type { Agent } from 'undici';
import { z } from 'zod';
import { retryAfter } from '../renewal.js';
import { reasonOf, type Clock } from './clock.js';
import { AcmeFailure, clean, problemKind, problemSchema, problemText } from './failure.js';
import type { AccountKey } from './account-key.js';

const LARGEST_ANSWER = 1024 * 1024;
/** Of an authority that calls nonces bad: enough for any that is well. */
const NONCE_TRIES = 20;

const httpsUrl = z.url({ protocol: /^https$/ });
const directorySchema = z.object({
  newNonce: httpsUrl,
  newAccount: httpsUrl,
  newOrder: httpsUrl,
  meta: z
    .object({
      termsOfService: z.string().optional(),
      externalAccountRequired: z.boolean().optional(),
    })
    .optional(),
});
export type Directory = z.output<typeof directorySchema>;

export interface Answer {
  readonly status: number;
  readonly body: Buffer;
  readonly location: string | null;
  readonly retryAfterMs: number | undefined;
}

export interface SessionOptions {
  readonly directory: string;
  /** Authorities (PEM) that the directory's own certificate may be from; else those of node. */
  readonly ca?: string | Buffer | undefined;
  readonly requestTimeoutMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

export class Session {
  readonly #options: SessionOptions;
  /** Of the first request: a unit that asks no authority starts without it. */
  #agent: Agent | null = null;
  readonly #nonces: string[] = [];
  #directory: Directory | null = null;

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  async close(): Promise<void> {
    await this.#agent?.destroy();
  }

  async directory(): Promise<Directory> {
    if (this.#directory === null) {
      const { directory: url } = this.#options;
      if (!URL.canParse(url) || new URL(url).protocol !== 'https:') {
        throw new AcmeFailure(`${clean(url)} is no https URL of an ACME directory`);
      }
      const answer = await this.#send(url, 'GET', null);
      this.#expect(answer, 'show its directory');
      this.#directory = this.read(answer, directorySchema, 'its directory');
    }
    return this.#directory;
  }

  /** A signed POST; a payload of null reads. `what` completes "the authority did not …". */
  async post(
    url: string,
    payload: unknown,
    key: AccountKey,
    account: string | null,
    what: string,
  ): Promise<Answer> {
    for (let tries = 1; ; tries++) {
      const nonce = this.#nonces.pop() ?? (await this.#freshNonce());
      const answer = await this.#send(url, 'POST', key.sign(url, payload, nonce, account));
      try {
        this.#expect(answer, what);
        return answer;
      } catch (error) {
        const again = error instanceof AcmeFailure && error.kind === 'badNonce';
        if (!again || tries === NONCE_TRIES) throw error;
      }
    }
  }

  /** An answer's JSON in a known shape. */
  read<T>(answer: Answer, schema: z.ZodType<T>, what: string): T {
    let json: unknown;
    try {
      json = JSON.parse(answer.body.toString('utf8'));
    } catch (error) {
      throw new AcmeFailure(`${this.#host()} sent something else than JSON for ${what}`, {
        cause: error,
      });
    }
    const parsed = schema.safeParse(json);
    if (parsed.success) return parsed.data;
    const where = parsed.error.issues[0]?.path.join('.') ?? '';
    throw new AcmeFailure(
      `${this.#host()} sent ${what} in a form that RFC 8555 does not know${where === '' ? '' : ` (at ${clean(where)})`}; look whether ${clean(this.#options.directory)} is an ACME directory`,
    );
  }

  async #freshNonce(): Promise<string> {
    const { newNonce } = await this.directory();
    this.#expect(await this.#send(newNonce, 'HEAD', null), 'give a nonce');
    const nonce = this.#nonces.pop();
    if (nonce === undefined) throw new AcmeFailure(`${this.#host()} gave no nonce`);
    return nonce;
  }

  #host(): string {
    return new URL(this.#options.directory).host;
  }

  /** Throws unless the answer is a success. */
  #expect({ status, body, retryAfterMs }: Answer, what: string): void {
    if (status >= 200 && status < 300) return;
    const facts = { retryAfterMs, passing: status >= 500 || status === 429 };
    let problem;
    try {
      problem = problemSchema.safeParse(JSON.parse(body.toString('utf8')));
    } catch {
      problem = null; // an error page of something else than ACME: its status is said instead
    }
    if (problem?.success === true && (problem.data.type ?? problem.data.detail) !== undefined) {
      const kind = problemKind(problem.data);
      throw new AcmeFailure(`${this.#host()} did not ${what}: ${problemText(problem.data)}`, {
        ...facts,
        kind,
      });
    }
    throw new AcmeFailure(
      `${this.#host()} did not ${what}: it answered with status ${status}`,
      facts,
    );
  }

  async #send(url: string, method: 'GET' | 'HEAD' | 'POST', body: string | null): Promise<Answer> {
    const { ca, requestTimeoutMs, signal, clock } = this.#options;
    const { Agent, request } = await import('undici');
    signal.throwIfAborted();
    this.#agent ??= new Agent({
      connect: { ...(ca === undefined ? {} : { ca }), timeout: requestTimeoutMs },
    });
    const deadline = AbortSignal.timeout(requestTimeoutMs);
    try {
      const response = await request(url, {
        method,
        dispatcher: this.#agent,
        body,
        headers: {
          'user-agent': 'weir',
          ...(body === null ? {} : { 'content-type': 'application/jose+json' }),
        },
        signal: AbortSignal.any([signal, deadline]),
      });
      const pieces: Buffer[] = [];
      let length = 0;
      for await (const piece of response.body as AsyncIterable<Buffer>) {
        length += piece.length;
        if (length > LARGEST_ANSWER) {
          throw new AcmeFailure(`${this.#host()} sent an answer longer than 1 MiB`);
        }
        pieces.push(piece);
      }
      const header = (name: string): string | undefined => {
        const value = response.headers[name];
        return Array.isArray(value) ? value[0] : value;
      };
      const nonce = header('replay-nonce');
      if (nonce !== undefined && /^[\w-]+$/.test(nonce)) this.#nonces.push(nonce);
      return {
        status: response.statusCode,
        body: Buffer.concat(pieces),
        location: header('location') ?? null,
        retryAfterMs: retryAfter(header('retry-after'), clock.now()),
      };
    } catch (error) {
      if (signal.aborted) throw reasonOf(signal);
      if (error instanceof AcmeFailure) throw error;
      const why = deadline.aborted
        ? `did not answer within ${requestTimeoutMs / 1000} s`
        : `cannot be reached: ${clean(networkReason(error))}`;
      throw new AcmeFailure(`${this.#host()} ${why}`, { passing: true, cause: error });
    }
  }
}

/** Node tells of several addresses that all failed by an error without a message. */
function networkReason(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') {
    return error.errors.map((one) => networkReason(one)).join('; ');
  }
  return error instanceof Error ? error.message : String(error);
}

/**
 * Tells the other unit what this one sees of things that both look at (members by their probes, routes
 * and neighbours), and hears what it sees.
 *
 * Each unit tells all when the two come together, and changes then; what it tells holds until it tells
 * otherwise or is not heard any more. One message is under way at a time, and what changes meanwhile
 * waits as a set of keys: so what waits is bounded, one that flaps is told as it is when its turn
 * comes, and at most ten messages leave in a second.
 *
 * Invariant: nothing is told on: each unit tells what it saw itself.
 */
import { z } from 'zod';
import type { Pair } from '../pair/pair.js';
import type { SessionChannel } from '../pair/session.js';
import type { PairNews } from '../pair/state.js';

export const CHANNEL = 'health';
/** Statements in a message. */
export const PAGE = 1000;
/** Things that the other unit may tell of. */
export const MOST = 50_000;
const PAUSE_MS = 100;

export type Verdict = 'up' | 'down';
export type Verdicts = Iterable<readonly [key: string, verdict: Verdict | null]>;

export interface HealthExchangeOptions {
  /** Left out: that of members. */
  readonly channel?: string;
  /** Of all that this unit sees. */
  readonly own: () => Iterable<readonly [key: string, verdict: Verdict]>;
  /** Of the other unit; null: it sees nothing of it now. */
  readonly onHeard: (verdicts: Verdicts) => void;
  /** What was heard holds no longer. */
  readonly onForget: () => void;
  /** The other unit said what no unit says: a clause. */
  readonly onMalformed: (why: string) => void;
  readonly pauseMs?: number;
}

const messageSchema = z.strictObject({
  /** What was told before is void. */
  first: z.boolean(),
  seen: z
    .array(z.tuple([z.string().regex(/^[\w-]{16}$/), z.enum(['up', 'down']).nullable()]))
    .max(PAGE),
});

export class HealthExchange {
  readonly #options: HealthExchangeOptions;
  readonly #name: string;
  #channel: SessionChannel | null = null;
  #silence: (() => void) | null = null;
  readonly #due = new Map<string, Verdict | null>();
  /** The next message begins anew. */
  #first = false;
  #busy = false;
  #timer: NodeJS.Timeout | null = null;
  readonly #heard = new Set<string>();

  constructor(options: HealthExchangeOptions) {
    this.#options = options;
    this.#name = options.channel ?? CHANNEL;
  }

  /** Goes by each session with the other unit, the one that is there at once. Returns what ends that. */
  follow(pair: Pick<Pair, 'onSession'>): () => void {
    return pair.onSession((session) => {
      this.attach(session);
      if (session.links.length > 0) this.together();
    });
  }

  /** What happens to the pair. */
  heard(news: PairNews): void {
    if (news.what === 'together') this.together();
    if (news.what === 'alone') this.apart();
    if (news.what === 'left') this.attach(null);
  }

  /** Goes by this session from now on; null: by none. */
  attach(channel: SessionChannel | null): void {
    this.#silence?.();
    this.#channel = channel;
    this.apart();
    this.#silence =
      channel?.on(this.#name, (body) => {
        this.#hear(body);
      }) ?? null;
  }

  /** The other unit is heard again, or another run of its daemon is. */
  together(): void {
    if (this.#channel === null) return;
    this.#begin();
    this.#pump();
  }

  /** No link to the other unit is left. */
  apart(): void {
    this.#due.clear();
    this.#first = false;
    this.#heard.clear();
    this.#options.onForget();
  }

  /** What this unit sees itself is another now. */
  changed(key: string, verdict: Verdict | null): void {
    if (this.#channel === null || this.#channel.links.length === 0) return;
    this.#due.set(key, verdict);
    this.#soon();
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.attach(null);
  }

  #begin(): void {
    this.#first = true;
    this.#due.clear();
    for (const [key, verdict] of this.#options.own()) this.#due.set(key, verdict);
  }

  #soon(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.#pump();
    }, this.#options.pauseMs ?? PAUSE_MS).unref();
  }

  #pump(): void {
    const channel = this.#channel;
    if (channel === null || this.#busy || (this.#due.size === 0 && !this.#first)) return;
    const seen = [...this.#due].slice(0, PAGE);
    for (const [key] of seen) this.#due.delete(key);
    const body = Buffer.from(JSON.stringify({ first: this.#first, seen }));
    this.#first = false;
    this.#busy = true;
    channel.send(this.#name, body).then(
      () => this.#sent(),
      () => {
        // The reason is the session's to tell. When the units come together all is told anew.
        if (channel === this.#channel && channel.links.length > 0) this.#begin();
        this.#sent();
      },
    );
  }

  #sent(): void {
    this.#busy = false;
    if (this.#due.size > 0 || this.#first) this.#soon();
  }

  #hear(body: Buffer): void {
    const message = parse(body);
    if (typeof message === 'string') {
      this.#options.onMalformed(message);
      return;
    }
    if (message.first) {
      this.#heard.clear();
      this.#options.onForget();
    }
    for (const [key, verdict] of message.seen) {
      if (verdict === null) this.#heard.delete(key);
      else this.#heard.add(key);
    }
    if (this.#heard.size > MOST) {
      this.apart();
      this.#options.onMalformed(`it tells of more than ${MOST}`);
      return;
    }
    this.#options.onHeard(message.seen);
  }
}

function parse(body: Buffer): z.output<typeof messageSchema> | string {
  let value: unknown;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch {
    return 'it is no JSON';
  }
  const parsed = messageSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  return `${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`.trim();
}

/**
 * Brings what the daemon says: the stream of events and counters, whose beat once a second has the
 * answers that the screen shows asked for again; and sends changes.
 *
 * Invariant: however slow the daemon is, one question of a kind is under way at most, and nothing
 * waits for it. When the daemon goes, the stream's end says so; it is tried again ever more rarely,
 * and at once when its socket appears.
 */
import { type FSWatcher, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import {
  FLOW_EVENT_KINDS,
  USUAL_EVENT_KINDS,
  type ApplyResult,
  type EventRow,
  type LiveMessage,
  type LoggedIn,
  type StreamMessage,
} from '../appliance/api/contract.js';
import type { Call, Client } from '../appliance/cli/client.js';
import { CliError, EXIT } from '../appliance/cli/exit-codes.js';
import { readOctets } from '../appliance/cli/cert-files.js';
import { writeWholeFile } from '../appliance/cli/secret-file.js';
import type { Check } from './config/draft.js';
import type { JsonMap } from './config/schema.js';
import type { About, Effect, FileEffect, LinkState } from './model.js';
import type { Topic } from './topics.js';
import { isFlowKind } from './screens/overview.js';
import type { Action, AnswerAction } from './step.js';
import { carryOut } from './unit-files.js';

const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 5000;
/** Events of a moment are handed on together, and ask for fresh answers once. */
const GATHER_MS = 100;
/** Those of single flows apart: under traffic they would push all others out. */
const PAST_EVENTS = [
  { limit: 400, kind: USUAL_EVENT_KINDS.join() },
  { limit: 100, kind: FLOW_EVENT_KINDS.join() },
];
const SELDOM: ReadonlySet<Topic> = new Set<Topic>([
  ...([
    'tiers',
    'routers',
    'revisions',
    'revision',
    'certificates',
    'certificate',
    'hardware',
    'me',
    'audit',
  ] as const),
]);
const SELDOM_MS = 5000;

export interface FeedOptions {
  readonly client: Client;
  /** Asks again and again, and may keep its connections: a question that is lost is asked anew. */
  readonly asker: Client;
  /** Waits long: a large document is committed, another unit is joined. */
  readonly actor: Client;
  readonly dispatch: (action: Action) => void;
  /** What is looked at live (live.ts); null: nothing. */
  readonly live: () => string | null;
  /** What the screen shows now. */
  readonly wanted: () => readonly { readonly topic: Topic; readonly path: string }[];
  readonly now: () => number;
}

export class Feed {
  readonly #options: FeedOptions;
  readonly #aborter = new AbortController();
  /** Questions under way; true: ask again, since something changed meanwhile. */
  readonly #asking = new Map<string, boolean>();
  /** When a path was asked last. */
  readonly #asked = new Map<string, number>();
  #events: EventRow[] = [];
  #gathering: NodeJS.Timeout | null = null;
  #stale = false;
  #retryMs = FIRST_RETRY_MS;
  #checking = false;
  /** Of the stream that is open. */
  #stream = new AbortController();
  /** Called by a login, while nobody is logged in. */
  #wake: (() => void) | null = null;
  /** Whether nobody is logged in who has to be. */
  #out = false;
  /** The first user is made. */
  #beginning = false;
  #live: { readonly path: string; readonly aborter: AbortController } | null = null;
  #nextCheck: { readonly document: JsonMap; readonly serial: number } | null = null;

  constructor(options: FeedOptions) {
    this.#options = options;
  }

  /** Until `stop`. */
  async run(): Promise<void> {
    const { signal } = this.#aborter;
    const { client } = this.#options;
    while (!signal.aborted) {
      let why = 'The daemon ended the connection.';
      this.#stream = new AbortController();
      const either = AbortSignal.any([signal, this.#stream.signal]);
      const secret = client.secret;
      try {
        await client.stream({ path: '/v1/stream' }, (message) => this.#hear(message), either);
      } catch (error) {
        if (!(error instanceof CliError) && !(error instanceof SyntaxError)) throw error;
        why = error.message;
        if (isUnknown(error)) this.#unknown(null, secret);
      }
      if (signal.aborted) return;
      // Somebody logged in, or out, or has to.
      if (this.#stream.signal.aborted) {
        if (this.#out) await this.#loggedIn();
        continue;
      }
      this.#tell('lost', why);
      await this.#pause();
    }
  }

  async login(name: string, password: string): Promise<void> {
    try {
      await this.#logIn(name, password);
    } catch (error) {
      if (!(error instanceof CliError)) throw error;
      this.#options.dispatch({ type: 'login-failed', why: error.message });
    }
  }

  async #logIn(name: string, password: string): Promise<void> {
    const { actor, dispatch } = this.#options;
    const json = { name, password };
    const session = await actor.json<LoggedIn>({ method: 'POST', path: '/v1/login', json });
    this.#use(session.token);
    this.#out = false;
    dispatch({ type: 'logged-in', session });
    this.#wake?.();
  }

  /**
   * Makes the first user of the unit and goes on as that one: from then on the daemon lets nobody in who is
   * not logged in, and what is asked meanwhile is no reason to ask who sits here. @throws CliError
   */
  async firstUser(call: Call, name: string, password: string): Promise<unknown> {
    this.#beginning = true;
    try {
      const made = await this.#options.actor.json<unknown>(call);
      await this.#logIn(name, password);
      return made;
    } finally {
      this.#beginning = false;
    }
  }

  /** Forgets the session at once, whatever the daemon says. */
  async logout(why: string): Promise<void> {
    const { actor } = this.#options;
    const secret = actor.secret;
    const told = actor.text({ method: 'POST', path: '/v1/logout' });
    this.#use(null);
    this.#unknown(why, null);
    try {
      await told;
    } catch (error) {
      if (!(error instanceof CliError)) throw error;
      if (secret !== null && !isUnknown(error)) this.#failed(error);
    }
  }

  #use(secret: string | null): void {
    const { client, asker, actor } = this.#options;
    for (const one of [client, asker, actor]) one.secret = secret;
  }

  /** What was asked with another secret than there is now says nothing of this one. */
  #unknown(why: string | null, secret: string | null): void {
    if (this.#beginning || secret !== this.#options.client.secret) return;
    this.#out = true;
    this.#stream.abort();
    this.#options.dispatch({ type: 'unknown', why });
  }

  async #loggedIn(): Promise<void> {
    const { signal } = this.#aborter;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
    this.#wake = null;
  }

  stop(): void {
    this.#aborter.abort();
    this.#live?.aborter.abort();
    if (this.#gathering !== null) clearTimeout(this.#gathering);
  }

  /** Begins or ends to look at what is wanted live now. */
  look(): void {
    const path = this.#options.live();
    if (path === (this.#live?.path ?? null)) return;
    this.#live?.aborter.abort();
    this.#live = null;
    if (path === null || this.#aborter.signal.aborted) return;
    this.#live = { path, aborter: new AbortController() };
    void this.#watch(path, this.#live.aborter.signal);
  }

  /** Until it ends; it is begun anew when the daemon is there again, or something else is wanted. */
  async #watch(path: string, signal: AbortSignal): Promise<void> {
    const { client, dispatch } = this.#options;
    let text = 'The daemon ended the stream.';
    try {
      const hear = (message: LiveMessage): void => dispatch({ type: 'live', path, message });
      await client.stream<LiveMessage>({ path }, hear, signal);
    } catch (error) {
      if (!(error instanceof CliError) && !(error instanceof SyntaxError)) throw error;
      text = error.message;
    }
    if (!signal.aborted) dispatch({ type: 'live-problem', path, text });
  }

  refresh(): void {
    for (const { topic, path } of this.#options.wanted()) void this.#ask(topic, path);
  }

  /** What seldom changes without an event that says so need not be asked each second. */
  #beat(): void {
    const now = this.#options.now();
    for (const { topic, path } of this.#options.wanted()) {
      const fresh = now - (this.#asked.get(path) ?? 0) < SELDOM_MS;
      const seldom = SELDOM.has(topic) || /&span=(?!10m)/.test(path);
      if (!fresh || !seldom) void this.#ask(topic, path);
    }
  }

  async act(call: Call, done: string, about?: About): Promise<void> {
    const { actor, dispatch } = this.#options;
    try {
      const value = await actor.json<{ readonly warnings?: readonly string[] }>(call);
      const warnings = (value.warnings ?? []).join(' ');
      const text = warnings === '' ? done : `${done} ${warnings}`;
      dispatch({ type: 'done', text, ...(about === undefined ? {} : { about }), value, call });
    } catch (error) {
      this.#failed(error);
    }
  }

  async import(effect: Extract<Effect, { type: 'import' }>): Promise<void> {
    let octets: Buffer;
    try {
      octets = await readOctets(effect.files);
    } catch (error) {
      this.#failed(error);
      return;
    }
    const { call, passphrase, done } = effect;
    const secret = passphrase === '' ? {} : { passphrase };
    await this.act({ ...call, octets, ...secret }, done, 'certificates');
    octets.fill(0);
  }

  /** Keys go from the socket into the file, and nowhere else. */
  async export(effect: Extract<Effect, { type: 'export' }>): Promise<void> {
    const { call, file, passphrase, done } = effect;
    const { actor, dispatch } = this.#options;
    const secret = passphrase === '' ? {} : { passphrase };
    try {
      const octets = await actor.octets({ ...call, ...secret });
      await writeWholeFile(file, octets).finally(() => octets.fill(0));
    } catch (error) {
      this.#failed(error);
      return;
    }
    dispatch({ type: 'done', text: done });
  }

  async file(effect: FileEffect): Promise<void> {
    const { actor, dispatch } = this.#options;
    try {
      dispatch(await carryOut(effect, actor));
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    if (!(error instanceof CliError)) throw error;
    if (isUnknown(error)) {
      this.#unknown(null, this.#options.client.secret);
      return;
    }
    const { code, details = [] } = error.body.error;
    const lines = details.map(({ path, message }) => `${path}: ${message}`);
    this.#options.dispatch({ type: 'failed', text: [error.message, ...lines].join('\n'), code });
  }

  /** What the daemon thinks of a candidate; of those that came meanwhile only the last is asked. */
  async check(document: JsonMap, serial: number): Promise<void> {
    if (this.#checking) {
      this.#nextCheck = { document, serial };
      return;
    }
    this.#checking = true;
    const check = await this.#checked(document);
    this.#checking = false;
    const next = this.#nextCheck;
    this.#nextCheck = null;
    if (this.#aborter.signal.aborted) return;
    this.#options.dispatch({ type: 'checked', serial, check });
    if (next !== null) await this.check(next.document, next.serial);
  }

  #checked(json: JsonMap): Promise<Check> {
    return checkedBy(this.#options.actor, json);
  }

  #tell(state: LinkState['state'], why: string): void {
    const { dispatch, now } = this.#options;
    dispatch({ type: 'link', link: { state, since: now(), why } });
  }

  #hear(message: StreamMessage): void {
    switch (message.type) {
      case 'hello':
        this.#retryMs = FIRST_RETRY_MS;
        this.#tell('up', '');
        this.#live?.aborter.abort();
        this.#live = null;
        this.look();
        void this.#past();
        this.refresh();
        return;
      case 'event':
        this.#events.push(message.event);
        this.#stale ||= !isFlowKind(message.event.kind);
        this.#gather();
        return;
      case 'counters':
      case 'heartbeat':
        this.#beat();
        return;
      default:
      // A newer daemon may send more.
    }
  }

  #gather(): void {
    this.#gathering ??= setTimeout(() => {
      this.#gathering = null;
      const rows = this.#events;
      const stale = this.#stale;
      this.#events = [];
      this.#stale = false;
      this.#options.dispatch({ type: 'events', rows, past: false });
      if (stale) this.refresh();
    }, GATHER_MS);
  }

  async #past(): Promise<void> {
    const { client, dispatch } = this.#options;
    try {
      const answers = await Promise.all(
        PAST_EVENTS.map((query) => client.json<EventRow[]>({ path: '/v1/events', query })),
      );
      const rows = answers.flat().sort((one, other) => one.sequence - other.sequence);
      dispatch({ type: 'events', rows, past: true });
    } catch (error) {
      // The stream's end says that the daemon went.
      if (!(error instanceof CliError)) throw error;
    }
  }

  async #ask(topic: Topic, path: string): Promise<void> {
    if (this.#asking.has(path)) {
      this.#asking.set(path, true);
      return;
    }
    this.#asking.set(path, false);
    this.#asked.set(path, this.#options.now());
    const { asker, dispatch, now } = this.#options;
    const { secret } = asker;
    let answer: { readonly value: unknown; readonly problem: string | null } | null = null;
    try {
      answer = { value: await asker.json<unknown>({ path }), problem: null };
    } catch (error) {
      if (!(error instanceof CliError)) throw error;
      if (isUnknown(error)) this.#unknown(null, secret);
      // What was seen stays seen while the daemon is away; the last line says how old it is.
      else if (error.code !== EXIT.unreachable) answer = { value: null, problem: error.message };
    }
    const again = this.#asking.get(path) === true;
    this.#asking.delete(path);
    if (this.#aborter.signal.aborted) return;
    if (answer !== null) {
      // What contract.ts promises for this path.
      dispatch({ type: 'answer', topic, answer: { path, at: now(), ...answer } } as AnswerAction);
      if (again) void this.#ask(topic, path);
    }
  }

  /** Until the next try is due, or the socket's folder changes. */
  #pause(): Promise<void> {
    const { signal } = this.#aborter;
    const { socket } = this.#options.client;
    const waitMs = this.#retryMs;
    this.#retryMs = Math.min(LAST_RETRY_MS, waitMs * 2);
    return new Promise((resolve) => {
      let watcher: FSWatcher | null = null;
      const end = (): void => {
        clearTimeout(timer);
        watcher?.close();
        signal.removeEventListener('abort', end);
        resolve();
      };
      const timer = setTimeout(end, waitMs);
      signal.addEventListener('abort', end);
      try {
        watcher = watch(dirname(socket), (_event, name) => {
          if (name === basename(socket)) end();
        });
        watcher.on('error', () => watcher?.close());
      } catch {
        // No such folder yet, or none that may be watched: the timer will do.
        watcher = null;
      }
    });
  }
}

/** What the daemon thinks of a document. */
export async function checkedBy(actor: Client, json: JsonMap): Promise<Check> {
  const query = { 'dry-run': 'true' };
  try {
    const { changes, warnings } = await actor.json<ApplyResult>({
      ...{ method: 'PUT', path: '/v1/config', query, json },
    });
    return { changes, warnings, errors: [], problem: null, unanswered: false };
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    const errors = error.body.error.details ?? [];
    const unanswered = error.code === EXIT.unreachable;
    return { changes: [], warnings: [], errors, problem: error.message, unanswered };
  }
}

/** Whether the daemon does not know who is asking. */
function isUnknown(error: unknown): boolean {
  return error instanceof CliError && error.body.error.code === 'unauthenticated';
}

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
import type { ApplyResult, EventRow, StreamMessage } from '../appliance/api/contract.js';
import type { Call, Client } from '../appliance/cli/client.js';
import { CliError, EXIT } from '../appliance/cli/exit-codes.js';
import { readOctets } from '../appliance/cli/cert-files.js';
import type { Check } from './config/draft.js';
import type { JsonMap } from './config/schema.js';
import type { About, Effect, FileEffect, LinkState, Topic } from './model.js';
import { isFlowKind } from './screens/overview.js';
import type { Action, AnswerAction } from './step.js';
import { carryOut } from './unit-files.js';

const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 5000;
/** Events of a moment are handed on together, and ask for fresh answers once. */
const GATHER_MS = 100;
const EVENTS_ASKED = 500;
const SELDOM: ReadonlySet<Topic> = new Set<Topic>([
  ...(['tiers', 'revisions', 'revision', 'certificates', 'certificate', 'hardware'] as const),
]);
const SELDOM_MS = 5000;

export interface FeedOptions {
  readonly client: Client;
  /** Asks again and again, and may keep its connections: a question that is lost is asked anew. */
  readonly asker: Client;
  /** Waits long: a large document is committed, another unit is joined. */
  readonly actor: Client;
  readonly dispatch: (action: Action) => void;
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
      try {
        await client.stream({ path: '/v1/stream' }, (message) => this.#hear(message), signal);
      } catch (error) {
        if (!(error instanceof CliError) && !(error instanceof SyntaxError)) throw error;
        why = error.message;
      }
      if (signal.aborted) return;
      this.#tell('lost', why);
      await this.#pause();
    }
  }

  stop(): void {
    this.#aborter.abort();
    if (this.#gathering !== null) clearTimeout(this.#gathering);
  }

  refresh(): void {
    for (const { topic, path } of this.#options.wanted()) void this.#ask(topic, path);
  }

  /** What seldom changes without an event that says so need not be asked each second. */
  #beat(): void {
    const now = this.#options.now();
    for (const { topic, path } of this.#options.wanted()) {
      const fresh = now - (this.#asked.get(path) ?? 0) < SELDOM_MS;
      if (!fresh || !SELDOM.has(topic)) void this.#ask(topic, path);
    }
  }

  async act(call: Call, done: string, about?: About): Promise<void> {
    const { actor, dispatch } = this.#options;
    try {
      const value = await actor.json<{ readonly warnings?: readonly string[] }>(call);
      const warnings = (value.warnings ?? []).join(' ');
      const text = warnings === '' ? done : `${done} ${warnings}`;
      dispatch({ type: 'done', text, ...(about === undefined ? {} : { about }), value });
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

  async #checked(json: JsonMap): Promise<Check> {
    const query = { 'dry-run': 'true' };
    try {
      const { changes, warnings } = await this.#options.actor.json<ApplyResult>({
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

  #tell(state: LinkState['state'], why: string): void {
    const { dispatch, now } = this.#options;
    dispatch({ type: 'link', link: { state, since: now(), why } });
  }

  #hear(message: StreamMessage): void {
    switch (message.type) {
      case 'hello':
        this.#retryMs = FIRST_RETRY_MS;
        this.#tell('up', '');
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
      const rows = await client.json<EventRow[]>({
        path: '/v1/events',
        query: { limit: EVENTS_ASKED },
      });
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
    let answer: { readonly value: unknown; readonly problem: string | null } | null = null;
    try {
      answer = { value: await asker.json<unknown>({ path }), problem: null };
    } catch (error) {
      if (!(error instanceof CliError)) throw error;
      // What was seen stays seen while the daemon is away; the last line says how old it is.
      if (error.code !== EXIT.unreachable) answer = { value: null, problem: error.message };
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

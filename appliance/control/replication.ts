/**
 * The configuration and the pair brought together: the link of the pair carries what the replicator
 * says, and what comes of it is told in sentences and events.
 *
 * Invariant: nothing is taken from the other unit before the daemon executes its own configuration.
 */
import type {
  Replication as ReplicationAnswer,
  ReplicationView,
  SharedRevision,
} from '../api/contract.js';
import { PortError } from '../api/port.js';
import { sha256 } from '../config/canonical.js';
import type { Document } from '../config/schema.js';
import type { SharedMark } from '../config/shared-log.js';
import type { ConfigStore } from '../config/store.js';
import type { Pair } from '../ha/pair/pair.js';
import type { PairNews } from '../ha/pair/state.js';
import type { Rival } from '../ha/replication/messages.js';
import { Replicator } from '../ha/replication/replicator.js';
import type {
  PeerIdentity,
  ReplicationError,
  ReplicationNews,
  Report,
  View,
} from '../ha/replication/state.js';
import { Transport } from '../ha/replication/transport.js';
import type { EventLog, NewEvent } from '../telemetry/event-log.js';

/** What executes the configuration. */
export interface Executor {
  /** Why this unit cannot execute it, a sentence; null: it can. */
  check(document: Document): string | null;
  /** The current revision is one that came from the other unit. */
  taken(): void;
}

export type Replicate = Pick<Replication, 'run' | 'serve' | 'takenBack' | 'announce'>;

export interface ReplicationOptions {
  readonly store: ConfigStore;
  readonly pair: Pick<Pair, 'state' | 'onSession'>;
  /** This unit's name. */
  readonly unit: () => string;
  readonly events: Pick<EventLog, 'append'>;
  /** What came from the other unit was no message, or could not be handled. */
  readonly onError: (error: unknown) => void;
}

export class Replication {
  readonly #options: ReplicationOptions;
  readonly #replicator: Replicator;
  #executor: Executor | null = null;
  #transport: Transport | null = null;
  #stop: (() => void) | null = null;

  constructor(options: ReplicationOptions) {
    this.#options = options;
    this.#replicator = new Replicator({
      store: options.store,
      peer: () => peerOf(options.pair.state()),
      unit: options.unit,
      send: (message) => this.#transport?.send(message),
      check: (document) => this.#executor?.check(document) ?? null,
      onNews: (news) => {
        for (const event of replicationEvents(news)) options.events.append(event);
        if (news.what === 'taken') this.#executor?.taken();
      },
    });
  }

  /** To be called once, before anything else. */
  serve(executor: Executor): void {
    this.#executor = executor;
  }

  /** The daemon executes its configuration: from now on the other unit is listened to. */
  start(): void {
    this.#stop = this.#options.pair.onSession((session) => {
      // A new pair has a session of its own.
      if (this.#transport !== null) this.#replicator.linkDown();
      this.#transport?.close();
      this.#transport = new Transport(session, {
        onMessage: (message) => {
          this.#replicator.receive(message);
        },
        onError: this.#options.onError,
      });
      if (this.#transport.up) this.#replicator.linkUp();
    });
  }

  /** What the pair tells of its links. */
  pairNews({ what }: PairNews): void {
    if (this.#transport === null) return;
    if (what === 'together') this.#replicator.linkUp();
    else if (what === 'alone' || what === 'left') this.#replicator.linkDown();
  }

  run: Replicator['run'] = (step) => this.#replicator.run(step);

  takenBack: Replicator['takenBack'] = (back) => this.#replicator.takenBack(back);

  announce(): void {
    this.#replicator.announce();
  }

  /** Null: this unit is in no pair. */
  view(): ReplicationView | null {
    const view = this.#replicator.view();
    if (view === null) return null;
    const { peer, state, since, lacking } = view;
    return { peer, state, since, lacking, message: standing(view) };
  }

  close(): void {
    this.#stop?.();
    this.#replicator.close();
    this.#transport?.close();
    this.#transport = null;
  }
}

/** The part of the answer to a change that says whether the other unit has it. */
export function replicationOf(report: Report | null): { readonly replication?: ReplicationAnswer } {
  if (report === null) return {};
  const { peer, replicated, why } = report;
  const known = why === null || why === 'away' || why === 'late';
  return {
    replication: { peer, replicated, why: known ? why : 'refused', message: outcome(report) },
  };
}

function outcome({ peer, why, since }: Report): string {
  switch (why) {
    case null:
      return `It is on ${peer} too.`;
    case 'away':
      return `It is on this unit only: ${peer} ${away(since)}; it takes it over when it returns.`;
    case 'late':
      return `It is on this unit only: ${peer} has not answered in time; it takes it over when it does.`;
    default:
      return `It is on this unit only: ${peer} cannot take it over (${why}).`;
  }
}

function standing({ peer, state, since, lacking, reason }: View): string {
  const behind =
    lacking === 0
      ? ''
      : `; it lacks ${lacking === 1 ? 'a change' : `${lacking} changes`} of this unit`;
  switch (state) {
    case 'in-step':
      return `${peer} has the same configuration`;
    case 'catching-up':
      return `comparing with ${peer}${behind}`;
    case 'away':
      return `${peer} ${away(since)}${behind}`;
    case 'refused':
      return `${peer} cannot take over the configuration of this unit (${reason ?? ''})${behind}`;
  }
}

function away(since: number | null): string {
  return since === null
    ? 'was not heard since this daemon started'
    : `is away since ${new Date(since).toISOString()}`;
}

export function sharedRevision(mark: SharedMark | null): SharedRevision | null {
  if (mark === null) return null;
  const { id, unit, main, onBoth } = mark;
  return { id, unit, state: !main ? 'superseded' : onBoth ? 'both' : 'here' };
}

export function whyNotReplicated(error: ReplicationError): PortError {
  switch (error.code) {
    case 'conflict':
      return new PortError('revision-mismatch', overtaken(error.rival), { cause: error });
    case 'refused':
      return new PortError(
        'unsupported',
        `The other unit refuses it, so nothing was changed: ${error.message}`,
        { cause: error },
      );
    case 'joining':
    case 'waits':
      return new PortError('conflict', error.message, { cause: error });
    case 'closing':
      return new PortError('unavailable', error.message, { cause: error });
  }
}

/** For the author of a change that came second. */
function overtaken(rival: Rival | null): string {
  if (rival === null)
    return 'Something else was committed meanwhile: see "weir history" and repeat it.';
  const { unit, author, time, comment, changes, more } = rival;
  const where = unit === '' ? '' : ` on ${unit}`;
  const why = comment === '' ? '' : ` (${comment})`;
  const lines = changes.map((line) => `\n  ${line}`).join('');
  const rest = more === 0 ? '' : `\n  and ${more} more`;
  return (
    `${author}${where} committed something else at ${new Date(time).toISOString()}${why}, so nothing of this was done: ` +
    `look at it and repeat yours.${lines}${rest}`
  );
}

/** More would make one event a page. */
const MOST_CHANGES = 5;

function replicationEvents(news: ReplicationNews): NewEvent[] {
  const event = (
    severity: NewEvent['severity'],
    message: string,
    subject: NewEvent['subject'] = {},
  ): NewEvent => ({
    kind: 'replication',
    severity,
    message,
    subject: { ...subject, peer: news.peer },
  });
  switch (news.what) {
    case 'taken': {
      const { entry, revision, replaced, peer } = news;
      const { number } = revision;
      const subject = { revision: number, author: entry.author };
      const what = {
        commit: `revision ${number} by ${entry.author} comes from ${entry.unit}`,
        confirm: `revision ${number} is confirmed by ${entry.author} on ${entry.unit}`,
        rollback: `revision ${number} takes back on ${peer} too what was not confirmed`,
      }[entry.kind];
      const comment = entry.comment === '' ? '' : ` (${entry.comment})`;
      const first = event('info', `${what}${comment}`, subject);
      if (replaced === null || replaced.number === number) return [first];
      const lost = `the configuration of ${peer} takes the place of revision ${replaced.number} by ${replaced.author}: "weir rollback ${replaced.number}" brings that back on both`;
      return [
        first,
        event('warning', lost, { revision: replaced.number, author: replaced.author }),
      ];
    }
    case 'superseded': {
      const { where, peer, revisions, authors, changes } = news;
      const list =
        revisions.length === 1 ? `revision ${revisions[0]}` : `revisions ${revisions.join(', ')}`;
      const last = revisions.at(-1) ?? 0;
      const shown = changes.slice(0, MOST_CHANGES).join('; ');
      const more =
        changes.length > MOST_CHANGES ? `; and ${changes.length - MOST_CHANGES} more` : '';
      const winner = where === 'here' ? peer : 'this unit';
      return [
        event(
          'warning',
          `both units were changed while they did not hear each other: they go on from what ${winner} had, and ` +
            `${list} by ${authors.join(', ')} ${revisions.length === 1 ? 'is' : 'are'} superseded (${shown}${more}); "weir rollback ${last}" brings that back`,
          { revision: last },
        ),
      ];
    }
    case 'refused':
      return [
        event(
          'error',
          `${news.peer} cannot take over the configuration of this unit: ${news.reason}`,
        ),
      ];
    case 'not-kept':
      return [event('error', `what ${news.peer} has cannot be written down here: ${news.reason}`)];
  }
}

/** Null without a pair. The keys of both units are made for one pairing, and so is what they give. */
function peerOf({ fingerprint, peer }: ReturnType<Pair['state']>): PeerIdentity | null {
  if (peer === null || fingerprint === null) return null;
  const key = sha256([fingerprint, peer.fingerprint].sort().join(' '));
  return { key, name: peer.name, role: peer.role };
}

/**
 * The latest events of this run of the daemon, in memory, each with the next sequence
 * number, and those who want to hear of new ones. Events of single flows have a ring of
 * their own: hundreds a second of them must not push out the one that says a member died.
 *
 * Invariant: subscribers hear every sequence number, so one that sees a gap knows that it
 * missed something; memory never grows past `capacity` events in each ring.
 */
import {
  FLOW_EVENT_KINDS,
  type EventKind,
  type EventRow,
  type EventSubject,
  type Severity,
} from '../api/contract.js';
import { isAtLeast } from '../config/severities.js';
import type { SeverityOf } from '../api/event-severities.js';

const FLOW_KINDS: ReadonlySet<EventKind> = new Set(FLOW_EVENT_KINDS);

/** An event of this kind, with a severity that it can have. */
export interface EventOf<K extends EventKind> {
  readonly kind: K;
  readonly severity: SeverityOf<K>;
  /** One sentence for people. */
  readonly message: string;
  readonly subject?: EventSubject;
  /** When it happened, if known better than "now"; milliseconds since 1970. */
  readonly time?: number;
}

export type NewEvent = { [K in EventKind]: EventOf<K> }[EventKind];

export interface EventLogOptions {
  /** Events kept in each ring; default 4096. */
  readonly capacity?: number;
  readonly now?: () => number;
  /** Hears what a listener threw; the other listeners hear the event all the same. */
  readonly onListenerError: (error: unknown) => void;
}

export class EventLog {
  readonly #now: () => number;
  readonly #onListenerError: (error: unknown) => void;
  readonly #flows: Ring;
  readonly #others: Ring;
  readonly #listeners = new Set<(event: EventRow) => void>();
  #sequence = 0;

  constructor(options: EventLogOptions) {
    const capacity = options.capacity ?? 4096;
    if (!Number.isSafeInteger(capacity) || capacity < 1) {
      throw new RangeError(`an event log holds at least 1 event, got capacity ${capacity}`);
    }
    this.#flows = new Ring(capacity);
    this.#others = new Ring(capacity);
    this.#now = options.now ?? Date.now;
    this.#onListenerError = options.onListenerError;
  }

  /** Sequence number of the newest event; 0 while there is none. */
  get lastSequence(): number {
    return this.#sequence;
  }

  append(event: NewEvent): EventRow {
    this.#sequence += 1;
    const row: EventRow = {
      sequence: this.#sequence,
      time: event.time ?? this.#now(),
      kind: event.kind,
      severity: event.severity,
      message: event.message,
      subject: event.subject ?? {},
    };
    (FLOW_KINDS.has(row.kind) ? this.#flows : this.#others).push(row);
    // A copy, so that a listener may leave while it is being called.
    for (const listener of [...this.#listeners]) {
      try {
        listener(row);
      } catch (error) {
        this.#onListenerError(error);
      }
    }
    return row;
  }

  /** The newest `limit` events of these kinds (all, when none is named), `least` or graver, oldest first. */
  latest(limit: number, kinds?: readonly EventKind[], least: Severity = 'info'): EventRow[] {
    const wanted = kinds === undefined ? null : new Set<EventKind>(kinds);
    const rows = [this.#flows, this.#others].flatMap((ring) =>
      ring
        .rows()
        .filter(
          ({ kind, severity }) =>
            (wanted === null || wanted.has(kind)) && isAtLeast(severity, least),
        ),
    );
    rows.sort((a, b) => a.sequence - b.sequence);
    return rows.slice(Math.max(0, rows.length - Math.max(0, limit)));
  }

  /** Returns what ends the subscription; calling that twice does no harm. */
  subscribe(listener: (event: EventRow) => void): () => void {
    // Wrapped, so that the same function may subscribe twice and leave once.
    const entry = (event: EventRow): void => listener(event);
    this.#listeners.add(entry);
    return () => {
      this.#listeners.delete(entry);
    };
  }
}

/** The latest so many events, in the order in which they came. */
class Ring {
  readonly #rows: EventRow[] = [];
  readonly #capacity: number;
  #next = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  push(row: EventRow): void {
    this.#rows[this.#next] = row;
    this.#next = (this.#next + 1) % this.#capacity;
  }

  rows(): EventRow[] {
    // Until it is full the oldest is at the front, afterwards at the place to be filled next.
    const oldest = this.#rows.length < this.#capacity ? 0 : this.#next;
    return [...this.#rows.slice(oldest), ...this.#rows.slice(0, oldest)];
  }
}

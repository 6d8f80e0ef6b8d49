/**
 * The latest events of this run of the daemon, in memory: a ring of fixed size, each
 * event with the next sequence number, and those who want to hear of new ones.
 *
 * Invariant: sequence numbers grow by one without gaps, so a reader that sees a gap
 * knows that it missed something; memory never grows past `capacity` events.
 */
import type { EventKind, EventRow, EventSubject, Severity } from '../api/contract.js';

export interface NewEvent {
  readonly kind: EventKind;
  readonly severity: Severity;
  /** One sentence for people. */
  readonly message: string;
  readonly subject?: EventSubject;
  /** When it happened, if known better than "now"; milliseconds since 1970. */
  readonly time?: number;
}

export interface EventLogOptions {
  /** Events kept; default 4096. */
  readonly capacity?: number;
  readonly now?: () => number;
  /** Hears what a listener threw; the other listeners hear the event all the same. */
  readonly onListenerError: (error: unknown) => void;
}

export class EventLog {
  readonly #capacity: number;
  readonly #now: () => number;
  readonly #onListenerError: (error: unknown) => void;
  /** Event `n` lies at `n % capacity`; the first has sequence number 1. */
  readonly #ring: EventRow[] = [];
  readonly #listeners = new Set<(event: EventRow) => void>();
  #sequence = 0;

  constructor(options: EventLogOptions) {
    const capacity = options.capacity ?? 4096;
    if (!Number.isSafeInteger(capacity) || capacity < 1) {
      throw new RangeError(`an event log holds at least 1 event, got capacity ${capacity}`);
    }
    this.#capacity = capacity;
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
    this.#ring[this.#sequence % this.#capacity] = row;
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

  /**
   * The newest `limit` events, oldest first; with `after`, only those whose sequence
   * number is greater.
   */
  latest(limit: number, after = 0): EventRow[] {
    const oldestKept = Math.max(1, this.#sequence - this.#capacity + 1);
    const first = Math.max(oldestKept, after + 1, this.#sequence - Math.max(0, limit) + 1);
    const rows: EventRow[] = [];
    for (let sequence = first; sequence <= this.#sequence; sequence += 1) {
      const row = this.#ring[sequence % this.#capacity];
      if (row !== undefined) rows.push(row);
    }
    return rows;
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

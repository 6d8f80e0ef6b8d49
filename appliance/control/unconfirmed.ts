/**
 * The revision that goes back by itself unless somebody confirms it.
 *
 * Invariant: from its deadline on the revision before it is executed, even while the store
 * cannot write that down (a full disk); writing it down is tried until it succeeds.
 */
import { checkDocument } from '../config/document.js';
import type { Intent } from '../config/schema.js';
import type { Recorded } from '../config/shared-log.js';
import type { ConfigStore, Revision } from '../config/store.js';
import type { EventLog } from '../telemetry/event-log.js';
import { ConfirmTimer } from './confirm-timer.js';
import type { Replicate } from './replication.js';

/** Between two attempts to write a rollback down. */
const RETRY_MS = 1000;

export interface UnconfirmedOptions {
  readonly store: ConfigStore;
  readonly events: EventLog;
  /** Waits until no other change is under way. */
  readonly inTurn: (work: () => Promise<void>) => Promise<void>;
  readonly execute: (revision: Revision) => Promise<void>;
  readonly onError: (error: unknown) => void;
  /** Left out: this unit is in no pair. */
  readonly replication?: Pick<Replicate, 'takenBack' | 'announce'>;
}

/** The intent that comes back unless the newest revision is confirmed; null when nothing waits. */
export function standbyIntent(store: ConfigStore): Intent | null {
  const pending = store.pendingConfirm();
  if (pending === null) return null;
  const checked = checkDocument(store.revision(pending.previous).document);
  return checked.ok ? checked.intent : null;
}

export class Unconfirmed {
  readonly #options: UnconfirmedOptions;
  readonly #timer: ConfirmTimer;
  /** The revision whose rollback could not be written down yet. */
  #stuck: number | null = null;

  constructor(options: UnconfirmedOptions) {
    this.#options = options;
    this.#timer = new ConfirmTimer((revision) => {
      options.inTurn(() => this.#goBack(revision)).catch(options.onError);
    });
  }

  /** What is to be executed at start: a deadline may have passed while no daemon ran. */
  restore(): Revision | null {
    const { store } = this.#options;
    const pending = store.pendingConfirm();
    if (pending === null || pending.deadline > Date.now()) {
      this.watch();
      return store.head();
    }
    return this.#writeBack(pending.revision, pending.previous);
  }

  /** To be called after every change of what awaits confirmation. */
  watch(): void {
    this.#timer.watch(this.#options.store.pendingConfirm());
  }

  /** Commits the document from before the unconfirmed revision. Throws StoreError. */
  takeBack(author: string, comment?: string, recorded?: Recorded): Revision {
    const { store, events } = this.#options;
    const unconfirmed = store.pendingConfirm()?.revision;
    const revision = store.rollbackPending(author, comment, recorded);
    this.#stuck = null;
    this.watch();
    events.append({
      kind: 'rolled-back',
      severity: 'warning',
      message: `revision ${unconfirmed ?? '?'} was not confirmed: revision ${revision.number} takes it back`,
      subject: { revision: revision.number, author },
    });
    return revision;
  }

  close(): void {
    this.#timer.close();
  }

  async #goBack(revision: number): Promise<void> {
    const pending = this.#options.store.pendingConfirm();
    // Somebody confirmed it, or took it back, while this waited its turn.
    if (pending?.revision !== revision) {
      this.watch();
      return;
    }
    const first = this.#stuck !== revision;
    const back = this.#writeBack(revision, pending.previous);
    if (first || this.#stuck === null) await this.#options.execute(back);
  }

  #writeBack(revision: number, previous: number): Revision {
    const { store, events, onError, replication } = this.#options;
    try {
      // Not asked of the other unit, which does the same by itself.
      const entry = replication?.takenBack(store.revision(previous).document);
      const back = this.takeBack('weir', undefined, entry);
      replication?.announce();
      return back;
    } catch (error) {
      onError(error);
      this.#timer.again(revision, RETRY_MS);
      if (this.#stuck !== revision) {
        this.#stuck = revision;
        const why = error instanceof Error ? error.message : String(error);
        events.append({
          kind: 'rolled-back',
          severity: 'error',
          message: `revision ${revision} was not confirmed, so revision ${previous} is executed again; that cannot be written down yet: ${why}`,
          subject: { revision: previous },
        });
      }
      return store.revision(previous);
    }
  }
}

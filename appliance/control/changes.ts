/**
 * Every way to change the configuration, one at a time: check all of it, commit one
 * revision, have it executed, say what came of it. Nothing else writes intent.
 *
 * Invariant: a change that is refused, for whatever reason, has changed nothing.
 */
import { diffDocuments, withMember } from '../config/changes.js';
import { checkDocument, parseText, placeErrors, type DocumentResult } from '../config/document.js';
import { formatConfigError, type ConfigError } from '../config/errors.js';
import type { Document, Intent } from '../config/schema.js';
import { StoreError, type ConfigStore, type Revision } from '../config/store.js';
import { firstSliceCapabilities, unsupported, type HostKey } from '../config/support.js';
import type { ApplyResult, Change, ConfirmResult, DiffResult } from '../api/contract.js';
import {
  PortError,
  type ApplyRequest,
  type ChangeRequest,
  type DocumentSource,
  type RollbackRequest,
  type SetMemberRequest,
} from '../api/port.js';
import type { Done, Step } from '../ha/replication/replicator.js';
import { ReplicationError } from '../ha/replication/state.js';
import { CapacityError } from '../l4/programmer.js';
import type { EventLog } from '../telemetry/event-log.js';
import { forwardingChanges, hashChanges } from './change-warnings.js';
import { partAround } from './part-around.js';
import type { Reconciler } from './reconciler.js';
import { replicationOf, whyNotReplicated, type Replicate } from './replication.js';
import type { FastPathPort } from './ports.js';
import type { Tables } from './tables.js';
import { Unconfirmed } from './unconfirmed.js';

export interface ChangesOptions {
  readonly store: ConfigStore;
  readonly reconciler: Reconciler;
  readonly fastPath: FastPathPort;
  readonly events: EventLog;
  /** Sentences on what was committed but cannot be done now, once the network had its say. */
  readonly warnings: () => Promise<readonly string[]>;
  readonly onError: (error: unknown) => void;
  /** What of the host is Weir's to set; left out: nothing. */
  readonly host?: readonly HostKey[];
  /** Left out: this unit is in no pair. */
  readonly replication?: Replicate;
  /** Left out: no certificate is known, and none can be made. */
  readonly certificates?: {
    check(intent: Intent): ConfigError[];
    /** Resolves when those that are made here are there. */
    follow(intent: Intent): Promise<void>;
    /** It is executed: authorities may ask its services. */
    order(): void;
  };
}

interface Checked {
  readonly document: Document;
  readonly intent: Intent;
  readonly warnings: readonly string[];
}

export class Changes {
  readonly #options: ChangesOptions;
  readonly #unconfirmed: Unconfirmed;
  /** Changes wait for one another here. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: ChangesOptions) {
    this.#options = options;
    this.#unconfirmed = new Unconfirmed({
      ...options,
      inTurn: (work) => this.#inTurn(work),
      execute: (revision) => this.#carryOut(revision),
    });
    options.replication?.serve({
      check: (document) => this.#whyNot(document),
      taken: () => {
        this.#taken();
      },
    });
  }

  /** The revision to execute at start. */
  restore(): Revision | null {
    return this.#unconfirmed.restore();
  }

  apply(request: ApplyRequest): Promise<ApplyResult> {
    return this.#inTurn(async () => {
      const checked = this.#checkSource(request.source);
      return this.#commit(checked, request, request.dryRun, request.history);
    });
  }

  diff(source: DocumentSource): DiffResult {
    const { document, warnings } = this.#checkSource(source);
    const head = this.#options.store.head();
    return {
      revision: head?.number ?? null,
      changes: diffDocuments(head?.document ?? null, document),
      warnings,
    };
  }

  /** What would be executed; nothing is. */
  plan(source: DocumentSource): {
    readonly intent: Intent;
    readonly tables: Tables;
    readonly warnings: readonly string[];
  } {
    const { intent, warnings } = this.#checkSource(source);
    return { intent, tables: this.#options.reconciler.preview(intent), warnings };
  }

  rollback(request: RollbackRequest): Promise<ApplyResult> {
    return this.#inTurn(async () => {
      const revision = this.revision(request.to);
      const checked = this.#check(checkDocument(revision.document));
      const pending = this.#options.store.pendingConfirm();
      if (pending !== null && pending.previous === request.to) {
        this.#checkParent(request);
        const { author, comment } = request;
        const { value: back, report } = await this.#replicate({
          ...{ kind: 'commit', document: revision.document, author, comment, confirmBy: null },
          write: (recorded) => this.#unconfirmed.takeBack(author, comment, recorded),
        });
        return { ...(await this.#execute(back, checked, back.changes)), ...replicationOf(report) };
      }
      const comment = request.comment || `rollback to revision ${request.to}`;
      return this.#commit(checked, { ...request, comment }, false);
    });
  }

  setMember(request: SetMemberRequest): Promise<ApplyResult> {
    return this.#inTurn(async () => {
      const head = this.#options.store.head();
      if (head === null) throw new PortError('not-found', 'No configuration was applied yet.');
      const { state, weight } = request;
      const edited = withMember(head.document, request.pool, request.member, {
        ...(state === undefined ? {} : { state }),
        ...(weight === undefined ? {} : { weight }),
      });
      if (!edited.ok) throw new PortError('not-found', edited.message);
      const words = [state, weight === undefined ? undefined : `weight ${weight}`].filter(Boolean);
      const comment =
        request.comment || `set member ${request.pool} ${edited.member} ${words.join(', ')}`;
      const checked = this.#checkPool(edited.document, request.pool);
      return this.#commit(checked, { ...request, comment }, false);
    });
  }

  confirm(author: string): Promise<ConfirmResult> {
    return this.#inTurn(async () => {
      const pending = this.#options.store.pendingConfirm();
      if (pending === null) throw new PortError('conflict', 'Nothing awaits confirmation.');
      const { report } = await this.#replicate({
        ...{ kind: 'confirm', document: null, author, comment: '', confirmBy: null },
        write: (recorded) => {
          this.#options.store.confirm(pending.revision, recorded);
        },
      });
      this.#unconfirmed.watch();
      this.#options.events.append({
        kind: 'confirmed',
        severity: 'info',
        message: `revision ${pending.revision} is confirmed by ${author}`,
        subject: { revision: pending.revision, author },
      });
      return { revision: pending.revision, ...replicationOf(report) };
    });
  }

  revision(number: number): Revision {
    return this.#store(() => this.#options.store.revision(number));
  }

  async close(): Promise<void> {
    this.#unconfirmed.close();
    await this.#turn.catch(() => undefined);
  }

  /**
   * Checks a document that differs from the current one in one pool only, by that pool and
   * whatever leads to it: in a large configuration one member then costs as little as in a
   * small one.
   */
  #checkPool(document: Document, name: string): Checked {
    const current = this.#options.reconciler.intent;
    if (current === null) return this.#check(checkDocument(document));
    const part = this.#check(checkDocument(partAround(document, name)));
    const pool = part.intent.pools[name];
    if (pool === undefined) throw new PortError('not-found', `There is no pool ${name}.`);
    return { ...part, document, intent: { ...current, pools: { ...current.pools, [name]: pool } } };
  }

  #unsupported(intent: Intent): ConfigError[] {
    return unsupported(intent, { ...firstSliceCapabilities, host: this.#options.host ?? [] });
  }

  #checkSource(source: DocumentSource): Checked {
    return 'text' in source
      ? this.#check(parseText(source.text), source.text)
      : this.#check(checkDocument(source.document));
  }

  /** @param text where the document came from, to name lines */
  #check(result: DocumentResult, text?: string): Checked {
    if (!result.ok) throw refusal(result.errors);
    const lacking = this.#unsupported(result.intent);
    if (lacking.length > 0) {
      const details = text === undefined ? lacking : placeErrors(text, lacking);
      throw new PortError('unsupported', summary(details), { details });
    }
    const { reconciler, fastPath, certificates } = this.#options;
    const wrong = certificates?.check(result.intent) ?? [];
    if (wrong.length > 0) throw refusal(text === undefined ? wrong : placeErrors(text, wrong));
    const planned = reconciler.preview(result.intent).l4;
    try {
      fastPath.checkCapacity(planned);
    } catch (cause) {
      if (!(cause instanceof CapacityError)) throw cause;
      throw new PortError('unsupported', `${cause.message}.`, { cause });
    }
    return {
      document: result.document,
      intent: result.intent,
      warnings: [
        ...result.warnings.map(formatConfigError),
        ...forwardingChanges(reconciler.intent, result.intent),
        ...hashChanges(reconciler.tables?.l4, planned),
      ],
    };
  }

  async #commit(
    checked: Checked,
    request: ChangeRequest,
    dryRun: boolean,
    history?: ApplyRequest['history'],
  ): Promise<ApplyResult> {
    const { store, events } = this.#options;
    const head = store.head();
    const current = this.#checkParent(request);
    const changes = diffDocuments(head?.document ?? null, checked.document);
    const pending = store.pendingConfirm();
    const nothing = head !== null && changes.length === 0;
    // The same document with a new time to confirm is how that time is extended.
    if (dryRun || (nothing && (pending === null || request.confirm === undefined))) {
      const result = { revision: head?.number ?? null, changes, dryRun };
      if (pending === null || dryRun) return { ...result, warnings: checked.warnings };
      const still = `revision ${pending.revision} still goes back by itself unless it is confirmed`;
      return { ...result, confirmBy: pending.deadline, warnings: [...checked.warnings, still] };
    }
    const confirmBy = request.confirm === undefined ? undefined : Date.now() + request.confirm;
    const { document } = checked;
    const { author, comment } = request;
    const commit = { document, author, comment, parent: current, confirmBy, history };
    this.#store(() => {
      store.checkCommit(commit);
    });
    const { value: revision, report } = await this.#replicate({
      ...{ kind: 'commit', document, author, comment, confirmBy: confirmBy ?? null },
      write: (recorded) => store.commit({ ...commit, recorded }),
    });
    events.append(committed(revision, changes));
    if (confirmBy !== undefined) {
      this.#unconfirmed.watch();
      events.append({
        kind: 'confirm-pending',
        severity: 'warning',
        message: `revision ${revision.number} goes back by itself unless it is confirmed`,
        subject: { revision: revision.number },
      });
    }
    const executed = await this.#execute(revision, checked, changes);
    const result = { ...executed, ...replicationOf(report) };
    return confirmBy === undefined ? result : { ...result, confirmBy };
  }

  async #execute(
    revision: Revision,
    checked: Checked,
    changes: readonly Change[],
  ): Promise<ApplyResult> {
    const { reconciler, certificates } = this.#options;
    // Before it is executed, so that no service begins without its certificate.
    await certificates?.follow(checked.intent);
    reconciler.setIntent(checked.intent);
    try {
      await reconciler.settle();
    } finally {
      certificates?.order();
    }
    const late = await this.#options.warnings();
    return {
      revision: revision.number,
      changes,
      dryRun: false,
      warnings: [...checked.warnings, ...late],
    };
  }

  /** Writes a change down, on both units if it concerns both. */
  async #replicate<T>(step: Omit<Step<T>, 'base'>): Promise<Done<T>> {
    const { replication, store } = this.#options;
    if (replication === undefined) {
      return { value: this.#store(() => step.write(undefined)), report: null };
    }
    try {
      return await replication.run({ ...step, base: store.head()?.number ?? 0 });
    } catch (error) {
      return this.#store(() => {
        throw error;
      });
    }
  }

  /** Why this unit cannot execute what the other one has; null: it can. */
  #whyNot(document: Document): string | null {
    const { reconciler, fastPath } = this.#options;
    const result = checkDocument(document);
    if (!result.ok) return summary(result.errors);
    const lacking = this.#unsupported(result.intent);
    if (lacking.length > 0) return summary(lacking);
    // Certificates travel by themselves: one that is not here yet is an alarm, no reason to differ.
    try {
      fastPath.checkCapacity(reconciler.preview(result.intent).l4);
      return null;
    } catch (cause) {
      if (cause instanceof CapacityError) return `${cause.message}.`;
      throw cause;
    }
  }

  /** The other unit's change is current. */
  #taken(): void {
    this.#unconfirmed.watch();
    this.#inTurn(async () => {
      const head = this.#options.store.head();
      if (head !== null) await this.#carryOut(head);
    }).catch(this.#options.onError);
  }

  async #carryOut(revision: Revision): Promise<void> {
    const { certificates, reconciler } = this.#options;
    const checked = checkDocument(revision.document);
    if (!checked.ok) throw refusal(checked.errors);
    await certificates?.follow(checked.intent);
    reconciler.setIntent(checked.intent);
    try {
      await reconciler.settle();
    } finally {
      certificates?.order();
    }
  }

  /** Returns the number of the current revision, 0 for none. Throws when If-Match names another. */
  #checkParent({ ifMatch }: ChangeRequest): number {
    const current = this.#options.store.head()?.number ?? 0;
    if (ifMatch !== undefined && ifMatch !== current) {
      throw new PortError(
        'revision-mismatch',
        `The current revision is ${current}, not ${ifMatch}: look at what changed (weir history) and try again.`,
      );
    }
    return current;
  }

  #store<T>(work: () => T): T {
    try {
      return work();
    } catch (cause) {
      if (cause instanceof ReplicationError) throw whyNotReplicated(cause);
      if (!(cause instanceof StoreError)) throw cause;
      throw new PortError(STORE_CODES[cause.code] ?? 'unavailable', cause.message, { cause });
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }
}

const STORE_CODES: Partial<Record<StoreError['code'], PortError['code']>> = {
  conflict: 'revision-mismatch',
  unconfirmed: 'conflict',
  'not-pending': 'conflict',
  'nothing-to-return-to': 'conflict',
  'no-such-revision': 'not-found',
};

function refusal(errors: readonly ConfigError[]): PortError {
  const syntax = errors.some(({ code }) => code === 'syntax' || code === 'too-large');
  return new PortError(syntax ? 'syntax' : 'invalid', summary(errors), { details: errors });
}

/** The first error, and how many there are besides. */
function summary(errors: readonly ConfigError[]): string {
  const [first, ...others] = errors;
  if (first === undefined) return 'The document is refused.';
  const more = others.length === 0 ? '' : ` (and ${others.length} more)`;
  return `${formatConfigError(first)}${more}`;
}

function committed(
  revision: Revision,
  changes: readonly Change[],
): Parameters<EventLog['append']>[0] {
  return {
    kind: 'revision',
    severity: 'info',
    message:
      `revision ${revision.number} by ${revision.author}: ` +
      `${changes.length} ${changes.length === 1 ? 'change' : 'changes'}` +
      (revision.comment === '' ? '' : ` (${revision.comment})`),
    subject: { revision: revision.number, author: revision.author },
  };
}

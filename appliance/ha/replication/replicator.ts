/**
 * One configuration on two units: a change is written down by the other unit first and here then, so
 * that whatever stops in between, what was acknowledged as being on both is on both; and when the
 * units hear each other again, the one whose log is worse (config/shared.ts) takes over the other's.
 *
 * A proposal is answered by `taken`, and then written by its maker; one whose answer does not come is
 * written as well, under the same name, and said to be here only. Of two proposals that cross, both
 * units take the one with the smaller name. Everything else is an offer of entries that their owner
 * has, in reply to a greeting that says where the other one stands.
 *
 * Invariant: what comes is handled at once and whole, in one turn of the event loop, so it never
 * meets a half-made change; nothing is adopted that this unit cannot execute.
 */
import type { Document } from '../../config/schema.js';
import type { Recorded } from '../../config/shared-log.js';
import {
  isBetter,
  sharedDigest,
  type Entry,
  type EntryKind,
  type Standing,
} from '../../config/shared.js';
import { StoreError, type ConfigStore } from '../../config/store.js';
import { Catalogue } from './catalogue.js';
import {
  delivered,
  type Answer,
  type Hello,
  type Message,
  type Offer,
  type Outcome,
  type Proposal,
} from './messages.js';
import {
  ReplicationError,
  type PeerIdentity,
  type ReplicationNews,
  type Report,
  type View,
} from './state.js';

/** How long the other unit may take to answer while a link is up. */
const ANSWER_MS = 10_000;

export interface ReplicatorOptions {
  readonly store: ConfigStore;
  /** Null: this unit is in no pair. */
  readonly peer: () => PeerIdentity | null;
  /** This unit's name. */
  readonly unit: () => string;
  readonly send: (message: Message) => void;
  /** Why this unit cannot execute it, a sentence; null: it can. */
  readonly check: (document: Document) => string | null;
  readonly onNews: (news: ReplicationNews) => void;
  readonly now?: () => number;
  /** In the place of the time that the other unit may take to answer. Returns what stops it. */
  readonly setTimer?: (late: () => void) => () => void;
}

/** A change of this unit. */
export interface Step<T> {
  readonly kind: Exclude<EntryKind, 'rollback'>;
  /** Null: that of the current revision. */
  readonly document: Document | null;
  readonly author: string;
  readonly comment: string;
  readonly confirmBy: number | null;
  /** Number of the current revision that it was made from; 0: none. */
  readonly base: number;
  /** Writes it down, whole; without an entry it is a change of this unit alone. */
  readonly write: (recorded: Recorded | undefined) => T;
}

export interface Done<T> {
  readonly value: T;
  /** Null: it does not concern the other unit, or there is none. */
  readonly report: Report | null;
}

interface Outstanding {
  readonly number: number;
  readonly entry: Entry;
  readonly settle: (outcome: Outcome | { readonly what: 'away' | 'closed' }) => void;
}

export class Replicator {
  readonly #options: ReplicatorOptions;
  readonly #catalogue: Catalogue;
  readonly #now: () => number;
  readonly #watchers = new Set<() => void>();
  #up = false;
  #since: number | null = null;
  /** Where the other unit stands, as far as it is known; null: not heard since the link is up. */
  #peer: { readonly standing: Standing | null; readonly configured: boolean } | null = null;
  #outstanding: Outstanding | null = null;
  /** The head that is being offered. */
  #offered: { readonly number: number; readonly head: string } | null = null;
  /** Superseded entries that are being told. */
  #telling: { readonly number: number; readonly ids: readonly string[] } | null = null;
  /** Proposals and offers of this run. */
  #sent = 0;
  /** Why the other unit does not take over this head. */
  #refusal: { readonly head: string; readonly reason: string } | null = null;

  constructor(options: ReplicatorOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#catalogue = new Catalogue(options.store);
  }

  /** The other unit is heard, or another run of its daemon is. */
  linkUp(): void {
    this.#begin();
    this.#up = true;
    this.#forget();
    this.#greet(true);
    this.#changed();
  }

  linkDown(): void {
    this.#up = false;
    this.#since = this.#now();
    this.#forget();
    this.#changed();
  }

  /** Makes a change here and, if it concerns the other unit, there. @throws ReplicationError, and what `write` throws */
  async run<T>(step: Step<T>): Promise<Done<T>> {
    const peer = this.#begin();
    if (peer === null || !this.#isShared(step)) {
      const value = step.write(undefined);
      // The other unit may have waited for just that.
      if (this.#up && peer !== null && !this.#inStep) this.#greet(true);
      return { value, report: null };
    }
    if (this.#awaitsFirst(peer)) {
      throw new ReplicationError(
        'joining',
        `This unit takes over the configuration of ${peer.name} first: wait until it is heard, or run "weir pair leave".`,
      );
    }
    const pending = this.#options.store.pendingConfirm();
    if (pending !== null && step.confirmBy !== null && !this.#options.store.log.waits) {
      throw new ReplicationError(
        'waits',
        `Revision ${pending.revision}, which is of this unit alone, waits to be confirmed: run "weir confirm" or "weir rollback ${pending.previous}" first.`,
      );
    }
    for (let attempt = 0; attempt < 2 && this.#up; attempt += 1) {
      if (!this.#inStep) await this.#catchUp();
      this.#checkBase(step);
      if (!this.#up || !this.#inStep) break;
      const done = await this.#propose(step, peer);
      if (done !== 'elsewhere') return done;
      this.#peer = null;
    }
    this.#checkBase(step);
    const entry = this.#draft(step, peer);
    const value = step.write({ entry, peerHas: false });
    if (this.#up) await this.#catchUp();
    return { value, report: this.#report(entry, peer) };
  }

  /**
   * The entry with which this unit takes back what waits to be confirmed, without asking; undefined
   * when the log says it by itself or it does not concern the other unit. `back`: what then holds.
   */
  takenBack(back: Document): Recorded | undefined {
    const peer = this.#begin();
    const { log } = this.#options.store;
    const head = log.head();
    if (peer === null || head === null || log.waits || sharedDigest(back) === head.digest) return;
    const step = {
      kind: 'commit',
      document: back,
      author: 'weir',
      comment: '',
      confirmBy: null,
    } as const;
    return { entry: this.#draft(step, peer), peerHas: false };
  }

  /** What is here and was not proposed: to be told to the other unit. */
  announce(): void {
    if (this.#begin() !== null && this.#up) this.#greet(true);
  }

  receive(message: Message): void {
    const peer = this.#begin();
    if (peer === null || !this.#up) return;
    switch (message.type) {
      case 'hello':
        this.#hearHello(message, peer);
        break;
      case 'propose':
        this.#hearProposal(message, peer);
        break;
      case 'offer':
        this.#hearOffer(message, peer);
        break;
      case 'answer':
        this.#hearAnswer(message, peer);
    }
    this.#changed();
  }

  /** Null: this unit is in no pair. */
  view(): View | null {
    const peer = this.#begin();
    if (peer === null) return null;
    const lacking = this.#options.store.log.peerLacks();
    const state = !this.#up
      ? 'away'
      : this.#inStep
        ? 'in-step'
        : this.#refusal !== null
          ? 'refused'
          : 'catching-up';
    const reason = state === 'refused' ? (this.#refusal?.reason ?? null) : null;
    return { peer: peer.name, state, since: this.#up ? null : this.#since, lacking, reason };
  }

  close(): void {
    this.#up = false;
    this.#outstanding?.settle({ what: 'closed' });
    this.#changed();
  }

  get #inStep(): boolean {
    return this.#peer !== null && this.#peer.standing?.id === this.#options.store.log.head()?.id;
  }

  /** The pair, with its log begun: the configuration of the inviter is where both start from. */
  #begin(): PeerIdentity | null {
    const peer = this.#options.peer();
    if (peer === null) return null;
    const { store, unit } = this.#options;
    const rooted = peer.role === 'joiner' || store.head() === null || store.log.head() !== null;
    if (store.log.pair !== peer.key || !rooted) {
      store.log.begin(peer.key, peer.role === 'inviter' ? { unit: unit() } : null);
    }
    return peer;
  }

  /** A joiner has nothing to say before it knows that the inviter has no configuration. */
  #awaitsFirst({ role }: PeerIdentity): boolean {
    if (role === 'inviter' || this.#options.store.log.head() !== null) return false;
    return this.#peer === null || this.#peer.configured || this.#peer.standing !== null;
  }

  #isShared({ kind, document }: Pick<Step<unknown>, 'kind' | 'document'>): boolean {
    const { log } = this.#options.store;
    if (log.waits) return true;
    return kind === 'commit' && document !== null && sharedDigest(document) !== log.head()?.digest;
  }

  #draft(step: Omit<Step<unknown>, 'base' | 'write'>, peer: PeerIdentity): Entry {
    const { kind, document, author, comment, confirmBy } = step;
    const { log } = this.#options.store;
    const digest = document === null ? (log.head()?.digest ?? '') : sharedDigest(document);
    const [unit, time] = [this.#options.unit(), this.#now()];
    return log.draft({ kind, unit, author, comment, time, confirmBy, digest }, peer.key);
  }

  #checkBase({ base }: Pick<Step<unknown>, 'base'>): void {
    const head = this.#options.store.head();
    if ((head?.number ?? 0) === base) return;
    throw new ReplicationError('conflict', 'It was overtaken.', this.#catalogue.rival(base));
  }

  /** Resolves when the other unit has what this one has or cannot have it, is away, or takes too long. */
  async #catchUp(): Promise<void> {
    this.#greet(true);
    const over = (): boolean => !this.#up || this.#inStep || this.#refused;
    if (over()) return;
    await new Promise<void>((resolve) => {
      const end = (): void => {
        clear();
        this.#watchers.delete(look);
        resolve();
      };
      const look = (): void => {
        if (over()) end();
      };
      const clear = this.#timer(end);
      this.#watchers.add(look);
    });
  }

  get #refused(): boolean {
    return this.#refusal !== null && this.#refusal.head === this.#options.store.log.head()?.id;
  }

  #propose<T>(step: Step<T>, peer: PeerIdentity): Promise<Done<T> | 'elsewhere'> {
    const entry = this.#draft(step, peer);
    return new Promise((resolve, reject) => {
      const settle: Outstanding['settle'] = (outcome) => {
        clear();
        this.#outstanding = null;
        try {
          resolve(this.#conclude(step, entry, outcome, peer));
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      };
      const clear = this.#timer(() => {
        settle({ what: 'away' });
      });
      const number = ++this.#sent;
      this.#outstanding = { number, entry, settle };
      this.#options.send({
        type: 'propose',
        number,
        delivered: this.#catalogue.proposal(entry, step.document),
        remaining: this.#remaining(entry.confirmBy),
      });
    });
  }

  #conclude<T>(
    step: Step<T>,
    entry: Entry,
    outcome: Parameters<Outstanding['settle']>[0],
    peer: PeerIdentity,
  ): Done<T> | 'elsewhere' {
    switch (outcome.what) {
      case 'taken':
      case 'away': {
        this.#checkBase(step);
        const peerHas = outcome.what === 'taken';
        const value = step.write({ entry, peerHas });
        if (peerHas) this.#peerStands(entry.id);
        if (this.#up) this.#greet(!peerHas);
        return { value, report: this.#report(entry, peer) };
      }
      case 'elsewhere':
        return 'elsewhere';
      case 'conflict':
        // The other one may be here by now, and tell more.
        this.#checkBase(step);
        throw new ReplicationError('conflict', 'It was overtaken.', outcome.rival);
      case 'refused':
        throw new ReplicationError('refused', outcome.reason);
      case 'closed':
        throw new ReplicationError(
          'closing',
          `The daemon stops: look at "weir history" whether ${peer.name} has taken the change.`,
        );
    }
  }

  #report(entry: Entry, { name: peer }: PeerIdentity): Report {
    const { log } = this.#options.store;
    const replicated = log.entry(entry.id)?.main === true && log.peerLacks() === 0;
    if (replicated) return { peer, replicated, why: null, since: null };
    if (!this.#up) return { peer, replicated, why: 'away', since: this.#since };
    const why = this.#refused ? (this.#refusal?.reason ?? '') : 'late';
    return { peer, replicated, why, since: null };
  }

  #hearHello({ pair, standing, configured, locator, reply }: Hello, peer: PeerIdentity): void {
    if (pair !== peer.key) return;
    const { log } = this.#options.store;
    this.#peer = { standing, configured };
    const unclaimed = log.head() === null && standing === null && !configured;
    if (peer.role === 'joiner' && unclaimed && this.#options.store.head() !== null) {
      log.begin(peer.key, { unit: this.#options.unit() });
    }
    const own = log.head();
    if (own?.id === standing?.id) {
      log.peerHas(own?.id ?? null);
      this.#refusal = null;
      this.#tell();
    } else if (isBetter(own, standing)) {
      log.peerHas(locator.find((id) => log.entry(id) !== null) ?? null);
      this.#offer(locator);
    }
    if (reply) this.#greet(false);
  }

  #hearProposal({ number, delivered: given, remaining }: Proposal, peer: PeerIdentity): void {
    const { log } = this.#options.store;
    const { entry } = given;
    const head = log.head();
    const mine = this.#outstanding;
    if (log.entry(entry.id)?.main === true) this.#answer(number, { what: 'taken' });
    else if (entry.parent !== (head?.id ?? peer.key)) {
      const rival = this.#catalogue.rivalSince(entry.parent, peer.key);
      this.#answer(number, rival === null ? { what: 'elsewhere' } : { what: 'conflict', rival });
    } else if (mine !== null && mine.entry.id < entry.id) {
      this.#answer(number, { what: 'conflict', rival: this.#catalogue.rivalOf(mine.entry) });
    } else if (this.#awaitsFirst(peer)) this.#answer(number, { what: 'elsewhere' });
    else if (entry.kind === 'rollback' || (entry.kind === 'confirm' && !log.waits)) {
      this.#answer(number, { what: 'refused', reason: 'nothing waits to be confirmed there' });
    } else {
      this.#answer(number, this.#take([given], remaining, peer));
      // Its maker writes it down when it hears that; a greeting says so.
      if (log.entry(entry.id)?.main === true)
        this.#peer = { standing: log.head(), configured: true };
    }
  }

  #hearOffer({ number, entries, goal, remaining }: Offer, peer: PeerIdentity): void {
    const { log } = this.#options.store;
    const last = entries.at(-1)?.entry;
    if (last === undefined) return;
    // What was proposed is there: the answer was lost on the way.
    const mine = this.#outstanding;
    if (mine !== null && entries.some(({ entry }) => entry.id === mine.entry.id)) {
      mine.settle({ what: 'taken' });
    }
    if (goal === 'head') {
      const known = log.entry(last.id);
      const outcome =
        known?.main === true ? { what: 'taken' as const } : this.#take(entries, remaining, peer);
      if (outcome.what === 'taken') this.#peerStands(last.id);
      this.#answer(number, outcome);
      // This unit has more, or the other one left something out.
      if (outcome.what === 'elsewhere' || log.head()?.id !== last.id) this.#greet(true);
      if (this.#inStep) this.#tell();
      return;
    }
    const fresh = entries.filter(({ entry }) => log.entry(entry.id) === null);
    try {
      log.stash(entries.map(delivered), this.#ownUnit(peer));
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      if (goal === 'superseded') this.#answer(number, { what: 'elsewhere' });
      this.#options.onNews({ what: 'not-kept', peer: peer.name, reason: error.message });
      return;
    }
    if (goal !== 'superseded') return;
    this.#answer(number, { what: 'taken' });
    const lost = fresh.flatMap(({ entry }) => log.entry(entry.id) ?? []);
    if (lost.length > 0) this.#superseded('there', lost, peer);
  }

  #hearAnswer({ to, outcome }: Answer, peer: PeerIdentity): void {
    if (this.#outstanding?.number === to) {
      this.#outstanding.settle(outcome);
    } else if (this.#telling?.number === to) {
      const { ids } = this.#telling;
      this.#telling = null;
      if (outcome.what !== 'taken') return;
      this.#options.store.log.told(ids);
      this.#tell();
    } else if (this.#offered?.number === to) {
      const { head } = this.#offered;
      this.#offered = null;
      if (outcome.what === 'taken') {
        this.#refusal = null;
        this.#peerStands(head);
        if (this.#inStep) this.#tell();
        else this.#greet(true);
      } else if (outcome.what === 'refused') {
        const told = this.#refusal?.head === head;
        this.#refusal = { head, reason: outcome.reason };
        if (!told)
          this.#options.onNews({ what: 'refused', peer: peer.name, reason: outcome.reason });
      }
    }
  }

  /** Takes over entries whose last one becomes the head, if it is better and can be executed. */
  #take(entries: Offer['entries'], remaining: number, peer: PeerIdentity): Outcome {
    const { store, check, onNews } = this.#options;
    const { log } = store;
    const goal = entries.at(-1)?.entry;
    if (goal === undefined) return { what: 'elsewhere' };
    try {
      const pending = store.pendingConfirm();
      if (pending !== null && !log.waits) {
        const reason = `revision ${pending.revision} of ${this.#options.unit()} waits to be confirmed: run "weir confirm" there first`;
        return { what: 'refused', reason };
      }
      const own = this.#ownUnit(peer);
      const problem = this.#catalogue.unexecutable(
        entries,
        store.head()?.document.unit ?? own,
        check,
      );
      if (problem !== null) return { what: 'refused', reason: problem };
      log.stash(entries.map(delivered), own);
      const before = store.head();
      if (!isBetter(log.entry(goal.id), log.head())) return { what: 'elsewhere' };
      const first = log.head() === null;
      const { revision, superseded } = log.adopt(goal.id, this.#now() + remaining);
      onNews({
        what: 'taken',
        peer: peer.name,
        entry: goal,
        revision,
        replaced: first ? before : null,
      });
      if (superseded.length > 0) this.#superseded('here', superseded, peer);
      return { what: 'taken' };
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      // Entries are missing in between: a greeting says from where on.
      if (error.code === 'no-such-revision') return { what: 'elsewhere' };
      return { what: 'refused', reason: error.message };
    }
  }

  /** The unit section of a unit that has no configuration yet. */
  #ownUnit(peer: PeerIdentity): Document['unit'] {
    const name = this.#options.unit();
    return { name: name === peer.name ? `${name}-2` : name };
  }

  #superseded(where: 'here' | 'there', lost: readonly Entry[], { name: peer }: PeerIdentity): void {
    this.#options.onNews({ what: 'superseded', where, peer, ...this.#catalogue.lost(lost) });
  }

  #peerStands(id: string): void {
    const { log } = this.#options.store;
    this.#peer = { standing: log.entry(id), configured: true };
    log.peerHas(id);
  }

  /** Offers everything above what both have. */
  #offer(locator: readonly string[]): void {
    const head = this.#options.store.log.head();
    // The same is under way: its answer brings what is new then.
    if (head === null || this.#offered?.head === head.id) return;
    const number = ++this.#sent;
    this.#offered = { number, head: head.id };
    const remaining = this.#remaining(this.#options.store.pendingConfirm()?.deadline ?? null);
    for (const batch of this.#catalogue.above(locator)) {
      this.#options.send({ type: 'offer', number, ...batch, remaining });
    }
  }

  /** Sends the other unit what lost here, for its history. */
  #tell(): void {
    if (this.#telling !== null || !this.#up) return;
    const entries = this.#catalogue.untold();
    if (entries.length === 0) return;
    const number = ++this.#sent;
    this.#telling = { number, ids: entries.map(({ entry }) => entry.id) };
    this.#options.send({ type: 'offer', number, entries, goal: 'superseded', remaining: 0 });
  }

  #greet(reply: boolean): void {
    const { store, peer, send } = this.#options;
    const pair = peer()?.key;
    if (pair === undefined) return;
    const standing = standingOf(store.log.head());
    const configured = store.head() !== null;
    send({ type: 'hello', pair, standing, configured, locator: store.log.locator(), reply });
  }

  #answer(to: number, outcome: Outcome): void {
    this.#options.send({ type: 'answer', to, outcome });
  }

  #remaining(until: number | null): number {
    return until === null ? 0 : Math.max(0, until - this.#now());
  }

  /** What was said in the former session counts no more. */
  #forget(): void {
    this.#peer = null;
    this.#offered = null;
    this.#telling = null;
    this.#refusal = null;
    this.#outstanding?.settle({ what: 'away' });
  }

  /** Runs out when the other unit took too long. Returns what stops it. */
  #timer(late: () => void): () => void {
    const { setTimer } = this.#options;
    if (setTimer !== undefined) return setTimer(late);
    const timer = setTimeout(late, ANSWER_MS);
    return () => {
      clearTimeout(timer);
    };
  }

  #changed(): void {
    for (const look of [...this.#watchers]) look();
  }
}

function standingOf(head: Standing | null): Standing | null {
  if (head === null) return null;
  const { id, weight, height, time } = head;
  return { id, weight, height, time };
}

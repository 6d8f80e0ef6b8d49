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
import { sharedDigest, type Entry, type EntryKind } from '../../config/shared.js';
import { Catalogue } from './catalogue.js';
import type { Message, Outcome, Proposal } from './messages.js';
import { Partner, type PartnerOptions } from './partner.js';
import { ReplicationError, type PeerIdentity, type Report, type View } from './state.js';

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
  readonly #options: PartnerOptions;
  readonly #catalogue: Catalogue;
  readonly #partner: Partner;
  #outstanding: Outstanding | null = null;

  constructor(options: PartnerOptions) {
    this.#options = options;
    this.#catalogue = new Catalogue(options.store);
    this.#partner = new Partner(options, this.#catalogue);
  }

  /** The other unit is heard, or another run of its daemon is. */
  linkUp(): void {
    this.#begin();
    this.#partner.set(true);
    this.#outstanding?.settle({ what: 'away' });
    this.#partner.greet(true);
    this.#partner.changed();
  }

  linkDown(): void {
    this.#partner.set(false);
    this.#outstanding?.settle({ what: 'away' });
    this.#partner.changed();
  }

  /** Makes a change here and, if it concerns the other unit, there. @throws ReplicationError, and what `write` throws */
  async run<T>(step: Step<T>): Promise<Done<T>> {
    const peer = this.#begin();
    const partner = this.#partner;
    if (peer === null || !this.#isShared(step)) {
      const value = step.write(undefined);
      // The other unit may have waited for just that.
      if (this.#partner.up && peer !== null && !this.#partner.inStep) this.#partner.greet(true);
      return { value, report: null };
    }
    if (this.#partner.awaitsFirst(peer) && this.#partner.up) await this.#partner.catchUp();
    if (this.#partner.awaitsFirst(peer)) {
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
    const before = this.#options.store.log.head()?.id ?? null;
    for (let attempt = 0; attempt < 2 && this.#partner.up; attempt += 1) {
      if (!this.#partner.inStep) await this.#partner.catchUp();
      this.#checkBase(step, before);
      if (!this.#partner.up || !this.#partner.inStep) break;
      const done = await this.#propose(step, peer);
      if (done !== 'elsewhere') return done;
      partner.forget();
    }
    this.#checkBase(step, before);
    const entry = this.#draft(step, peer);
    const value = step.write({ entry, peerHas: false });
    if (this.#partner.up) await this.#partner.catchUp();
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
    if (this.#begin() !== null && this.#partner.up) this.#partner.greet(true);
  }

  receive(message: Message): void {
    const peer = this.#begin();
    if (peer === null || !this.#partner.up) return;
    switch (message.type) {
      case 'hello':
        this.#partner.hearHello(message, peer);
        break;
      case 'propose':
        this.#hearProposal(message, peer);
        break;
      case 'offer': {
        // What was proposed is there: the answer was lost on the way.
        const mine = this.#outstanding;
        if (message.entries.some(({ entry }) => entry.id === mine?.entry.id)) {
          mine?.settle({ what: 'taken' });
        }
        this.#partner.hearOffer(message, peer);
        break;
      }
      case 'answer':
        if (this.#outstanding?.number === message.to) this.#outstanding.settle(message.outcome);
        else this.#partner.hearAnswer(message, peer);
    }
    this.#partner.changed();
  }

  /** Null: this unit is in no pair. */
  view(): View | null {
    const peer = this.#begin();
    if (peer === null) return null;
    const lacking = this.#options.store.log.peerLacks();
    const { up, inStep, refused, refusal, since } = this.#partner;
    const state = !up ? 'away' : inStep ? 'in-step' : refused ? 'refused' : 'catching-up';
    return { peer: peer.name, state, since, lacking, reason: refused ? refusal : null };
  }

  close(): void {
    this.#partner.set(false);
    this.#outstanding?.settle({ what: 'closed' });
    this.#partner.changed();
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

  #isShared({ kind, document }: Pick<Step<unknown>, 'kind' | 'document'>): boolean {
    const { log } = this.#options.store;
    if (log.waits) return true;
    return kind === 'commit' && document !== null && sharedDigest(document) !== log.head()?.digest;
  }

  #draft(step: Omit<Step<unknown>, 'base' | 'write'>, peer: PeerIdentity): Entry {
    const { kind, document, author, comment, confirmBy } = step;
    const { log } = this.#options.store;
    const digest = document === null ? (log.head()?.digest ?? '') : sharedDigest(document);
    const [unit, time] = [this.#options.unit(), this.#partner.now()];
    return log.draft({ kind, unit, author, comment, time, confirmBy, digest }, peer.key);
  }

  /** A confirmation by the other unit's author is a new head, and the same revision. */
  #checkBase({ base }: Pick<Step<unknown>, 'base'>, before: string | null): void {
    const { store } = this.#options;
    const overtaken = before !== null && before !== store.log.head()?.id;
    if (!overtaken && (store.head()?.number ?? 0) === base) return;
    throw new ReplicationError('conflict', 'It was overtaken.', this.#catalogue.rival(base));
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
      const clear = this.#partner.timer(() => {
        settle({ what: 'away' });
      });
      const number = this.#partner.number();
      this.#outstanding = { number, entry, settle };
      this.#options.send({
        type: 'propose',
        number,
        delivered: this.#catalogue.proposal(entry, step.document),
        remaining: this.#partner.remaining(entry.confirmBy),
      });
    });
  }

  #conclude<T>(
    step: Step<T>,
    entry: Entry,
    outcome: Parameters<Outstanding['settle']>[0],
    peer: PeerIdentity,
  ): Done<T> | 'elsewhere' {
    const before = entry.parent === peer.key ? null : entry.parent;
    switch (outcome.what) {
      case 'taken':
      case 'away': {
        this.#checkBase(step, before);
        const peerHas = outcome.what === 'taken';
        const value = step.write({ entry, peerHas });
        if (peerHas) this.#partner.stands(entry.id);
        if (this.#partner.up) this.#partner.greet(!peerHas);
        return { value, report: this.#report(entry, peer) };
      }
      case 'elsewhere':
        return 'elsewhere';
      case 'conflict':
        // The other one may be here by now, and tell more.
        this.#checkBase(step, before);
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
    const { up, since, refused, refusal } = this.#partner;
    if (!up) return { peer, replicated, why: 'away', since };
    return { peer, replicated, why: (refused ? refusal : null) ?? 'late', since: null };
  }

  #hearProposal({ number, delivered: given, remaining }: Proposal, peer: PeerIdentity): void {
    const { log } = this.#options.store;
    const { entry } = given;
    const head = log.head();
    const mine = this.#outstanding;
    const partner = this.#partner;
    if (log.entry(entry.id)?.main === true) partner.answer(number, { what: 'taken' });
    else if (entry.parent !== (head?.id ?? peer.key)) {
      const rival = this.#catalogue.rivalSince(entry.parent, peer.key);
      partner.answer(number, rival === null ? { what: 'elsewhere' } : { what: 'conflict', rival });
    } else if (mine !== null && mine.entry.id < entry.id) {
      partner.answer(number, { what: 'conflict', rival: this.#catalogue.rivalOf(mine.entry) });
    } else if (this.#partner.awaitsFirst(peer)) partner.answer(number, { what: 'elsewhere' });
    else if (entry.kind === 'rollback' || (entry.kind === 'confirm' && !log.waits)) {
      partner.answer(number, { what: 'refused', reason: 'nothing waits to be confirmed there' });
    } else {
      partner.answer(number, partner.take([given], remaining, peer));
      // Its maker writes it down when it hears that; a greeting says so.
      if (log.entry(entry.id)?.main === true) partner.expect();
    }
  }
}

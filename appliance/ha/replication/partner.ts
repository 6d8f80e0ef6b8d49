/**
 * The other unit as this one knows it in a session, and how the one that is behind comes to have what
 * the other has: a greeting says where a unit stands, and whoever has the better log (config/shared.ts)
 * offers what the other one lacks.
 *
 * Invariant: an offer is adopted whole or not at all, and only if it is better than what is here and
 * this unit can execute it. What then is superseded is kept, and told to the other unit until that
 * has it too.
 */
import type { Document } from '../../config/schema.js';
import { isBetter, type Entry, type Standing } from '../../config/shared.js';
import { StoreError, type ConfigStore } from '../../config/store.js';
import type { Catalogue } from './catalogue.js';
import {
  delivered,
  type Answer,
  type Hello,
  type Message,
  type Offer,
  type Outcome,
} from './messages.js';
import type { PeerIdentity, ReplicationNews } from './state.js';

/** How long the other unit may take to answer while a link is up. */
const ANSWER_MS = 10_000;

export interface PartnerOptions {
  readonly store: ConfigStore;
  /** Null: this unit is in no pair. */
  readonly peer: () => PeerIdentity | null;
  /** This unit's name. */
  readonly unit: () => string;
  readonly send: (message: Message) => void;
  /** Why this unit cannot execute it, a sentence; null: it can. */
  readonly check: (document: Document) => string | null;
  readonly onNews: (news: ReplicationNews) => void;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** In the place of the time that the other unit may take to answer. Returns what stops it. */
  readonly setTimer?: (late: () => void) => () => void;
}

export class Partner {
  readonly #options: PartnerOptions;
  readonly #catalogue: Catalogue;
  readonly #watchers = new Set<() => void>();
  #up = false;
  #since: number | null = null;
  /** Where it stands, as far as it is known; null: not heard since the link is up. */
  #peer: { readonly standing: Standing | null; readonly configured: boolean } | null = null;
  /** The head that is being offered. */
  #offered: { readonly number: number; readonly head: string } | null = null;
  /** Superseded entries that are being told. */
  #telling: { readonly number: number; readonly ids: readonly string[] } | null = null;
  /** Why it does not take over this head. */
  #refusal: { readonly head: string; readonly reason: string } | null = null;
  #numbers = 0;
  /** Why a part of the offer that is coming could not be written down. */
  #unkept: string | null = null;

  constructor(options: PartnerOptions, catalogue: Catalogue) {
    this.#options = options;
    this.#catalogue = catalogue;
  }

  /** Whether it is heard. */
  get up(): boolean {
    return this.#up;
  }

  /** When it was lost; null: it is heard, or was not since this daemon started. */
  get since(): number | null {
    return this.#since;
  }

  get refusal(): string | null {
    return this.#refusal?.reason ?? null;
  }

  /** A session begins or ends: what was said before counts no more. */
  set(up: boolean): void {
    this.#up = up;
    this.#since = up ? null : this.now();
    this.#offered = null;
    this.#telling = null;
    this.#refusal = null;
    this.forget();
  }

  /** Where it stands is to be asked anew. */
  forget(): void {
    this.#peer = null;
  }

  /** It will have what this unit has, if it wrote down what it proposed. */
  expect(): void {
    this.#peer = { standing: this.#options.store.log.head(), configured: true };
  }

  /** Whether both have the same, as far as this unit knows. */
  get inStep(): boolean {
    return this.#peer !== null && this.#peer.standing?.id === this.#options.store.log.head()?.id;
  }

  /** Whether the other unit said that it cannot take over what is here. */
  get refused(): boolean {
    return this.#refusal !== null && this.#refusal.head === this.#options.store.log.head()?.id;
  }

  /** A joiner has nothing to say before it knows that the inviter has no configuration. */
  awaitsFirst({ role }: PeerIdentity): boolean {
    if (role === 'inviter' || this.#options.store.log.head() !== null) return false;
    return this.#peer === null || this.#peer.configured || this.#peer.standing !== null;
  }

  /** Resolves when the other unit has what this one has or cannot have it, is away, or takes too long. */
  async catchUp(): Promise<void> {
    this.greet(true);
    const over = (): boolean => !this.up || this.inStep || this.refused;
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
      const clear = this.timer(end);
      this.#watchers.add(look);
    });
  }

  /** Says where this unit stands; `reply`: and asks the other one. */
  greet(reply: boolean): void {
    const { store, peer, send } = this.#options;
    const pair = peer()?.key;
    if (pair === undefined) return;
    const standing = standingOf(store.log.head());
    const configured = store.head() !== null;
    send({ type: 'hello', pair, standing, configured, locator: store.log.locator(), reply });
  }

  /** The other unit has this entry at least, and says no more. */
  stands(id: string): void {
    const { log } = this.#options.store;
    this.#peer = { standing: log.entry(id), configured: true };
    log.peerHas(id);
  }

  hearHello({ pair, standing, configured, locator, reply }: Hello, peer: PeerIdentity): void {
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
    if (reply) this.greet(false);
  }

  hearOffer({ number, entries, goal, remaining }: Offer, peer: PeerIdentity): void {
    const { log } = this.#options.store;
    const last = entries.at(-1)?.entry;
    if (last === undefined) return;
    if (goal === 'head') {
      const known = log.entry(last.id);
      const unkept = this.#unkept;
      this.#unkept = null;
      const outcome: Outcome =
        known?.main === true
          ? { what: 'taken' }
          : unkept !== null
            ? { what: 'refused', reason: unkept }
            : this.take(entries, remaining, peer);
      if (outcome.what === 'taken') this.stands(last.id);
      this.answer(number, outcome);
      // This unit has more, or the other one left something out.
      const more = outcome.what === 'taken' && log.head()?.id !== last.id;
      if (outcome.what === 'elsewhere' || more) this.greet(true);
      if (this.inStep) this.#tell();
      return;
    }
    const fresh = entries.filter(({ entry }) => log.entry(entry.id) === null);
    try {
      log.stash(entries.map(delivered), this.#ownUnit(peer));
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      if (goal === 'superseded') this.answer(number, { what: 'elsewhere' });
      else if (error.code !== 'no-such-revision') this.#unkept = error.message;
      this.#options.onNews({ what: 'not-kept', peer: peer.name, reason: error.message });
      return;
    }
    if (goal !== 'superseded') return;
    this.answer(number, { what: 'taken' });
    const lost = fresh.flatMap(({ entry }) => log.entry(entry.id) ?? []);
    if (lost.length > 0) this.#superseded('there', lost, peer);
  }

  /** To an offer; one of a former session is none. */
  hearAnswer({ to, outcome }: Answer, peer: PeerIdentity): void {
    if (this.#telling?.number === to) {
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
        this.stands(head);
        if (this.inStep) this.#tell();
        else this.greet(true);
      } else if (outcome.what === 'refused') {
        const told = this.#refusal?.head === head;
        this.#refusal = { head, reason: outcome.reason };
        if (!told)
          this.#options.onNews({ what: 'refused', peer: peer.name, reason: outcome.reason });
      }
    }
  }

  /** Takes over entries whose last one becomes the head, if it is better and can be executed. */
  take(entries: Offer['entries'], remaining: number, peer: PeerIdentity): Outcome {
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
      const { revision, superseded } = log.adopt(goal.id, this.now() + remaining);
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

  #superseded(where: 'here' | 'there', lost: readonly Entry[], { name: peer }: PeerIdentity): void {
    this.#options.onNews({ what: 'superseded', where, peer, ...this.#catalogue.lost(lost) });
  }

  /** The unit section of a unit that has no configuration yet. */
  #ownUnit(peer: PeerIdentity): Document['unit'] {
    const name = this.#options.unit();
    return { name: name === peer.name ? `${name}-2` : name };
  }

  /** Offers everything above what both have. */
  #offer(locator: readonly string[]): void {
    const head = this.#options.store.log.head();
    // The same is under way: its answer brings what is new then.
    if (head === null || this.#offered?.head === head.id) return;
    const number = this.number();
    this.#offered = { number, head: head.id };
    const remaining = this.remaining(this.#options.store.pendingConfirm()?.deadline ?? null);
    for (const batch of this.#catalogue.above(locator)) {
      this.#options.send({ type: 'offer', number, ...batch, remaining });
    }
  }

  /** Sends the other unit what lost here, for its history. */
  #tell(): void {
    if (this.#telling !== null || !this.up) return;
    const entries = this.#catalogue.untold();
    if (entries.length === 0) return;
    const number = this.number();
    this.#telling = { number, ids: entries.map(({ entry }) => entry.id) };
    this.#options.send({ type: 'offer', number, entries, goal: 'superseded', remaining: 0 });
  }

  answer(to: number, outcome: Outcome): void {
    this.#options.send({ type: 'answer', to, outcome });
  }

  /** Of a proposal or an offer of this run. */
  number(): number {
    this.#numbers += 1;
    return this.#numbers;
  }

  now(): number {
    return this.#options.now?.() ?? Date.now();
  }

  remaining(until: number | null): number {
    return until === null ? 0 : Math.max(0, until - this.now());
  }

  /** Runs out when the other unit took too long. Returns what stops it. */
  timer(late: () => void): () => void {
    const { setTimer } = this.#options;
    if (setTimer !== undefined) return setTimer(late);
    const timer = setTimeout(late, ANSWER_MS);
    return () => {
      clearTimeout(timer);
    };
  }

  /** Something came, or a session began or ended. */
  changed(): void {
    for (const look of [...this.#watchers]) look();
  }
}

function standingOf(head: Standing | null): Standing | null {
  if (head === null) return null;
  const { id, weight, height, time } = head;
  return { id, weight, height, time };
}

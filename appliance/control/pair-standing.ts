/**
 * What the two units of a pair have in common, in one answer: configuration, flows, whatever else is
 * shared, roles. Nothing is decided here.
 */
import type { PairFlows, PairShared, PairStanding } from '../api/pair-contract.js';
import type { ConfigStore } from '../config/store.js';
import type { FlowMirror, FlowMirrorState } from '../ha/flows/flow-mirror.js';
import type { ReplicaState } from '../ha/shared/replica.js';
import type { Replication } from './replication.js';
import type { Roles } from './roles.js';
import type { StickySharing } from './sticky-sharing.js';

export interface StandingParts {
  readonly store: Pick<ConfigStore, 'head' | 'log'>;
  readonly replication: Pick<Replication, 'view'>;
  readonly flows: Pick<FlowMirror, 'state'>;
  readonly sticky: Pick<StickySharing, 'state'>;
  readonly shared: { readonly state: ReplicaState };
  readonly roles: Pick<Roles, 'summary' | 'failovers'>;
  /** Milliseconds of a clock that only goes forward. */
  readonly now?: () => number;
}

/** More than these an administrator looks up in the history. */
const MOST_SUPERSEDED = 5;
/** What became of records that are of use here, or would be of none: `enum weir_mirror_outcome`. */
const TAKEN = new Set(['stored', 'refreshed', 'removed']);
const OF_NO_USE = new Set(['own']);

interface Sample {
  readonly at: number;
  readonly told: number;
  readonly taken: number;
}

export class Standing {
  readonly #parts: StandingParts;
  readonly #now: () => number;
  #samples: readonly [before: Sample, last: Sample] | null = null;

  constructor(parts: StandingParts) {
    this.#parts = parts;
    this.#now = parts.now ?? (() => performance.now());
  }

  /** Once a second, for the rates. */
  sample(): void {
    const state = this.#parts.flows.state();
    const last = { at: this.#now(), told: state.told, taken: takenOf(state) };
    this.#samples = [this.#samples?.[1] ?? last, last];
  }

  /** Null: this unit is in no pair. */
  view(): PairStanding | null {
    const { store, replication, shared, roles } = this.#parts;
    const view = replication.view();
    if (view === null) return null;
    const { state, since, lacking, message } = view;
    const superseded = store.log
      .superseded(MOST_SUPERSEDED)
      .map(({ revision, unit, author, time }) => ({ revision, unit, author, time }));
    const revision = store.head()?.number ?? null;
    const id = store.log.head()?.id ?? null;
    return {
      configuration: { state, since, lacking, message, revision, id, superseded },
      flows: this.#flows(),
      clients: this.#parts.sticky.state,
      shared: sharedOf(shared.state, state !== 'away'),
      routers: roles.summary,
      failovers: roles.failovers,
    };
  }

  #flows(): PairFlows {
    const state = this.#parts.flows.state();
    const { synchronised, complete, known, lag, untold, received, takenOver, problem } = state;
    const refused = Object.entries(received).filter(
      ([outcome, count]) => count > 0 && !TAKEN.has(outcome) && !OF_NO_USE.has(outcome),
    );
    return {
      ...{ told: synchronised, complete, known, lag, untold, takenOver, problem },
      ...{ toldPerSecond: this.#rate('told'), takenPerSecond: this.#rate('taken') },
      refused: Object.fromEntries(refused),
    };
  }

  #rate(what: 'told' | 'taken'): number {
    if (this.#samples === null) return 0;
    const [before, last] = this.#samples;
    const elapsed = last.at - before.at;
    return elapsed > 0 ? ((last[what] - before[what]) * 1000) / elapsed : 0;
  }
}

function takenOf({ received }: FlowMirrorState): number {
  let sum = 0;
  for (const [outcome, count] of Object.entries(received)) if (TAKEN.has(outcome)) sum += count;
  return sum;
}

function sharedOf(state: ReplicaState, heard: boolean): PairShared {
  const { inStep, waiting, sent, taken, notTaken, kinds } = state;
  return {
    state: !heard ? 'away' : inStep ? 'in-step' : 'catching-up',
    ...{ waiting, given: sent, taken, notTaken, kinds },
  };
}

/**
 * From an algorithm of the language to what the fast path needs for it: how it picks a slot,
 * and the table that it picks from.
 *
 * Invariant: which algorithm uses weights, and which signals, is said here and nowhere else.
 */
import { buildLookup, lookupSlots, type LookupMember } from './maglev.js';
import { buildCandidates, buildSchedule, buildWeighted } from './schedules.js';

export type AlgorithmName =
  | 'round-robin'
  | 'weighted-round-robin'
  | 'least-connections'
  | 'weighted-least-connections'
  | 'ip-hash'
  | 'maglev'
  | 'least-response-time'
  | 'least-bandwidth'
  | 'random'
  | 'custom';

/** How the fast path picks a slot of the table for a new flow. */
export type ChoiceName =
  'flow-hash' | 'source-hash' | 'source-destination-hash' | 'cursor' | 'random' | 'least';

interface Trait {
  readonly choice: ChoiceName;
  /** The table that the choice is made from. */
  readonly build: (members: readonly LookupMember[]) => Uint32Array;
  /** Whether the configured weight counts; otherwise every weight above 0 is 1. */
  readonly weighted: boolean;
  /** Whether the daemon computes the weights anew from what it observes. */
  readonly observed: boolean;
}

function hashed(members: readonly LookupMember[]): Uint32Array {
  return buildLookup(members, lookupSlots(members.length));
}

const steady = { observed: false } as const;
// Re-weighing would move slots of a hashed table all the time; a random one has nothing to keep.
const observed = {
  choice: 'random',
  build: buildWeighted,
  weighted: true,
  observed: true,
} as const;

const TRAITS: Readonly<Record<AlgorithmName, Trait>> = {
  'round-robin': { ...steady, choice: 'cursor', build: buildSchedule, weighted: false },
  'weighted-round-robin': { ...steady, choice: 'cursor', build: buildSchedule, weighted: true },
  'least-connections': { ...steady, choice: 'least', build: buildCandidates, weighted: false },
  'weighted-least-connections': {
    ...steady,
    choice: 'least',
    build: buildCandidates,
    weighted: true,
  },
  'ip-hash': { ...steady, choice: 'source-hash', build: hashed, weighted: true },
  maglev: { ...steady, choice: 'flow-hash', build: hashed, weighted: true },
  random: { ...steady, choice: 'random', build: buildWeighted, weighted: true },
  'least-response-time': observed,
  'least-bandwidth': observed,
  custom: observed,
};

/** @param hash what ip-hash hashes */
export function choiceOf(
  algorithm: AlgorithmName,
  hash: 'source' | 'source-destination' = 'source',
): ChoiceName {
  const { choice } = TRAITS[algorithm];
  return choice === 'source-hash' && hash === 'source-destination'
    ? 'source-destination-hash'
    : choice;
}

export function usesWeights(algorithm: AlgorithmName): boolean {
  return TRAITS[algorithm].weighted;
}

export function usesObservations(algorithm: AlgorithmName): boolean {
  return TRAITS[algorithm].observed;
}

/** Slot to index in `members`; no slots while no member can take a flow. */
export function buildTable(
  algorithm: AlgorithmName,
  members: readonly LookupMember[],
): Uint32Array {
  return TRAITS[algorithm].build(members);
}

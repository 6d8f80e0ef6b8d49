/**
 * From an algorithm of the language to how a request's member is found, and the table for it. Tables are
 * those of layer 4 wherever there is one.
 */
import { buildLookup, lookupSlots, type LookupMember } from '../../balance/maglev.js';
import { buildCandidates, buildSchedule, buildWeighted } from '../../balance/schedules.js';
import type { L7Algorithm } from '../tables.js';

export type Way =
  'cursor' | 'hash' | 'random' | 'golden' | 'connections' | 'response' | 'bandwidth';

export const ways: Readonly<Record<L7Algorithm, Way>> = {
  'round-robin': 'cursor',
  'weighted-round-robin': 'cursor',
  'least-connections': 'connections',
  'weighted-least-connections': 'connections',
  'ip-hash': 'hash',
  maglev: 'hash',
  'least-response-time': 'response',
  'least-bandwidth': 'bandwidth',
  random: 'random',
  custom: 'golden',
};

export function tableFor(way: Way, members: readonly LookupMember[]): Uint32Array {
  switch (way) {
    case 'cursor':
      return buildSchedule(members);
    case 'hash':
      return buildLookup(members, lookupSlots(members.length));
    case 'random':
    case 'golden':
      return buildWeighted(members);
    default:
      return buildCandidates(members);
  }
}

/** Whether the same table would be made of both. */
export function isSame(a: readonly LookupMember[], b: readonly LookupMember[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ key, weight, available }, index) => {
      const other = b[index];
      return key === other?.key && weight === other.weight && available === other.available;
    })
  );
}

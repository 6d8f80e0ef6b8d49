/**
 * What can be changed from here, each with the question that is asked before.
 *
 * Invariant: nothing is changed without a question that names it.
 */
import { type Effect, type Model, type Overlay } from './model.js';
import { memberPath } from './topics.js';

export type MemberAct = 'drain' | 'disable' | 'enable' | 'weight';

export interface MemberNamed {
  readonly pool: string;
  readonly member: string;
  /** Null when it is not known yet. */
  readonly weight: number | null;
}

const WORDS = {
  drain: { state: 'draining', verb: 'Drain', effect: 'It keeps its flows and takes no new ones.' },
  disable: {
    state: 'disabled',
    verb: 'Disable',
    effect: 'It takes nothing; its flows go to other members, and connections of a proxy break.',
  },
  enable: {
    state: 'enabled',
    verb: 'Enable',
    effect: 'It takes new flows while its monitor finds it well.',
  },
} as const;

/** The largest weight of a member (schema). */
const MOST_WEIGHT = 256;

export function askFor(act: MemberAct, named: MemberNamed): Overlay {
  const { pool, member, weight } = named;
  if (act === 'weight') {
    const now = weight === null ? '' : ` It is ${weight} now.`;
    return {
      kind: 'prompt',
      question: `Weight of member ${member} of pool ${pool}, from 0 to ${MOST_WEIGHT}.${now}`,
      text: '',
      problem: '',
      pool,
      member,
    };
  }
  const { state, verb, effect } = WORDS[act];
  return {
    kind: 'confirm',
    question: `${verb} member ${member} of pool ${pool}?\n${effect} This is committed as a revision.`,
    effects: [patch(pool, member, { state }, `${member} of ${pool} is set to ${state}.`)],
  };
}

/** The question for a weight that was typed; a sentence when it is none. */
export function askForWeight(prompt: Extract<Overlay, { kind: 'prompt' }>): Overlay {
  const { text, pool, member } = prompt;
  const weight = /^\d{1,3}$/.test(text) ? Number(text) : NaN;
  if (!(weight <= MOST_WEIGHT)) {
    return { ...prompt, problem: `Give a whole number from 0 to ${MOST_WEIGHT}.` };
  }
  return {
    kind: 'confirm',
    question: `Set the weight of member ${member} of pool ${pool} to ${weight}?\nThis is committed as a revision.`,
    effects: [patch(pool, member, { weight }, `${member} of ${pool} has weight ${weight}.`)],
  };
}

function patch(pool: string, member: string, json: object, done: string): Effect {
  return { type: 'act', call: { method: 'PATCH', path: memberPath(pool, member), json }, done };
}

/** Keeps the revision that waits for confirmation; null: none does. */
export function askKeep({ data }: Pick<Model, 'data'>): Overlay | null {
  const waits = data.status?.value?.pendingConfirm ?? null;
  if (waits === null) return null;
  return {
    kind: 'confirm',
    question: `Keep revision ${waits.revision}? It no longer goes back by itself.`,
    effects: [
      {
        type: 'act',
        call: { method: 'POST', path: '/v1/config/confirm' },
        done: `Revision ${waits.revision} stays.`,
      },
    ],
  };
}

/**
 * Models as they are after the fake daemon answered everything, and frames as text that a reviewer
 * can read.
 */
import type { CertificateRow, ServiceRow } from '../../../appliance/api/contract.js';
import type { Line, Look, Size, Style } from '../../../tui/frame.js';
import {
  firstModel,
  OVERVIEW,
  pathOf,
  type Answers,
  type Model,
  type Place,
  type Topic,
} from '../../../tui/model.js';
import type { Key } from '../../../tui/keys.js';
import { step, type Action, type AnswerAction } from '../../../tui/step.js';
import {
  DETAIL,
  DROPS,
  event,
  FLOWS,
  MEMBER,
  MEMBERS,
  POOLS,
  REVISIONS,
  SERVICES,
  STATUS,
  THEN,
  TIERS,
} from '../api/fake-daemon.js';
import { SERVICE, WORKERS } from '../api/proxy-rows.js';

export { THEN };

export const UTF8: Look = { unicode: true, colours: 256 };
export const ASCII: Look = { unicode: false, colours: 0 };
export const SMALL: Size = { columns: 80, rows: 24 };
export const LARGE: Size = { columns: 160, rows: 48 };

/** Three, one of them of the proxy. */
const services: readonly ServiceRow[] = [...SERVICES, SERVICE];
const noCertificates: readonly CertificateRow[] = [];

const ANSWERS: Answers = {
  status: STATUS,
  services,
  pools: POOLS,
  members: MEMBERS,
  tiers: TIERS,
  workers: WORKERS,
  drops: DROPS,
  revisions: REVISIONS,
  certificates: noCertificates,
  service: SERVICE,
  pool: DETAIL,
  member: MEMBER,
  flows: FLOWS,
};

export function answer<T extends Topic>(
  topic: T,
  value: Answers[T],
  place: Place = OVERVIEW,
  at = THEN,
): AnswerAction {
  return {
    type: 'answer',
    topic,
    answer: { path: pathOf(topic, place), value, problem: null, at },
  } as AnswerAction;
}

export function after(model: Model, ...actions: readonly Action[]): Model {
  return actions.reduce((before, action) => step(before, action).model, model);
}

export interface World {
  readonly look?: Look;
  readonly size?: Size;
  readonly place?: Place;
  readonly answers?: Partial<Answers>;
  /** Seconds of traffic before now. */
  readonly seconds?: number;
}

/** Connected, with everything answered, after some seconds of traffic that rises and falls. */
export function world(of: World = {}): Model {
  const { look = UTF8, size = SMALL, place = OVERVIEW, seconds = 120 } = of;
  const answers: Answers = { ...ANSWERS, ...of.answers };
  const first = { ...firstModel({ now: THEN, size, look, socket: '/run/weir/weir.sock' }), place };
  const before = Array.from({ length: seconds }, (_, index) => {
    const share = (1 + Math.sin(index / 9)) / 2;
    const rows = answers.services.map((row): ServiceRow => {
      const { rates } = row;
      return { ...row, rates: { ...rates, bitsPerSecond: rates.bitsPerSecond * share } };
    });
    return answer('services', rows, place, THEN - (seconds - index) * 1000);
  });
  const topics = Object.keys(answers) as Topic[];
  return after(
    first,
    { type: 'link', link: { state: 'up', since: THEN, why: '' } },
    ...before,
    ...topics.map((topic) => answer(topic, answers[topic], place)),
    { type: 'events', rows: [event(1), event(2)], past: true },
  );
}

const NAMED: Readonly<Record<string, Partial<Key>>> = {
  Enter: { name: 'return' },
  Esc: { name: 'escape' },
  Tab: { name: 'tab' },
  'S-Tab': { name: 'backtab' },
  Down: { name: 'down' },
  Up: { name: 'up' },
  Backspace: { name: 'backspace' },
  PageDown: { name: 'pagedown' },
  'C-c': { name: 'c', ctrl: true },
};

/** Keys by name or, one character each, as typed. */
export function keys(...typed: readonly string[]): Action[] {
  return typed.flatMap((text): Action[] => {
    const named = NAMED[text];
    if (named !== undefined) {
      return [{ type: 'key', key: { name: '', ctrl: false, character: '', ...named } }];
    }
    return [...text].map((character) => ({
      type: 'key',
      key: { name: character, ctrl: false, character },
    }));
  });
}

const LETTERS: Readonly<Record<Style, string>> = {
  plain: ' ',
  bold: 'b',
  dim: 'd',
  good: 'g',
  warning: 'w',
  bad: 'r',
  accent: 'a',
  selected: 'S',
  bar: 'B',
};

/** What each cell's style is, a letter for each; lines without any are left out. */
export function stylesOf(lines: readonly Line[]): string {
  return lines
    .map((line, index) => {
      const letters = line.map(({ text, style }) => LETTERS[style].repeat(text.length)).join('');
      const short = letters.trimEnd();
      return short === '' ? '' : `${String(index + 1).padStart(3)} ${short}\n`;
    })
    .join('');
}

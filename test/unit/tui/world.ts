/**
 * Models as they are after the fake daemon answered everything, and frames as text that a reviewer
 * can read.
 */
import type {
  ConfigView,
  Document,
  LiveMessage,
  Me,
  ServiceRow,
  TokenRow,
  AuditRow,
  UserRow,
} from '../../../appliance/api/contract.js';
import { jsonSchema } from '../../../appliance/config/reference.js';
import type { Node } from '../../../tui/config/schema.js';
import { livePath } from '../../../tui/live.js';
import type { Line, Look, Size, Style } from '../../../tui/frame.js';
import { firstModel, OVERVIEW, type Effect, type Model, type Place } from '../../../tui/model.js';
import { pathOf, type Answers, type Topic } from '../../../tui/topics.js';
import type { Key } from '../../../tui/keys.js';
import { step, type Action, type AnswerAction } from '../../../tui/step.js';
import { judged } from './judge.js';
import {
  ACCESS,
  DETAIL,
  DROPS,
  event,
  FLOWS,
  HARDWARE,
  MEMBER,
  MEMBERS,
  POOLS,
  REVISIONS,
  SERVICES,
  STATUS,
  THEN,
  TIERS,
  TRIAL,
} from '../api/fake-daemon.js';
import { SLOTS_IDLE } from '../api/fake-upgrades.js';
import { CERTIFICATE, CERTIFICATES } from '../api/fake-certificates.js';
import { NETWORK } from '../api/fake-network.js';
import { trafficOf } from '../api/fake-traffic.js';
import { PAIRED } from '../api/fake-pair.js';
import { SERVICE, WORKERS } from '../api/proxy-rows.js';
import { ROUTERS } from '../api/router-rows.js';

export { THEN };

export const UTF8: Look = { unicode: true, colours: 256 };
export const ASCII: Look = { unicode: false, colours: 0 };
export const SMALL: Size = { columns: 80, rows: 24 };
export const LARGE: Size = { columns: 160, rows: 48 };

/** Three, one of them of the proxy. */
const services: readonly ServiceRow[] = [...SERVICES, SERVICE];

/** As `STATUS` has it, revision 7. */
export const CONFIGURED: Document = {
  version: 1,
  unit: { name: 'weir-a', interfaces: ['eth0', 'eth1'] },
  pools: {
    web: {
      algorithm: 'maglev',
      members: [
        { address: '10.0.1.11', port: 8080, weight: 3 },
        { address: '10.0.1.12', port: 8080 },
      ],
      monitor: { type: 'http', path: '/healthz', interval: '500ms', timeout: '400ms' },
    },
    spare: { members: [{ address: '10.0.1.13', port: 8080 }] },
  },
  services: {
    shop: {
      listen: { address: '10.0.0.80', port: 80, protocol: 'http' },
      routes: [{ when: { path: '/about' }, respond: { status: 200, body: 'Open.' } }],
      pool: 'web',
    },
  },
};

export const CONFIG: ConfigView = { revision: 7, document: CONFIGURED };
export const SCHEMA = jsonSchema() as Node;

const ROOT: Me = {
  ...{ name: 'root', role: 'administrator', via: 'root', from: 'root', author: 'root' },
  expires: null,
};

export const me = (name: string, role: Me['role']): Me => ({
  ...{ name, role, via: 'session', from: 'console', author: `${name} (console)` },
  expires: THEN + 3_600_000,
});

const user = (name: string, role: Me['role'], more: Partial<UserRow> = {}): UserRow => ({
  ...{ name, role, disabled: false, created: THEN - 9e8, passwordChanged: THEN - 8e8 },
  ...{ lastLogin: THEN - 60_000, lockedUntil: null, sessions: 1, ...more },
});
export const USERS: readonly UserRow[] = [
  user('anna', 'administrator'),
  user('otto', 'operator', { lockedUntil: THEN + 30_000 }),
  user('vera', 'viewer', { disabled: true, lastLogin: null }),
];
const TOKENS: readonly TokenRow[] = [
  {
    ...{ name: 'ci', role: 'operator', created: THEN - 9e8, expires: THEN + 9e8 },
    ...{ author: 'anna (console)', lastUsed: THEN - 5000 },
  },
];

const act = (number: number, more: Partial<AuditRow>): AuditRow => ({
  ...{ number, time: THEN - number * 20_000, author: 'anna (console)', role: 'administrator' },
  ...{ from: 'console', act: 'set a member', object: '/pools/web/members/10.0.1.11:8080' },
  ...{ status: 200, reason: '', ...more },
});
/** The first one's act made revision 7, as root. */
const AUDIT: readonly AuditRow[] = [
  act(3, {
    ...{ author: 'root', from: 'root', act: 'apply a document', object: 'config' },
    time: REVISIONS[0]!.time + 300,
  }),
  act(2, { author: 'otto (session)', role: 'operator', from: 'uid 1000' }),
  act(1, {
    ...{ author: 'vera (session)', role: 'viewer', act: 'apply a document', object: '/config' },
    ...{ status: 403, reason: 'A viewer may not.' },
  }),
];

const ANSWERS: Answers = {
  status: STATUS,
  services,
  pools: POOLS,
  members: MEMBERS,
  tiers: TIERS,
  workers: WORKERS,
  drops: DROPS,
  revisions: REVISIONS,
  audit: AUDIT,
  certificates: CERTIFICATES,
  certificate: CERTIFICATE,
  config: CONFIG,
  schema: SCHEMA,
  revision: { ...REVISIONS[0]!, document: CONFIGURED },
  pair: PAIRED,
  routers: ROUTERS,
  hardware: HARDWARE,
  access: ACCESS,
  me: ROOT,
  users: USERS,
  tokens: TOKENS,
  system: { unit: 'weir-a', power: true, copies: '/var/lib/weir/backups' },
  upgrade: SLOTS_IDLE,
  network: NETWORK,
  service: SERVICE,
  pool: DETAIL,
  member: MEMBER,
  flows: FLOWS,
  traffic: trafficOf('unit'),
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

/** As it is after the actions; candidates are judged at once, and members tried. */
export function after(model: Model, ...actions: readonly Action[]): Model {
  return actions.reduce((before, action) => {
    const { model: next, effects } = step(before, action);
    return effects.reduce((now, effect) => {
      const heard = answerTo(now, effect);
      return heard === null ? now : after(now, heard);
    }, next);
  }, model);
}

function answerTo({ data }: Model, effect: Effect): Action | null {
  if (effect.type === 'trial') {
    return { type: 'wizard', answer: { about: 'trial', serial: effect.serial, trial: TRIAL } };
  }
  if (effect.type !== 'check') return null;
  const check = judged(data.config?.value?.document ?? null, effect.document);
  const { serial, about } = effect;
  return about === 'wizard'
    ? { type: 'wizard', answer: { about: 'check', serial, check } }
    : { type: 'checked', serial, check };
}

export interface World {
  readonly look?: Look;
  readonly size?: Size;
  readonly place?: Place;
  readonly answers?: Partial<Answers>;
  /** What is told of live traffic, on its screen. */
  readonly live?: LiveMessage;
  /** Seconds of traffic before now. */
  readonly seconds?: number;
}

/** Connected, with everything answered, after some seconds of traffic that rises and falls. */
export function world(of: World = {}): Model {
  const { look = UTF8, size = SMALL, place = OVERVIEW, seconds = 120 } = of;
  const answers: Answers = { ...ANSWERS, ...of.answers };
  const first = {
    ...firstModel({ now: THEN, size, look, socket: '/run/weir/weir.sock' }),
    place,
    wizardOffered: true,
  };
  const before = Array.from({ length: seconds }, (_, index) => {
    const share = (1 + Math.sin(index / 9)) / 2;
    const rows = answers.services.map((row): ServiceRow => {
      const { rates } = row;
      return { ...row, rates: { ...rates, bitsPerSecond: rates.bitsPerSecond * share } };
    });
    return answer('services', rows, place, THEN - (seconds - index) * 1000);
  });
  const topics = Object.keys(answers) as Topic[];
  const path = livePath(first);
  const live: Action[] =
    path === null || of.live === undefined ? [] : [{ type: 'live', path, message: of.live }];
  return after(
    first,
    { type: 'link', link: { state: 'up', since: THEN, why: '' } },
    ...before,
    ...topics.map((topic) => answer(topic, answers[topic], place)),
    { type: 'events', rows: [event(1), event(2)], past: true },
    ...live,
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
  Left: { name: 'left' },
  Right: { name: 'right' },
  Home: { name: 'home' },
  End: { name: 'end' },
  Del: { name: 'delete' },
  'C-s': { name: 's', ctrl: true },
  'C-u': { name: 'u', ctrl: true },
  'C-r': { name: 'r', ctrl: true },
  'C-k': { name: 'k', ctrl: true },
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

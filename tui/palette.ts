/**
 * The commands of `:`, what could be meant by what was typed so far, and what each does.
 *
 * Invariant: a candidate's text, typed in full and entered, does what its line says.
 */
import { askFor, askKeep, type MemberAct } from './acts.js';
import { askCommit, objectPlace } from './config/questions.js';
import { LIVE_VIEWS } from '../appliance/api/live-contract.js';
import { MENU } from './keys.js';
import { meOf } from './login.js';
import { livePlace } from './live.js';
import { type Effect, type Model, type Overlay, type Place } from './model.js';
import { answerOf } from './topics.js';
import { objectRows } from './screens/config.js';
import { ownPassword } from './user-keys.js';

export interface Candidate {
  readonly text: string;
  readonly does: string;
  readonly meant: Meant;
}

export type Meant =
  | { readonly type: 'go'; readonly place: Place }
  | { readonly type: 'open'; readonly overlay: Overlay }
  | { readonly type: 'effect'; readonly effect: Effect }
  | { readonly type: 'mouse' };

const ACTS: readonly { readonly act: MemberAct; readonly does: string }[] = [
  { act: 'drain', does: 'takes no new flows' },
  { act: 'disable', does: 'takes nothing' },
  { act: 'enable', does: 'takes flows again' },
  { act: 'weight', does: 'its share of new flows' },
];

/** Screens without a number. */
const FURTHER: readonly {
  readonly text: string;
  readonly does: string;
  readonly screen: Place['screen'];
}[] = [
  { text: 'history', does: 'revisions, and the way back', screen: 'revisions' },
  { text: 'diff', does: 'what the candidate changes', screen: 'changes' },
  { text: 'audit', does: 'who did what', screen: 'audit' },
  { text: 'access', does: 'who may use the services', screen: 'access' },
  { text: 'wizard', does: 'the questions of the first set-up', screen: 'wizard' },
  { text: 'network', does: 'the unit’s own interfaces, routes and names', screen: 'network' },
  { text: 'users', does: 'users and tokens', screen: 'users' },
];

function all(model: Model): Candidate[] {
  const place = (screen: Place['screen'], name: string, pool = ''): Meant => ({
    type: 'go',
    place: { screen, name, pool },
  });
  const services = answerOf(model, 'services').value ?? [];
  const pools = model.data.pools?.value ?? [];
  const members = [
    ...(model.data.members?.value ?? []),
    ...(answerOf(model, 'pool').value?.members ?? []),
  ];
  const unique = [...new Map(members.map((row) => [`${row.pool}/${row.member}`, row])).values()];
  return [
    ...MENU.map(({ screen, title }): Candidate => ({
      text: title.toLowerCase(),
      does: 'screen',
      meant: place(screen, ''),
    })),
    ...FURTHER.map(({ text, does, screen }): Candidate => ({
      text,
      does,
      meant: place(screen, ''),
    })),
    ...LIVE_VIEWS.map((view): Candidate => ({
      text: `live ${view}`,
      does: 'live traffic',
      meant: { type: 'go', place: livePlace(view) },
    })),
    ...services.map(({ name, state }): Candidate => ({
      text: `service ${name}`,
      does: state,
      meant: place('service', name),
    })),
    ...pools.map(({ name, membersUp, membersTotal }): Candidate => ({
      text: `pool ${name}`,
      does: `${membersUp} of ${membersTotal} up`,
      meant: place('pool', name),
    })),
    ...unique.map(({ pool, member, state }): Candidate => ({
      text: `member ${pool}/${member}`,
      does: state,
      meant: place('member', member, pool),
    })),
    ...ACTS.flatMap(({ act, does }) =>
      unique.map(({ pool, member, weight }): Candidate => ({
        text: `${act} ${pool}/${member}`,
        does,
        meant: { type: 'open', overlay: askFor(act, { pool, member, weight }) },
      })),
    ),
    ...objectsShown(model),
    ...configCommands(model),
    ...sessionCommands(model),
    {
      text: 'mouse',
      does: model.mouse ? 'off' : 'on',
      meant: { type: 'mouse' },
    },
    {
      text: 'help',
      does: 'keys of this screen',
      meant: { type: 'open', overlay: { kind: 'help' } },
    },
    {
      text: 'refresh',
      does: 'ask the daemon again',
      meant: { type: 'effect', effect: { type: 'refresh' } },
    },
    {
      text: 'quit',
      does: 'leave the dashboard',
      meant: { type: 'effect', effect: { type: 'quit' } },
    },
  ];
}

/** Of who is logged in. */
function sessionCommands(model: Model): Candidate[] {
  const me = meOf(model);
  if (me?.via !== 'session') return [];
  const why = 'You have logged out.';
  return [
    { text: 'logout', does: me.name, meant: { type: 'effect', effect: { type: 'logout', why } } },
    { text: 'password', does: 'change yours', meant: { type: 'open', overlay: ownPassword() } },
  ];
}

/** Objects of the candidate, once the document is known. */
function objectsShown(model: Model): Candidate[] {
  return objectRows(model).map(({ kind, name, path }) => ({
    text: kind === name ? `edit ${kind}` : `edit ${kind} ${name}`,
    does: 'form',
    meant: { type: 'go', place: objectPlace(path) },
  }));
}

function configCommands(model: Model): Candidate[] {
  const asks = (text: string, does: string, overlay: Overlay | null): Candidate[] =>
    overlay === null ? [] : [{ text, does, meant: { type: 'open', overlay } }];
  return [
    ...asks('commit', 'the candidate', askCommit(model)),
    ...asks('confirm', 'keep what waits', askKeep(model)),
  ];
}

/** Those that begin with what was typed first, then those that have all of its words. */
export function candidates(model: Model, typed: string): Candidate[] {
  const text = typed.trim().toLowerCase();
  const every = all(model);
  const begin = every.filter((one) => one.text.toLowerCase().startsWith(text));
  const words = text.split(/\s+/).filter(Boolean);
  const have = every.filter(
    (one) => !begin.includes(one) && words.every((word) => one.text.toLowerCase().includes(word)),
  );
  return [...begin, ...have];
}

/** What all candidates that begin so have in common, for Tab. */
export function completed(model: Model, typed: string): string {
  const begin = candidates(model, typed)
    .map(({ text }) => text)
    .filter((text) => text.toLowerCase().startsWith(typed.toLowerCase()));
  const [first] = begin;
  if (first === undefined) return typed;
  let length = first.length;
  while (!begin.every((text) => text.startsWith(first.slice(0, length)))) length -= 1;
  return length > typed.length ? first.slice(0, length) : typed;
}

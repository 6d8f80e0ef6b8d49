/**
 * What happens when something happens: the model before, one action, the model after and what is to
 * be done outside. Pure but for the history, which it adds to.
 */
import type { Call } from '../appliance/cli/client.js';
import type { ErrorCode, EventRow, LoggedIn, MemberRow } from '../appliance/api/contract.js';
import { acted, refusalText } from './acted.js';
import { trackOf } from './columns.js';
import type { Check } from './config/draft.js';
import { withCheckedLines } from './editor-keys.js';
import type { Size } from './frame.js';
import { sampleOf, sum } from './history.js';
import type { Key } from './keys.js';
import { allowed, idleEnd, loggedIn, loginFailed, loginOf, unknown } from './login.js';
import { liveHeard, type Heard } from './live.js';
import { mouseStep } from './mouse-keys.js';
import type { Mouse } from './mouse.js';
import {
  entered,
  type About,
  type Effect,
  type LinkState,
  type Model,
  type Overlay,
  type Place,
} from './model.js';
import { type Answer, type Answers, type Topic } from './topics.js';
import { overlayKey } from './overlay-keys.js';
import { screenKey } from './screen-keys.js';
import { isFlowKind } from './screens/overview.js';
import { wizardAnswered, type WizardAnswer } from './wizard/keys.js';

export type Action =
  | { readonly type: 'key'; readonly key: Key }
  | { readonly type: 'size'; readonly size: Size }
  | { readonly type: 'tick'; readonly now: number }
  | { readonly type: 'link'; readonly link: LinkState }
  | AnswerAction
  /** `past`: all that the daemon remembers, in place of what was known. */
  | { readonly type: 'events'; readonly rows: readonly EventRow[]; readonly past: boolean }
  /** `value`: what the daemon answered. */
  | {
      readonly type: 'done';
      readonly text: string;
      readonly about?: About;
      readonly value?: unknown;
      /** What was asked. */
      readonly call?: Call;
    }
  /** The answer is a question. */
  | { readonly type: 'asks'; readonly overlay: Overlay }
  | { readonly type: 'failed'; readonly text: string; readonly code?: ErrorCode }
  /** The daemon does not know who is asking. */
  | { readonly type: 'unknown'; readonly why: string | null }
  | { readonly type: 'logged-in'; readonly session: LoggedIn }
  | { readonly type: 'login-failed'; readonly why: string }
  | { readonly type: 'checked'; readonly serial: number; readonly check: Check }
  | { readonly type: 'wizard'; readonly answer: WizardAnswer }
  | { readonly type: 'mouse'; readonly mouse: Mouse }
  | Heard;

/** One member a topic, so that topic and answer go together. */
export type AnswerAction = {
  [T in Topic]: { readonly type: 'answer'; readonly topic: T; readonly answer: Answer<Answers[T]> };
}[Topic];

export interface Step {
  readonly model: Model;
  readonly effects: readonly Effect[];
}

/** Events that are remembered; of single flows, which are many, apart. */
const EVENTS_KEPT = 1000;
const FLOW_EVENTS_KEPT = 500;
const NOTICE_MS = 8000;

export function step(model: Model, action: Action): Step {
  switch (action.type) {
    case 'key':
      return pressed({ ...model, used: model.now }, action.key);
    case 'size':
      return just({ ...model, size: action.size });
    case 'tick': {
      const later = aged(model, action.now);
      const end = idleEnd(later);
      return end === null ? just(later) : { model: { ...later, used: later.now }, effects: [end] };
    }
    case 'unknown':
      return just(unknown(model, action.why));
    case 'logged-in':
      return loggedIn(model, action.session);
    case 'login-failed':
      return just(loginFailed(model, action.why));
    case 'link':
      return linked(model, action.link);
    case 'answer': {
      // Of who is not logged in any more.
      if (loginOf(model) !== null) return just(model);
      remember(model, action);
      const { topic, answer } = action;
      const later = aged(model, Math.max(model.now, answer.at));
      return offered({ ...later, data: { ...model.data, [topic]: answer } });
    }
    case 'events':
      if (loginOf(model) !== null) return just(model);
      return just({
        ...model,
        events: joined(action.past ? [] : (model.events ?? []), action.rows),
      });
    case 'asks':
      return { model: { ...model, pending: null, overlay: action.overlay }, effects: [] };
    case 'done':
      return acted(model, action);
    case 'failed':
      return just({
        ...model,
        pending: null,
        overlay: { kind: 'message', title: 'Refused', text: refusalText(action) },
      });
    case 'checked': {
      const { draft } = model;
      // Of a candidate that is another one by now another answer is on its way.
      if (draft === null || draft.serial !== action.serial) return just(model);
      return just(withCheckedLines({ ...model, draft: { ...draft, check: action.check } }));
    }
    case 'wizard':
      return wizardAnswered(model, action.answer);
    case 'live':
    case 'live-problem':
      return just(liveHeard(model, action));
    case 'mouse':
      return allowed(model, mouseStep({ ...model, used: model.now }, action.mouse));
  }
}

function pressed(model: Model, key: Key): Step {
  const { overlay } = model;
  return allowed(model, overlay === null ? screenKey(model, key) : overlayKey(model, overlay, key));
}

/** A candidate that nobody could look at is looked at once the daemon is there. */
function linked(model: Model, link: LinkState): Step {
  const { draft } = model;
  const again = link.state === 'up' && draft?.check?.unanswered === true;
  const effects: Effect[] = again
    ? [{ type: 'check', document: draft.document, serial: draft.serial }]
    : [];
  return { model: { ...model, link }, effects };
}

/** A unit without a configuration and users begins with the wizard, unless somebody went elsewhere already. */
function offered(model: Model): Step {
  const status = model.data.status?.value ?? null;
  const { users } = model.data;
  if (model.wizardOffered || status === null || users === undefined) return just(model);
  const known: Model = { ...model, wizardOffered: true };
  const bare = users.value?.length === 0 && (status.revision === null || model.firstSetUp);
  const first = bare && model.place.screen === 'overview' && model.overlay === null;
  if (!first) return just(known);
  return { model: entered(known, WIZARD), effects: [{ type: 'refresh' }] };
}

const WIZARD: Place = { screen: 'wizard', name: '', pool: '' };

/** What is over when it is so late. */
function aged(model: Model, now: number): Model {
  const { notice } = model;
  model.history.forget(now);
  return { ...model, now, notice: notice !== null && now - notice.at > NOTICE_MS ? null : notice };
}

function just(model: Model): Step {
  return { model, effects: [] };
}

/** Sequence numbers decide, since the past and the stream may both bring an event. */
function joined(before: readonly EventRow[], rows: readonly EventRow[]): EventRow[] {
  const last = before.at(-1)?.sequence ?? -1;
  const all = [...before, ...rows.filter(({ sequence }) => sequence > last)];
  const flows = all.filter(({ kind }) => isFlowKind(kind)).length;
  let flowsGo = Math.max(0, flows - FLOW_EVENTS_KEPT);
  let othersGo = Math.max(0, all.length - flows - EVENTS_KEPT);
  if (flowsGo === 0 && othersGo === 0) return all;
  return all.filter(({ kind }) => {
    if (isFlowKind(kind)) return flowsGo-- <= 0;
    return othersGo-- <= 0;
  });
}

/** Adds what an answer says of traffic to the history. */
function remember({ history }: Model, { topic, answer }: AnswerAction): void {
  if (answer.value === null) return;
  const { at } = answer;
  const members = (rows: readonly MemberRow[]): void => {
    for (const row of rows) history.add(trackOf.member(row.pool, row.member), at, sampleOf(row));
  };
  switch (topic) {
    case 'services':
      for (const row of answer.value) history.add(trackOf.service(row.name), at, sampleOf(row));
      history.add('total', at, sum(answer.value.map(sampleOf)));
      break;
    case 'pools':
      for (const row of answer.value) history.add(trackOf.pool(row.name), at, sampleOf(row));
      break;
    case 'members':
      members(answer.value);
      break;
    case 'pool':
      history.add(trackOf.pool(answer.value.name), at, sampleOf(answer.value));
      members(answer.value.members);
      break;
    case 'member':
      members([answer.value]);
      break;
    default:
  }
}

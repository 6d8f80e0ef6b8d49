/**
 * Live traffic: what is looked at, its keys, and what comes of a message.
 *
 * Invariant: the daemon is asked while the screen is there, and for what was entered last: not for each
 * letter of a filter.
 */
import { LIVE_ORDERS, LIVE_VIEWS } from '../appliance/api/live-contract.js';
import type { LiveMessage, LiveOrder, LiveRequest, LiveView } from '../appliance/api/contract.js';
import type { Key } from './keys.js';
import { entered, type Model, type Place } from './model.js';
import type { Step } from './step.js';

export type LiveNews = Exclude<LiveMessage, { readonly type: 'hello' }>;

export interface LiveState {
  readonly order: LiveOrder;
  readonly filter: string;
  readonly paused: boolean;
  /** What came last for this path. */
  readonly path: string;
  readonly news: LiveNews | null;
  /** Of the log, the oldest first. */
  readonly lines: readonly LiveRequest[];
  readonly problem: string | null;
  /** Lines above the newest, or rows below the first. */
  readonly back: number;
}

export const NOTHING_LIVE: LiveState = {
  ...{ order: 'hits', filter: '', paused: false, path: '', news: null, lines: [], problem: null },
  back: 0,
};

/** Lines of the log that are remembered. */
const LINES_KEPT = 1000;

export function viewOf({ name }: Pick<Place, 'name'>): LiveView {
  return LIVE_VIEWS.find((view) => view === name) ?? 'clients';
}

export function livePlace(view: LiveView): Place {
  return { screen: 'live', name: view, pool: '' };
}

/** What the daemon is asked for; null: nothing. */
export function livePath({ place, live, overlay }: Model): string | null {
  if (place.screen !== 'live') return null;
  const view = viewOf(place);
  const filter = overlay?.kind === 'filter' ? overlay.before : live.filter;
  const order = view === 'clients' || view === 'urls' ? `&order=${live.order}` : '';
  const words = filter.trim() === '' ? '' : `&filter=${encodeURIComponent(filter.trim())}`;
  return `/v1/live?view=${view}${order}${words}`;
}

/** A message, or why there is none. */
export type Heard =
  | { readonly type: 'live'; readonly path: string; readonly message: LiveMessage }
  | { readonly type: 'live-problem'; readonly path: string; readonly text: string };

export function liveHeard(model: Model, heard: Heard): Model {
  const { live } = model;
  if (heard.path !== livePath(model)) return model;
  const fresh = heard.path === live.path ? live : { ...live, news: null, lines: [] };
  const state: LiveState = { ...fresh, path: heard.path, problem: null };
  if (heard.type === 'live-problem') return { ...model, live: { ...state, problem: heard.text } };
  const { message } = heard;
  if (message.type === 'hello' || live.paused) return { ...model, live: state };
  const lines = message.type === 'log' ? [...state.lines, ...message.rows] : state.lines;
  return { ...model, live: { ...state, news: message, lines: lines.slice(-LINES_KEPT) } };
}

/** Null: not a key of this screen. */
export function liveKey(model: Model, { character }: Key): Step | null {
  const { place, live } = model;
  if (character === 'T') return look(entered(model, livePlace('clients')));
  if (place.screen !== 'live') return null;
  const set = (change: Partial<LiveState>): Step =>
    look({ ...model, live: { ...live, ...change } });
  switch (character) {
    case 'v':
      return turned(model, 1);
    case 'V':
      return turned(model, -1);
    case ' ':
      return set({ paused: !live.paused, back: 0 });
    case 's': {
      const at = LIVE_ORDERS.indexOf(live.order);
      return set({ order: LIVE_ORDERS[(at + 1) % LIVE_ORDERS.length] ?? 'hits', back: 0 });
    }
    default:
      return null;
  }
}

/** Rows or lines that can be gone through. */
export function liveCount({ live }: Model): number {
  return live.news?.type === 'log' ? live.lines.length : (live.news?.rows.length ?? 0);
}

export function liveMoved(model: Model, by: number): Model {
  const { live, place, size } = model;
  const most = Math.max(0, liveCount(model) - (size.rows - 4));
  // The log has its newest line below, the others their first row above.
  const moved = live.back + (viewOf(place) === 'log' ? -by : by);
  return { ...model, live: { ...live, back: Math.max(0, Math.min(most, moved)) } };
}

function turned(model: Model, by: number): Step {
  const at = LIVE_VIEWS.indexOf(viewOf(model.place));
  const next = LIVE_VIEWS[(at + by + LIVE_VIEWS.length) % LIVE_VIEWS.length] ?? 'clients';
  return look({ ...model, place: livePlace(next), live: { ...model.live, back: 0 } });
}

function look(model: Model): Step {
  return { model, effects: [] };
}

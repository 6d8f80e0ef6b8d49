/**
 * The keys while nothing is open over the screen. They are listed, for people, in keys.ts.
 */
import { accessKey } from './access-keys.js';
import { askFor, askKeep, type MemberAct } from './acts.js';
import { certificateKey } from './certificate-keys.js';
import { configKey } from './config-keys.js';
import { editorStep } from './editor-keys.js';
import { MENU, type Key } from './keys.js';
import { HISTORY_SPANS } from '../appliance/api/history-contract.js';
import { liveKey, liveMoved } from './live.js';
import { menuEntry } from './menu.js';
import { entered, tableName, tableState, type Effect, type Model, type Place } from './model.js';
import { FIRST_SPAN } from './topics.js';
import { networkKey } from './network-keys.js';
import { pairKey } from './pair-keys.js';
import { listing, memberAt } from './screens/tables.js';
import { shownEvents } from './screens/events.js';
import { systemKey } from './system-keys.js';
import type { Step } from './step.js';
import type { TableState } from './table.js';
import { upgradeKey } from './upgrade-keys.js';
import { textLines } from './view.js';
import { wizardKey } from './wizard/keys.js';
import { userKey } from './user-keys.js';

export function screenKey(model: Model, key: Key): Step {
  if (model.place.screen === 'editor' && model.editor !== null) {
    return editorStep(model, model.editor, key);
  }
  const inWizard = wizardKey(model, key);
  if (inWizard !== null) return inWizard;
  if (key.ctrl) return controlKey(model, key);
  const own =
    configKey(model, key) ??
    pairKey(model, key) ??
    certificateKey(model, key) ??
    accessKey(model, key) ??
    userKey(model, key) ??
    liveKey(model, key) ??
    systemKey(model, key) ??
    upgradeKey(model, key) ??
    networkKey(model, key);
  if (own !== null) return own;
  // The tenth is 0.
  const entry = /^\d$/.test(key.character) ? MENU[(Number(key.character) + 9) % 10] : undefined;
  if (entry !== undefined) return go(model, { screen: entry.screen, name: '', pool: '' });
  switch (key.character) {
    case 'q':
      return quit(model);
    case '?':
      return open(model, { kind: 'help' });
    case ':':
      // Its candidates need names that the screen may not show.
      return {
        model: { ...model, overlay: { kind: 'palette', text: '', choice: 0 } },
        effects: [{ type: 'refresh' }],
      };
    case '/':
      return filter(model);
    case 'r':
      return { model, effects: [{ type: 'redraw' }, { type: 'refresh' }] };
    case 'j':
      return move(model, 1);
    case 'k':
      return move(model, -1);
    case 'g':
      return move(model, -Infinity);
    case 'G':
      return move(model, Infinity);
    case 'l':
      return enter(model);
    case 'h':
      return back(model);
    case 's':
      return sort(model);
    case 'S':
      return table(model, { descending: !tableState(model).descending });
    case 'd':
      return act(model, 'drain');
    case 'x':
      return act(model, 'disable');
    case 'e':
      return act(model, 'enable');
    case 'w':
      return act(model, 'weight');
    case 'v':
      return severity(model);
    case 'f':
      return flows(model);
    case 'a':
      return model.place.screen === 'services'
        ? go(model, { screen: 'access', name: '', pool: '' })
        : same(model);
    case 't':
      return span(model);
    case 'A':
      return model.place.screen === 'system'
        ? go(model, { screen: 'audit', name: '', pool: '' })
        : same(model);
    case 'U':
      return model.place.screen === 'system'
        ? go(model, { screen: 'users', name: '', pool: '' })
        : same(model);
    case 'N':
      return model.place.screen === 'system'
        ? go(model, { screen: 'network', name: '', pool: '' })
        : same(model);
    case 'K':
      return open(model, askKeep(model));
    case 'M':
      return switchMouse(model);
    default:
      return named(model, key);
  }
}

function named(model: Model, { name }: Key): Step {
  const page = Math.max(1, model.size.rows - 4);
  switch (name) {
    case 'down':
      return move(model, 1);
    case 'up':
      return move(model, -1);
    case 'pagedown':
      return move(model, page);
    case 'pageup':
      return move(model, -page);
    case 'home':
      return move(model, -Infinity);
    case 'end':
      return move(model, Infinity);
    case 'return':
    case 'enter':
    case 'right':
      return enter(model);
    case 'escape':
    case 'left':
    case 'backspace':
      return back(model);
    case 'tab':
      return neighbour(model, 1);
    case 'backtab':
      return neighbour(model, -1);
    default:
      return same(model);
  }
}

function controlKey(model: Model, { name }: Key): Step {
  switch (name) {
    case 'c':
      return quit(model);
    case 'z':
      return { model, effects: [{ type: 'suspend' }] };
    case 'l':
      return { model, effects: [{ type: 'redraw' }, { type: 'refresh' }] };
    case 'd':
      return move(model, Math.max(1, model.size.rows - 4));
    case 'u':
      return move(model, -Math.max(1, model.size.rows - 4));
    default:
      return same(model);
  }
}

function same(model: Model): Step {
  return { model, effects: [] };
}

function open(model: Model, overlay: Model['overlay']): Step {
  return same({ ...model, overlay });
}

export function switchMouse(model: Model): Step {
  const on = !model.mouse;
  const text = on ? 'The mouse is on; M switches it off.' : 'The mouse is off.';
  return {
    model: { ...model, mouse: on, notice: { text, at: model.now } },
    effects: [{ type: 'mouse', on }],
  };
}

/** At once, unless something would be left hanging. */
export function quit(model: Model): Step {
  const effects: Effect[] = [{ type: 'quit' }];
  const pending = model.data.status?.value?.pendingConfirm ?? null;
  const question =
    model.pending !== null
      ? `The daemon has not answered yet: ${model.pending} Quit all the same?`
      : pending !== null
        ? `Revision ${pending.revision} goes back by itself in ${pending.secondsLeft} s unless it is confirmed (weir confirm). Quit all the same?`
        : model.draft !== null
          ? 'The candidate is not committed, and is lost. Quit all the same?'
          : null;
  if (question === null) return { model, effects };
  return open(model, { kind: 'confirm', question, effects });
}

/** To a screen of the menu or to what is open on one. */
export function go(model: Model, place: Place): Step {
  if (tableName(place) === tableName(model.place)) return same({ ...model, overlay: null });
  const there = entered(model, place);
  const trail = place.name === '' ? [] : there.trail;
  return { model: { ...there, trail, overlay: null }, effects: [{ type: 'refresh' }] };
}

function back(model: Model): Step {
  const { place, trail, eventsState } = model;
  if (place.screen === 'events' && eventsState.filter !== '') {
    return same({ ...model, eventsState: { ...eventsState, filter: '', back: 0 } });
  }
  if (place.screen === 'live' && model.live.filter !== '') {
    return same({ ...model, live: { ...model.live, filter: '', back: 0 } });
  }
  if (tableState(model).filter !== '') return table(model, { filter: '' });
  const previous = trail.at(-1);
  const parent: Place = {
    screen: place.name === '' ? 'overview' : menuEntry(place),
    name: '',
    pool: '',
  };
  const to = previous ?? parent;
  if (tableName(to) === tableName(place)) return same(model);
  return {
    model: { ...model, place: to, trail: trail.slice(0, -1), scroll: 0 },
    effects: [{ type: 'refresh' }],
  };
}

function neighbour(model: Model, by: number): Step {
  const index = MENU.findIndex(({ screen }) => screen === menuEntry(model.place));
  const next = MENU[(index + by + MENU.length) % MENU.length];
  return next === undefined ? same(model) : go(model, { screen: next.screen, name: '', pool: '' });
}

export function table(model: Model, change: Partial<TableState>): Step {
  if (listing(model) === null) return same(model);
  const state = { ...tableState(model), ...change };
  return same({ ...model, tables: { ...model.tables, [tableName(model.place)]: state } });
}

export function move(model: Model, by: number): Step {
  const list = listing(model);
  if (list !== null) {
    const index = Math.max(0, Math.min(list.keys.length - 1, list.selected + by));
    const selected = list.keys[index];
    return selected === undefined
      ? same(model)
      : table(model, { selected, top: Math.max(0, index - Math.floor(model.size.rows / 2)) });
  }
  if (model.place.screen === 'events') {
    const most = Math.max(0, shownEvents(model).length - (model.size.rows - 3));
    const moved = Math.max(0, Math.min(most, model.eventsState.back - by));
    return same({ ...model, eventsState: { ...model.eventsState, back: moved } });
  }
  if (model.place.screen === 'live') return same(liveMoved(model, by));
  const lines = textLines(model, model.size.columns).length;
  const most = Math.max(0, lines - (model.size.rows - 2));
  const scroll = Math.max(0, Math.min(most, Math.min(model.scroll, most) + by));
  return same({ ...model, scroll });
}

function enter(model: Model): Step {
  const list = listing(model);
  const place = list?.places[list.selected];
  return place === undefined ? same(model) : go(model, place);
}

function filter(model: Model): Step {
  if (model.place.screen === 'events') {
    const { filter: before } = model.eventsState;
    return open(model, { kind: 'filter', text: before, before });
  }
  if (model.place.screen === 'live') {
    const { filter: before } = model.live;
    return open(model, { kind: 'filter', text: before, before });
  }
  const list = listing(model);
  if (list === null || list.columns === 0) return same(model);
  const { filter: before } = tableState(model);
  return open(model, { kind: 'filter', text: before, before });
}

/** As typed so far: the screen follows each letter. */
export function filtered(model: Model, text: string): Model {
  if (model.place.screen === 'events') {
    return { ...model, eventsState: { ...model.eventsState, filter: text, back: 0 } };
  }
  if (model.place.screen === 'live') {
    return { ...model, live: { ...model.live, filter: text, back: 0 } };
  }
  return table(model, { filter: text, top: 0 }).model;
}

/** Next column; after the last one as the daemon lists them. */
function sort(model: Model): Step {
  const list = listing(model);
  if (list === null || list.columns === 0) return same(model);
  const next = tableState(model).sort + 1;
  return table(model, { sort: next >= list.columns ? -1 : next, descending: false });
}

function act(model: Model, which: MemberAct): Step {
  const named = memberAt(model);
  if (named === null) return same(model);
  const rows = [
    ...(model.data.members?.value ?? []),
    ...(model.data.pool?.value?.members ?? []),
    ...(model.data.member?.value ? [model.data.member.value] : []),
  ];
  const row = rows.find(({ pool, member }) => pool === named.pool && member === named.member);
  return open(model, askFor(which, { ...named, weight: row?.weight ?? null }));
}

/** Charts that go further back, after the last one the first. */
function span(model: Model): Step {
  const { place } = model;
  if (place.screen !== 'overview' && place.screen !== 'service') return same(model);
  const at = HISTORY_SPANS.indexOf(place.span ?? FIRST_SPAN);
  const next = HISTORY_SPANS[(at + 1) % HISTORY_SPANS.length] ?? FIRST_SPAN;
  return { model: { ...model, place: { ...place, span: next } }, effects: [{ type: 'refresh' }] };
}

const SEVERITIES = { info: 'warning', warning: 'error', error: 'info' } as const;

function severity(model: Model): Step {
  if (model.place.screen !== 'events') return same(model);
  const { eventsState } = model;
  return same({
    ...model,
    eventsState: { ...eventsState, severity: SEVERITIES[eventsState.severity], back: 0 },
  });
}

function flows(model: Model): Step {
  if (model.place.screen !== 'events') return same(model);
  const { eventsState } = model;
  return same({ ...model, eventsState: { ...eventsState, flows: !eventsState.flows, back: 0 } });
}

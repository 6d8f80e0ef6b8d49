/**
 * Who sits at the dashboard: the login box, the session that ends without keys, and what a role does
 * not allow, which is said before anything is asked. Pure.
 */
import type { LoggedIn, Me, Role } from '../appliance/api/contract.js';
import { mayAs, ruleOfPath } from '../appliance/api/roles.js';
import { answersOf, ask, askField, type Ask, type Purpose } from './ask.js';
import type { Key } from './keys.js';
import { OVERVIEW, type Effect, type Model, type Overlay } from './model.js';
import type { Step } from './step.js';
import { joins } from './wizard/document.js';
import { answersOf as wizardAnswers, type Wizard } from './wizard/wizard.js';

/** Without a key for so long somebody who is logged in is logged out. */
export const IDLE_MS = 15 * 60_000;

export function loginBox(note: string, name = ''): Ask {
  const box = ask('Log in', note, { type: 'login' }, [
    askField('name', 'Name', { text: name }),
    askField('password', 'Password', { secret: true }),
  ]);
  return { ...box, field: name === '' ? 0 : 1 };
}

/** The box while nobody is logged in; null: there is none. */
export function loginOf({ overlay }: Pick<Model, 'overlay'>): Ask | null {
  return overlay?.kind === 'ask' && overlay.purpose.type === 'login' ? overlay : null;
}

export function meOf(model: Pick<Model, 'data'>): Me | null {
  return model.data.me?.value ?? null;
}

/**
 * The daemon does not know who is asking. What was seen is not for whoever comes next. `why`: null
 * when a session ended that should not have, or there never was one.
 */
export function unknown(model: Model, why: string | null): Model {
  if (loginOf(model) !== null) return model;
  const me = meOf(model);
  return {
    ...model,
    ...{ data: {}, events: null, place: OVERVIEW, trail: [], tables: {}, scroll: 0 },
    ...{ editor: null, pending: null, notice: null },
    owner: me === null ? model.owner : me.name,
    overlay: why === null ? ended(model, me) : loginBox(why),
  };
}

function ended({ wizard }: Model, me: Me | null): Ask {
  if (me?.via !== 'session') return loginBox('This unit has users: log in as one of them.');
  // Who was made here gives way to a user of that name at the other unit.
  return wizard !== null && isJoining(wizard)
    ? loginBox('This unit has joined the other one, whose users count now: log in as one of them.')
    : loginBox('Your session is over: log in again.', me.name);
}

function isJoining(wizard: Wizard): boolean {
  return joins(wizardAnswers(wizard)) && (wizard.asking === 'steps' || wizard.page === 'done');
}

export function loginFailed(model: Model, why: string): Model {
  const box = loginOf(model);
  if (box === null) return model;
  const name = answersOf(box)['name'] ?? '';
  return { ...model, overlay: { ...loginBox(box.note, name), problem: why }, pending: null };
}

/** A candidate is the one's who began it. */
export function loggedIn(model: Model, { name, role }: LoggedIn): Step {
  const same = model.owner === null || model.owner === name;
  const notice = { text: `Logged in as ${name}, ${role}.`, at: model.now };
  const draft = same ? model.draft : null;
  return {
    model: { ...model, draft, owner: name, overlay: null, pending: null, notice, used: model.now },
    effects: [{ type: 'refresh' }],
  };
}

/** The keys of the login box: it cannot be left but with the dashboard. */
export function loginKey(model: Model, key: Key): Step | null {
  if (key.ctrl && key.name === 'c') return { model, effects: [{ type: 'quit' }] };
  return key.name === 'escape' ? { model, effects: [] } : null;
}

/** Null: the answer is for something else. A sentence: what is wrong with it. */
export function answerLogin(model: Model, now: Ask): Step | string | null {
  if (now.purpose.type !== 'login') return null;
  const { name = '', password = '' } = answersOf(now);
  if (name === '') return 'Give your name.';
  if (password === '') return 'Give your password.';
  const overlay = { ...loginBox(now.note, name), problem: 'Waiting for the daemon.' };
  return { model: { ...model, overlay }, effects: [{ type: 'login', name, password }] };
}

/** Null: it is not over. */
export function idleEnd(model: Model): Effect | null {
  const me = meOf(model);
  if (me?.via !== 'session' || model.now - model.used < IDLE_MS) return null;
  return {
    type: 'logout',
    why: `No key was pressed for ${IDLE_MS / 60_000} minutes: log in again.`,
  };
}

/** What a key led to, unless the role does not allow it: then a sentence, and nothing is asked. */
export function allowed(before: Model, next: Step): Step {
  const me = meOf(before);
  if (me === null) return next;
  const needed = neededBy(before, next);
  if (needed === null || mayAs(me.role, needed)) return next;
  const text = `This needs the role ${needed}, and ${me.name} has the role ${me.role}.`;
  return {
    model: { ...before, overlay: null, notice: { text, at: before.now } },
    effects: [],
  };
}

function neededBy(before: Model, { model, effects }: Step): Role | null {
  const opened = model.overlay === before.overlay ? null : model.overlay;
  const needs = [
    ...effects.map(ofEffect),
    ...(opened === null ? [] : ofOverlay(opened)),
    ...(model.editor !== null && before.editor === null ? ['administrator' as const] : []),
    ...(model.draft !== null && before.draft === null ? ['administrator' as const] : []),
  ].filter((role) => role !== null);
  return needs.find((role) => role === 'administrator') ?? needs[0] ?? null;
}

function ofOverlay(overlay: Overlay): (Role | null)[] {
  switch (overlay.kind) {
    case 'confirm':
      return [
        ...overlay.effects.map(ofEffect),
        overlay.then?.type === 'document' ? 'administrator' : null,
      ];
    case 'prompt':
      return ['operator'];
    case 'choose':
      return ['administrator'];
    case 'ask':
      return [ofPurpose(overlay.purpose)];
    default:
      return [];
  }
}

function ofPurpose({ type }: Purpose): Role | null {
  switch (type) {
    case 'own-password':
    case 'login':
      return null;
    case 'ping':
    case 'traceroute':
    case 'resolve':
      return 'operator';
    default:
      return 'administrator';
  }
}

function ofEffect(effect: Effect): Role | null {
  if (effect.type !== 'act' && effect.type !== 'import') return null;
  const rule = ruleOfPath(effect.call.method ?? 'GET', effect.call.path);
  return rule === null || rule.role === 'anyone' ? null : rule.role;
}

/** The keys of the wizard, what it asks the daemon for, and what the answers do. Pure. */
import type { ApplyResult, MemberTest, Trial } from '../../appliance/api/contract.js';
import { memberKey } from '../../appliance/config/addresses.js';
import { askKey, type Ask } from '../ask.js';
import { draftOf, schemaOf } from '../config/edits.js';
import type { Check } from '../config/draft.js';
import { wordOf } from '../config/schema.js';
import type { Key } from '../keys.js';
import { OVERVIEW, type Effect, type Model } from '../model.js';
import { memberPath } from '../topics.js';
import type { Step } from '../step.js';
import { membersOf } from './document.js';
import {
  answersOf,
  at,
  beginWizard,
  documentOf,
  fieldsOf,
  finished,
  pagesOf,
  problemOf,
  problemsAt,
  stepsOf,
  withField,
  type Grounds,
  type Wizard,
} from './wizard.js';

/** What the daemon answered to the wizard. */
export type WizardAnswer =
  | { readonly about: 'check'; readonly serial: number; readonly check: Check }
  | { readonly about: 'trial'; readonly serial: number; readonly trial: Trial | string }
  /** `made`: steps that are done; `problem`: why the one after them is not. */
  | {
      readonly about: 'steps';
      readonly made: number;
      readonly problem: string | null;
      readonly values: readonly unknown[];
    }
  | { readonly about: 'test'; readonly test: MemberTest | string };

export function groundsOf(model: Model): Grounds | null {
  const draft = draftOf(model);
  const schema = schemaOf(model);
  const { users, network } = model.data;
  if (draft === null || schema === null || users === undefined || network === undefined)
    return null;
  return {
    ...{ schema, base: draft.original, revision: draft.base },
    users: users.value?.length ?? null,
    host: network.value?.host ?? [],
    interfaces: (network.value?.interfaces ?? [])
      .filter(({ kind }) => kind !== 'loopback')
      .map(({ name }) => name),
  };
}

/** The wizard of the screen: begun once the daemon's language is known. */
export function wizardOf(model: Model): Wizard | null {
  if (model.wizard !== null) return model.wizard;
  const grounds = groundsOf(model);
  return grounds === null ? null : beginWizard(grounds);
}

export function wizardKey(model: Model, key: Key): Step | null {
  if (model.place.screen !== 'wizard') return null;
  const wizard = wizardOf(model);
  const leaves = key.name === 'escape' || (key.ctrl && key.name === 'c');
  if (leaves) return leave(model);
  if (wizard === null) return null;
  if (wizard.page === 'done') return null;
  if (key.ctrl && (key.name === 'z' || key.name === 'l')) return null;
  if (wizard.asking === 'steps') return still(model);
  const set = (next: Wizard): Step => still({ ...model, wizard: next });
  if (key.name === 'pageup' || (key.ctrl && key.name === 'p')) return set(at(wizard, -1));
  const fields = fieldsOf(wizard);
  const isNext = key.name === 'pagedown' || (key.ctrl && key.name === 'n');
  if (fields.length === 0) return isEnter(key) || isNext ? onward(model, wizard) : still(model);
  if (isNext) return onward(model, wizard);
  const field = Math.min(wizard.field, fields.length - 1);
  const next = askKey(asked(fields, field), key);
  if (next === 'submitted') return onward(model, wizard);
  const changed = next.fields[next.field];
  const moved = { ...wizard, field: next.field };
  return set(
    changed === undefined || changed === fields[next.field] ? moved : withField(moved, changed),
  );
}

function asked(fields: Ask['fields'], field: number): Ask {
  return {
    ...{ kind: 'ask', title: '', note: '', problem: '', purpose: { type: 'commit' } },
    ...{ fields, field },
  };
}

function isEnter({ name }: Key): boolean {
  return name === 'return' || name === 'enter';
}

function still(model: Model): Step {
  return { model, effects: [] };
}

/** What was typed stays, for `:wizard`; nothing of it was sent. */
function leave(model: Model): Step {
  if (model.wizard?.asking === 'steps') return still(model);
  const done = model.wizard?.page === 'done';
  const text = done
    ? ''
    : 'Nothing was changed. :wizard comes back here, with what you typed until you quit.';
  return {
    model: {
      ...model,
      place: OVERVIEW,
      trail: [],
      wizard: done ? null : model.wizard,
      notice: text === '' ? model.notice : { text, at: model.now },
    },
    effects: [{ type: 'refresh' }],
  };
}

/** To the next page, once the daemon has nothing against this one; from the last one the steps. */
function onward(model: Model, wizard: Wizard): Step {
  const grounds = groundsOf(model);
  if (grounds === null) return still(model);
  const problem = problemOf(wizard);
  if (problem !== null) return still({ ...model, wizard: { ...wizard, problems: [problem] } });
  const serial = wizard.serial + 1;
  const next: Wizard = { ...wizard, serial, asking: 'check', problems: [] };
  const document = documentOf(wizard, grounds);
  return {
    model: { ...model, wizard: next },
    effects: [{ type: 'check', document, serial, about: 'wizard' }],
  };
}

export function wizardAnswered(model: Model, answer: WizardAnswer): Step {
  const { wizard } = model;
  if (wizard === null) return still(model);
  if ('serial' in answer && answer.serial !== wizard.serial) return still(model);
  switch (answer.about) {
    case 'check':
      return wizard.asking === 'check' ? checked(model, wizard, answer.check) : still(model);
    case 'trial': {
      const { trial } = answer;
      const problems = typeof trial === 'string' ? [trial] : [];
      const known = typeof trial === 'string' ? null : trial;
      return still({ ...model, wizard: { ...wizard, asking: null, trial: known, problems } });
    }
    case 'steps':
      return stepped(model, wizard, answer);
    case 'test': {
      const { test } = answer;
      const next: Wizard =
        typeof test === 'string'
          ? { ...wizard, problems: [...wizard.problems, test] }
          : { ...wizard, tests: [...wizard.tests, test] };
      return still({ ...model, wizard: next });
    }
  }
}

function checked(model: Model, wizard: Wizard, check: Check): Step {
  const grounds = groundsOf(model);
  const listed = problemsAt(wizard, check.errors);
  // What names no place is of the whole, as is a daemon that is away.
  const whole =
    check.problem !== null && check.errors.length === 0 && wizard.page !== 'way'
      ? [check.problem]
      : [];
  const problems = [...new Set([...listed, ...whole])];
  if (problems.length > 0 || grounds === null) {
    return still({ ...model, wizard: { ...wizard, asking: null, problems } });
  }
  if (wizard.page === 'commit') {
    const steps = stepsOf(wizard, grounds).slice(wizard.made);
    return {
      model: { ...model, wizard: { ...wizard, asking: 'steps' } },
      effects: [{ type: 'steps', steps }],
    };
  }
  const next = at(wizard, 1);
  if (next.page !== 'trial') return still({ ...model, wizard: next });
  const serial = next.serial + 1;
  return {
    model: { ...model, wizard: { ...next, serial, asking: 'trial', trial: null } },
    effects: [{ type: 'trial', document: documentOf(next, grounds), serial }],
  };
}

function stepped(
  model: Model,
  wizard: Wizard,
  { made, problem, values }: Extract<WizardAnswer, { about: 'steps' }>,
): Step {
  const grounds = groundsOf(model);
  const all = wizard.made + made;
  if (problem !== null) {
    const done =
      grounds === null
        ? []
        : stepsOf(wizard, grounds)
            .slice(0, all)
            .map((one) => one.done);
    const said = done.length === 0 ? ['Nothing was changed.'] : [`Done already: ${done.join(' ')}`];
    const problems = [problem, ...said];
    return still({ ...model, wizard: { ...wizard, asking: null, made: all, problems } });
  }
  const result = values.findLast(isApplied) ?? null;
  const next = finished({ ...wizard, made: all }, result);
  return {
    model: { ...model, wizard: next },
    effects: [{ type: 'refresh' }, ...testsOf(next)],
  };
}

/** By its shape: of the steps only a commit is answered with changes. */
function isApplied(value: unknown): value is ApplyResult {
  return typeof value === 'object' && value !== null && 'changes' in value;
}

/** Of what goes through the fast path; of the proxy's members the monitor says all that there is. */
function testsOf(wizard: Wizard): Effect[] {
  const { service = '', protocol, members = '', port = '' } = answersOf(wizard);
  if (!pagesOf(wizard).includes('trial') || (protocol !== 'tcp' && protocol !== 'udp')) return [];
  return membersOf(members).map((member): Effect => {
    const named = {
      address: wordOf(member['address'] ?? ''),
      port: Number(member['port'] ?? port),
    };
    const path = `${memberPath(service, memberKey(named))}/test`;
    return { type: 'test', call: { method: 'POST', path, json: {} } };
  });
}

/**
 * The configuration edited by keys: every form is made of the schema, candidates are judged by the
 * language's own checks (judge.ts), and what is committed is exactly the candidate.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Document } from '../../../appliance/api/contract.js';
import { formatPath, type Path } from '../../../appliance/config/errors.js';
import { withMoved, withRenamed, withValue } from '../../../tui/config/draft.js';
import { formRows, type FormRow } from '../../../tui/config/form.js';
import { merged } from '../../../tui/config/merge.js';
import {
  childOf,
  isMap,
  skeleton,
  valueAt,
  variantsOf,
  type JsonMap,
  type Node,
} from '../../../tui/config/schema.js';
import type { Effect, Model, Place } from '../../../tui/model.js';
import { step } from '../../../tui/step.js';
import { textOf } from '../../../tui/frame.js';
import { view } from '../../../tui/view.js';
import { STATUS } from '../api/fake-daemon.js';
import { after, answer, CONFIG, CONFIGURED, keys, SCHEMA, world } from './world.js';

const test = suite('tui: configuration');
const at = (screen: Place['screen'], name = ''): Place => ({ screen, name, pool: '' });
const calm = { ...STATUS, pendingConfirm: null };
const on = (place: Place): Model => world({ place, answers: { status: calm } });
const document = (model: Model): JsonMap => model.draft?.document ?? {};

function lastEffects(model: Model, ...typed: readonly string[]): readonly Effect[] {
  const actions = keys(...typed);
  const last = actions.at(-1);
  assert.ok(last);
  return step(after(model, ...actions.slice(0, -1)), last).effects;
}

/** Selects the row of a form by its key, by going down to it. */
function selecting(model: Model, key: string): Model {
  const table = `${model.place.screen} ${model.place.pool} ${model.place.name}`;
  const state = { sort: -1, descending: false, filter: '', selected: key, top: 0 };
  return { ...model, tables: { ...model.tables, [table]: state } };
}

test('a number is typed into its field, checked, and committed on top of its revision', () => {
  const form = selecting(on(at('object', 'pools.web.members[0]')), 'pools.web.members[0].weight');
  const changed = after(form, ...keys('Enter', 'C-u', '7', 'Enter'));
  assert.is(valueAt(document(changed), ['pools', 'web', 'members', 0, 'weight']), 7);
  assert.equal(
    changed.draft?.check?.changes.map(({ path, before, after: now }) => [path, before, now]),
    [['pools.web.members[10.0.1.11:8080].weight', 3, 7]],
  );
  const effects = lastEffects(changed, 'C', 'more', 'Enter', 'Right', 'Enter');
  const call = effects[0]?.type === 'act' ? effects[0].call : null;
  assert.equal(call?.ifMatch, 7);
  assert.equal(call?.query, { comment: 'more', 'confirm-ms': 120_000 });
  assert.equal(call?.json, document(changed));
});

test('the time that a commit waits for is chosen, or typed, and is never taken for none', () => {
  const form = selecting(on(at('object', 'pools.web.members[0]')), 'pools.web.members[0].weight');
  const asked = after(form, ...keys('Enter', 'C-u', '7', 'Enter', 'C', 'Enter', '9'));
  const effect = lastEffects(asked, '0', 's', 'Enter')[0];
  assert.equal(effect?.type === 'act' ? effect.call.query?.['confirm-ms'] : null, 90_000);
  for (const wrong of [['Backspace'], ['0', 's', 'Backspace'], ['d']]) {
    const refused = after(asked, ...keys(...wrong, 'Enter'));
    assert.ok(refused.overlay?.kind === 'ask');
    assert.match(refused.overlay.problem, /^Give a time/);
  }
});

test('undoing an addition leads out of the form of what is gone', () => {
  const pool = selecting(on(at('object', 'pools.web')), 'pools.web.members');
  const inside = after(pool, ...keys('a'));
  assert.is(inside.place.name, 'pools.web.members[2]');
  const back = after(inside, ...keys('U'));
  assert.equal(back.place, at('object', 'pools.web'));
  assert.is(back.draft, null);
  assert.equal(after(inside, ...keys('X', 'y')).place, at('object', 'pools.web'));
});

test('nothing is committed while the daemon refuses the candidate, and its words stand at the field', () => {
  const form = selecting(on(at('object', 'services.shop')), 'services.shop.listen.port');
  const wrong = after(form, ...keys('Enter', 'C-u', '99999', 'Enter'));
  const error = wrong.draft?.check?.errors[0];
  assert.is(error?.path, 'services.shop.listen.port');
  const seen = textOf(view(wrong));
  assert.match(seen, /✖ +port\* +99999/);
  assert.ok(seen.includes(error?.message ?? '?'), seen);
  const asked = after(wrong, ...keys('C'));
  assert.is(asked.overlay?.kind, 'message');
  const undone = after(wrong, ...keys('U'));
  assert.is(undone.draft, null, 'the candidate is the current revision again');
});

test('a monitor of another type keeps what both types have', () => {
  const form = on(at('object', 'pools.web.monitor'));
  const tcp = after(form, ...keys('Enter', 'Up', 'Enter'));
  assert.equal(valueAt(document(tcp), ['pools', 'web', 'monitor']), {
    type: 'tcp',
    interval: '500ms',
    timeout: '400ms',
  });
  assert.is(tcp.draft?.check?.problem, null);
});

test('n makes a service whose required fields are there to be filled in', () => {
  const made = after(on(at('config')), ...keys('n', 'Enter', 'dns', 'Enter'));
  assert.equal(made.place, at('object', 'services.dns'));
  assert.equal(valueAt(document(made), ['services', 'dns']), { listen: {} });
  const missing = made.draft?.check?.errors.map(({ path }) => path);
  for (const key of ['address', 'port', 'protocol']) {
    assert.ok(missing?.includes(`services.dns.listen.${key}`), `${key} is said to be missing`);
  }
  assert.match(textOf(view(made)), /✖ +address\* +-/);
});

test('a name that is there already is refused, and the question stays', () => {
  const asked = after(on(at('config')), ...keys('n', 'Down', 'Enter', 'web', 'Enter'));
  assert.is(
    asked.overlay?.kind === 'ask' ? asked.overlay.problem : '',
    'There is pools.web already.',
  );
  assert.is(asked.draft, null);
});

test('copy, rename with what refers to it, remove', () => {
  const list = selecting(on(at('config')), 'pools.web');
  const named = {
    ...list,
    tables: { config: { sort: -1, descending: false, filter: '', selected: 'pools.web', top: 0 } },
  };
  const copied = after(named, ...keys('c', 'Enter'));
  assert.equal(valueAt(document(copied), ['pools', 'web-2']), CONFIGURED.pools?.['web']);
  const renamed = after(named, ...keys('m', 'C-u', 'front', 'Enter'));
  assert.is(valueAt(document(renamed), ['services', 'shop', 'pool']), 'front');
  assert.is(renamed.draft?.check?.problem, null);
  const asked = after(named, ...keys('x'));
  const question = asked.overlay?.kind === 'confirm' ? asked.overlay.question : '';
  assert.match(question, /Remove pools\.web .*\n1 place refers to it: services\.shop\.pool/);
  const removed = after(asked, ...keys('y'));
  assert.is(valueAt(document(removed), ['pools', 'web']), undefined);
  assert.ok(removed.draft?.check?.errors.some(({ path }) => path === 'services.shop.pool'));
});

test('items of a list: added, moved, copied, removed', () => {
  const form = selecting(on(at('object', 'pools.web')), 'pools.web.members[0]');
  const addresses = (model: Model): unknown[] => {
    const members = valueAt(document(model), ['pools', 'web', 'members']) as JsonMap[];
    return members.map(({ address }) => address);
  };
  const moved = after(form, ...keys(']'));
  assert.equal(addresses(moved), ['10.0.1.12', '10.0.1.11']);
  assert.equal(addresses(after(moved, ...keys('c'))), ['10.0.1.12', '10.0.1.11', '10.0.1.11']);
  assert.equal(addresses(after(moved, ...keys('x', 'y'))), ['10.0.1.12']);
  const added = after(form, ...keys('a'));
  assert.equal(added.place, at('object', 'pools.web.members[2]'));
});

test('a list of words is typed word by word', () => {
  const form = selecting(on(at('object', 'unit')), 'unit.interfaces+');
  const added = after(form, ...keys('Enter', 'eth7', 'Enter'));
  assert.equal(valueAt(document(added), ['unit', 'interfaces']), ['eth0', 'eth1', 'eth7']);
});

test('a value of several forms: the form is asked for first', () => {
  const form = selecting(on(at('object', 'pools.web')), 'pools.web.when-down');
  const asked = after(form, ...keys('Enter'));
  const options =
    asked.overlay?.kind === 'choose' ? asked.overlay.options.map(({ text }) => text) : [];
  assert.equal(options, ['drop', 'reset', 'serve-all', 'with pool']);
  const chosen = after(asked, ...keys('End', 'Enter'));
  const below = after(
    selecting(chosen, 'pools.web.when-down.pool'),
    ...keys('Enter', 'sp', 'Tab', 'Enter'),
  );
  assert.equal(valueAt(document(below), ['pools', 'web', 'when-down']), { pool: 'spare' });
  assert.is(below.draft?.check?.problem, null);
});

test('another revision meanwhile: said, not overwritten, and rebased on R', () => {
  const form = selecting(on(at('object', 'pools.web.members[0]')), 'pools.web.members[0].weight');
  const mine = after(form, ...keys('Enter', 'C-u', '7', 'Enter'));
  const theirs: Document = {
    ...CONFIGURED,
    unit: { name: 'weir-a', description: 'theirs', interfaces: ['eth0', 'eth1'] },
  };
  const overtaken = after(mine, answer('status', { ...calm, revision: 8 }, mine.place));
  assert.match(textOf(view(overtaken)), /Revision 8 was committed meanwhile.*R rebases/);
  assert.is(after(overtaken, ...keys('C')).overlay?.kind, 'message');
  const known = after(overtaken, answer('config', { revision: 8, document: theirs }, mine.place));
  const rebased = after(known, ...keys('R', 'Esc'));
  assert.is(rebased.draft?.base, 8);
  assert.is(valueAt(document(rebased), ['unit', 'description']), 'theirs');
  assert.is(valueAt(document(rebased), ['pools', 'web', 'members', 0, 'weight']), 7);
});

for (const [what, mine, theirs, expected, conflicts] of [
  ['one side each', { a: 2, b: 1 }, { a: 1, b: 3 }, { a: 2, b: 3 }, []],
  ['both the same', { a: 2, b: 1 }, { a: 2, b: 1 }, { a: 2, b: 1 }, []],
  ['both another one', { a: 2, b: 1 }, { a: 3, b: 1 }, { a: 2, b: 1 }, ['a']],
  ['removed here, changed there', { b: 1 }, { a: 3, b: 1 }, { b: 1 }, ['a']],
  ['removed there, untouched here', { a: 1, b: 1 }, { b: 1 }, { b: 1 }, []],
  [
    'added on both sides',
    { a: 1, b: 1, c: 1 },
    { a: 1, b: 1, d: 1 },
    { a: 1, b: 1, d: 1, c: 1 },
    [],
  ],
] as const) {
  test(`a merge: ${what}`, () => {
    const original: JsonMap = { a: 1, b: 1 };
    const result = merged(original, mine, theirs);
    assert.equal(result.document, expected);
    assert.equal(result.conflicts, conflicts);
  });
}

test('members are merged one by one, whatever their places', () => {
  const [a, b, c] = [{ address: '10.0.0.1' }, { address: '10.0.0.2' }, { address: '10.0.0.3' }];
  const result = merged({ m: [a, b] }, { m: [{ ...a, weight: 2 }, b] }, { m: [b, c, a] });
  assert.equal(result, { document: { m: [b, c, { ...a, weight: 2 }] }, conflicts: [] });
});

test('documents share what an edit does not touch', () => {
  const before: JsonMap = { a: { b: [1, 2, 3] }, c: { d: 1 } };
  const changed = withValue(before, ['a', 'b', 1], undefined);
  assert.equal(changed, { a: { b: [1, 3] }, c: { d: 1 } });
  assert.is(changed['c'], before['c']);
  assert.is(withMoved(before, ['a', 'b'], 0, -1), before);
  assert.equal(Object.keys(withRenamed(before, [], 'a', 'z')), ['z', 'c']);
});

function has(rows: readonly FormRow[], path: Path): boolean {
  return rows.some(({ key, kind }) => kind !== 'add' && key === formatPath(path));
}

test('every key of the language has a row in some form', () => {
  let count = 0;
  const look = (node: Node, path: (string | number)[], value: JsonMap, depth: number): void => {
    for (const variant of variantsOf(node)) {
      const made = skeleton(variant) ?? {};
      if (variant.type !== 'object' || !isMap(made)) continue;
      const whole = withValue(value, path, made);
      const rows = formRows(SCHEMA, whole, path);
      for (const key of Object.keys(variant.properties ?? {})) {
        count += 1;
        assert.ok(has(rows, [...path, key]), `no row for ${formatPath([...path, key])}`);
        const child = childOf(variant, made, key);
        if (child !== null && depth > 0) look(child, [...path, key], whole, depth - 1);
      }
      const named = variant.additionalProperties;
      if (named) {
        const adds = rows.some(({ kind, key }) => kind === 'add' && key === `${formatPath(path)}+`);
        assert.ok(adds, `nothing can be added to ${formatPath(path)}`);
        look(named, [...path, 'name'], whole, depth - 1);
      }
    }
    for (const variant of variantsOf(node)) {
      if (variant.type !== 'array' || variant.items === undefined || depth === 0) continue;
      look(variant.items, [...path, 0], value, depth - 1);
    }
  };
  look(SCHEMA, [], CONFIGURED as unknown as JsonMap, 8);
  assert.ok(count > 400, `${count} keys were looked for`);
});

test('the whole document as text: what was typed is the candidate, and errors stand at their lines', () => {
  const opened = after(on(at('config')), ...keys('Y'));
  assert.match(textOf(view(opened)), /1 version: 1/);
  const typed = after(
    opened,
    ...keys('Down', 'Down', 'C-k', 'Up', 'End', 'Enter', '  nam: x', 'C-s'),
  );
  const errors = typed.editor?.errors ?? [];
  assert.ok(
    errors.some(({ line, message }) => line === 3 && message.includes('nam')),
    JSON.stringify(errors),
  );
  assert.match(textOf(view(typed)), /✖ *3 +nam: x/);
  const left = after(typed, ...keys('Esc'));
  assert.is(left.place.screen, 'config');
});

test('text that is not saved is not lost without a question', () => {
  const typed = after(on(at('object', 'pools.web')), ...keys('y', 'x', 'Esc'));
  assert.is(typed.overlay?.kind, 'confirm');
  assert.is(after(typed, ...keys('n')).place.screen, 'editor');
  assert.is(after(typed, ...keys('y')).place.screen, 'object');
});

test('a revision that waits is counted down on every screen, and K keeps it', () => {
  for (const screen of ['overview', 'pools', 'config', 'pair', 'system'] as const) {
    const waits = world({ place: at(screen) });
    assert.match(textOf(view(waits)), /revision 7 goes back in 43 s, K keeps it/);
    const later = after(waits, { type: 'tick', now: waits.now + 3000 });
    assert.match(textOf(view(later)), /goes back in 40 s/);
    const effects = lastEffects(waits, 'K', 'y');
    assert.equal(effects[0]?.type === 'act' ? effects[0].call.path : '', '/v1/config/confirm');
  }
});

test('b brings a revision back with the comment and time given', () => {
  const effects = lastEffects(on(at('revision', '7')), 'b', 'why', 'Enter', 'Enter');
  assert.equal(effects[0]?.type === 'act' ? effects[0].call.json : null, {
    to: 7,
    comment: 'why',
    'confirm-ms': 60_000,
  });
});

test('a committed candidate is one no more; one that was overtaken stays', () => {
  const form = selecting(on(at('object', 'unit')), 'unit.name');
  const changed = after(form, ...keys('Enter', '2', 'Enter'));
  const result = { revision: 8, changes: [], dryRun: false, warnings: [] };
  const done = after(changed, { type: 'done', text: '', about: 'commit', value: result });
  assert.is(done.draft, null);
  const refused = after(changed, {
    type: 'failed',
    text: 'Revision 8 is.',
    code: 'revision-mismatch',
  });
  assert.ok(refused.draft);
  assert.match(refused.overlay?.kind === 'message' ? refused.overlay.text : '', /R puts it on top/);
});

test('while the daemon is away edits are kept, and looked at when it is back', () => {
  const form = selecting(on(at('object', 'unit')), 'unit.name');
  const edited = step(after(form, ...keys('Enter', '2')), keys('Enter')[0]!).model;
  const check = { changes: [], warnings: [], errors: [], problem: 'No daemon.', unanswered: true };
  const away = after(edited, { type: 'checked', serial: edited.draft?.serial ?? 0, check });
  const back = step(away, { type: 'link', link: { state: 'up', since: 0, why: '' } });
  assert.equal(
    back.effects.map(({ type }) => type),
    ['check'],
  );
});

test('an empty unit begins with its name', () => {
  const answers = {
    status: { ...calm, revision: null },
    config: { ...CONFIG, revision: null, document: null },
  };
  const empty = world({ place: at('config'), answers });
  const named = after(empty, ...keys('Enter', 'Enter', 'weir-b', 'Enter'));
  assert.equal(document(named), { version: 1, unit: { name: 'weir-b' } });
  const effects = lastEffects(named, 'C', 'Enter', 'Enter');
  assert.equal(effects[0]?.type === 'act' ? effects[0].call.ifMatch : null, 0);
});

test.run();

/** What the parts of the dashboard's core do: tables, charts, history, keys, events. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { sparkline } from '../../../appliance/cli/sparkline.js';
import { chart } from '../../../tui/chart.js';
import { fit, plain, textOf, wrap } from '../../../tui/frame.js';
import { History, secondsOfColumn, SPAN_SECONDS } from '../../../tui/history.js';
import { MENU } from '../../../tui/keys.js';
import { lookOf } from '../../../tui/look.js';
import { OVERVIEW, tableState, type Model, type Place } from '../../../tui/model.js';
import { step } from '../../../tui/step.js';
import { arranged, FRESH_TABLE, scrolled, type Column } from '../../../tui/table.js';
import { keyOf } from '../../../tui/terminal.js';
import { event, MEMBERS } from '../api/fake-daemon.js';
import { after, answer, keys, THEN, USERS, world } from './world.js';

const test = suite('tui: core');
const unicode = { unicode: true };
const ascii = { unicode: false };
const at = (screen: Place['screen'], name = '', pool = ''): Place => ({ screen, name, pool });

for (const [text, utf8, plainText] of [
  ['a\u001b[31mb', 'a?[31mb', 'a?[31mb'],
  ['10 → 20 …', '10 → 20 …', '10 -> 20 ...'],
  ['Grüße', 'Grüße', 'Gr??e'],
  ['日本 e\u0301 🙂', '?? e? ?', '?? e? ?'],
  ['\u202etxt', '?txt', '?txt'],
] as const) {
  test(`${JSON.stringify(text)} takes one cell a character and controls nothing`, () => {
    assert.is(plain(unicode, text), utf8);
    assert.is(plain(ascii, text), plainText);
  });
}

test('a line is cut with a mark, or filled, to its width', () => {
  const line = [
    { text: 'abc', style: 'bold' },
    { text: 'defg', style: 'plain' },
  ] as const;
  assert.is(textOf([fit(unicode, line, 5)]), 'abcd…\n');
  assert.is(textOf([fit(ascii, line, 5)]), 'abcd~\n');
  assert.is(
    fit(ascii, line, 9)
      .map(({ text }) => text)
      .join(''),
    'abcdefg  ',
  );
});

test('sentences are broken at blanks, long words too', () => {
  assert.equal(wrap('one two three', 7), ['one two', 'three']);
  assert.equal(wrap('abcdefghij x', 4), ['abcd', 'efgh', 'ij x']);
});

test('a sparkline has its newest value at the right, and gaps as blanks', () => {
  assert.is(sparkline(unicode, [0, 1, null, 8], 6), '  ▁▁ █');
  assert.is(sparkline(ascii, [0, 4, 8], 3), '_=@');
});

test('a chart grows from its lowest line; what is little is seen', () => {
  const of = { title: 'T', width: 4, height: 2, style: 'plain', now: 8, format: String } as const;
  assert.is(textOf(chart(unicode, [0, 0.01, 4, 8], of)), 'T 8\n   █\n▁▁██\n');
});

test('averages have bounds that stay where they are, and gaps', () => {
  const history = new History();
  const add = (second: number, bits: number): void =>
    history.add('x', second * 1000, { bits, connections: 0, requests: 0, errors: 0 });
  for (const [second, bits] of [
    [10, 1],
    [11, 3],
    [12, 5],
    [13, 7],
    [20, 9],
  ] as const)
    add(second, bits);
  assert.equal(history.averages('x', 'bits', 2, 6), [2, 6, null, null, null, 9]);
  add(21, 11);
  assert.equal(history.averages('x', 'bits', 2, 6), [2, 6, null, null, null, 10]);
  assert.is(history.newest('x', 'bits'), 11);
});

test('history is kept in fixed space, and forgotten when it ends', () => {
  const history = new History();
  for (let second = 0; second < 2 * SPAN_SECONDS; second += 1) {
    history.add('x', second * 1000, { bits: second, connections: 0, requests: 0, errors: 0 });
  }
  assert.is(history.values('x', 'bits').length, SPAN_SECONDS);
  history.forget(4 * SPAN_SECONDS * 1000);
  assert.equal(history.values('x', 'bits'), []);
  for (const columns of [1, 18, 38, 98, 300]) {
    const seconds = secondsOfColumn(columns) * columns;
    assert.ok(seconds <= SPAN_SECONDS, `${columns} columns show ${seconds} s`);
  }
});

interface Row {
  readonly name: string;
  readonly count: number;
}
const ROWS: readonly Row[] = [
  { name: 'b10', count: 2 },
  { name: 'b9', count: 10 },
  { name: 'a', count: 2 },
];
const COLUMNS: readonly Column<Row>[] = [
  { title: 'NAME', value: ({ name }) => name },
  { title: 'COUNT', value: ({ count }) => String(count), order: ({ count }) => count },
];

for (const [what, state, expected] of [
  ['as the daemon lists them', {}, 'b10 b9 a'],
  ['by name, numbers in it by their value', { sort: 0 }, 'a b9 b10'],
  [
    'by count, the highest first, equal ones as they were',
    { sort: 1, descending: true },
    'b9 b10 a',
  ],
  ['only those that have every word', { filter: 'B 1' }, 'b10 b9'],
  ['none', { filter: 'zzz' }, ''],
] as const) {
  test(`rows of a table: ${what}`, () => {
    const rows = arranged(ROWS, COLUMNS, { ...FRESH_TABLE, ...state });
    assert.is(rows.map(({ name }) => name).join(' '), expected);
  });
}

test('the selected row is always among those seen', () => {
  for (let selected = 0; selected < 50; selected += 1) {
    for (const top of [0, 10, 49]) {
      const from = scrolled(top, selected, 50, 7);
      assert.ok(from <= selected && selected < from + 7, `row ${selected} is not in ${from}+7`);
    }
  }
});

test('a selected member stays selected while others come before it', () => {
  const place = at('members');
  const down = after(world({ place }), ...keys('j'));
  assert.is(tableState(down).selected, 'web/10.0.1.12:8080');
  const later = after(down, answer('members', [...MEMBERS].reverse(), place));
  const asked = after(later, ...keys('d')).overlay;
  assert.match(
    asked?.kind === 'confirm' ? asked.question : '',
    /member 10\.0\.1\.12:8080 of pool web/,
  );
});

for (const [keysTyped, screen] of [
  [['3'], 'pools'],
  [['Tab'], 'services'],
  [['S-Tab'], MENU.at(-1)?.screen],
  [['2', 'Enter', 'Esc'], 'services'],
  [['2', 'l', 'h', 'h'], 'overview'],
  [['Enter'], 'service'],
  [[':pool web', 'Enter'], 'pool'],
  [[':ev', 'Tab', 'Enter'], 'events'],
  [['?', '3'], 'overview'],
] as const) {
  test(`${keysTyped.join(' ')} leads to ${screen}`, () => {
    assert.is(after(world(), ...keys(...keysTyped)).place.screen, screen);
  });
}

function effectsOf(model: Model, ...typed: readonly string[]): readonly string[] {
  let now = model;
  let last: readonly string[] = [];
  for (const action of keys(...typed)) {
    const next = step(now, action);
    now = next.model;
    last = next.effects.map((one) => (one.type === 'act' ? JSON.stringify(one.call) : one.type));
  }
  return last;
}

test('nothing is changed without a yes, and then exactly what the question said', () => {
  const members = world({ place: at('members') });
  for (const [letter, json] of [
    ['d', { state: 'draining' }],
    ['x', { state: 'disabled' }],
    ['e', { state: 'enabled' }],
  ] as const) {
    assert.equal(effectsOf(members, letter), []);
    assert.equal(effectsOf(members, letter, 'n'), []);
    assert.equal(effectsOf(members, letter, 'Enter'), []);
    assert.equal(effectsOf(members, letter, 'Esc'), []);
    assert.equal(effectsOf(members, letter, 'y'), [
      JSON.stringify({ method: 'PATCH', path: '/v1/pools/web/members/10.0.1.11%3A8080', json }),
    ]);
  }
  assert.equal(effectsOf(members, 'w', '12', 'Enter'), []);
  assert.match(effectsOf(members, 'w', '12', 'Enter', 'y')[0] ?? '', /"weight":12/);
  assert.equal(effectsOf(members, 'w', '257', 'Enter', 'y'), []);
});

test('q quits at once, or asks while something pends', () => {
  assert.equal(effectsOf(world(), 'q'), [], 'revision 7 awaits confirmation');
  assert.equal(effectsOf(world(), 'q', 'y'), ['quit']);
  const status = world().data.status?.value;
  assert.ok(status);
  const calm = world({ answers: { status: { ...status, pendingConfirm: null } } });
  assert.equal(effectsOf(calm, 'q'), ['quit']);
  assert.equal(effectsOf({ ...calm, pending: 'Draining.' }, 'q'), []);
});

test('events of past and stream together are there once, and those of flows cannot push others out', () => {
  const flows = Array.from({ length: 3000 }, (_, index) => ({
    ...event(index + 10),
    kind: 'flow-new' as const,
  }));
  const seen = after(
    world(),
    { type: 'events', rows: [event(2), event(3)], past: false },
    { type: 'events', rows: flows, past: false },
  ).events;
  assert.ok(seen !== null);
  const others = seen.filter(({ kind }) => kind !== 'flow-new').map(({ sequence }) => sequence);
  assert.equal(others, [1, 2, 3]);
  assert.is(seen.at(-1)?.sequence, 3009);
  assert.is(seen.length, 503);
});

test('an answer about another member than the one on the screen is not shown', () => {
  const there = world({ place: at('member', '10.0.1.12:8080', 'web') });
  const gone = { ...there, place: at('member', '10.0.1.99:1', 'web') };
  assert.ok(after(gone, { type: 'tick', now: THEN }).data.member);
  assert.is(gone.place.name, '10.0.1.99:1');
});

for (const [environment, utf8, wishes, expected] of [
  [{ TERM: 'xterm-256color' }, true, {}, { unicode: true, colours: 256 }],
  [{ TERM: 'xterm' }, true, {}, { unicode: true, colours: 16 }],
  [{ TERM: 'xterm', COLORTERM: 'truecolor' }, false, {}, { unicode: false, colours: 256 }],
  [{ TERM: 'xterm-256color', NO_COLOR: '1' }, true, {}, { unicode: true, colours: 0 }],
  [{ TERM: 'linux' }, true, {}, { unicode: false, colours: 16 }],
  [{ TERM: 'vt220' }, true, {}, { unicode: false, colours: 0 }],
  [{ TERM: 'vt220' }, true, { ascii: false, colour: '16' }, { unicode: true, colours: 16 }],
  [
    { TERM: 'tmux-256color' },
    true,
    { ascii: true, colour: 'none' },
    { unicode: false, colours: 0 },
  ],
] as const) {
  test(`${JSON.stringify({ ...environment, utf8, ...wishes })} shows ${JSON.stringify(expected)}`, () => {
    assert.equal(lookOf(environment, utf8, wishes), expected);
  });
}

test('keys of readline are those of the dashboard', () => {
  assert.equal(keyOf('S', { name: 's', shift: true }), { name: 's', ctrl: false, character: 'S' });
  assert.equal(keyOf('\t', { name: 'tab', shift: false }), {
    name: 'tab',
    ctrl: false,
    character: '',
  });
  assert.equal(keyOf(undefined, { name: 'tab', shift: true }), {
    name: 'backtab',
    ctrl: false,
    character: '',
  });
  assert.equal(keyOf('\u0003', { name: 'c', ctrl: true }), {
    name: 'c',
    ctrl: true,
    character: '',
  });
  assert.equal(OVERVIEW.screen, 'overview');
});

for (const [what, firstSetUp, users, screen] of [
  ['its own console without users', true, [], 'wizard'],
  ['its own console with users', true, USERS, 'overview'],
  ['any other terminal', false, [], 'overview'],
] as const) {
  test(`a configured unit begins with the ${screen} on ${what}`, () => {
    const model = { ...world({ answers: { users: [] } }), wizardOffered: false, firstSetUp };
    assert.is(after(model, answer('users', users, model.place)).place.screen, screen);
  });
}

test.run();

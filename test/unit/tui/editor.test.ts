/** The text editor and the mouse: as values. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { editorKey, openEditor, textIn, type Editor } from '../../../tui/editor.js';
import { menuAt, menuParts } from '../../../tui/menu.js';
import { tableState } from '../../../tui/model.js';
import { MouseFilter, type Mouse } from '../../../tui/mouse.js';
import { textOf } from '../../../tui/frame.js';
import { view } from '../../../tui/view.js';
import { after, keys, LARGE, SMALL, world } from './world.js';

const test = suite('tui: editor and mouse');
const PAGE = 10;

function typed(text: string, ...words: readonly string[]): Editor {
  const actions = keys(...words);
  return actions.reduce(
    (editor, action) => (action.type === 'key' ? editorKey(editor, action.key, PAGE) : editor),
    openEditor({ type: 'yaml', path: [] }, text),
  );
}

for (const [what, text, words, expected] of [
  ['letters stand where the cursor is', 'ac\n', ['Right', 'b'], 'abc\n'],
  ['a new line begins as deep as the one before', '  a\n', ['End', 'Enter', 'b'], '  a\n  b\n'],
  ['backspace joins lines', 'a\nb\n', ['Down', 'Backspace'], 'ab\n'],
  [
    'backspace in leading blanks takes a level',
    '    a\n',
    ['Right', 'Right', 'Right', 'Right', 'Backspace'],
    '  a\n',
  ],
  ['delete joins lines', 'a\nb\n', ['End', 'Del'], 'ab\n'],
  ['a pair of surrogates goes as one', 'a🙂b\n', ['Right', 'Right', 'Backspace'], 'ab\n'],
  ['a line is cut', 'a\nb\nc\n', ['Down', 'C-k'], 'a\nc\n'],
  ['the last line is cut to an empty text', 'a\n', ['C-k'], ''],
  ['letters in a row are one step of undo', 'a\n', ['End', 'bcd', 'C-u'], 'a\n'],
  ['undo and redo', 'a\n', ['End', 'b', 'Enter', 'c', 'C-u', 'C-u', 'C-r'], 'ab\n\n'],
] as const) {
  test(`the editor: ${what}`, () => assert.is(textIn(typed(text, ...words)), expected));
}

test('what is pasted keeps its own blanks', () => {
  const paste = (editor: Editor, name: string): Editor =>
    editorKey(editor, { name, ctrl: false, character: '' }, PAGE);
  const begun = paste(typed('', '  a'), 'paste-start');
  const lines = keys('Enter', '  b', 'Enter', '  c').reduce(
    (editor, action) => (action.type === 'key' ? editorKey(editor, action.key, PAGE) : editor),
    begun,
  );
  const pasted = paste(lines, 'paste-end');
  assert.is(textIn(pasted), '  a\n  b\n  c\n');
  assert.is(pasted.pasting, false);
});

test('whatever is typed, the cursor stands in the text, and undo leads all the way back', () => {
  const words = [
    'a',
    ' ',
    'Enter',
    'Backspace',
    'Del',
    'Up',
    'Down',
    'Left',
    'Right',
    'Home',
    'End',
    'C-k',
    'PageDown',
  ];
  const text = 'one:\n  two: 🙂\n  - three\n';
  let seed = 7;
  let editor = openEditor({ type: 'yaml', path: [] }, text);
  for (let count = 0; count < 400; count += 1) {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
    const [action] = keys(words[seed % words.length] ?? 'a');
    if (action?.type === 'key') editor = editorKey(editor, action.key, PAGE);
    const line = editor.lines[editor.row];
    assert.ok(
      line !== undefined && editor.column >= 0 && editor.column <= line.length,
      `step ${count}`,
    );
    assert.not.match(line.slice(0, editor.column), /[\ud800-\udbff]$/);
  }
  for (let count = 0; count < 400; count += 1) {
    editor = editorKey(editor, { name: 'u', ctrl: true, character: '' }, PAGE);
  }
  assert.is(textIn(editor), text);
});

test('the line of the cursor is seen, and its cell is marked', () => {
  const place = { screen: 'editor', name: '', pool: '' } as const;
  const lines = Array.from({ length: 100 }, (_, index) => `line ${index + 1}`).join('\n');
  const model = { ...world({ place }), editor: openEditor({ type: 'yaml', path: [] }, lines) };
  const below = after(model, ...keys('PageDown', 'PageDown', 'PageDown'));
  const seen = view(below);
  const marked = seen.find((line) => line.some(({ style }) => style === 'selected'));
  assert.match(
    textOf(marked === undefined ? [] : [marked]),
    new RegExp(`line ${(below.editor?.row ?? 0) + 1}\n`),
  );
});

for (const [what, chunks, text, mice] of [
  ['keys alone', ['ab\u001b[A'], 'ab\u001b[A', []],
  ['a click among keys', ['a\u001b[<0;10;5Mb'], 'ab', [['press', 9, 4]]],
  ['a report in pieces', ['\u001b', '[<6', '4;1;', '2M'], '', [['wheel-up', 0, 1]]],
  ['the wheel down', ['\u001b[<65;3;3M'], '', [['wheel-down', 2, 2]]],
  ['a release and other buttons', ['\u001b[<0;1;1m\u001b[<2;1;1M'], '', []],
  ['an arrow in pieces', ['\u001b', '[', 'A'], '\u001b[A', []],
  ['Esc and then a letter', ['\u001b', 'x'], '\u001bx', []],
] as const) {
  test(`what a terminal with a mouse sends: ${what}`, () => {
    const filter = new MouseFilter();
    const parts = chunks.map((chunk) => filter.push(chunk));
    assert.is(parts.map((part) => part.text).join('') + filter.flush(), text);
    const found = parts.flatMap((part) => part.mice);
    assert.equal(
      found.map(({ kind, column, row }) => [kind, column, row]),
      mice,
    );
  });
}

test('a lone Esc is held only until it is clear', () => {
  const filter = new MouseFilter();
  assert.is(filter.push('\u001b').text, '');
  assert.ok(filter.holds);
  assert.is(filter.flush(), '\u001b');
  assert.not.ok(filter.holds);
});

const click = (column: number, row: number): { type: 'mouse'; mouse: Mouse } => ({
  type: 'mouse',
  mouse: { kind: 'press', column, row },
});

test('a click on the menu leads to the screen under it, at every width', () => {
  for (const size of [SMALL, LARGE, { columns: 60, rows: 20 }]) {
    const model = world({ size });
    let column = 0;
    for (const { screen, text } of menuParts(model)) {
      assert.is(menuAt(model, column + 1), screen);
      assert.is(after(model, click(column + 1, 0)).place.screen, screen);
      column += text.length;
    }
    assert.is(menuAt(model, size.columns), null);
  }
});

test('a click selects a row, a second one opens it, the wheel moves', () => {
  const model = world({ place: { screen: 'members', name: '', pool: '' } });
  const lines = view(model).map((line) => textOf([line]));
  const row = lines.findIndex((line) => line.includes('10.0.1.12:8080'));
  const once = after(model, click(3, row));
  assert.is(tableState(once).selected, 'web/10.0.1.12:8080');
  assert.is(after(once, click(3, row)).place.name, '10.0.1.12:8080');
  const wheel = { kind: 'wheel-down', column: 0, row: 9 } as const;
  const moved = after(model, { type: 'mouse', mouse: wheel });
  assert.is(tableState(moved).selected, 'web/[2001:db8::14]:8080');
});

test('a click on a field of a form selects it, a second one edits it', () => {
  const model = world({ place: { screen: 'object', name: 'services.shop', pool: '' } });
  const row = view(model).findIndex((line) => textOf([line]).includes('port*'));
  const once = after(model, click(10, row));
  assert.is(tableState(once).selected, 'services.shop.listen.port');
  assert.is(after(once, click(10, row)).overlay?.kind, 'ask');
});

test.run();

/**
 * A text editor: lines, a cursor, undo. Pure.
 *
 * Invariant: the cursor stands in a line that is there, at most behind its last character; characters
 * are UTF-16 units of the text, and a pair of surrogates is never split.
 */
import type { Path } from '../appliance/config/errors.js';
import type { LineError } from './config/text.js';
import type { Key } from './keys.js';

export type EditorPurpose =
  /** A part of the candidate, or all of it. */
  | { readonly type: 'yaml'; readonly path: Path }
  /** A certificate with its key. */
  | {
      readonly type: 'pem';
      readonly name: string;
      readonly replace: boolean;
      readonly authority: boolean;
    };

interface State {
  readonly lines: readonly string[];
  readonly row: number;
  readonly column: number;
}

export interface Editor extends State {
  readonly purpose: EditorPurpose;
  /** As it was opened or saved. */
  readonly saved: string;
  readonly past: readonly State[];
  readonly future: readonly State[];
  /** What the last edit was: letters in a row are one step of undo. */
  readonly typing: boolean;
  /** Between the terminal's marks of a paste: its lines bring their own blanks. */
  readonly pasting: boolean;
  readonly errors: readonly LineError[];
}

const UNDO_KEPT = 500;

export function openEditor(purpose: EditorPurpose, text: string): Editor {
  return {
    purpose,
    lines: text.replace(/\n$/, '').split('\n'),
    row: 0,
    column: 0,
    saved: text,
    past: [],
    future: [],
    typing: false,
    pasting: false,
    errors: [],
  };
}

export function textIn({ lines }: Pick<Editor, 'lines'>): string {
  return lines.every((line) => line === '') ? '' : `${lines.join('\n')}\n`;
}

export function isChanged(editor: Editor): boolean {
  return textIn(editor) !== editor.saved;
}

/** Keys that move and edit; others leave the editor as it is. `page`: lines that are seen. */
export function editorKey(editor: Editor, key: Key, page: number): Editor {
  const { lines, row, column } = editor;
  const line = lines[row] ?? '';
  if (key.ctrl) return controlKey(editor, key);
  if (key.name.startsWith('paste-')) return { ...editor, pasting: key.name === 'paste-start' };
  switch (key.name) {
    case 'up':
      return moved(editor, row - 1, column);
    case 'down':
      return moved(editor, row + 1, column);
    case 'pageup':
      return moved(editor, row - page, column);
    case 'pagedown':
      return moved(editor, row + page, column);
    case 'left':
      return column > 0
        ? moved(editor, row, column - before(line, column))
        : row === 0
          ? editor
          : moved(editor, row - 1, Infinity);
    case 'right':
      return column < line.length
        ? moved(editor, row, column + after(line, column))
        : row === lines.length - 1
          ? editor
          : moved(editor, row + 1, 0);
    case 'home':
      return moved(editor, row, 0);
    case 'end':
      return moved(editor, row, Infinity);
    case 'return':
    case 'enter':
      return changed(editor, newline(editor), editor.pasting);
    case 'backspace':
      return backspace(editor);
    case 'delete':
      if (column < line.length) {
        return changed(
          editor,
          within(editor, column, column + after(line, column), '', column),
          false,
        );
      }
      return row === lines.length - 1 ? editor : changed(editor, joined(editor, row), false);
    case 'tab':
      return changed(editor, within(editor, column, column, '  ', column + 2), false);
    default:
  }
  if (key.character === '') return editor;
  const { character } = key;
  return changed(
    editor,
    within(editor, column, column, character, column + character.length),
    true,
  );
}

function controlKey(editor: Editor, { name }: Key): Editor {
  const { lines, row } = editor;
  switch (name) {
    case 'a':
      return moved(editor, row, 0);
    case 'e':
      return moved(editor, row, Infinity);
    case 'u':
      return undo(editor);
    case 'r':
      return redo(editor);
    case 'k': {
      const left = lines.toSpliced(row, 1);
      const rest = left.length === 0 ? [''] : left;
      return changed(
        editor,
        { lines: rest, row: Math.min(row, rest.length - 1), column: 0 },
        false,
      );
    }
    case 'home':
      return moved(editor, 0, 0);
    case 'end':
      return moved(editor, lines.length - 1, Infinity);
    default:
      return editor;
  }
}

function before(line: string, column: number): number {
  return /[\ud800-\udbff][\udc00-\udfff]$/.test(line.slice(0, column)) ? 2 : 1;
}

function after(line: string, column: number): number {
  return /^[\ud800-\udbff][\udc00-\udfff]/.test(line.slice(column)) ? 2 : 1;
}

function moved(editor: Editor, row: number, column: number): Editor {
  const to = Math.max(0, Math.min(editor.lines.length - 1, row));
  const most = (editor.lines[to] ?? '').length;
  return { ...editor, row: to, column: Math.max(0, Math.min(most, column)), typing: false };
}

/** In the cursor's line. */
function within(
  { lines, row }: State,
  from: number,
  to: number,
  text: string,
  column: number,
): State {
  const line = lines[row] ?? '';
  return { lines: lines.with(row, line.slice(0, from) + text + line.slice(to)), row, column };
}

/** With the blanks that the line began with. */
function newline({ lines, row, column, pasting }: Editor): State {
  const line = lines[row] ?? '';
  const blanks = pasting ? '' : (/^ */.exec(line)?.[0] ?? '').slice(0, column);
  const parts = [line.slice(0, column), blanks + line.slice(column)];
  return { lines: lines.toSpliced(row, 1, ...parts), row: row + 1, column: blanks.length };
}

function backspace(editor: Editor): Editor {
  const { lines, row, column } = editor;
  const line = lines[row] ?? '';
  if (column > 0) {
    // In the blanks that a line begins with, as many as one level of YAML has.
    const blank = /^ +$/.test(line.slice(0, column)) && column % 2 === 0;
    const count = blank ? 2 : before(line, column);
    return changed(editor, within(editor, column - count, column, '', column - count), true);
  }
  return row === 0 ? editor : changed(editor, joined(editor, row - 1), false);
}

/** A line and the one below it. */
function joined({ lines }: State, row: number): State {
  const [first = '', second = ''] = lines.slice(row, row + 2);
  return { lines: lines.toSpliced(row, 2, first + second), row, column: first.length };
}

function changed(editor: Editor, to: State, typing: boolean): Editor {
  const now: State = { lines: editor.lines, row: editor.row, column: editor.column };
  const past = typing && editor.typing ? editor.past : [...editor.past, now].slice(-UNDO_KEPT);
  return { ...editor, ...to, past, future: [], typing };
}

function undo(editor: Editor): Editor {
  const to = editor.past.at(-1);
  if (to === undefined) return editor;
  const { lines, row, column } = editor;
  const future = [...editor.future, { lines, row, column }];
  return { ...editor, ...to, past: editor.past.slice(0, -1), future, typing: false };
}

function redo(editor: Editor): Editor {
  const to = editor.future.at(-1);
  if (to === undefined) return editor;
  const { lines, row, column } = editor;
  const past = [...editor.past, { lines, row, column }];
  return { ...editor, ...to, past, future: editor.future.slice(0, -1), typing: false };
}

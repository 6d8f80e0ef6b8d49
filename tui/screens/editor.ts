/** The text editor: lines with their numbers, the cursor, and what is wrong at the line where it is. */
import { isChanged } from '../editor.js';
import { fit, heading, plain, span, wrap, type Line } from '../frame.js';
import type { Model } from '../model.js';
import { scrolled } from '../table.js';

/** Lines above and below the text. */
const ABOVE = 1;
const BELOW = 3;

export function editorPage(rows: number): number {
  return Math.max(1, rows - 2 - ABOVE - BELOW);
}

export function editorScreen(model: Model, width: number, height: number): Line[] {
  const { look, editor, scroll } = model;
  if (editor === null) return [[span(look, 'Nothing is edited: Esc goes back.')]];
  const { lines, row, column, errors, purpose } = editor;
  const room = Math.max(1, height - ABOVE - BELOW);
  const from = scrolled(Math.min(scroll, row), row, lines.length, room);
  const digits = String(lines.length).length;
  const wide = Math.max(1, width - digits - 3);
  const right = column >= wide ? column - wide + 1 : 0;
  const text = lines.slice(from, from + room).map((line, index): Line => {
    const at = from + index;
    const wrong = errors.some((error) => error.line === at + 1);
    const mark = wrong ? (look.unicode ? '✖' : 'x') : ' ';
    const number = span(look, `${mark}${String(at + 1).padStart(digits)} `, wrong ? 'bad' : 'dim');
    const shown = [...cells(look, line)].slice(right, right + wide).join('');
    if (at !== row) return [number, { text: shown, style: wrong ? 'bad' : 'plain' }];
    const x = column - right;
    return [
      number,
      { text: shown.slice(0, x), style: wrong ? 'bad' : 'plain' },
      { text: shown.slice(x, x + 1) || ' ', style: 'selected' },
      { text: shown.slice(x + 1), style: wrong ? 'bad' : 'plain' },
    ];
  });
  const name =
    purpose.type === 'pem'
      ? `Certificate ${purpose.name}: paste PEM, certificate, chain and key`
      : `${purpose.path.length === 0 ? 'The whole document' : model.place.name}${isChanged(editor) ? ', changed' : ''}`;
  const filled = [...text, ...Array.from({ length: room - text.length }, (): Line => [])];
  const here = errors.find(({ line }) => line === row + 1) ?? errors[0];
  const wrong = here === undefined ? [] : wrap(`Line ${here.line}: ${here.message}`, width - 1);
  const notes = Array.from({ length: BELOW - 1 }, (_, index): Line => [
    span(look, wrong[index] ?? '', 'bad'),
  ]);
  const does = purpose.type === 'pem' ? 'imports' : 'saves to the candidate';
  return [
    heading(look, name, width, `${row + 1}:${column + 1}`),
    ...filled,
    ...notes,
    fit(
      look,
      [span(look, `Ctrl-S ${does}  Ctrl-U undo  Ctrl-R redo  Ctrl-K cut  Esc leaves`, 'dim')],
      width,
    ),
  ];
}

/** One cell a UTF-16 unit, so that columns are those of the text. */
function cells(look: Model['look'], line: string): string {
  return [...line].map((sign) => plain(look, sign).slice(0, 1).padEnd(sign.length, ' ')).join('');
}

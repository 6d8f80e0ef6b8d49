/** A terminal's screen as an SVG picture: text in a monospace font, on the 16 colours of a dark terminal. Pure. */
import type { Cell } from '../support/terminal.js';

/** Of a cell, in pixels; fonts with a width of 0.6 em fit, and textLength makes others fit. */
const CELL = { width: 8.4, height: 17, font: 14 } as const;
const MARGIN = 10;
const GROUND = '#16181d';
const PLAIN = '#d7dae0';
const COLOURS = [
  ...['#3b4048', '#e06c75', '#98c379', '#e5c07b', '#61afef', '#c678dd', '#56b6c2', '#d7dae0'],
  ...['#6b717d', '#ff8b94', '#b5e890', '#ffd68a', '#8cc8ff', '#e29bf5', '#7fdbe6', '#ffffff'],
];

type Looks = Pick<Cell, 'bold' | 'dim' | 'inverse' | 'colour' | 'ground'>;

interface Run extends Looks {
  readonly at: number;
  readonly text: string;
}

export function svgOf(rows: readonly (readonly Cell[])[]): string {
  const columns = Math.max(0, ...rows.map((row) => row.length));
  const width = columns * CELL.width + 2 * MARGIN;
  const height = rows.length * CELL.height + 2 * MARGIN;
  const lines = rows.map((row, y) =>
    runsOf(row)
      .map((run) => drawn(run, y))
      .join(''),
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${round(width)} ${round(height)}" font-family="ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace" font-size="${CELL.font}">`,
    `<rect width="100%" height="100%" rx="6" fill="${GROUND}"/>`,
    ...lines.filter(Boolean),
    '</svg>\n',
  ].join('\n');
}

/** Neighbours that look alike are one piece. */
function runsOf(row: readonly Cell[]): Run[] {
  const runs: Run[] = [];
  for (const [at, cell] of row.entries()) {
    const last = runs.at(-1);
    const character = cell.character === '' ? ' ' : cell.character;
    if (last !== undefined && looksOf(last) === looksOf(cell)) {
      runs[runs.length - 1] = { ...last, text: last.text + character };
    } else runs.push({ ...cell, at, text: character });
  }
  return runs;
}

function looksOf({ bold, dim, inverse, colour, ground }: Looks): string {
  return [bold, dim, inverse, colour, ground].join();
}

function drawn(run: Run, y: number): string {
  const own = run.colour === null ? PLAIN : (COLOURS[run.colour] ?? PLAIN);
  const below = run.ground === null ? null : (COLOURS[run.ground] ?? null);
  const [ink, paper] = run.inverse ? [below ?? GROUND, own] : [own, below];
  const left = round(MARGIN + run.at * CELL.width);
  const top = round(MARGIN + y * CELL.height);
  const box =
    paper === null
      ? ''
      : `<rect x="${left}" y="${top}" width="${round(run.text.length * CELL.width)}" height="${CELL.height}" fill="${paper}"/>`;
  const text = run.text.trimEnd();
  const first = text.length - text.trimStart().length;
  const shown = text.trimStart();
  if (shown === '') return box;
  const x = round(MARGIN + (run.at + first) * CELL.width);
  const styles = `${run.bold ? ' font-weight="bold"' : ''}${run.dim ? ' opacity="0.6"' : ''}`;
  const length = round(shown.length * CELL.width);
  return `${box}<text x="${x}" y="${round(top + CELL.height * 0.76)}" textLength="${length}" xml:space="preserve" fill="${ink}"${styles}>${escaped(shown)}</text>`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/**
 * What a screen is before any terminal: lines of spans, each with a style that says what it means.
 *
 * Invariant: every character in a frame takes one cell, and none controls a terminal: whatever came
 * from elsewhere goes through `plain` or `span` first. What a style looks like is the terminal's.
 */
import { clean, readable } from '../appliance/cli/format.js';

export type Style =
  | 'plain'
  | 'bold'
  | 'dim'
  | 'good'
  | 'warning'
  | 'bad'
  | 'accent'
  /** The row that keys act on. */
  | 'selected'
  /** First and last line of the screen. */
  | 'bar';

export interface Span {
  readonly text: string;
  readonly style: Style;
}

export type Line = readonly Span[];

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

/** What the terminal can show. */
export interface Look {
  readonly unicode: boolean;
  readonly colours: 0 | 16 | 256;
}

/** Signs that are one cell wide in every terminal: Latin, Greek, Cyrillic, punctuation, shapes. */
const NARROW =
  /[^\u0020-\u007e\u00a1-\u00ac\u00ae-\u02ff\u0370-\u0482\u048a-\u052f\u2010-\u2027\u2030-\u205e\u2190-\u21ff\u2200-\u22ff\u2500-\u25ff\u2713\u2716\u2800-\u28ff]/gu;

/** In characters that the terminal shows, one cell each; others become `?`. */
export function plain(look: Pick<Look, 'unicode'>, text: string): string {
  const shown = readable({ unicode: look.unicode, colour: false }, clean(text)).replace(
    /\u00a0/g,
    ' ',
  );
  return look.unicode ? shown.replace(NARROW, '?') : shown.replace(/[^\u0020-\u007e]/gu, '?');
}

export function span(look: Pick<Look, 'unicode'>, text: string, style: Style = 'plain'): Span {
  return { text: plain(look, text), style };
}

export function widthOf(line: Line): number {
  return line.reduce((sum, { text }) => sum + text.length, 0);
}

/** Cuts with a mark, or fills up with blanks of the last style, to exactly `width` cells. */
export function fit(look: Pick<Look, 'unicode'>, line: Line, width: number): Line {
  const length = widthOf(line);
  if (length <= width) {
    return length === width
      ? line
      : [...line, { text: ' '.repeat(width - length), style: 'plain' }];
  }
  const out: Span[] = [];
  let room = Math.max(0, width - 1);
  let style: Style = 'plain';
  for (const one of line) {
    if (room <= 0) break;
    const text = one.text.slice(0, room);
    out.push({ text, style: one.style });
    style = one.style;
    room -= text.length;
  }
  if (width > 0) out.push({ text: look.unicode ? '…' : '~', style });
  return out;
}

/** The whole line in one style, as selected rows and bars are. */
export function inStyle(line: Line, style: Style): Line {
  return [{ text: line.map(({ text }) => text).join(''), style }];
}

/** Blocks of lines next to each other, each cut to its width, one blank column between them. */
export function beside(
  look: Pick<Look, 'unicode'>,
  blocks: readonly { readonly lines: readonly Line[]; readonly width: number }[],
): Line[] {
  const height = Math.max(0, ...blocks.map(({ lines }) => lines.length));
  return Array.from({ length: height }, (_, row) =>
    blocks.flatMap(({ lines, width }, index) => [
      ...(index === 0 ? [] : [{ text: ' ', style: 'plain' } as const]),
      ...fit(look, lines[row] ?? [], width),
    ]),
  );
}

/** A heading over a part of a screen: its name and a rule. */
export function heading(
  look: Pick<Look, 'unicode'>,
  title: string,
  width: number,
  note = '',
): Line {
  const rule = look.unicode ? '─' : '-';
  const head = plain(look, title);
  const tail = note === '' ? '' : ` ${plain(look, note)} `;
  const length = Math.max(0, width - head.length - 1 - tail.length);
  return [
    { text: head, style: 'accent' },
    { text: ` ${rule.repeat(length)}`, style: 'dim' },
    { text: tail, style: 'dim' },
  ];
}

/** Breaks a sentence at blanks; a word that is longer than the line is broken too. */
export function wrap(text: string, room: number): string[] {
  const width = Math.max(1, room);
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    let rest = word;
    if (line !== '' && line.length + 1 + rest.length > width) {
      lines.push(line);
      line = '';
    }
    while (rest.length > width) {
      lines.push(rest.slice(0, width));
      rest = rest.slice(width);
    }
    line = line === '' ? rest : `${line} ${rest}`;
  }
  return line === '' && lines.length > 0 ? lines : [...lines, line];
}

/** Text as a reader without a terminal gets it. */
export function textOf(lines: readonly Line[]): string {
  return lines
    .map(
      (line) =>
        `${line
          .map(({ text }) => text)
          .join('')
          .trimEnd()}\n`,
    )
    .join('');
}

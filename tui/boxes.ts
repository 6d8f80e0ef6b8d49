/** What is open over the screen, as the lines of a box. */
import type { Ask } from './ask.js';
import { fit, inStyle, span, wrap, type Line, type Style } from './frame.js';
import { keysOf } from './keys.js';
import type { Model, Overlay } from './model.js';
import { scrolled } from './table.js';

export interface Box {
  readonly title: string;
  readonly lines: Line[];
}

/** Cells within the box. */
export function boxWidth({ size }: Pick<Model, 'size'>): number {
  return Math.min(size.columns - 4, 76) - 4;
}

/** Lines within the largest box. */
export function boxHeight({ size }: Pick<Model, 'size'>): number {
  return Math.max(1, size.rows - 4);
}

/** How far what is longer than its box can be scrolled. */
export function boxEnd(
  model: Model,
  overlay: Exclude<Overlay, { kind: 'palette' | 'filter' }>,
): number {
  const height = boxHeight(model);
  return Math.max(0, boxed(model, overlay, boxWidth(model), height).lines.length - height);
}

/** `width` and `height`: within the box. */
export function boxed(
  model: Model,
  overlay: Exclude<Overlay, { kind: 'palette' | 'filter' }>,
  width: number,
  height: number,
): Box {
  const { look } = model;
  const sentences = (text: string, style: Style = 'plain'): Line[] =>
    text === ''
      ? []
      : text
          .split('\n')
          .flatMap((part) => wrap(part, width))
          .map((line) => [span(look, line, style)]);
  const hints = (...pairs: readonly (readonly [keys: string, does: string])[]): Line =>
    pairs.flatMap(([keys, does]) => [span(look, keys, 'bold'), span(look, ` ${does}    `)]);
  switch (overlay.kind) {
    case 'help': {
      const all = keysOf(model.place.screen);
      const indent = Math.max(...all.map(({ keys }) => keys.length)) + 2;
      const lines = all.flatMap(({ keys, does }) =>
        wrap(does, width - indent).map((line, index): Line => [
          span(look, (index === 0 ? keys : '').padEnd(indent), 'bold'),
          span(look, line),
        ]),
      );
      return { title: 'Keys of this screen', lines };
    }
    case 'confirm':
      return {
        title: 'Sure?',
        lines: [...sentences(overlay.question), [], hints(['y', 'yes'], ['n, Esc', 'no'])],
      };
    case 'prompt':
      return {
        title: 'Weight',
        lines: [
          ...sentences(overlay.question),
          [],
          [span(look, `> ${overlay.text}`, 'bold'), { text: ' ', style: 'selected' }],
          ...sentences(overlay.problem, 'bad'),
          hints(['Enter', 'goes on'], ['Esc', 'does not']),
        ],
      };
    case 'message':
      return {
        title: overlay.title,
        lines: [...sentences(overlay.text), [], hints(['Esc', 'closes this'])],
      };
    case 'choose': {
      const note = sentences(overlay.note).slice(0, 4);
      const { options, choice } = overlay;
      const room = Math.max(1, height - note.length - 2);
      const from = scrolled(0, choice, options.length, room);
      const indent = Math.min(30, Math.max(...options.map(({ text }) => text.length))) + 2;
      const rows = options.slice(from, from + room).map(({ text, does }, index): Line => {
        const line = fit(look, [span(look, text.padEnd(indent), 'bold'), span(look, does)], width);
        return from + index === choice ? inStyle(line, 'selected') : line;
      });
      return {
        title: overlay.title,
        lines: [...note, ...rows, [], hints(['Enter', 'takes it'], ['Esc', 'does not'])],
      };
    }
    case 'ask':
      return { title: overlay.title, lines: askLines(model, overlay, sentences, hints, width) };
  }
}

function askLines(
  { look }: Model,
  { note, fields, field, problem, purpose }: Ask,
  sentences: (text: string, style?: Style) => Line[],
  hints: (...pairs: readonly (readonly [string, string])[]) => Line,
  width: number,
): Line[] {
  const rows = fieldRows(look, fields, field, width);
  const more = fields.length > 1 ? ([['Tab', 'next']] as const) : [];
  const choose =
    (fields[field]?.choices.length ?? 0) > 0
      ? ([['Left Right', fields[field]?.free ? 'choose (or type one)' : 'choose']] as const)
      : [];
  return [
    ...sentences(note),
    [],
    ...rows,
    ...sentences(problem, 'bad'),
    [],
    hints(
      ['Enter', 'goes on'],
      ...more,
      ...choose,
      purpose.type === 'login' ? ['Ctrl-C', 'quits'] : ['Esc', 'does not'],
    ),
  ];
}

/** A line a field; `field` is the index of the one with the cursor. */
export function fieldRows(
  look: Model['look'],
  fields: Ask['fields'],
  field: number,
  width: number,
): Line[] {
  const indent = Math.max(0, ...fields.map(({ label }) => label.length)) + 1;
  return fields.map(({ label, text, at, secret, choices }, index): Line => {
    const here = index === field;
    const name = span(look, label.padEnd(indent), here ? 'bold' : 'dim');
    if (choices.length > 0) {
      return [name, span(look, `< ${text} >`, here ? 'selected' : 'plain')];
    }
    const shown = secret ? '*'.repeat(text.length) : text;
    if (!here) return [name, span(look, shown)];
    const room = Math.max(1, width - indent - 1);
    const from = Math.max(0, at - room + 1);
    const seen = span(look, shown.slice(from)).text.slice(0, room);
    const x = at - from;
    return [
      name,
      { text: seen.slice(0, x), style: 'bold' },
      { text: seen.slice(x, x + 1) || ' ', style: 'selected' },
      { text: seen.slice(x + 1), style: 'bold' },
    ];
  });
}

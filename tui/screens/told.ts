/** Text that the commands print, as lines of a screen. */
import { span, wrap, type Line, type Style } from '../frame.js';
import type { Model } from '../model.js';

/** What the commands' texts need to know, here without colours, which would be escape sequences. */
export function toldTo({ look, now, size }: Model) {
  return { look: { unicode: look.unicode, colour: false }, now: () => now, width: size.columns };
}

/** Long lines go on below, a little further in. */
export function toldLines(
  { look }: Pick<Model, 'look'>,
  text: string,
  width: number,
  styleOf: (line: string) => Style = () => 'plain',
): Line[] {
  return text
    .replace(/\n$/, '')
    .split('\n')
    .flatMap((line) => {
      const blanks = /^ */.exec(line)?.[0] ?? '';
      // Names and values keep their columns where the line fits.
      if (line.length <= width) return [[span(look, line, styleOf(line))]];
      return wrap(line.trimStart(), Math.max(20, width - blanks.length - 2)).map(
        (part, index): Line => [
          span(look, `${blanks}${index === 0 ? '' : '  '}${part}`, styleOf(line)),
        ],
      );
    });
}

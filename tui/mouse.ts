/**
 * The mouse of a terminal in xterm's SGR mode (ctlseqs, "Extended coordinates"): taken out of what was
 * read, before the rest is read as keys.
 *
 * Invariant: what is no report of the mouse goes on unchanged; the beginning of one is held back, since
 * a serial line may bring it in pieces, until the rest comes or `flush`.
 */
export interface Mouse {
  readonly kind: 'press' | 'wheel-up' | 'wheel-down';
  /** From 0. */
  readonly column: number;
  readonly row: number;
}

/** Buttons reported, and coordinates in decimal. */
export const MOUSE_ON = '\u001b[?1000h\u001b[?1006h';
export const MOUSE_OFF = '\u001b[?1006l\u001b[?1000l';

const ESCAPE = '\u001b';
const KINDS: Readonly<Record<number, Mouse['kind']>> = {
  0: 'press',
  64: 'wheel-up',
  65: 'wheel-down',
};

export class MouseFilter {
  #held = '';

  push(chunk: string): { readonly text: string; readonly mice: readonly Mouse[] } {
    const mice: Mouse[] = [];
    let rest = this.#held + chunk;
    let text = '';
    this.#held = '';
    while (rest !== '') {
      const start = rest.indexOf(ESCAPE);
      if (start === -1) return { text: text + rest, mice };
      text += rest.slice(0, start);
      rest = rest.slice(start);
      const body = rest.slice(1);
      const report = /^\[<(\d{1,5});(\d{1,5});(\d{1,5})([Mm])/.exec(body);
      if (report !== null) {
        const [whole, button, column, row, end] = report;
        const kind = KINDS[Number(button)];
        if (kind !== undefined && end === 'M') {
          mice.push({ kind, column: Number(column) - 1, row: Number(row) - 1 });
        }
        rest = rest.slice(1 + whole.length);
      } else if (/^(\[(<[\d;]{0,17})?)?$/.test(body)) {
        this.#held = rest;
        return { text, mice };
      } else {
        text += ESCAPE;
        rest = body;
      }
    }
    return { text, mice };
  }

  /** What was held back and is no report after all. */
  flush(): string {
    const held = this.#held;
    this.#held = '';
    return held;
  }

  get holds(): boolean {
    return this.#held !== '';
  }
}

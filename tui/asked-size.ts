/**
 * The size of a terminal that nobody told the kernel, as on many serial lines and by `ssh -tt`: the
 * terminal is asked where its last corner is, as resize(1) does (CPR: ECMA-48, 8.3.14). One that does
 * not answer is taken for ASSUMED.
 *
 * Invariant: `stdout` has a size, at any time.
 */
import type { WriteStream } from 'node:tty';
import type { Size } from './frame.js';

export const ASSUMED: Size = { columns: 80, rows: 24 };

/** DECSC, as far as there are cells, DSR 6, DECRC. */
const QUESTION = '\u001b7\u001b[999;999H\u001b[6n\u001b8';
/** As long as a slow line takes. */
const ANSWER_MS = 2000;

export interface AskedSizeOptions {
  readonly stdout: WriteStream;
  /** What was read and is no answer after all. */
  readonly onRest: (chunk: Buffer) => void;
  /** Nothing was answered. */
  readonly onSilence: () => void;
}

export class AskedSize {
  readonly #options: AskedSizeOptions;
  #known: Size = ASSUMED;
  #timer: NodeJS.Timeout | null = null;
  /** May be the beginning of the answer. */
  #held = '';

  constructor(options: AskedSizeOptions) {
    this.#options = options;
    const { stdout } = options;
    const unknown = !isSize(stdout);
    this.#mend();
    // Before whoever looks at the size then.
    stdout.prependListener('resize', this.#mend);
    if (!unknown) return;
    stdout.write(QUESTION);
    this.#timer = setTimeout(() => {
      this.#end();
      options.onSilence();
    }, ANSWER_MS);
  }

  /** What of it is keys. */
  take(chunk: Buffer): Buffer {
    if (this.#timer === null) return chunk;
    const text = this.#held + chunk.toString('latin1');
    this.#held = '';
    const [answer = '', rows, columns] = ANSWER.exec(text) ?? [];
    if (answer !== '') {
      const size = { columns: Number(columns), rows: Number(rows) };
      if (isSize(size)) this.#set(size);
      this.#end();
      return Buffer.from(text.replace(answer, ''), 'latin1');
    }
    this.#held = BEGUN.exec(text)?.[0] ?? '';
    return Buffer.from(text.slice(0, text.length - this.#held.length), 'latin1');
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#options.stdout.off('resize', this.#mend);
  }

  #end(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#held !== '') this.#options.onRest(Buffer.from(this.#held, 'latin1'));
    this.#held = '';
  }

  #set(size: Size): void {
    this.#known = size;
    Object.assign(this.#options.stdout, size);
    this.#options.stdout.emit('resize');
  }

  readonly #mend = (): void => {
    const { stdout } = this.#options;
    if (isSize(stdout)) this.#known = { columns: stdout.columns, rows: stdout.rows };
    else Object.assign(stdout, this.#known);
  };
}

const isSize = ({ columns, rows }: Partial<Size>): boolean => Boolean(columns) && Boolean(rows);

// eslint's no-control-regex forbids the escape character in a literal.
const ESCAPE = '\u001b';
const ANSWER = new RegExp(`${ESCAPE}\\[(\\d{1,5});(\\d{1,5})R`);
const BEGUN = new RegExp(`${ESCAPE}(\\[(\\d{1,5}(;\\d{0,5})?)?)?$`);

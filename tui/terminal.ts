/**
 * The terminal: takes whole frames and sends what changed, brings keys and sizes. blessed knows the
 * terminals (terminfo) and draws by difference; Node's readline reads keys, because it also knows
 * those whose bytes come in pieces, as over a serial line.
 *
 * Invariant: whoever opened it closes it, whatever happens: the screen, the cursor and the line
 * discipline are those of before.
 */
import blessed from 'blessed';
import { PassThrough } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { emitKeypressEvents, type Interface } from 'node:readline';
import { AskedSize } from './asked-size.js';
import type { Line, Look, Size, Style } from './frame.js';
import type { Key } from './keys.js';
import { MOUSE_OFF, MOUSE_ON, MouseFilter, type Mouse } from './mouse.js';

/** One cell: its attributes and its character. */
type Cell = [attributes: number, character: string];
type Row = Cell[] & { dirty: boolean };

/** What of blessed's screen is used, as its code has it; its published types leave these out. */
interface Canvas {
  readonly lines: Row[];
  readonly program: { flush(): void; showCursor(): void };
  readonly tput: { brokenACS: boolean; unicode: boolean };
  alloc(dirty?: boolean): void;
  draw(start: number, end: number): void;
  enter(): void;
  leave(): void;
  destroy(): void;
  on(event: 'resize', heard: () => void): void;
}

export interface Terminal {
  size(): Size;
  draw(lines: readonly Line[]): void;
  /** Forgets what the terminal shows: the next frame is sent whole. */
  forget(): void;
  /** Gives the terminal back to the shell until somebody says `fg`. */
  suspend(resumed: () => void): void;
  /** Whether it tells of clicks and the wheel. */
  mouse(on: boolean): void;
  close(): void;
}

export interface TerminalOptions {
  /** As TERM names it. */
  readonly name: string;
  readonly look: Look;
  readonly onKey: (key: Key) => void;
  readonly onMouse: (mouse: Mouse) => void;
  readonly onSize: () => void;
  /** It has none, and did not tell any when it was asked. */
  readonly onUnsized: () => void;
  /** There is no terminal any more. */
  readonly onGone: () => void;
}

/** How long the rest of a key's sequence may take: at 9,600 baud a byte takes 1 ms. */
const ESCAPE_MS = 100;

/** Bracketed paste (ctlseqs): what is pasted into an editor is told from what is typed. */
const [PASTE_ON, PASTE_OFF] = ['\u001b[?2004h', '\u001b[?2004l'];

const DEFAULT = 0x1ff;
const [BOLD, UNDERLINE, INVERSE] = [1, 2, 8];

interface Attributes {
  readonly flags: number;
  readonly colour?: number;
  readonly back?: number;
}

const MONO: Readonly<Record<Style, Attributes>> = {
  plain: { flags: 0 },
  bold: { flags: BOLD },
  dim: { flags: 0 },
  good: { flags: 0 },
  warning: { flags: UNDERLINE },
  bad: { flags: BOLD },
  accent: { flags: 0 },
  selected: { flags: INVERSE },
  bar: { flags: INVERSE },
};

/** Only the eight colours that every coloured terminal has. */
const SIXTEEN: Readonly<Record<Style, Attributes>> = {
  ...MONO,
  good: { flags: 0, colour: 2 },
  warning: { flags: 0, colour: 3 },
  bad: { flags: BOLD, colour: 1 },
  accent: { flags: 0, colour: 6 },
};

const MANY: Readonly<Record<Style, Attributes>> = {
  ...SIXTEEN,
  dim: { flags: 0, colour: 245 },
  good: { flags: 0, colour: 77 },
  warning: { flags: 0, colour: 214 },
  bad: { flags: BOLD, colour: 203 },
  accent: { flags: 0, colour: 74 },
  bar: { flags: 0, colour: 231, back: 24 },
};

/** Packed as blessed's cells have it: flags, colour, background. */
export function attributesOf({ colours }: Look, style: Style): number {
  const { flags, colour, back } = (colours === 0 ? MONO : colours === 16 ? SIXTEEN : MANY)[style];
  return (flags << 18) | ((colour ?? DEFAULT) << 9) | (back ?? DEFAULT);
}

export function openTerminal(options: TerminalOptions): Terminal {
  const { look, onKey, onMouse, onSize, onUnsized, onGone } = options;
  const { stdin, stdout } = process;
  const keys = new PassThrough();
  // Raw first: the answer to its question is for nobody's eyes.
  stdin.setRawMode(true);
  const asked = new AskedSize({
    stdout,
    onRest: (chunk) => onChunk(chunk),
    onSilence: onUnsized,
  });
  const screen = blessed.screen({
    terminal: options.name,
    // Keys are read below.
    input: new PassThrough() as unknown as NodeJS.ReadStream,
    forceUnicode: look.unicode,
    useBCE: true,
    smartCSR: false,
    autoPadding: false,
  }) as unknown as Canvas;
  // Frames are in characters that the terminal shows already.
  screen.tput.unicode = true;
  screen.tput.brokenACS = true;
  const size = (): Size => ({ columns: stdout.columns, rows: stdout.rows });

  const onKeypress = (typed: string | undefined, key: ReadlineKey): void =>
    onKey(keyOf(typed, key));
  const filter = new MouseFilter();
  const decoder = new StringDecoder('utf8');
  const marks = /^(xterm|screen|tmux|rxvt|st-|alacritty|foot|kitty)/.test(options.name);
  let reports = false;
  let waiting: NodeJS.Timeout | null = null;
  const onData = (chunk: Buffer): void => onChunk(asked.take(chunk));
  const onChunk = (chunk: Buffer): void => {
    if (waiting !== null) clearTimeout(waiting);
    waiting = null;
    if (!reports) {
      keys.write(chunk);
      return;
    }
    const { text, mice } = filter.push(decoder.write(chunk));
    if (text !== '') keys.write(text);
    for (const mouse of mice) onMouse(mouse);
    // A lone Esc is a key.
    if (filter.holds) waiting = setTimeout(() => keys.write(filter.flush()), ESCAPE_MS);
  };
  emitKeypressEvents(keys, { escapeCodeTimeout: ESCAPE_MS } as unknown as Interface);
  keys.on('keypress', onKeypress);
  stdin.on('data', onData);
  stdin.resume();
  stdin.on('end', onGone);
  stdin.on('error', onGone);
  stdout.on('error', onGone);
  screen.on('resize', onSize);

  let open = true;
  /** The shell has it: what comes meanwhile must not be drawn over what the shell shows. */
  let away = false;
  /** What the terminal is asked to tell besides keys, which the shell must not see. */
  const loud = (): void => {
    stdout.write(`${marks ? PASTE_ON : ''}${reports ? MOUSE_ON : ''}`);
  };
  const quiet = (): void => {
    stdout.write(`${reports ? MOUSE_OFF : ''}${marks ? PASTE_OFF : ''}`);
  };
  loud();
  return {
    size,
    draw(lines) {
      if (open && !away) paint(screen, look, lines);
    },
    forget() {
      if (open) screen.alloc(true);
    },
    mouse(on) {
      if (!open || reports === on) return;
      reports = on;
      stdout.write(on ? MOUSE_ON : MOUSE_OFF);
    },
    suspend(resumed) {
      away = true;
      quiet();
      screen.leave();
      stdin.setRawMode(false);
      stdin.pause();
      // All of the shell's job, as the terminal's own key would: a program that waits for this one too.
      process.kill(0, 'SIGTSTP');
      // Here again after SIGCONT, or at once where nobody could say `fg`.
      setTimeout(() => {
        if (!open) return;
        away = false;
        stdin.setRawMode(true);
        stdin.resume();
        screen.enter();
        screen.alloc(true);
        loud();
        resumed();
      }, 50);
    },
    close() {
      if (!open) return;
      open = false;
      if (waiting !== null) clearTimeout(waiting);
      asked.close();
      keys.off('keypress', onKeypress);
      stdin.off('data', onData);
      stdin.off('end', onGone);
      quiet();
      screen.leave();
      screen.destroy();
      screen.program.flush();
      if (!stdin.destroyed) stdin.setRawMode(false);
      stdin.pause();
    },
  };
}

/** Only cells that differ are touched; blessed sends those that differ from what it sent. */
function paint(screen: Canvas, look: Look, lines: readonly Line[]): void {
  for (const [y, row] of screen.lines.entries()) {
    let x = 0;
    for (const { text, style } of lines[y] ?? []) {
      const attributes = attributesOf(look, style);
      for (const character of text) {
        const cell = row[x];
        if (cell !== undefined && (cell[0] !== attributes || cell[1] !== character)) {
          cell[0] = attributes;
          cell[1] = character;
          row.dirty = true;
        }
        x += 1;
      }
    }
  }
  screen.draw(0, screen.lines.length - 1);
}

interface ReadlineKey {
  readonly name?: string | undefined;
  readonly ctrl?: boolean | undefined;
  readonly meta?: boolean | undefined;
  readonly shift?: boolean | undefined;
}

export function keyOf(typed: string | undefined, key: ReadlineKey): Key {
  const ctrl = key.ctrl === true;
  const name = key.name === 'tab' && key.shift === true ? 'backtab' : (key.name ?? '');
  const one = typed !== undefined && [...typed].length === 1 && !ctrl && key.meta !== true;
  const character = one && !/\p{Cc}/u.test(typed) ? typed : '';
  return { name, ctrl, character };
}

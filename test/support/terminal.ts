/**
 * A terminal for tests: a process on a pseudoterminal (of `script`, util-linux), and the screen that an
 * emulator (xterm.js without a display) makes of what it writes.
 *
 * Invariant: the process and its terminal are gone when `withTerminal` ends, also after a failure.
 */
import xterm from '@xterm/headless';
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';

export interface TerminalRun {
  /** The command and its words. */
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly columns: number;
  readonly rows: number;
  /**
   * Default: the kernel knows the size. `asked`: only the terminal does, and says it when it is asked;
   * `never`: it does not.
   */
  readonly tells?: 'asked' | 'never';
}

export interface Screen {
  /** Lines as they are seen, without blanks at their ends. */
  text(): string[];
  /** Whether the alternate screen is shown. */
  alternate(): boolean;
  cell(x: number, y: number): Cell;
  send(keys: string): void;
  /** Resolves once the screen is so; fails with what is seen instead. */
  until(what: string, condition: (text: string) => boolean, limitMs?: number): Promise<void>;
  resize(columns: number, rows: number): void;
  /** Of the process itself. */
  readonly pid: number;
  /** What it wrote so far, in bytes. */
  written(): number;
  /** All of it, as sent. */
  sent(): string;
  /** Resolves once it has ended; fails when that takes too long. */
  readonly ended: Promise<void>;
}

export interface Cell {
  readonly character: string;
  readonly bold: boolean;
  readonly inverse: boolean;
  readonly dim: boolean;
  /** Of the palette; null: the terminal's own. */
  readonly colour: number | null;
  /** Behind it, likewise. */
  readonly ground: number | null;
}

const LIMIT_MS = 20_000;

/** A screen without a display, of what a terminal is sent. */
export class Emulator {
  readonly #terminal: xterm.Terminal;
  #changed: () => void = () => undefined;

  /** `answers`: what the terminal says by itself, as to a question where its cursor is. */
  constructor(columns: number, rows: number, answers: (text: string) => void = () => undefined) {
    this.#terminal = new xterm.Terminal({ cols: columns, rows, allowProposedApi: true });
    this.#terminal.onData(answers);
  }

  write(chunk: Buffer): void {
    this.#terminal.write(chunk, () => this.#changed());
  }

  text(): string[] {
    const { active } = this.#terminal.buffer;
    return Array.from(
      { length: this.#terminal.rows },
      (_, row) => active.getLine(active.baseY + row)?.translateToString(true) ?? '',
    );
  }

  alternate(): boolean {
    return this.#terminal.buffer.active.type === 'alternate';
  }

  cell(x: number, y: number): Cell {
    const { active } = this.#terminal.buffer;
    const cell = active.getLine(active.baseY + y)?.getCell(x);
    if (cell === undefined) throw new Error(`there is no cell ${x},${y}`);
    return {
      character: cell.getChars(),
      bold: cell.isBold() !== 0,
      inverse: cell.isInverse() !== 0,
      dim: cell.isDim() !== 0,
      ground: cell.isBgDefault() ? null : cell.getBgColor(),
      colour: cell.isFgDefault() ? null : cell.getFgColor(),
    };
  }

  /** Resolves once the screen is so; fails with what is seen instead. */
  async until(
    what: string,
    condition: (text: string) => boolean,
    limitMs = LIMIT_MS,
  ): Promise<void> {
    const end = Date.now() + limitMs;
    while (!condition(this.text().join('\n'))) {
      const left = end - Date.now();
      if (left <= 0) {
        throw new Error(
          `waited ${limitMs} ms in vain for ${what}; seen:\n${this.text().join('\n')}`,
        );
      }
      // The next write, or the end of the time.
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(left, 200));
        this.#changed = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  resize(columns: number, rows: number): void {
    this.#terminal.resize(columns, rows);
  }

  dispose(): void {
    this.#terminal.dispose();
  }
}

const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

export async function withTerminal(
  run: TerminalRun,
  act: (screen: Screen) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'weir-terminal-'));
  const { columns, rows, tells } = run;
  const facts = join(folder, 'facts');
  const line = [
    tells === undefined ? `stty rows ${rows} cols ${columns}` : 'stty rows 0 cols 0',
    `echo "$$ $(tty)" > ${quoted(facts)}`,
    `exec ${run.command.map(quoted).join(' ')}`,
  ].join('; ');
  const child = spawn('script', ['--quiet', '--return', '--command', line, '/dev/null'], {
    env: { PATH: process.env['PATH'] ?? '', SHELL: '/bin/sh', TZ: 'UTC', ...run.environment },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = new Promise<void>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', () => resolve());
  });
  const terminal = new Emulator(columns, rows, (answer) => {
    if (tells !== 'never') child.stdin.write(answer);
  });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    terminal.write(chunk);
  });
  // The process may be gone before it read all.
  child.stdin.on('error', () => undefined);
  let pid = 0;
  let tty = '';
  /** Rather a failure than a test that waits for ever. */
  const inTime = async (end: Promise<void>): Promise<void> => {
    let timer: NodeJS.Timeout | null = null;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        reject(new Error(`it did not end in ${LIMIT_MS} ms; seen:\n${terminal.text().join('\n')}`));
      }, LIMIT_MS);
    });
    try {
      await Promise.race([end, late]);
    } finally {
      if (timer !== null) clearTimeout(timer);
    }
  };
  try {
    await terminal.until('a first screen', (text) => text.trim() !== '');
    const [first = '', second = ''] = (await readFile(facts, 'utf8')).trim().split(' ');
    pid = Number(first);
    tty = second;
    await act({
      text: () => terminal.text(),
      alternate: () => terminal.alternate(),
      cell: (x, y) => terminal.cell(x, y),
      send: (keys) => void child.stdin.write(keys),
      until: (what, condition, limitMs) => terminal.until(what, condition, limitMs),
      resize: (width, height) => {
        terminal.resize(width, height);
        spawnSync('stty', ['-F', tty, 'rows', String(height), 'cols', String(width)]);
      },
      pid,
      written: () => chunks.reduce((sum, { length }) => sum + length, 0),
      sent: () => Buffer.concat(chunks).toString('utf8'),
      get ended() {
        return inTime(ended);
      },
    });
  } finally {
    if (pid > 0) signalled(pid);
    child.kill('SIGKILL');
    await ended;
    terminal.dispose();
    await rm(folder, { recursive: true, force: true });
  }
}

/** It may be gone already, as it should. */
function signalled(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

/** Programs that a test starts as peers, and ends by their process ids. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';

/** Whether there is such a process, of whoever. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

export class Child {
  readonly process: ChildProcess;
  /** All that it has printed so far. */
  output = '';
  readonly #exited: Promise<unknown>;
  #waiters: (() => void)[] = [];
  #over = false;

  constructor(command: string, words: readonly string[]) {
    this.process = spawn(command, [...words], { stdio: ['pipe', 'pipe', 'pipe'] });
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream?.setEncoding('utf8');
      stream?.on('data', (text: string) => {
        this.output += text;
        this.#look();
      });
    }
    // What is written to one that has gone is not missed: its output and status tell of it.
    this.process.stdin?.on('error', () => {
      // As above.
    });
    this.#exited = once(this.process, 'close').then(() => {
      this.#over = true;
      this.#look();
    });
  }

  /** Resolves with the match as soon as the output has it; fails when the program ends before. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.output);
      if (match !== null) return match;
      if (this.#over) throw new Error(`it ended and never said ${String(pattern)}: ${this.output}`);
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
  }

  write(text: string): void {
    this.process.stdin?.write(text);
  }

  /** Everything that it printed, once it ended by itself. */
  async whole(): Promise<string> {
    await this.#exited;
    return this.output;
  }

  async end(): Promise<void> {
    if (!this.#over) this.process.kill('SIGKILL');
    await this.#exited;
  }

  #look(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter();
  }
}

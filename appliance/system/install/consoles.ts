/**
 * Everything that the installer says, it says on all consoles of the machine; the first that answers a
 * question has answered it.
 */
import { closeSync, constants, openSync, readFileSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { isatty, ReadStream } from 'node:tty';

export interface Consoles {
  say(line: string): void;
  /** The next line that somebody types, without spaces around it. */
  ask(question: string): Promise<string>;
}

/** Devices of the words `console=` of the kernel's command line, such as /dev/ttyS0. */
export function consolesOf(commandLine: string): string[] {
  const names = [...commandLine.matchAll(/(?:^|\s)console=([^\s,]+)/g)].map(([, name]) => name);
  return [...new Set(names)].map((name) => `/dev/${name ?? ''}`);
}

interface Line {
  readonly device: string;
  readonly file: number;
}

export class DeviceConsoles implements Consoles {
  readonly #open: Line[] = [];
  readonly #waiting: ((line: string) => void)[] = [];

  /** Throws an Error when there is no console at all. */
  constructor(devices: readonly string[]) {
    const lacking: string[] = [];
    for (const device of devices) {
      try {
        const file = openSync(device, constants.O_WRONLY | constants.O_NOCTTY);
        if (isatty(file)) this.#open.push({ device, file });
        else {
          closeSync(file);
          lacking.push(`${device} is no terminal`);
        }
      } catch (error) {
        lacking.push(error instanceof Error ? error.message : String(error));
      }
    }
    if (this.#open.length === 0) throw new Error(`no console: ${lacking.join('; ')}`);
    for (const { device } of this.#open) this.#listen(device);
    for (const reason of lacking) this.say(`(one console less: ${reason})`);
  }

  /** Of the kernel's command line. */
  static ofKernel(): DeviceConsoles {
    const found = consolesOf(readFileSync('/proc/cmdline', 'utf8'));
    return new DeviceConsoles(found.length === 0 ? ['/dev/console'] : found);
  }

  say(line: string): void {
    for (const { device, file } of [...this.#open]) {
      try {
        // A terminal of the kernel's makes CR LF of it.
        writeSync(file, `${line}\n`);
      } catch (error) {
        this.#lost(device, error);
      }
    }
  }

  ask(question: string): Promise<string> {
    this.say(question);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #listen(device: string): void {
    // A terminal's stream waits by epoll: a thread that reads one could not be ended. It makes its own
    // descriptor one that never blocks, so lines are written by another.
    const input = new ReadStream(openSync(device, constants.O_RDONLY | constants.O_NOCTTY));
    input.on('error', (error) => {
      this.#lost(device, error);
    });
    createInterface({ input }).on('line', (line) => {
      this.#waiting.shift()?.(line.trim());
    });
  }

  /** A serial port that is in the firmware's list and not on the board. */
  #lost(device: string, error: unknown): void {
    const at = this.#open.findIndex((line) => line.device === device);
    if (at < 0) return;
    const [{ file }] = this.#open.splice(at, 1) as [Line];
    closeSync(file);
    const why = error instanceof Error ? error.message : String(error);
    if (this.#open.length === 0) throw new Error(`the last console is gone: ${why}`);
    this.say(`(the console ${device} is gone: ${why})`);
  }
}

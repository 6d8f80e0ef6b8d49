/**
 * An access log in a file, written by the daemon: appended, with rotation by size, and opened anew
 * when somebody else (logrotate) moved it away.
 *
 * Invariants:
 * - A line is never torn between two files: a chunk that was begun is finished in the same file.
 * - Memory is bounded; lines beyond it are dropped and counted, and nobody waits.
 * - A trouble (full disk, no folder …) is told once, tried again, and told once when it is over.
 */
import { constants, type Stats } from 'node:fs';
import { open, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { LineQueue, type LineChunk } from './line-queue.js';
import { because, type LogFigures, type LogOutput, type TellLog } from './log-output.js';

export interface LogFileOptions {
  readonly path: string;
  /** Octets from which on a new file begins; 0: never. */
  readonly rotateSize: number;
  /** Old files that stay, as `.1` (the newest), `.2` … */
  readonly rotateKeep: number;
  /** Octets of lines that wait. */
  readonly memory?: number;
  /** Milliseconds until it tries again after a trouble. */
  readonly retry?: number;
  readonly tell: TellLog;
}

const mode = 0o640;
/** No link is followed, so nobody can lead the daemon elsewhere; a pipe does not keep it waiting. */
const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_NOFOLLOW | constants.O_NONBLOCK;

interface OpenFile {
  readonly handle: FileHandle;
  readonly device: number;
  readonly inode: number;
  size: number;
}

class NotAFile extends Error {
  readonly code = 'ENOTFILE';
}

export class LogFile implements LogOutput {
  readonly path: string;
  private rotateSize: number;
  private rotateKeep: number;
  private readonly retry: number;
  private readonly tell: TellLog;
  private readonly queue: LineQueue;
  private file: OpenFile | null = null;
  private running: Promise<void> | null = null;
  private timer: NodeJS.Timeout | null = null;
  private trouble: string | null = null;
  private rotationTrouble = false;
  private resting = false;
  private closing = false;
  private lines = 0;
  private dropped = 0;

  constructor(options: LogFileOptions) {
    this.path = options.path;
    this.rotateSize = options.rotateSize;
    this.rotateKeep = options.rotateKeep;
    this.retry = options.retry ?? 1000;
    this.tell = options.tell;
    this.queue = new LineQueue(options.memory ?? 4 * 1024 * 1024);
  }

  get figures(): LogFigures {
    return { lines: this.lines, dropped: this.dropped };
  }

  set(rotation: Pick<LogFileOptions, 'rotateSize' | 'rotateKeep'>): void {
    this.rotateSize = rotation.rotateSize;
    this.rotateKeep = rotation.rotateKeep;
    this.resting = false;
  }

  write(bytes: Uint8Array, start: number, end: number): boolean {
    if (this.closing || !this.queue.push(bytes, start, end)) {
      this.dropped += 1;
      return false;
    }
    this.lines += 1;
    if (this.timer === null) this.begin();
    return true;
  }

  rest(): void {
    this.resting = true;
    if (this.timer === null) this.begin();
  }

  /** Resolves when what was taken so far is written, or cannot be written now. */
  async flushed(): Promise<void> {
    while (this.running !== null) await this.running;
  }

  async close(): Promise<void> {
    this.closing = true;
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.begin();
    await this.flushed();
    const lost = this.queue.clear();
    this.lines -= lost;
    this.dropped += lost;
    await this.leave().catch((error: unknown) => this.bad(error));
  }

  private begin(): void {
    if (this.running !== null) return;
    this.running = this.run().finally(() => {
      this.running = null;
      // Lines that came between the last look and now.
      if (!this.queue.empty && this.timer === null && !this.closing) this.begin();
    });
  }

  /** Writes until nothing is left or nothing can be done. Never rejects. */
  private async run(): Promise<void> {
    try {
      for (let chunk = this.queue.first(); chunk !== null; chunk = this.queue.first()) {
        await this.store(chunk);
        this.queue.shift();
        this.good();
      }
      if (this.resting) await this.leave();
    } catch (error) {
      this.bad(error);
    }
  }

  private async store(chunk: LineChunk): Promise<void> {
    const file = chunk.done > 0 && this.file !== null ? this.file : await this.place(chunk);
    // Only what is there now: whole lines, though more may come behind them.
    const { length } = chunk;
    while (chunk.done < length) {
      const { bytesWritten } = await file.handle.write(
        chunk.bytes,
        chunk.done,
        length - chunk.done,
        null,
      );
      chunk.done += bytesWritten;
      file.size += bytesWritten;
    }
  }

  /** The file to begin a chunk in. */
  private async place(chunk: LineChunk): Promise<OpenFile> {
    if (this.file !== null && !(await this.isOurs(this.file))) await this.leave();
    this.file ??= await this.enter();
    const wanted = this.file.size + chunk.length - chunk.done;
    if (this.rotateSize > 0 && this.file.size > 0 && wanted > this.rotateSize) {
      if (await this.rotated()) {
        await this.leave();
        this.file = await this.enter();
      }
    }
    return this.file;
  }

  private async isOurs(file: OpenFile): Promise<boolean> {
    const there = await stat(this.path).catch((error: unknown) => {
      if (because(error).code === 'ENOENT') return null;
      throw error;
    });
    if (there === null || there.ino !== file.inode || there.dev !== file.device) return false;
    // Emptied in place (`copytruncate`).
    file.size = Math.min(file.size, there.size);
    return true;
  }

  private async enter(): Promise<OpenFile> {
    const handle = await this.openOrMake();
    try {
      const about: Stats = await handle.stat();
      if (!about.isFile()) throw new NotAFile('it is no regular file');
      return { handle, device: about.dev, inode: about.ino, size: about.size };
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  private async openOrMake(): Promise<FileHandle> {
    try {
      return await open(this.path, flags);
    } catch (error) {
      const { code } = because(error);
      if (code === 'ENXIO') throw new NotAFile('it is no regular file');
      if (code !== 'ENOENT') throw error;
    }
    return open(this.path, flags | constants.O_CREAT, mode);
  }

  private async leave(): Promise<void> {
    const { file } = this;
    this.file = null;
    await file?.handle.close();
  }

  /** Moves each old file one number up. False: that failed, and the file goes on growing. */
  private async rotated(): Promise<boolean> {
    try {
      if (this.rotateKeep === 0) await rm(this.path, { force: true });
      for (let number = this.rotateKeep; number >= 1; number -= 1) {
        const from = number === 1 ? this.path : `${this.path}.${number - 1}`;
        await rename(from, `${this.path}.${number}`).catch((error: unknown) => {
          if (because(error).code !== 'ENOENT') throw error;
        });
      }
      this.rotationTrouble = false;
      return true;
    } catch (error) {
      if (!this.rotationTrouble) {
        this.tell(
          'trouble',
          `The access log ${this.path} cannot be rotated and goes on growing: ${because(error).words}.`,
        );
      }
      this.rotationTrouble = true;
      return false;
    }
  }

  private good(): void {
    if (this.trouble === null) return;
    this.trouble = null;
    this.tell(
      'well',
      `The access log ${this.path} is written again; ${this.dropped} of its lines were dropped since the start.`,
    );
  }

  private bad(error: unknown): void {
    const { code, words } = because(error);
    if (this.trouble !== code) {
      this.trouble = code;
      this.tell('trouble', `The access log ${this.path} cannot be written: ${remedy(code, words)}`);
    }
    if (this.closing) return;
    this.timer = setTimeout(() => {
      this.timer = null;
      this.begin();
    }, this.retry);
    this.timer.unref();
  }
}

function remedy(code: string, words: string): string {
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return 'the disk is full. Make room; until then lines are dropped.';
    case 'ENOENT':
    case 'ENOTDIR':
      return 'its folder does not exist. Make it; until then lines are dropped.';
    case 'ELOOP':
      return 'it is a symbolic link. Name the file itself.';
    case 'EISDIR':
    case 'ENOTFILE':
      return 'it is no regular file. Name another path.';
    default:
      return `${words}.`;
  }
}

/**
 * Files of the host as `unit` wants them, and who must hear of it: chrony of its servers, the kernel
 * of the host's name and of the keyboard.
 *
 * Invariants:
 * - A file that says what it should is not written.
 * - What is refused hinders no other file, is told in a sentence and tried again every RETRY_MS.
 */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Unit } from '../../config/unit.js';
import { hostFiles, hostNameOf, MANAGEMENT_RULES, zoneFile, type FileSubject } from './contents.js';
import { NO_RULES } from './management.js';
import { place } from './place.js';

const RETRY_MS = 10_000;
const PATIENCE_MS = 10_000;
/** There while systemd-networkd runs. */
const NETWORKD = 'run/systemd/netif';
/** The daemon has no terminal that would lead to a keyboard. */
const SCREEN = '/dev/tty0';
const CHRONYD = '/usr/sbin/chronyd';
const CHRONYD_SOCKET = '/run/chrony/chronyd.sock';
const KERNEL_NAME = '/proc/sys/kernel/hostname';

export interface SystemFilesOptions {
  /** Root of the host: `/`, or a folder for whoever only wants the files. */
  readonly root: string;
  /** Runs a program; left out: it is run where the root is `/`. Throws when it fails. */
  readonly run?: (program: string, words: readonly string[]) => Promise<void>;
  /** What cannot be done has changed. */
  readonly onChange: () => void;
  readonly onError: (error: unknown) => void;
}

export class SystemFiles {
  readonly #options: SystemFilesOptions;
  /** By what they are about. */
  #problems = new Map<FileSubject, string>();
  /** What must still be told to somebody. */
  readonly #untold = new Set<FileSubject>();
  #unit: Unit | null = null;
  #work: Promise<unknown> = Promise.resolve();
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(options: SystemFilesOptions) {
    this.#options = options;
  }

  /** Sentences. */
  get problems(): readonly string[] {
    return [...this.#problems.values()];
  }

  /** Resolves when all was tried. */
  follow(unit: Unit): Promise<void> {
    if (this.#unit === null) {
      // These are as the host set them at its start, whatever the files say.
      if (unit.keyboard !== undefined) this.#untold.add('keyboard');
      if (unit.network?.management !== undefined) this.#untold.add('management');
      if (unit.ssh !== undefined) this.#untold.add('ssh');
    }
    this.#unit = unit;
    const turn = this.#work.then(() => this.#settle());
    this.#work = turn.catch(() => undefined);
    return turn;
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  async #settle(): Promise<void> {
    const unit = this.#unit;
    if (unit === null || this.#closed) return;
    const { root } = this.#options;
    const problems = new Map<FileSubject, string>();
    for (const { path, subject, content } of hostFiles(unit)) {
      const full = join(root, path);
      try {
        const zone = unit['time-zone'];
        if (
          subject === 'time-zone' &&
          zone !== undefined &&
          !existsSync(join(root, zoneFile(zone)))
        )
          throw new Error(`this host has no time zone ${zone} (package tzdata)`);
        if (place(full, content)) this.#untold.add(subject);
      } catch (error) {
        problems.set(subject, `cannot write ${full}: ${(error as Error).message}`);
      }
    }
    if (this.#real && readFileSync(KERNEL_NAME, 'utf8').trim() !== hostNameOf(unit.name))
      this.#untold.add('name');
    for (const subject of [...this.#untold]) {
      if (problems.has(subject)) continue;
      try {
        await this.#tell(subject, unit);
        this.#untold.delete(subject);
      } catch (error) {
        problems.set(subject, (error as Error).message);
      }
    }
    const changed = [...problems.values()].join('\n') !== this.problems.join('\n');
    this.#problems = problems;
    if (problems.size > 0) this.#later();
    if (changed) this.#options.onChange();
  }

  /** Else it is another host's root that is written to, or a copy. */
  get #real(): boolean {
    return this.#options.root === '/';
  }

  async #tell(subject: FileSubject, unit: Unit): Promise<void> {
    switch (subject) {
      case 'name':
        if (this.#real) writeFileSync(KERNEL_NAME, hostNameOf(unit.name));
        return;
      case 'ntp':
        // One that has not begun reads them when it does.
        if (this.#real && existsSync(CHRONYD) && !existsSync(CHRONYD_SOCKET)) return;
        return this.#run('chrony', 'chronyc', 'reload', 'sources');
      case 'keyboard':
        if (unit.keyboard === undefined) return;
        return this.#run('kbd', 'loadkeys', '--quiet', '--console', SCREEN, unit.keyboard);
      case 'management': {
        const words =
          unit.network?.management === undefined
            ? [NO_RULES]
            : ['-f', join(this.#options.root, MANAGEMENT_RULES)];
        return this.#run('nftables', 'nft', ...words);
      }
      case 'links':
        // Not every host has its interfaces set by it.
        if (!existsSync(join(this.#options.root, NETWORKD))) return;
        // Not by networkctl, which needs a bus; interfaces stay as they are meanwhile.
        return this.#run('systemd', 'systemctl', 'try-restart', 'systemd-networkd.service');
      case 'ssh': {
        const verb = unit.ssh === undefined ? 'stop' : 'start';
        return this.#run('systemd', 'systemctl', verb, 'weir-ssh.service');
      }
      case 'dns':
      case 'time-zone':
        // Whoever needs them reads them anew.
        return;
    }
  }

  async #run(from: string, program: string, ...words: string[]): Promise<void> {
    const { run } = this.#options;
    try {
      if (run !== undefined) await run(program, words);
      else if (this.#real) await promisify(execFile)(program, words, { timeout: PATIENCE_MS });
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      const why =
        code === 'ENOENT'
          ? `it is not installed (package ${from})`
          : message.trim().split('\n').slice(-1).join();
      throw new Error(`cannot run ${program} ${words.join(' ')}: ${why}`, { cause: error });
    }
  }

  #later(): void {
    if (this.#closed || this.#timer !== null) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      if (this.#unit === null) return;
      this.follow(this.#unit).catch(this.#options.onError);
    }, RETRY_MS);
    this.#timer.unref();
  }
}

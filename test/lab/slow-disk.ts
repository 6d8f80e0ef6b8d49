/**
 * A disk that takes no writes for a while: a file system of its own (ext4 in a file, mounted by a loop
 * device) that is frozen (fsfreeze(8)) and thawed. Who writes to it meanwhile waits.
 *
 * Invariant: unmountBelow() ends it also while it is frozen, and is what removes a lab.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { sep } from 'node:path';

const SIZE = 64 << 20;

function run(...words: readonly string[]): string | null {
  const [file = '', ...rest] = words;
  const { status, stderr, error } = spawnSync(file, rest, { encoding: 'utf8' });
  if (error !== undefined) return error.message;
  return status === 0 ? null : `${words.join(' ')}: ${stderr.trim()}`;
}

function must(...words: readonly string[]): void {
  const trouble = run(...words);
  if (trouble !== null) throw new Error(trouble);
}

export class SlowDisk {
  private constructor(readonly folder: string) {}

  /** A new one at a folder. Null, and why it cannot be had, to `trouble`. */
  static mount(folder: string, trouble: (why: string) => void): SlowDisk | null {
    const image = `${folder}.ext4`;
    mkdirSync(folder, { recursive: true });
    writeFileSync(image, '');
    truncateSync(image, SIZE);
    const why =
      run('mkfs.ext4', '-q', '-m', '0', image) ?? run('mount', '-o', 'loop', image, folder);
    if (why === null) return new SlowDisk(folder);
    trouble(why);
    return null;
  }

  freeze(): void {
    must('fsfreeze', '--freeze', this.folder);
  }

  thaw(): void {
    must('fsfreeze', '--unfreeze', this.folder);
  }
}

/** Thaws and unmounts all that is mounted below a folder. */
export function unmountBelow(folder: string): void {
  const mounted = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .flatMap((line) => line.split(' ')[1] ?? [])
    .filter((place) => place.startsWith(folder + sep));
  for (const place of mounted.reverse()) {
    // Most are not frozen.
    run('fsfreeze', '--unfreeze', place);
    // Who had files there open may just be ending.
    must('umount', '--lazy', place);
  }
}

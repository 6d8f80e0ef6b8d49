/**
 * Writes a Weir to a disk, and reads it back.
 *
 * Invariant: the partition table and the boot code come last, when everything that they lead to was
 * read back, so an installation that was cut off leaves a disk that nothing boots from.
 */
import { createHash } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { closeSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import { LAYOUT, partition, partitionScript } from '../disk-layout.js';
import { type Medium, type Progress, sumOf } from './medium.js';

const MIB = 2 ** 20;
/** Code of the first sector; behind it are the disk's signature and the partitions of the MBR. */
const BOOT_CODE = 440;
/** So much at the beginning of what is empty is made zero: no file system is found there any more. */
const WIPED = 4 * MIB;

/** What does what JavaScript cannot; a test has its own. */
export interface DiskTools {
  /** Writes the table, and makes the kernel read it. */
  partition(path: string, script: string): void;
  /** The kernel forgets what it knows of the device's content. */
  forget(path: string): void;
}

export const diskTools: DiskTools = {
  partition: (path, script) => {
    execFileSync('sfdisk', ['--quiet', '--wipe=never', '--wipe-partitions=never', path], {
      input: script,
      stdio: ['pipe', 'ignore', 'pipe'],
    });
  },
  forget: (path) => {
    execFileSync('blockdev', ['--flushbufs', path], { stdio: ['ignore', 'ignore', 'pipe'] });
  },
};

export interface Steps {
  readonly writing: Progress;
  readonly checking: Progress;
}

/** `bytes` is the size of the disk. Throws an Error when it fails, or what was read is not what was written. */
export function writeWeir(
  path: string,
  bytes: number,
  medium: Medium,
  { writing, checking }: Steps,
  tools: DiskTools = diskTools,
): void {
  const slot = partition('slot-a');
  if (medium.slotBytes > slot.size * MIB) {
    throw new Error(`the slot of the medium is larger than its partition of ${slot.size} MiB`);
  }
  const disk = openSync(path, 'r+');
  try {
    const erase = (from: number, length: number): void => {
      writeAt(disk, Buffer.alloc(Math.min(length, bytes - from)), from);
    };
    // The tables of before, both of them (UEFI 2.10 §5.3.1).
    erase(0, MIB);
    erase(bytes - MIB, MIB);
    fsyncSync(disk);
    for (const { name, start, size } of LAYOUT) {
      if (name === 'bios-boot' || name === 'esp') {
        writeAt(disk, medium.head.subarray(start * MIB, (start + size) * MIB), start * MIB);
      } else erase(start * MIB, WIPED);
    }
    copy(medium, disk, slot.start * MIB, writing);
    fsyncSync(disk);
  } finally {
    closeSync(disk);
  }
  tools.forget(path);
  check(path, medium, checking);
  tools.partition(path, partitionScript({ whole: true }));
  const again = openSync(path, 'r+');
  try {
    writeAt(again, medium.head.subarray(0, BOOT_CODE), 0);
    fsyncSync(again);
  } finally {
    closeSync(again);
  }
}

function writeAt(file: number, bytes: Buffer, at: number): void {
  for (let done = 0; done < bytes.length;) {
    done += writeSync(file, bytes, done, Math.min(MIB, bytes.length - done), at + done);
  }
}

function copy({ slot, slotBytes }: Medium, disk: number, at: number, progress: Progress): void {
  const source = openSync(slot, 'r');
  try {
    const block = Buffer.alloc(MIB);
    for (let done = 0; done < slotBytes;) {
      const length = readSync(source, block, 0, MIB, done);
      if (length === 0) throw new Error(`the slot of the medium ends after ${done} octets`);
      writeAt(disk, block.subarray(0, length), at + done);
      done += length;
      progress(done, slotBytes);
    }
  } finally {
    closeSync(source);
  }
}

function check(path: string, medium: Medium, progress: Progress): void {
  const at = partition('slot-a').start * MIB;
  const head = { start: partition('bios-boot').start * MIB, end: at };
  const hash = createHash('sha256').update(medium.head.subarray(head.start, head.end));
  if (sumOf(path, { at: head.start, bytes: head.end - head.start }) !== hash.digest('hex')) {
    throw new Error(
      `${path} does not keep what is written to it: the boot loader reads differently`,
    );
  }
  if (sumOf(path, { at, bytes: medium.slotBytes }, progress) !== medium.slotSum) {
    throw new Error(`${path} does not keep what is written to it: the slot reads differently`);
  }
}

/**
 * What the installer's medium brings: the slot, and the head of a disk (boot code, boot loader, EFI
 * partition), each with its SHA-256.
 */
import { createHash } from 'node:crypto';
import { closeSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { partition } from '../disk-layout.js';

export const SLOT_FILE = 'weir.squashfs';
/** The first MiBs of the disk image, up to slot A, by gzip. */
export const HEAD_FILE = 'head.gz';
export const SUMS_FILE = 'SHA256SUMS';

const MIB = 2 ** 20;
const HEAD_BYTES = partition('slot-a').start * MIB;

export interface Medium {
  readonly slot: string;
  readonly slotBytes: number;
  /** Hexadecimal. */
  readonly slotSum: string;
  readonly head: Buffer;
}

export type Progress = (done: number, of: number) => void;

/** SHA-256, hexadecimal, of a part of a file or device; throws when there is less of it. */
export function sumOf(
  path: string,
  { at: start, bytes }: { at: number; bytes: number },
  progress: Progress = () => undefined,
): string {
  const hash = createHash('sha256');
  const file = openSync(path, 'r');
  try {
    const block = Buffer.alloc(MIB);
    for (let at = 0; at < bytes;) {
      const length = readSync(file, block, 0, Math.min(MIB, bytes - at), start + at);
      if (length === 0) throw new Error(`${path} ends after ${at} of ${bytes} octets`);
      hash.update(block.subarray(0, length));
      at += length;
      progress(at, bytes);
    }
  } finally {
    closeSync(file);
  }
  return hash.digest('hex');
}

function sums(folder: string): Map<string, string> {
  const lines = readFileSync(join(folder, SUMS_FILE), 'utf8').split('\n');
  return new Map(
    lines.flatMap((line) => {
      const [, sum, name] = /^([0-9a-f]{64}) {2}(\S+)$/.exec(line) ?? [];
      return sum === undefined || name === undefined ? [] : [[name, sum] as const];
    }),
  );
}

/** Reads the medium in `folder`. Throws an Error when it is damaged. */
export function readMedium(folder: string, progress: Progress = () => undefined): Medium {
  const expected = sums(folder);
  const slot = join(folder, SLOT_FILE);
  const headFile = join(folder, HEAD_FILE);
  const slotBytes = statSync(slot).size;
  const slotSum = sumOf(slot, { at: 0, bytes: slotBytes }, progress);
  const headSum = sumOf(headFile, { at: 0, bytes: statSync(headFile).size });
  for (const [name, sum] of [
    [SLOT_FILE, slotSum],
    [HEAD_FILE, headSum],
  ] as const) {
    if (expected.get(name) !== sum) {
      throw new Error(`${name} of the medium is damaged: write the medium anew`);
    }
  }
  const head = gunzipSync(readFileSync(headFile));
  if (head.length !== HEAD_BYTES) {
    throw new Error(`${HEAD_FILE} has ${head.length} octets where ${HEAD_BYTES} were expected`);
  }
  return { slot, slotBytes, slotSum, head };
}

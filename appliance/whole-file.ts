/**
 * Writes a small file whole or not at all: what a crash leaves is the file beside it. Only its owner
 * reads it, unless told.
 */
import { dirname } from 'node:path';
import {
  closeSync,
  fchmodSync,
  fsyncSync,
  futimesSync,
  openSync,
  renameSync,
  writeFileSync,
} from 'node:fs';

export interface WholeFileOptions {
  /** It survives a machine that loses its power, its name too; this waits for the disk. */
  readonly flush?: boolean;
  /** Its time of modification, milliseconds since 1970; left out: now. */
  readonly modified?: number;
  /** Permissions; left out: its owner's alone. */
  readonly mode?: number;
}

/** Throws what writing throws. */
export function writeWhole(
  path: string,
  content: string | Uint8Array,
  options: WholeFileOptions = {},
): void {
  const { flush = false, modified, mode = 0o600 } = options;
  const beside = `${path}.new`;
  const file = openSync(beside, 'w', mode);
  try {
    // One that a crash left may have other rights.
    fchmodSync(file, mode);
    writeFileSync(file, content);
    if (modified !== undefined) futimesSync(file, modified / 1000, modified / 1000);
    if (flush) fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(beside, path);
  if (flush) flushPath(dirname(path));
}

/** Waits until a file, or the names in a folder, are on the disk. Throws what that throws. */
export function flushPath(path: string): void {
  const descriptor = openSync(path, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

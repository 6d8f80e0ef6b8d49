/**
 * One file of the host in the place of another one, which is kept beside it and comes back.
 *
 * Invariant: whoever reads the file meanwhile finds the old one or the new one, whole.
 */
import {
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { writeWhole } from '../../whole-file.js';
import type { HostFile } from './contents.js';

/** What was there before; a link to NOTHING: nothing was. */
export const KEPT = '.before-weir';
const NOTHING = 'nothing';

/** Whether anything was changed. Throws what the file system refuses. */
export function place(path: string, content: HostFile['content']): boolean {
  if (content === null) return putBack(path);
  if (is(path, content)) {
    // Not ours, and just as it should be: it stays when the configuration says nothing any more.
    return false;
  }
  mkdirSync(dirname(path), { recursive: true });
  keep(path);
  if (typeof content === 'string') {
    writeWhole(path, content, { mode: 0o644 });
  } else {
    const beside = `${path}.new`;
    rmSync(beside, { force: true });
    symlinkSync(content.link, beside);
    renameSync(beside, path);
  }
  return true;
}

function is(path: string, content: NonNullable<HostFile['content']>): boolean {
  const kind = kindOf(path);
  return typeof content === 'string'
    ? kind === 'file' && readFileSync(path, 'utf8') === content
    : kind === 'link' && readlinkSync(path) === content.link;
}

/** The file itself stays until the new one takes its place. */
function keep(path: string): void {
  if (kindOf(path + KEPT) !== null) return;
  const beside = `${path}${KEPT}.new`;
  rmSync(beside, { force: true });
  const kind = kindOf(path);
  if (kind === 'file') writeWhole(beside, readFileSync(path), { mode: 0o644 });
  else symlinkSync(kind === 'link' ? readlinkSync(path) : NOTHING, beside);
  renameSync(beside, path + KEPT);
}

function putBack(path: string): boolean {
  const kept = path + KEPT;
  const kind = kindOf(kept);
  if (kind === null) return false;
  if (kind === 'link' && readlinkSync(kept) === NOTHING) {
    rmSync(path, { force: true });
    rmSync(kept);
  } else renameSync(kept, path);
  return true;
}

function kindOf(path: string): 'file' | 'link' | null {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return null;
  if (found.isSymbolicLink()) return 'link';
  if (found.isFile()) return 'file';
  throw new Error(`${path} is no file`);
}

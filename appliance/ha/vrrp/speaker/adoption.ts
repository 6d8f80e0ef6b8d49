/**
 * How a parent finds the speaker that an earlier one left: a file of the run directory, readable
 * and writable by its user alone, replaced whole. It names the process and the descriptor in it
 * that is the end of a channel for the next parent, who takes it by pidfd_getfd(2): that takes the
 * rights over the process, so there is nothing to connect to for others.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { close } from '../../../../native/ffi/libc.js';
import { beginningOf, bootId, copyDescriptor, openProcess } from '../../../../native/ffi/pidfd.js';
import { compiled } from '../../../paths.js';
import { writeWhole } from '../../../whole-file.js';

const state = z.strictObject({
  boot: z.string(),
  pid: z.int().positive(),
  /** When it began, so that another process of its number is not taken for it. */
  began: z.string(),
  /** Which code it runs. */
  build: z.string(),
  /** The descriptor in it. */
  channel: z.int().nonnegative(),
});

export interface LeftSpeaker {
  readonly pid: number;
  readonly pidfd: number;
  readonly channel: number;
  /** It runs the code that this process would start. */
  readonly sameBuild: boolean;
}

/** Throws what writing throws. */
export function writeSpeakerState(path: string, channel: number): void {
  const now: z.infer<typeof state> = {
    boot: bootId(),
    pid: process.pid,
    began: beginningOf(process.pid) ?? '',
    build: build(),
    channel,
  };
  writeWhole(path, JSON.stringify(now));
}

/**
 * The speaker that lives; null: there is none. Its descriptors are the caller's. Throws when others
 * may write to the file, SystemError without the rights over the process.
 */
export function findSpeaker(path: string): LeftSpeaker | null {
  const left = readState(path);
  if (left === null || left.boot !== bootId()) return null;
  const pidfd = openProcess(left.pid);
  if (pidfd === null) return null;
  try {
    const channel =
      beginningOf(left.pid) === left.began ? copyDescriptor(pidfd, left.channel) : null;
    if (channel !== null) {
      return { pid: left.pid, pidfd, channel, sameBuild: left.build === build() };
    }
  } catch (error) {
    close(pidfd);
    throw error;
  }
  close(pidfd);
  return null;
}

/** A speaker that was killed leaves it. */
export function forgetSpeaker(path: string): void {
  rmSync(path, { force: true });
}

function readState(path: string): z.infer<typeof state> | null {
  let text: string;
  try {
    const { uid, mode } = statSync(path);
    if (uid !== process.geteuid?.() || (mode & 0o022) !== 0) {
      throw new Error(`others may write to ${path}: remove it`);
    }
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  try {
    const found = state.safeParse(JSON.parse(text));
    return found.success ? found.data : null;
  } catch {
    return null; // no JSON: cut off by a machine that lost its power, whose speaker is gone too
  }
}

let known: string | null = null;

/** Names the code of this tier. As it was when it was first asked for, which is when it was loaded. */
function build(): string {
  if (known !== null) return known;
  const root = compiled('appliance/ha/vrrp');
  const hash = createHash('sha256');
  for (const name of (readdirSync(root, { recursive: true }) as string[]).sort()) {
    if (name.endsWith('.js')) hash.update(name).update(readFileSync(join(root, name)));
  }
  return (known = hash.digest('hex'));
}

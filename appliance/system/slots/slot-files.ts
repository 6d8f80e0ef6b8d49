/**
 * The slots of a unit as a folder says where they are, so that files serve on a developer's machine
 * as well as partitions on an appliance (by symbolic links):
 *
 *     esp/grub/grubenv   GRUB's environment block
 *     slot-a, slot-b     each a block device or a file as large as the slot
 *     running            the slot of this boot: a or b
 *
 * Invariant: nothing here makes a file in that folder or changes the size of one. Only the slot that
 * does not run is written.
 */
import { constants, readFileSync } from 'node:fs';
import { type FileHandle, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { forgetCached } from '../../../native/ffi/page-cache.js';
import { type Bundle, digestOf, readSlot } from './bundle.js';
import { type Choice, otherSlot, readChoice, type Slot, writeChoice } from './environment.js';
import { UpgradeError } from './errors.js';

/** How much may wait in memory for the disk. */
const FLUSH_EACH = 16 << 20;

export class SlotFiles {
  readonly #folder: string;
  readonly running: Slot;

  /** @throws UpgradeError when the folder does not say which slot runs */
  constructor(folder: string) {
    this.#folder = folder;
    let text: string;
    try {
      text = readFileSync(join(folder, 'running'), 'utf8').trim();
    } catch (cause) {
      throw new UpgradeError('missing', `${folder} does not say which slot runs (file running).`, {
        cause,
      });
    }
    if (text !== 'a' && text !== 'b') {
      throw new UpgradeError('missing', `${folder}/running must be a or b.`);
    }
    this.running = text;
  }

  choice(): Choice {
    return readChoice(this.#environment);
  }

  choose(choice: Choice): void {
    writeChoice(this.#environment, choice);
  }

  /** @throws UpgradeError when the idle slot is not there or too small */
  async checkRoom(size: number): Promise<void> {
    const file = await this.#open(otherSlot(this.running), constants.O_RDONLY);
    try {
      const room = await capacity(file);
      if (size <= room) return;
      throw new UpgradeError(
        'space',
        `The slot of the bundle has ${size} octets, and slot ${otherSlot(this.running)} of this unit has room for ${room}.`,
      );
    } finally {
      await file.close();
    }
  }

  /**
   * Writes the slot of a bundle to the idle slot and reads it back from the disk. The first piece is
   * emptied first and written last: what is cut off has no file system, so it is never booted by mistake.
   *
   * @param onProgress octets written or compared, of twice the size
   * @throws UpgradeError
   */
  async write(
    from: FileHandle,
    bundle: Bundle,
    onProgress: (done: number) => void,
    signal?: AbortSignal,
  ): Promise<void> {
    const idle = otherSlot(this.running);
    const { size } = bundle.header.slot;
    await this.checkRoom(size);
    const file = await this.#open(idle, constants.O_RDWR);
    try {
      let first: Buffer | null = null;
      let waiting = 0;
      await readSlot(
        from,
        bundle,
        async (octets, at) => {
          if (at === 0) {
            first = Buffer.from(octets);
            await writeAll(file, Buffer.alloc(octets.length), 0);
            await file.sync();
          } else await writeAll(file, octets, at);
          waiting += octets.length;
          if (waiting >= FLUSH_EACH) {
            await file.datasync();
            waiting = 0;
          }
          onProgress(at + octets.length);
        },
        signal,
      );
      if (first !== null) await writeAll(file, first, 0);
      await file.sync();
      forgetCached(file.fd);
      const compared = (octets: Buffer, at: number): void => {
        onProgress(size + at + octets.length);
      };
      if (!(await digestOf(file, 0, bundle.header.slot, compared, signal))) {
        throw new UpgradeError(
          'disk',
          `Slot ${idle} does not hold what was written to it: the disk is not to be trusted.`,
        );
      }
    } catch (cause) {
      if (cause instanceof UpgradeError || signal?.aborted === true) throw cause;
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new UpgradeError('disk', `Slot ${idle} cannot be written: ${why}`, { cause });
    } finally {
      await file.close();
    }
  }

  get #environment(): string {
    return join(this.#folder, 'esp/grub/grubenv');
  }

  async #open(slot: Slot, flags: number): Promise<FileHandle> {
    const path = join(this.#folder, `slot-${slot}`);
    try {
      return await open(path, flags);
    } catch (cause) {
      throw new UpgradeError('missing', `Slot ${slot} cannot be opened (${path}).`, { cause });
    }
  }
}

async function writeAll(file: FileHandle, octets: Buffer, at: number): Promise<void> {
  for (let done = 0; done < octets.length;) {
    const { bytesWritten } = await file.write(octets, done, octets.length - done, at + done);
    done += bytesWritten;
  }
}

/** Octets. A block device says its size in sysfs alone, in sectors of 512. */
async function capacity(file: FileHandle): Promise<number> {
  const found = await file.stat({ bigint: true });
  if (found.isFile()) return Number(found.size);
  if (!found.isBlockDevice()) {
    throw new UpgradeError('missing', 'A slot is neither a block device nor a file.');
  }
  // makedev(3): the numbers are spread over the word.
  const major = ((found.rdev >> 8n) & 0xfffn) | ((found.rdev >> 32n) & ~0xfffn);
  const minor = (found.rdev & 0xffn) | ((found.rdev >> 12n) & ~0xffn);
  const sectors = await readFile(`/sys/dev/block/${major}:${minor & 0xffffffffn}/size`, 'utf8');
  return Number(sectors) * 512;
}

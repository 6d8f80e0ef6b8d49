/** The disk image: table, boot loader, slot A. No loop device and no mount is needed. */
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { command } from './command.js';
import { biosBoot, efiPartition } from './grub.js';
import { DISK_MIB, partition, partitionScript } from '../appliance/system/disk-layout.js';

const MIB = 2 ** 20;
/** Identifiers of an image are the same in every build; they tell the image's layout. */
const SEED = '000000000001';

/**
 * Writes the image to `out` as a whole or not at all. Slot B is empty, so is the data partition:
 * the first boot makes its file system, and what is all zeros takes no room in the file.
 */
export function writeDisk(out: string, slot: string, epoch: number): void {
  const work = mkdtempSync(join(dirname(out), 'disk-'));
  try {
    const unfinished = join(work, 'disk.img');
    const disk = openSync(unfinished, 'w+');
    try {
      ftruncateSync(disk, DISK_MIB * MIB);
      command('sfdisk', ['-q', unfinished], { input: partitionScript({ seed: SEED }) });
      const { bootCode, core } = biosBoot(work);
      writeSync(disk, bootCode, 0, bootCode.length, 0);
      writeSparse(disk, core, partition('bios-boot').start * MIB);
      writeSparse(disk, efiPartition(work, epoch), partition('esp').start * MIB);
      copySlot(disk, slot);
    } finally {
      closeSync(disk);
    }
    renameSync(unfinished, out);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function copySlot(disk: number, slot: string): void {
  const { start, size } = partition('slot-a');
  const source = openSync(slot, 'r');
  try {
    const bytes = fstatSync(source).size;
    if (bytes > size * MIB) {
      throw new Error(`The slot has ${Math.ceil(bytes / MIB)} MiB: its partition has ${size}.`);
    }
    const block = Buffer.alloc(MIB);
    for (let at = 0; at < bytes;) {
      const length = readSync(source, block, 0, MIB, at);
      writeSync(disk, block, 0, length, start * MIB + at);
      at += length;
    }
  } finally {
    closeSync(source);
  }
}

/** Leaves out pages of zeros, which a new file has anyway. */
function writeSparse(disk: number, bytes: Buffer, at: number): void {
  const page = 4096;
  for (let offset = 0; offset < bytes.length; offset += page) {
    const part = bytes.subarray(offset, offset + page);
    if (part.some((byte) => byte !== 0)) writeSync(disk, part, 0, part.length, at + offset);
  }
}

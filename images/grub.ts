/**
 * The boot loader for both firmwares, put on a disk image without mounting it: GRUB's core for BIOS
 * in its own partition, GRUB as an EFI program and its configuration on the EFI system partition.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../appliance/paths.js';
import { command } from './command.js';
import { FatVolume } from './fat.js';
import { partition } from '../appliance/system/disk-layout.js';

export const GRUB_LIBRARY = '/usr/lib/grub';
export const GRUB_MODULES = [
  ...['part_gpt', 'fat', 'squash4', 'gzio', 'normal', 'configfile', 'linux', 'probe', 'regexp'],
  ...['loadenv', 'test', 'echo', 'serial', 'terminal', 'reboot', 'halt', 'sleep', 'all_video'],
];
const SECTOR = 512;
/** Code of boot.img; behind it are the disk's signature and the partitions of the MBR. */
const BOOT_CODE = 440;

/** Size of a GRUB environment block, which GRUB never changes. */
const ENVIRONMENT_BYTES = 1024;

export function environmentBlock(words: Readonly<Record<string, string>>): Buffer {
  const lines = Object.entries(words).map(([key, value]) => `${key}=${value}\n`);
  const text = `# GRUB Environment Block\n${lines.join('')}`;
  if (text.length > ENVIRONMENT_BYTES) throw new Error('The GRUB environment block is too large.');
  return Buffer.from(text.padEnd(ENVIRONMENT_BYTES, '#'), 'latin1');
}

/** What goes into the first sector and into the BIOS boot partition of a disk. */
export interface BiosBoot {
  readonly bootCode: Buffer;
  readonly core: Buffer;
}

/**
 * As grub-bios-setup does it: the first sector learns where the core begins, the core's first sector
 * where its rest is; both as sector numbers, 64 bits, little endian.
 */
export function biosBoot(work: string): BiosBoot {
  const coreFile = join(work, 'core.img');
  // "(,gpt2)" is completed with the disk that the firmware started from: a second disk of the
  // same layout is never taken by mistake.
  grubImage('i386-pc', coreFile, {
    prefix: '(,gpt2)/grub',
    modules: ['biosdisk', ...GRUB_MODULES],
  });
  const { start, size } = partition('bios-boot');
  const sector = BigInt(start * 2048);
  const core = readFileSync(coreFile);
  if (core.length > size * 2 ** 20) throw new Error('GRUB does not fit the BIOS boot partition.');
  const boot = readFileSync(join(GRUB_LIBRARY, 'i386-pc/boot.img'));
  boot.writeBigUInt64LE(sector, 0x5c);
  // Two no-operations: trust the drive number that the BIOS hands over.
  boot.writeUInt16LE(0x9090, 0x66);
  core.writeBigUInt64LE(sector + 1n, SECTOR - 12);
  return { bootCode: boot.subarray(0, BOOT_CODE), core };
}

export interface GrubImage {
  readonly prefix: string;
  readonly modules: readonly string[];
  /** A file of commands that it begins with. */
  readonly config?: string;
}

/** GRUB's core as one file, for a firmware and a medium. */
export function grubImage(
  format: 'i386-pc' | 'i386-pc-eltorito' | 'x86_64-efi',
  out: string,
  { prefix, modules, config }: GrubImage,
): void {
  const library = join(GRUB_LIBRARY, format.replace('-eltorito', ''));
  command('grub-mkimage', [
    ...['-d', library, '-O', format, '-p', prefix, '-o', out],
    ...(config === undefined ? [] : ['-c', config]),
    ...modules,
  ]);
}

/** The file system of the EFI system partition. `epoch` in seconds dates its files. */
export function efiPartition(work: string, epoch: number): Buffer {
  const folder = mkdtempSync(join(work, 'esp-'));
  try {
    const { size: mib } = partition('esp');
    const volume = new FatVolume(join(folder, 'esp.img'), {
      ...{ label: 'WEIR-ESP', mib, epoch, bits: 32 },
    });
    const program = join(folder, 'BOOTX64.EFI');
    grubImage('x86_64-efi', program, { prefix: '/grub', modules: GRUB_MODULES });
    const block = join(folder, 'grubenv');
    writeFileSync(block, environmentBlock({ default_slot: 'a', try_slot: '', tries: '0' }));
    volume.folders('EFI', 'EFI/BOOT', 'grub');
    volume.put(program, 'EFI/BOOT/BOOTX64.EFI');
    volume.put(join(projectRoot, 'images/grub.cfg'), 'grub/grub.cfg');
    volume.put(block, 'grub/grubenv');
    return readFileSync(volume.path);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * The installer's medium: one file for CDs and USB sticks, for BIOS and UEFI. It is an ISO 9660 file system
 * with the slot and the head of a disk, and behind it two partitions: the EFI program, and a small FAT volume
 * WEIR-SEED that people put their files on when it is on a stick.
 */
import { createHash } from 'node:crypto';
import {
  closeSync,
  copyFileSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { partition } from '../appliance/system/disk-layout.js';
import { HEAD_FILE, SLOT_FILE, SUMS_FILE } from '../appliance/system/install/medium.js';
import { projectRoot } from '../appliance/paths.js';
import { command } from './command.js';
import { FatVolume } from './fat.js';
import { GRUB_LIBRARY, GRUB_MODULES, grubImage } from './grub.js';

export const LABEL = 'WEIR-INSTALL';
const SEED_MIB = 16;
const EFI_MIB = 8;

/** GRUB finds the medium by its label, whatever it is on. */
const EARLY = `search --no-floppy --set=root --label ${LABEL}
set prefix=($root)/boot/grub
`;
const MODULES = [...GRUB_MODULES, 'iso9660', 'search', 'search_label', 'loopback', 'part_msdos'];

const SEED_README = `Files that the installer and the first boot of a box look for here:\r
\r
  install.yaml   installs without asking anybody\r
  weir.yaml      the first configuration\r
  network/       addresses of the interfaces, as files of systemd.network(5)\r
  administrator  one line: the password of a first user "admin"\r
\r
install.yaml:\r
\r
  disk: smallest           # or largest, only, /dev/NAME, serial:NUMBER\r
  overwrite-weir: false    # true: also a disk that has a Weir already\r
  then: power-off          # or restart\r
`;

/** Writes the medium to `out` as a whole or not at all, from a disk image and the slot in it. */
export function writeInstaller(
  out: string,
  { disk, slot, epoch }: { disk: string; slot: string; epoch: number },
): void {
  const work = mkdtempSync(join(dirname(out), 'installer-'));
  try {
    const tree = join(work, 'tree');
    mkdirSync(join(tree, 'boot/grub'), { recursive: true });
    linkSync(slot, join(tree, SLOT_FILE));
    writeFileSync(join(tree, HEAD_FILE), head(disk));
    const sums = [SLOT_FILE, HEAD_FILE].map((name) => {
      const sum = createHash('sha256').update(readFileSync(join(tree, name)));
      return `${sum.digest('hex')}  ${name}\n`;
    });
    writeFileSync(join(tree, SUMS_FILE), sums.join(''));
    copyFileSync(join(projectRoot, 'images/installer.cfg'), join(tree, 'boot/grub/grub.cfg'));

    const early = join(work, 'early.cfg');
    writeFileSync(early, EARLY);
    const grub = { prefix: '/boot/grub', config: early };
    const bios = join(tree, 'boot/grub/eltorito.img');
    grubImage('i386-pc-eltorito', bios, { ...grub, modules: ['biosdisk', ...MODULES] });
    const program = join(work, 'BOOTX64.EFI');
    grubImage('x86_64-efi', program, { ...grub, modules: MODULES });

    const volume = (name: string, label: string, mib: number): FatVolume =>
      new FatVolume(join(work, name), { label, mib, epoch });
    const efi = volume('efi.img', 'WEIR-EFI', EFI_MIB);
    efi.folders('EFI', 'EFI/BOOT');
    efi.put(program, 'EFI/BOOT/BOOTX64.EFI');
    const readme = join(work, 'readme.txt');
    writeFileSync(readme, SEED_README);
    const seed = volume('seed.img', 'WEIR-SEED', SEED_MIB);
    seed.put(readme, 'README.TXT');

    const unfinished = join(work, 'installer.iso');
    iso(unfinished, { tree, efi: efi.path, seed: seed.path, epoch });
    renameSync(unfinished, out);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function head(disk: string): Buffer {
  const bytes = Buffer.alloc(partition('slot-a').start * 2 ** 20);
  const file = openSync(disk, 'r');
  try {
    readSync(file, bytes, 0, bytes.length, 0);
  } finally {
    closeSync(file);
  }
  return gzipSync(bytes, { level: 9 });
}

function iso(
  out: string,
  { tree, efi, seed, epoch }: { tree: string; efi: string; seed: string; epoch: number },
): void {
  command(
    'xorriso',
    [
      ...['-no_rc', '-as', 'mkisofs', '-quiet', '-o', out, '-V', LABEL, '-r', '-iso-level', '3'],
      // BIOS: from a CD by El Torito, from a stick by its first sector.
      ...['-b', 'boot/grub/eltorito.img', '-no-emul-boot', '-boot-load-size', '4'],
      ...['-boot-info-table', '--grub2-boot-info'],
      ...['--grub2-mbr', join(GRUB_LIBRARY, 'i386-pc/boot_hybrid.img'), '--mbr-force-bootable'],
      ...['-append_partition', '2', '0xef', efi, '-append_partition', '3', '0x0c', seed],
      '-appended_part_as_gpt',
      // Else they are of the moment of the build, and no two media have the same bytes.
      ...['--set_all_file_dates', `=${epoch}`],
      // UEFI: the same program from both.
      ...['-eltorito-alt-boot', '-e', '--interval:appended_partition_2:all::', '-no-emul-boot'],
      tree,
    ],
    { environment: { SOURCE_DATE_EPOCH: String(epoch) } },
  );
}

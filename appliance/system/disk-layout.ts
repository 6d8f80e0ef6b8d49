/**
 * The partitions of a disk that Weir runs from, in GPT (UEFI 2.10 §5.3). The same on an image and
 * on a disk that the installer writes; only the last one grows.
 *
 * Sizes and places are in MiB.
 */
export interface Partition {
  /** Name in the partition table, by which the initial RAM disk finds it. */
  readonly name: 'bios-boot' | 'esp' | 'slot-a' | 'slot-b' | 'data';
  readonly type: string;
  readonly start: number;
  readonly size: number;
}

const BIOS_BOOT = '21686148-6449-6E6F-744E-656564454649';
const EFI_SYSTEM = 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B';
const LINUX_ROOT_X86_64 = '4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709';
const LINUX_DATA = '0FC63DAF-8483-4772-8E79-3D69D8477DE4';

/** Smallest size of the data partition; the image has it, the first boot grows it. */
export const DATA_MIB = 256;
/** Twice the size of today's slots: an update may bring more. */
export const SLOT_MIB = 512;

const SIZES: readonly (readonly [Partition['name'], string, number])[] = [
  ['bios-boot', BIOS_BOOT, 1],
  ['esp', EFI_SYSTEM, 64],
  ['slot-a', LINUX_ROOT_X86_64, SLOT_MIB],
  ['slot-b', LINUX_ROOT_X86_64, SLOT_MIB],
  ['data', LINUX_DATA, DATA_MIB],
];

/** The first MiB is the table's; each partition begins where the one before it ends. */
export const LAYOUT: readonly Partition[] = SIZES.map(([name, type, size], index) => ({
  name,
  type,
  size,
  start: 1 + SIZES.slice(0, index).reduce((sum, [, , before]) => sum + before, 0),
}));

/** What a disk must have at least: the partitions, and the second table at its end. */
export const DISK_MIB = 1 + LAYOUT.reduce((sum, { size }) => sum + size, 0) + 1;

export function partition(name: Partition['name']): Partition {
  const found = LAYOUT.find((entry) => entry.name === name);
  if (found === undefined) throw new Error(`There is no partition ${name}.`);
  return found;
}

/** Number of a partition in the table, from 1. */
export function partitionNumber(name: Partition['name']): number {
  return LAYOUT.indexOf(partition(name)) + 1;
}

/**
 * The table as sfdisk reads it. With `seed`, 12 hexadecimal digits, its identifiers are fixed; `whole`:
 * the last partition takes what is left of the disk.
 */
export function partitionScript({
  seed,
  whole = false,
}: {
  seed?: string;
  whole?: boolean;
}): string {
  const id = (number: number): string =>
    `57454952-0000-4000-8000-${seed ?? ''}`.toUpperCase().replace('-0000-', `-000${number}-`);
  const lines = LAYOUT.map(({ name, type, start, size }, index) => {
    const identifier = seed === undefined ? '' : `, uuid=${id(index + 1)}`;
    const room = whole && index === LAYOUT.length - 1 ? '' : `size=${size}MiB, `;
    return `start=${start}MiB, ${room}type=${type}, name=${name}${identifier}`;
  });
  const label = seed === undefined ? [] : [`label-id: ${id(0)}`];
  return ['label: gpt', ...label, ...lines, ''].join('\n');
}

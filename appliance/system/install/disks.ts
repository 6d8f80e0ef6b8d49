/** The disks of this machine, as lsblk(8) tells them, and which one a person or a file means. */
import { z } from 'zod';
import { DISK_MIB } from '../disk-layout.js';

/** Of lsblk's columns, those that are asked for. */
export const COLUMNS = 'NAME,PATH,SIZE,MODEL,SERIAL,TRAN,RO,TYPE,FSTYPE,LABEL,PARTLABEL';

const text = z.string().nullish();
const device = z.object({
  name: z.string(),
  path: z.string(),
  size: z.number(),
  model: text,
  serial: text,
  tran: text,
  ro: z.boolean(),
  type: z.string(),
  fstype: text,
  label: text,
  partlabel: text,
});
type Device = z.infer<typeof device> & { readonly children?: readonly Device[] | undefined };
const tree: z.ZodType<Device> = device.extend({
  get children() {
    return z.array(tree).optional();
  },
});
const answer = z.object({ blockdevices: z.array(tree) });

export interface Disk {
  /** Such as sda. */
  readonly name: string;
  readonly path: string;
  readonly bytes: number;
  readonly model: string;
  readonly serial: string;
  /** Such as sata, nvme, usb; '' where the kernel doesn't say. */
  readonly transport: string;
  /** What is on it, in words, such as `ntfs "Windows"`. */
  readonly holds: readonly string[];
  /** A Weir is on it, with a configuration perhaps. */
  readonly weir: boolean;
}

const trimmed = (value: string | null | undefined): string => (value ?? '').trim();

function holds({ fstype, label, partlabel, children = [] }: Device): string[] {
  const kind = trimmed(fstype);
  const name = trimmed(label) || trimmed(partlabel);
  const own = [kind, name === '' ? '' : JSON.stringify(name)].filter((word) => word !== '');
  return [...(own.length === 0 ? [] : [own.join(' ')]), ...children.flatMap(holds)];
}

function paths(one: Device): string[] {
  return [one.path, ...(one.children ?? []).flatMap(paths)];
}

const isWeir = (one: Device): boolean =>
  ['slot-a', 'slot-b', 'data'].every((name) =>
    (one.children ?? []).some(({ partlabel }) => partlabel === name),
  );

/**
 * Disks that can be written, in the kernel's order, without the one that `medium` (such as /dev/sr0 or
 * /dev/sda1) is on. Throws ZodError for what is no answer of lsblk.
 */
export function parseDisks(json: string, medium: string): Disk[] {
  return answer
    .parse(JSON.parse(json))
    .blockdevices.filter(
      (one) =>
        one.type === 'disk' &&
        !one.ro &&
        one.size > 0 &&
        !/^(zram|ram|fd|nbd)\d/.test(one.name) &&
        !/boot\d$/.test(one.name) && // boot areas of an eMMC
        !paths(one).includes(medium),
    )
    .map((one) => ({
      ...{ name: one.name, path: one.path, bytes: one.size, holds: holds(one), weir: isWeir(one) },
      ...{ model: trimmed(one.model), serial: trimmed(one.serial), transport: trimmed(one.tran) },
    }));
}

export const largeEnough = ({ bytes }: Disk): boolean => bytes >= DISK_MIB * 2 ** 20;

export function sizeText(bytes: number): string {
  const gib = bytes / 2 ** 30;
  return gib >= 1 ? `${gib.toFixed(gib < 10 ? 1 : 0)} GiB` : `${Math.floor(bytes / 2 ** 20)} MiB`;
}

export function diskText(disk: Disk): string {
  const { path, bytes, transport, model, serial } = disk;
  const named = serial === '' ? model : `${model} (serial ${serial})`.trimStart();
  const content = disk.weir ? 'a Weir' : disk.holds.join(', ') || 'empty';
  const words = [path, sizeText(bytes), transport, named, content].filter((word) => word !== '');
  return words.join('  ') + (largeEnough(disk) ? '' : `  (too small: ${DISK_MIB} MiB are needed)`);
}

/** The disk that the `disk` of an answer file means. Throws an Error that says what there is. */
export function chooseDisk(disks: readonly Disk[], wanted: string): Disk {
  const fitting = disks.filter(largeEnough);
  const fail = (why: string): never => {
    const there = disks.map((disk) => `\n  ${diskText(disk)}`).join('');
    throw new Error(`${why}. The disks are:${there === '' ? ' none' : there}`);
  };
  if (fitting.length === 0) fail('no disk is large enough');
  const bySize = fitting.toSorted((a, b) => a.bytes - b.bytes);
  const pick = (found: readonly (Disk | undefined)[], what: string): Disk => {
    const [one, other] = found;
    if (one === undefined) return fail(`there is no disk ${what} that is large enough`);
    return other === undefined ? one : fail(`there are several disks ${what}`);
  };
  if (wanted === 'only') return pick(fitting, 'at all');
  const smallest = bySize[0]?.bytes;
  const largest = bySize.at(-1)?.bytes;
  if (wanted === 'smallest')
    return pick(
      bySize.filter(({ bytes }) => bytes === smallest),
      'of the smallest size',
    );
  if (wanted === 'largest')
    return pick(
      bySize.filter(({ bytes }) => bytes === largest),
      'of the largest size',
    );
  const serial = /^serial:(.+)$/.exec(wanted)?.[1];
  if (serial !== undefined)
    return pick(
      fitting.filter((disk) => disk.serial === serial),
      `with the serial number ${serial}`,
    );
  return pick(
    fitting.filter(({ path }) => path === wanted),
    wanted,
  );
}

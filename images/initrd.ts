/**
 * The initial RAM disk: busybox, two scripts (a box, the installer), and the modules between the firmware and a mounted
 * slot. It is the same on every machine, so it holds every driver that a disk may need.
 */
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { projectRoot } from '../appliance/paths.js';
import { command } from './command.js';
import { type CpioEntry, cpio, FILE, LINK } from './cpio.js';

/** Loaded always, in this order. */
const ALWAYS = [
  // ext4 asks for a checksum by its name, which no list of dependencies says.
  ...['crc32c_generic', 'squashfs', 'overlay', 'ext4', 'vfat'],
  ...['nls_ascii', 'nls_cp437', 'nls_utf8'],
  // Needed before the slot's own loading of modules: by systemd, and by the first worker (kTLS).
  ...['autofs4', 'tls'],
];
/** There if a seed or the installer is on a CD. */
const MORE = ['isofs', 'cdrom', 'loop'];
/** Loaded when the hardware has no watchdog. */
const WATCHDOG = 'softdog';
/** Loaded when the hardware asks for them. */
const DRIVERS = [
  ...['virtio_pci', 'virtio_blk', 'virtio_scsi', 'vmw_pvscsi', 'hv_storvsc', 'xen-blkfront'],
  ...['sd_mod', 'sr_mod', 'ahci', 'ata_piix', 'ata_generic', 'nvme', 'vmd', 'mmc_block'],
  ...['sdhci_pci', 'sdhci_acpi', 'xhci_pci', 'ehci_pci', 'usb_storage', 'uas', 'usbhid'],
  ...['hid_generic', 'megaraid_sas', 'mpt3sas', 'mpi3mr', 'hpsa', 'smartpqi', 'aacraid', 'mptsas'],
  ...['i6300esb', 'iTCO_wdt', 'sp5100_tco', 'wdat_wdt', 'i2c_i801', 'i2c_piix4', 'lpc_ich'],
];

/** For a start, however slow the disks; from then on `appliance/system/health` says less. */
const PATIENCE_S = 600;
const WATCHDOG_OPTIONS = ['i6300esb heartbeat', 'iTCO_wdt heartbeat', `${WATCHDOG} soft_margin`]
  .map((option) => `options ${option}=${PATIENCE_S}\n`)
  .join('');

/** modules.dep: path of each module, and of those it needs. */
export function parseDependencies(text: string): Map<string, readonly string[]> {
  const lines = text.split('\n').filter((line) => line !== '');
  return new Map(
    lines.map((line) => {
      const [path = '', needs = ''] = line.split(':');
      return [path, needs.split(' ').filter((need) => need !== '')];
    }),
  );
}

const moduleName = (path: string): string => basename(path, '.ko').replaceAll('-', '_');

/** Paths of the named modules and of all that they need. Those built into the kernel have none. */
export function moduleClosure(
  names: readonly string[],
  dependencies: ReadonlyMap<string, readonly string[]>,
): string[] {
  const wanted = new Set(names.map((name) => name.replaceAll('-', '_')));
  const found = new Set<string>();
  for (const [path, needs] of dependencies) {
    if (wanted.has(moduleName(path))) [path, ...needs].forEach((one) => found.add(one));
  }
  return [...found].sort();
}

/** `root` is the slot's tree, whose modules are unpacked and listed in modules.dep. */
export function initrd(root: string, kernel: string): Buffer {
  const modules = join('usr/lib/modules', kernel);
  const read = (name: string): string => readFileSync(join(root, modules, name), 'utf8');
  const dependencies = parseDependencies(read('modules.dep'));
  const paths = moduleClosure([...ALWAYS, ...MORE, WATCHDOG, ...DRIVERS], dependencies);
  const names = new Set(paths.map(moduleName));
  const text = (path: string, content: string): CpioEntry => ({
    ...{ path, mode: FILE | 0o644 },
    content: Buffer.from(content),
  });
  const link = (path: string, target: string): CpioEntry => ({
    ...{ path, mode: LINK | 0o777 },
    content: Buffer.from(target),
  });
  const entries: CpioEntry[] = [
    {
      path: 'init',
      mode: FILE | 0o755,
      content: readFileSync(join(projectRoot, 'images/initrd-init')),
    },
    {
      path: 'install',
      mode: FILE | 0o755,
      content: readFileSync(join(projectRoot, 'images/initrd-install')),
    },
    {
      path: 'bin/busybox',
      mode: FILE | 0o755,
      content: readFileSync(join(root, 'usr/bin/busybox')),
    },
    link('lib', 'usr/lib'),
    link('sbin', 'bin'),
    text('etc/modules', `${ALWAYS.join('\n')}\n`),
    text('etc/modprobe.conf', WATCHDOG_OPTIONS),
    text(
      join(modules, 'modules.dep'),
      paths
        .map((path) => `${path}: ${(dependencies.get(path) ?? []).join(' ')}`.trimEnd() + '\n')
        .join(''),
    ),
    text(
      join(modules, 'modules.alias'),
      read('modules.alias')
        .split('\n')
        .filter((line) => names.has(line.split(' ').at(-1) ?? ''))
        .join('\n') + '\n',
    ),
    ...paths.map((path) => ({
      path: join(modules, path),
      mode: FILE | 0o644,
      content: readFileSync(join(root, modules, path)),
    })),
    ...['dev', 'proc', 'sys', 'slot'].map((path) => ({ path, mode: 0o040755 })),
  ];
  return command('zstd', ['-12', '-T1', '-q', '-c'], { input: cpio(entries) });
}

/** A slot: the whole root of the box as one squashfs, which is never written to. */
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { projectRoot } from '../appliance/paths.js';
import { command, commandLines } from './command.js';
import { initrd } from './initrd.js';
import { installProduct, type NpmPackage, PRODUCT } from './product.js';
import { BOOT_LEFTOVERS, pruned } from './prune.js';
import type { Release } from './release.js';

const UNITS = 'etc/systemd/system';
const UNIT_LIBRARY = '/usr/lib/systemd/system';

/** Started with the box: the target that wants each. */
const ENABLED: Readonly<Record<string, string>> = {
  'weir.service': 'multi-user.target',
  'weir-health.service': 'multi-user.target',
  'weir-seed.service': 'multi-user.target',
  'weir-console@tty1.service': 'multi-user.target',
  'weir-console@ttyS0.service': 'multi-user.target',
  'weir-seed-administrator.service': 'multi-user.target',
  'weir-password@tty1.service': 'multi-user.target',
  'weir-password@ttyS0.service': 'multi-user.target',
  'update.automount': 'multi-user.target',
  'weir-kernel.service': 'sysinit.target',
  'systemd-networkd.service': 'multi-user.target',
  'chrony.service': 'multi-user.target',
};

/** Never started: the dashboard has the consoles, a slot is never updated in place, nothing is mounted. */
const MASKED = [
  ...['getty@tty1.service', 'serial-getty@ttyS0.service', 'getty.target', 'console-getty.service'],
  ...['ssh.service', 'ssh.socket', 'sshd-keygen.service', 'systemd-firstboot.service'],
  ...['systemd-update-done.service', 'ldconfig.service', 'systemd-sysusers.service'],
  ...['systemd-hwdb-update.service', 'systemd-journal-catalog-update.service'],
  ...['systemd-machine-id-commit.service', 'systemd-remount-fs.service', 'systemd-binfmt.service'],
  ...['proc-sys-fs-binfmt_misc.automount', 'dev-hugepages.mount', 'dev-mqueue.mount'],
  ...['sys-kernel-debug.mount', 'sys-kernel-tracing.mount', 'sys-fs-fuse-connections.mount'],
  ...['modprobe@drm.service', 'modprobe@fuse.service', 'modprobe@configfs.service'],
  ...['systemd-udev-load-credentials.service', 'kmod-static-nodes.service', 'hwclock.service'],
  ...[
    'systemd-pstore.service',
    'systemd-rfkill.socket',
    'e2scrub_all.timer',
    'e2scrub_reap.service',
  ],
  ...['fstrim.timer', 'dpkg-db-backup.timer', 'apt-daily.timer', 'apt-daily-upgrade.timer'],
  ...['systemd-networkd-wait-online.service', 'systemd-hostnamed.socket', 'systemd-logind.service'],
  ...[
    'systemd-user-sessions.service',
    'systemd-tpm2-setup.service',
    'systemd-tpm2-setup-early.service',
  ],
  // /var is gone with each boot, so what is kept there for the next one is not.
  ...['systemd-random-seed.service', 'systemd-networkd-persistent-storage.service'],
  ...['systemd-tmpfiles-setup-dev-early.service', 'run-lock.mount'],
  ...['systemd-pcrphase.service', 'systemd-pcrphase-sysinit.service', 'systemd-pcrmachine.service'],
];

/** What they would find out at each boot is known: what is mounted, who has the consoles. */
const MASKED_GENERATORS = [
  ...['fstab', 'getty', 'gpt-auto', 'hibernate-resume', 'rc-local', 'run', 'ssh', 'system-update'],
  ...['sysv', 'tpm2'],
];

/** A file of keys without a key is what the daemon has a sentence for. */
const NO_UPDATES = 'This image was built without a key that updates are signed with.\n';

export interface SlotInput {
  /** Archive of Debian's root. */
  readonly archive: string;
  readonly release: Release;
  readonly packages: readonly NpmPackage[];
  /** Public keys in PEM that updates of this slot are signed with; null: none is trusted. */
  readonly updateKeys: string | null;
  /** Made by whoever knows all of it, from the unpacked root. */
  readonly manifest: (root: string) => string;
}

/** Writes the slot to `out`; `work` is an empty folder, which is filled. */
export function writeSlot(out: string, work: string, input: SlotInput): void {
  const root = join(work, 'root');
  mkdirSync(root);
  command('tar', ['-xf', input.archive, '-C', root, '--exclude=./dev/*', '--numeric-owner']);
  const manifest = input.manifest(root);
  const kernel = readdirSync(join(root, 'usr/lib/modules')).at(0);
  if (kernel === undefined) throw new Error('The packages of the image hold no kernel.');
  for (const path of pruned(kernel)) rmSync(join(root, path), { recursive: true, force: true });
  for (const folder of ['var/log', 'var/cache', 'data', 'efi', 'update', 'var/lib/chrony']) {
    mkdirSync(join(root, folder), { recursive: true });
  }
  installFiles(root);
  installProduct(root, input.packages);
  chmodSync(join(root, PRODUCT, 'build/appliance/cli/weir.js'), 0o755);
  writeFileSync(join(root, PRODUCT, 'manifest.json'), manifest);
  writeFileSync(join(root, PRODUCT, 'update-keys.pem'), input.updateKeys ?? NO_UPDATES);
  nameRelease(root, input.release);
  users(root);
  units(root);
  kernelFiles(root, kernel);
  squash(root, `${out}.new`, input.release.epoch);
  renameSync(`${out}.new`, out);
}

function link(root: string, path: string, target: string): void {
  const place = join(root, path);
  mkdirSync(dirname(place), { recursive: true });
  rmSync(place, { recursive: true, force: true });
  symlinkSync(target, place);
}

function installFiles(root: string): void {
  cpSync(join(projectRoot, 'images/files'), root, { recursive: true });
  link(root, 'usr/bin/weir', `/${PRODUCT}/build/appliance/cli/weir.js`);
  // What outlives a boot is on the data partition.
  link(root, 'var/lib/weir', '/data/weir');
  link(root, 'var/log/journal', '/data/journal');
  writeFileSync(join(root, 'etc/machine-id'), 'uninitialized\n');
  writeFileSync(join(root, 'etc/hostname'), 'weir\n');
  writeFileSync(join(root, 'etc/hosts'), '127.0.0.1 localhost\n::1 localhost\n');
  writeFileSync(join(root, 'etc/fstab'), '# The initial RAM disk mounts everything.\n');
  link(root, 'etc/resolv.conf', '/run/systemd/resolve/resolv.conf');
  link(root, 'etc/localtime', '/usr/share/zoneinfo/Etc/UTC');
}

/** As os-release(5): IMAGE_VERSION is what an update compares. */
function nameRelease(root: string, release: Release): void {
  const file = join(root, 'usr/lib/os-release');
  const lines = readFileSync(file, 'utf8');
  writeFileSync(
    file,
    `${lines.trimEnd()}\nIMAGE_ID=weir\nIMAGE_VERSION=${release.version}\nBUILD_ID=${release.commit}\n`,
  );
}

function users(root: string): void {
  command('chroot', [root, 'systemd-sysusers', 'weir.conf']);
  for (const name of [
    'passwd-',
    'group-',
    'shadow-',
    'gshadow-',
    '.pwd.lock',
    'subuid-',
    'subgid-',
  ]) {
    rmSync(join(root, 'etc', name), { force: true });
  }
  // Day of the last change of a password: the build's day would be in the bytes. Nobody has one.
  const shadow = join(root, 'etc/shadow');
  const lines = readFileSync(shadow, 'utf8')
    .replaceAll(/^([^:]+:[^:]*):\d*:/gm, '$1:1:')
    // sshd lets nobody in whose account is locked, by whatever key; there is still no password.
    .replace(/^weir-console:[^:]*:/m, 'weir-console:*:');
  writeFileSync(shadow, lines);
}

function units(root: string): void {
  for (const name of MASKED_GENERATORS) {
    link(root, `etc/systemd/system-generators/systemd-${name}-generator`, '/dev/null');
  }
  for (const name of MASKED) link(root, join(UNITS, name), '/dev/null');
  for (const [name, target] of Object.entries(ENABLED)) {
    const file = name.replace(/@.*\./, '@.');
    if (!existsSync(join(root, UNIT_LIBRARY, file))) {
      throw new Error(`There is no unit ${file} to enable.`);
    }
    link(root, join(UNITS, `${target}.wants`, name), `${UNIT_LIBRARY}/${file}`);
  }
  link(root, join(UNITS, 'default.target'), `${UNIT_LIBRARY}/multi-user.target`);
}

function kernelFiles(root: string, kernel: string): void {
  // squashfs packs better than what is packed already, and the initial RAM disk reads them plain.
  const packed = commandLines('find', [join(root, 'usr/lib/modules'), '-name', '*.ko.xz']);
  for (let at = 0; at < packed.length; at += 200)
    command('xz', ['-d', ...packed.slice(at, at + 200)]);
  command('chroot', [root, 'depmod', kernel]);
  const boot = join(root, 'boot');
  for (const name of readdirSync(boot)) {
    if (BOOT_LEFTOVERS.test(name)) rmSync(join(boot, name));
  }
  renameSync(join(boot, `vmlinuz-${kernel}`), join(boot, 'vmlinuz'));
  for (const name of ['vmlinuz', 'vmlinuz.old', 'initrd.img', 'initrd.img.old']) {
    rmSync(join(root, name), { force: true });
  }
  writeFileSync(join(boot, 'initrd'), initrd(root, kernel));
}

function squash(root: string, out: string, epoch: number): void {
  rmSync(out, { force: true });
  const time = String(epoch);
  // GRUB reads the kernel from the slot and knows no zstd. Of what it knows LZO is unpacked fastest: a
  // box that starts reads 100 MB.
  command('mksquashfs', [
    ...[root, out, '-comp', 'lzo', '-b', '256K', '-noappend', '-no-progress', '-quiet'],
    ...['-no-xattrs', '-mkfs-time', time, '-all-time', time, '-no-exports'],
  ]);
}

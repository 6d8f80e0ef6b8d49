/** Debian packages that the build machine needs, to build the image and to boot it in QEMU. */
import { spawnSync } from 'node:child_process';
import { command } from './command.js';

const BUILD = [
  'mmdebstrap',
  'squashfs-tools',
  'grub-pc-bin',
  'grub-efi-amd64-bin',
  'grub-common',
  'mtools',
  'dosfstools',
  'fdisk',
  'zstd',
  'xz-utils',
  'qemu-utils',
  'xorriso',
] as const;
/** QEMU, the firmware of UEFI, and what gives the network of the boot test to it. */
const BOOT = ['qemu-system-x86', 'ovmf', 'iproute2'] as const;

function missing(packages: readonly string[]): string[] {
  const { stdout, error } = spawnSync(
    'dpkg-query',
    ['-W', '-f=${db:Status-Status} ${Package}\n', ...packages],
    { encoding: 'utf8' },
  );
  if (error !== undefined) {
    throw new Error(`The image is built on Debian, and this machine has no dpkg: ${error.message}`);
  }
  const have = new Set(stdout.split('\n'));
  return packages.filter((name) => !have.has(`installed ${name}`));
}

/**
 * Installs what is missing, as root; otherwise throws an Error that names it.
 * `say` hears what is done.
 */
export function ensureTools(say: (line: string) => void): void {
  const lacking = missing([...BUILD, ...BOOT]);
  if (lacking.length > 0) {
    const install = ['install', '-y', '--no-install-recommends', ...lacking];
    if (process.getuid?.() !== 0) {
      throw new Error(
        `These Debian packages are missing, and only root can install them: ${lacking.join(' ')}. ` +
          `Run: sudo apt-get ${install.join(' ')}`,
      );
    }
    say(`installing Debian packages: ${lacking.join(' ')}`);
    const environment = { DEBIAN_FRONTEND: 'noninteractive' };
    const wait = ['-o', 'DPkg::Lock::Timeout=120'];
    command('apt-get', [...wait, 'update'], { environment });
    command('apt-get', [...wait, ...install], { environment });
  }
  if (process.getuid?.() !== 0) {
    throw new Error('The image needs root: its files belong to several users. Run it with sudo.');
  }
}

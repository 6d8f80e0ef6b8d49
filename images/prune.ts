/** What Debian's packages bring and the box does not use, as paths below its root. */

/** Drivers and file systems of the kernel, below kernel/ of its modules. */
const KERNEL = [
  ...['sound', 'arch/x86/kvm'],
  ...['gpu', 'media', 'staging', 'iio', 'infiniband/ulp', 'bluetooth', 'isdn', 'nfc', 'comedi'].map(
    (name) => `drivers/${name}`,
  ),
  ...['accel', 'soundwire', 'mtd', 'firewire', 'pcmcia', 'parport', 'w1', 'gnss', 'greybus'].map(
    (name) => `drivers/${name}`,
  ),
  ...['wireless', 'can', 'wwan', 'hamradio', 'plip', 'ieee802154', 'arcnet'].map(
    (name) => `drivers/net/${name}`,
  ),
  ...['joystick', 'touchscreen', 'tablet'].map((name) => `drivers/input/${name}`),
  ...[
    'bluetooth',
    'mac80211',
    'wireless',
    'can',
    'nfc',
    'ax25',
    'rose',
    'netrom',
    'batman-adv',
  ].map((name) => `net/${name}`),
  ...['tipc', 'rxrpc', 'ieee802154', 'mac802154', '6lowpan', 'atm', 'appletalk', 'x25', 'rds'].map(
    (name) => `net/${name}`,
  ),
  ...['btrfs', 'xfs', 'jfs', 'reiserfs', 'f2fs', 'gfs2', 'ocfs2', 'ceph', 'smb', 'nfs', 'nfsd'].map(
    (name) => `fs/${name}`,
  ),
  ...['bcachefs', 'ntfs3', 'hfs', 'hfsplus', 'udf', 'ufs', 'coda', 'afs', 'orangefs', 'jffs2'].map(
    (name) => `fs/${name}`,
  ),
  ...['ubifs', 'nilfs2', 'minix', 'omfs', 'befs', 'affs', 'dlm', '9p', 'erofs'].map(
    (name) => `fs/${name}`,
  ),
];

const TREE = [
  // Firmware of functions that a load balancer does not use: SR-IOV, flow offload, crypto cards.
  ...['netronome/flower', 'netronome/nic-sriov', 'intel/ipu', 'intel/avs', 'intel/vpu'].map(
    (name) => `usr/lib/firmware/${name}`,
  ),
  // Made on the build machine: node-corepack is an installer of package managers.
  ...['corepack', 'npm', 'node_modules'].map((name) => `usr/share/nodejs/${name}`),
  ...['bash-completion', 'lintian', 'perl5', 'icons', 'pixmaps', 'menu', 'bug', 'info', 'man'].map(
    (name) => `usr/share/${name}`,
  ),
  ...['locale', 'doc-base', 'applications', 'initramfs-tools', 'initramfs'].map(
    (name) => `usr/share/${name}`,
  ),
  'usr/include',
  'usr/lib/x86_64-linux-gnu/gconv',
  'usr/lib/initramfs-tools',
  'etc/initramfs-tools',
  'var/lib/apt',
  'var/cache',
  'var/log',
  'var/lib/dpkg/info',
  'var/lib/initramfs-tools',
  'etc/ssh/ssh_host_ecdsa_key',
  'etc/ssh/ssh_host_ecdsa_key.pub',
  'etc/ssh/ssh_host_ed25519_key',
  'etc/ssh/ssh_host_ed25519_key.pub',
  'etc/ssh/ssh_host_rsa_key',
  'etc/ssh/ssh_host_rsa_key.pub',
  // Each box has its own; the initial RAM disk brings it.
  'var/lib/dbus/machine-id',
];

/** Beginnings of names below boot/: the slot has its own initial RAM disk. */
export const BOOT_LEFTOVERS = /^(initrd\.img|System\.map|config)-|^(vmlinuz|initrd\.img)(\.old)?$/;

export function pruned(kernel: string): string[] {
  return [...KERNEL.map((path) => `usr/lib/modules/${kernel}/kernel/${path}`), ...TREE];
}

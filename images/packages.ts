/**
 * What the image is made of. These packages are asked for; with what they depend on, and with
 * their versions, they are in packages.lock.
 */
export const PACKAGES: Readonly<Record<string, string>> = {
  'linux-image-amd64': 'the kernel with all its NIC drivers',
  'firmware-bnx2x': 'firmware of Broadcom NetXtreme II 10G',
  'firmware-netronome': 'firmware of Netronome NICs (nfp)',
  'firmware-qlogic': 'firmware of QLogic and Marvell NICs (qed, bnx2)',
  'firmware-intel-misc': 'packet processing package of Intel E810 (ice)',
  'systemd-sysv': 'starts and watches everything',
  udev: 'loads drivers and names interfaces',
  nodejs: 'runs the daemon, the workers and the dashboard',
  libbpf1: 'loads the fast path',
  libssl3t64: 'TLS of the workers',
  iproute2: 'for people at the console',
  ethtool: 'for people at the console',
  'iputils-ping': 'for people at the console',
  traceroute: 'weir traceroute',
  kbd: 'layouts of the keyboard at the console',
  'console-data': 'the layouts themselves',
  procps: 'sysctl, and for people at the console',
  nftables: 'closes the management side',
  kmod: 'loads drivers',
  login: 'shells at the console, for recovery',
  'ca-certificates': 'authorities that webhooks, mail and ACME are checked against',
  e2fsprogs: 'makes, checks and grows the data partition',
  fdisk: 'grows the data partition to its disk',
  dosfstools: 'the installer makes boot partitions',
  zstd: 'the installer and updates unpack with it',
  chrony: 'the time',
  'openssh-server': 'remote shell, off until it is switched on',
  'busybox-static': 'the initial RAM disk, and tools for recovery',
};

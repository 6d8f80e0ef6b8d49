/**
 * What a test needs of the machine. A test whose need is not met is never left out
 * silently: it is registered as a skip, and its name and the reason are printed in
 * the form that the runner (test/run.ts) reads and repeats at the end.
 *
 * Invariant: the reason is one sentence that tells what to change to run the test.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { Callback, Test } from 'uvu';
import { projectRoot } from '../../appliance/paths.js';
import { IoUring } from '../../native/ffi/io-uring.js';

export type Need =
  | 'root'
  | 'bpf'
  | 'uring'
  | 'lab'
  | DeviceKind
  | 'fou'
  | 'http-peers'
  | 'wrk'
  | 'sslscan'
  | 'testssl'
  | 'core-files'
  | 'pebble'
  | 'keepalived'
  | 'keepalived-macvlan'
  | 'acme-lab'
  | 'image';

/** How a skip looks on standard output; `skipPattern` reads it back. */
const skipMark = '~ skipped ';
export const skipPattern = /^~ skipped "(.*)": (.*)$/;

/** Tools of the lab beyond what Node can do itself, by the Debian package that has them. */
const labTools: Readonly<Record<string, string>> = {
  ip: 'iproute2',
  ethtool: 'ethtool',
  nsenter: 'util-linux',
  tcpdump: 'tcpdump',
  curl: 'curl',
  ping: 'iputils-ping',
  sysctl: 'procps',
  nft: 'nftables',
};

function executable(name: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, name), constants.X_OK);
      return true;
    } catch {
      return false; // not in this directory, or not ours to run
    }
  });
}

/** CAP_NET_ADMIN and CAP_SYS_ADMIN, as bits (capabilities(7), linux/capability.h). */
const adminCapabilities = (1n << 12n) | (1n << 21n);

/** Root of a container is not enough where the container was given less than the host's root. */
function lacksRoot(): string | null {
  if (process.getuid?.() !== 0) return 'it needs root.';
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  if (effective === undefined) throw new Error('/proc/self/status has no line CapEff');
  return (BigInt(`0x${effective}`) & adminCapabilities) === adminCapabilities
    ? null
    : 'it needs root with CAP_NET_ADMIN and CAP_SYS_ADMIN: run it outside the container, or give it both.';
}

function lacksBpf(): string | null {
  const release = readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim();
  const [major = 0, minor = 0] = release.split('.').map((part) => Number.parseInt(part, 10));
  if (major < 6 || (major === 6 && minor < 1)) {
    return `it needs kernel 6.1 or newer; this is ${release}.`;
  }
  if (!existsSync('/proc/sys/kernel/unprivileged_bpf_disabled')) {
    return 'it needs a kernel with the bpf system call.';
  }
  if (!existsSync('/sys/kernel/btf/vmlinux')) {
    return 'it needs a kernel with BTF (/sys/kernel/btf/vmlinux).';
  }
  return null;
}

/** io_uring as the layer-7 path needs it: tried. */
function lacksUring(): string | null {
  const ring = IoUring.open({ entries: 1, completions: 2 });
  if (ring instanceof Error) return `it needs io_uring: ${ring.message}`;
  ring.close();
  return null;
}

function lacksLab(): string | null {
  if (!existsSync('/proc/self/ns/net')) return 'it needs a kernel with network namespaces.';
  const missing = Object.keys(labTools).filter((tool) => !executable(tool));
  if (missing.length === 0) return null;
  const packages = [...new Set(missing.map((tool) => labTools[tool] ?? tool))];
  return `it needs ${missing.join(', ')}: install the package${packages.length > 1 ? 's' : ''} ${packages.join(', ')}.`;
}

/** Kinds of network devices that a kernel may be built without, by its option. */
const deviceKinds = {
  vlan: 'CONFIG_VLAN_8021Q',
  bond: 'CONFIG_BONDING',
  macvlan: 'CONFIG_MACVLAN',
  ipip: 'CONFIG_NET_IPIP',
  sit: 'CONFIG_IPV6_SIT',
  ip6tnl: 'CONFIG_IPV6_TUNNEL',
} as const;
type DeviceKind = keyof typeof deviceKinds;

/** The shortest command that makes a device of a kind without any below it. */
const made: Readonly<Record<Exclude<DeviceKind, 'vlan' | 'macvlan'>, string>> = {
  bond: 'link add test0 type bond',
  ipip: 'link add test0 type ipip local 192.0.2.1',
  sit: 'link add test0 type sit local 192.0.2.1',
  ip6tnl: 'link add test0 type ip6tnl mode any local 2001:db8::1',
};

/** Whether the kernel makes such devices: tried in a network namespace that goes at once. */
function lacksDevice(kind: DeviceKind): string | null {
  const name = `weirtest-${process.pid}-${kind}`;
  const ip = (...words: string[]): boolean => spawnSync('ip', words).status === 0;
  if (!ip('netns', 'add', name)) return 'it needs network namespaces (ip netns add failed).';
  try {
    const works =
      kind === 'vlan' || kind === 'macvlan'
        ? ip('-n', name, 'link', 'add', 'test0', 'type', 'veth', 'peer', 'name', 'test1') &&
          ip(
            ...`-n ${name} link add link test0 name test0.1 type ${kind}`.split(' '),
            ...(kind === 'vlan' ? ['id', '1'] : []),
          )
        : ip('-n', name, ...made[kind].split(' '));
    return works ? null : `it needs a kernel with ${kind} devices (${deviceKinds[kind]}).`;
  } finally {
    ip('netns', 'delete', name);
  }
}

/** GUE: both tunnel devices, and the receiver of UDP, which nothing loads by itself. */
function lacksFou(): string | null {
  const devices = lacksDevice('ipip') ?? lacksDevice('ip6tnl');
  if (devices !== null) return devices;
  spawnSync('modprobe', ['fou']);
  return spawnSync('ip', ['fou', 'show']).status === 0
    ? null
    : 'it needs a kernel with UDP encapsulation (CONFIG_NET_FOU, CONFIG_IPV6_FOU).';
}

/** The proxies that Weir's HTTP is compared with, by the names of their packages. */
function lacksHttpPeers(): string | null {
  const missing = ['haproxy', 'nginx'].filter((tool) => !executable(tool));
  return missing.length === 0
    ? null
    : `it needs ${missing.join(' and ')}: install the packages haproxy and nginx.`;
}

/** What this machine lacks for a need, as a sentence, or null when it has it all. */
function lacksImage(): string | null {
  if (!existsSync(join(projectRoot, 'build/image/weir.img'))) {
    return 'there is no image to boot: build one with npm run image.';
  }
  return executable('qemu-system-x86_64') && existsSync('/usr/share/OVMF/OVMF_CODE_4M.fd')
    ? null
    : 'it needs QEMU and its firmware: install the packages qemu-system-x86 and ovmf.';
}

export function lacking(need: Need): string | null {
  switch (need) {
    case 'root':
      return lacksRoot();
    case 'bpf':
      return lacksRoot() ?? lacksBpf();
    case 'uring':
      return lacksUring();
    case 'lab':
      return lacksRoot() ?? lacksBpf() ?? lacksLab();
    case 'fou':
      return lacking('lab') ?? lacksFou();
    case 'http-peers':
      return lacksHttpPeers();
    case 'wrk':
      return (
        lacking('lab') ?? (executable('wrk') ? null : 'it needs wrk: install the package wrk.')
      );
    case 'sslscan':
      return (
        lacking('lab') ??
        (executable('sslscan') ? null : 'it needs sslscan: install the package sslscan.')
      );
    case 'testssl':
      return (
        lacking('lab') ??
        (executable('testssl') ? null : 'it needs testssl: install the package testssl.sh.')
      );
    case 'core-files':
      return (
        lacking('lab') ??
        (readFileSync('/proc/sys/kernel/core_pattern', 'utf8').startsWith('|')
          ? 'it needs core files: kernel.core_pattern hands them to a program, set it to "core".'
          : null)
      );
    case 'pebble':
      return executable('pebble') && executable('pebble-challtestsrv')
        ? null
        : 'it needs pebble: install the package pebble.';
    case 'keepalived':
      return (
        lacking('lab') ??
        (executable('keepalived') ? null : 'it needs keepalived: install the package keepalived.')
      );
    case 'keepalived-macvlan':
      return lacking('keepalived') ?? lacking('macvlan');
    case 'acme-lab':
      return lacking('lab') ?? lacking('pebble');
    case 'image':
      return lacksRoot() ?? lacksImage();
    default:
      return lacking('lab') ?? lacksDevice(need);
  }
}

type Register = <T>(test: Test<T>) => (name: string, fn: Callback<T>) => void;

function register(need: Need): Register {
  return (test) => (name, fn) => {
    const reason = lacking(need);
    if (reason === null) {
      test(name, fn);
    } else {
      test.skip(name, fn);
      console.log(`${skipMark}"${name}": ${reason}`);
    }
  };
}

/** `needs.root(test)('name', fn)` instead of `test('name', fn)`. */
export const needs: Readonly<Record<Need, Register>> = {
  root: register('root'),
  bpf: register('bpf'),
  uring: register('uring'),
  lab: register('lab'),
  vlan: register('vlan'),
  bond: register('bond'),
  macvlan: register('macvlan'),
  ipip: register('ipip'),
  sit: register('sit'),
  ip6tnl: register('ip6tnl'),
  fou: register('fou'),
  'http-peers': register('http-peers'),
  wrk: register('wrk'),
  sslscan: register('sslscan'),
  testssl: register('testssl'),
  'core-files': register('core-files'),
  pebble: register('pebble'),
  keepalived: register('keepalived'),
  'keepalived-macvlan': register('keepalived-macvlan'),
  'acme-lab': register('acme-lab'),
  image: register('image'),
};

/**
 * What a network driver says about its device: driver, queues, rings, link, offloads and receive
 * hash, through the SIOCETHTOOL ioctl (kernel: include/uapi/linux/ethtool.h). Unlike
 * /sys/class/net it answers for the network namespace of the process.
 *
 * Invariants: an interface name goes into a 16-byte field with its NUL, or is refused; what a
 * driver does not say is null, never an error; a buffer is as long as the kernel may write.
 */
import koffi from 'koffi';
import { AF_INET, close, ioctl, SOCK_DGRAM, socket, SystemError } from './libc.js';

const SIOCETHTOOL = 0x8946;
const IFNAMSIZ = 16;
/** struct ifreq is 40 bytes on 64-bit machines; its data pointer follows the name. */
const IFREQ_SIZE = 40;
const ETHTOOL_GDRVINFO = 0x03;
const DRVINFO_SIZE = 196;
const ETHTOOL_GCHANNELS = 0x3c;
const CHANNELS_SIZE = 36;
const ETHTOOL_GRINGPARAM = 0x10;
const RINGPARAM_SIZE = 36;
const ETHTOOL_GSTRINGS = 0x1b;
const ETHTOOL_GRXFH = 0x29;
/** struct ethtool_rxnfc; of GRXFH only its first 16 bytes mean something. */
const RXNFC_SIZE = 192;
const ETHTOOL_GSSET_INFO = 0x37;
const ETHTOOL_GFEATURES = 0x3a;
const ETHTOOL_GLINKSETTINGS = 0x4c;
const LINK_SETTINGS_SIZE = 48;
const ETH_SS_FEATURES = 4;
const ETH_GSTRING_LEN = 32;
/** Offset of link_mode_masks_nwords in struct ethtool_link_settings. */
const MASK_WORDS_OFFSET = 15;
const SPEED_UNKNOWN = 0xffffffff;

export interface DriverInfo {
  /** `virtio_net`, `veth`, `ixgbe` … */
  readonly driver: string;
  readonly version: string;
  /** Empty, or `N/A`, where the device has none. */
  readonly firmware: string;
  /** Bus address such as `0000:01:00.0`; empty for software devices. */
  readonly bus: string;
}

export interface Channels {
  readonly combined: number;
  readonly maxCombined: number;
  readonly rx: number;
  readonly maxRx: number;
  readonly tx: number;
  readonly maxTx: number;
}

/** Descriptors of each queue. */
export interface Rings {
  readonly rx: number;
  readonly maxRx: number;
  readonly tx: number;
  readonly maxTx: number;
}

/** One offload of an interface. */
export interface Feature {
  readonly on: boolean;
  /** Whether ethtool -K can change it. */
  readonly changeable: boolean;
}

/** Kinds of packets with a receive hash of their own, as ethtool -N calls them: *_FLOW. */
const FLOW_TYPES = { tcp4: 0x01, udp4: 0x02, tcp6: 0x05, udp6: 0x06 } as const;
export type FlowType = keyof typeof FLOW_TYPES;
export const flowTypes = Object.keys(FLOW_TYPES) as FlowType[];

/** What a packet's receive queue depends on. */
export interface FlowHash {
  readonly addresses: boolean;
  readonly ports: boolean;
}
/** RXH_IP_SRC and RXH_IP_DST; RXH_L4_B_0_1 and RXH_L4_B_2_3. */
const HASH_ADDRESSES = 0x30;
const HASH_PORTS = 0xc0;

/** Drivers refuse what they do not have in either way. */
const unanswered: ReadonlySet<string> = new Set(['ENOTSUP', 'EINVAL']);

/** Runs one ethtool command; `data` starts with the command number and is filled by the kernel. */
function ethtool(interfaceName: string, data: Buffer): void {
  const name = Buffer.from(interfaceName, 'utf8');
  if (name.length === 0 || name.length >= IFNAMSIZ) {
    throw new SystemError(
      'ioctl',
      koffi.os.errno.ENODEV ?? 19,
      `'${interfaceName}' is no interface name`,
    );
  }
  const request = Buffer.alloc(IFREQ_SIZE);
  name.copy(request);
  request.writeBigUInt64LE(koffi.address(data), IFNAMSIZ);
  const fd = socket(AF_INET, SOCK_DGRAM, 0);
  try {
    ioctl(fd, SIOCETHTOOL, request, `ethtool of interface ${interfaceName}`);
  } finally {
    close(fd);
  }
}

function text(data: Buffer, offset: number, size: number): string {
  const field = data.subarray(offset, offset + size);
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end < 0 ? size : end);
}

/** Throws SystemError: ENODEV when there is no such interface, ENOTSUP when it has no driver. */
export function driverInfo(interfaceName: string): DriverInfo {
  const data = Buffer.alloc(DRVINFO_SIZE);
  data.writeUInt32LE(ETHTOOL_GDRVINFO);
  ethtool(interfaceName, data);
  return {
    driver: text(data, 4, 32),
    version: text(data, 36, 32),
    firmware: text(data, 68, 32),
    bus: text(data, 100, 32),
  };
}

/** As `ethtool`; false when the driver has no answer. */
function answers(interfaceName: string, data: Buffer): boolean {
  try {
    ethtool(interfaceName, data);
    return true;
  } catch (error) {
    if (error instanceof SystemError && unanswered.has(error.code)) return false;
    throw error;
  }
}

/** Queues of the interface; null when the driver does not say. */
export function channels(interfaceName: string): Channels | null {
  const data = Buffer.alloc(CHANNELS_SIZE);
  data.writeUInt32LE(ETHTOOL_GCHANNELS);
  if (!answers(interfaceName, data)) return null;
  const word = (index: number): number => data.readUInt32LE(index * 4);
  return {
    maxRx: word(1),
    maxTx: word(2),
    maxCombined: word(4),
    rx: word(5),
    tx: word(6),
    combined: word(8),
  };
}

/** Descriptor rings of the interface; null when the driver does not say. */
export function rings(interfaceName: string): Rings | null {
  const data = Buffer.alloc(RINGPARAM_SIZE);
  data.writeUInt32LE(ETHTOOL_GRINGPARAM);
  if (!answers(interfaceName, data)) return null;
  const word = (index: number): number => data.readUInt32LE(index * 4);
  return { maxRx: word(1), maxTx: word(4), rx: word(5), tx: word(8) };
}

/** Speed of the link in Mbit/s; null without a link, or when the driver does not say. */
export function linkSpeed(interfaceName: string): number | null {
  const question = Buffer.alloc(LINK_SETTINGS_SIZE);
  question.writeUInt32LE(ETHTOOL_GLINKSETTINGS);
  if (!answers(interfaceName, question)) return null;
  // The first answer is how long the masks are, negative; the second one holds three of them.
  const words = -question.readInt8(MASK_WORDS_OFFSET);
  if (words <= 0) return null;
  const data = Buffer.alloc(LINK_SETTINGS_SIZE + 3 * 4 * words);
  data.writeUInt32LE(ETHTOOL_GLINKSETTINGS);
  data.writeInt8(words, MASK_WORDS_OFFSET);
  if (!answers(interfaceName, data)) return null;
  const speed = data.readUInt32LE(4);
  return speed === SPEED_UNKNOWN || speed === 0 ? null : speed;
}

/** Offloads by the kernel's names (`rx-lro`); null when the device has none. */
export function features(interfaceName: string): ReadonlyMap<string, Feature> | null {
  const names = featureNames(interfaceName);
  if (names === null) return null;
  const blocks = Math.ceil(names.length / 32);
  const data = Buffer.alloc(8 + blocks * 16);
  data.writeUInt32LE(ETHTOOL_GFEATURES);
  data.writeUInt32LE(blocks, 4);
  if (!answers(interfaceName, data)) return null;
  const found = new Map<string, Feature>();
  for (const [bit, name] of names.entries()) {
    // Each block of 32: available, requested, active, never changed.
    const block = 8 + Math.floor(bit / 32) * 16;
    const has = (word: number): boolean =>
      ((data.readUInt32LE(block + word * 4) >>> (bit % 32)) & 1) === 1;
    if (name !== '') found.set(name, { on: has(2), changeable: has(0) && !has(3) });
  }
  return found;
}

function featureNames(interfaceName: string): string[] | null {
  const info = Buffer.alloc(16 + 4);
  info.writeUInt32LE(ETHTOOL_GSSET_INFO);
  info.writeBigUInt64LE(1n << BigInt(ETH_SS_FEATURES), 8);
  if (!answers(interfaceName, info)) return null;
  // The kernel clears the bit of a set that it does not have.
  const count = info.readBigUInt64LE(8) === 0n ? 0 : info.readUInt32LE(16);
  if (count === 0) return null;
  const data = Buffer.alloc(12 + count * ETH_GSTRING_LEN);
  data.writeUInt32LE(ETHTOOL_GSTRINGS);
  data.writeUInt32LE(ETH_SS_FEATURES, 4);
  data.writeUInt32LE(count, 8);
  if (!answers(interfaceName, data)) return null;
  return Array.from({ length: count }, (_, index) =>
    text(data, 12 + index * ETH_GSTRING_LEN, ETH_GSTRING_LEN),
  );
}

/** What the receive queue of such packets depends on; null when the driver does not say. */
export function flowHash(interfaceName: string, type: FlowType): FlowHash | null {
  const data = Buffer.alloc(RXNFC_SIZE);
  data.writeUInt32LE(ETHTOOL_GRXFH);
  data.writeUInt32LE(FLOW_TYPES[type], 4);
  if (!answers(interfaceName, data)) return null;
  const fields = Number(data.readBigUInt64LE(8) & 0xffn);
  return {
    addresses: (fields & HASH_ADDRESSES) === HASH_ADDRESSES,
    ports: (fields & HASH_PORTS) === HASH_PORTS,
  };
}

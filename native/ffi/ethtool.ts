/**
 * What a network driver says about its device: ETHTOOL_GDRVINFO and ETHTOOL_GCHANNELS through the
 * SIOCETHTOOL ioctl (kernel: include/uapi/linux/ethtool.h). Unlike /sys/class/net it answers for
 * the network namespace of the process.
 *
 * Invariant: an interface name goes into a 16-byte field with its NUL, or is refused.
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

/** Queues of the interface; null when the driver does not say. */
export function channels(interfaceName: string): Channels | null {
  const data = Buffer.alloc(CHANNELS_SIZE);
  data.writeUInt32LE(ETHTOOL_GCHANNELS);
  try {
    ethtool(interfaceName, data);
  } catch (error) {
    if (error instanceof SystemError && error.code === 'ENOTSUP') return null;
    throw error;
  }
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

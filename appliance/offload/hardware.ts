/**
 * What an interface really is: driver, bus, firmware, queues, rings, offloads, as the driver says.
 *
 * Invariant: asks the network namespace of the process, and never a file below /sys, which may show
 * another one.
 */
import {
  channels,
  driverInfo,
  features,
  flowHash,
  flowTypes,
  linkSpeed,
  rings,
  type Channels,
  type Feature,
  type FlowHash,
  type FlowType,
  type Rings,
} from '../../native/ffi/ethtool.js';
import { SystemError } from '../../native/ffi/libc.js';

export interface Hardware {
  readonly interfaceName: string;
  /** Empty when the device has no driver that answers. */
  readonly driver: string;
  readonly version: string;
  readonly firmware: string;
  readonly bus: string;
  /** Null when the driver does not say. */
  readonly channels: Channels | null;
}

/** Throws SystemError with code ENODEV when there is no such interface. */
export function inspect(interfaceName: string): Hardware {
  try {
    return { interfaceName, ...driverInfo(interfaceName), channels: channels(interfaceName) };
  } catch (error) {
    // Some virtual devices have no ethtool operations at all.
    if (!(error instanceof SystemError && error.code === 'ENOTSUP')) throw error;
    return { interfaceName, driver: '', version: '', firmware: '', bus: '', channels: null };
  }
}

/** All that the driver says of an interface; null for what it does not say. */
export interface Examination extends Hardware {
  readonly rings: Rings | null;
  /** Mbit/s. */
  readonly speed: number | null;
  /** By the kernel's names. */
  readonly features: ReadonlyMap<string, Feature> | null;
  readonly hashes: Readonly<Record<FlowType, FlowHash | null>>;
}

/** More than the fast path needs, for people. Throws SystemError as `inspect`. */
export function examine(interfaceName: string): Examination {
  const hash = (type: FlowType): FlowHash | null => flowHash(interfaceName, type);
  return {
    ...inspect(interfaceName),
    rings: rings(interfaceName),
    speed: linkSpeed(interfaceName),
    features: features(interfaceName),
    hashes: Object.fromEntries(flowTypes.map((type) => [type, hash(type)])) as Record<
      FlowType,
      FlowHash | null
    >,
  };
}

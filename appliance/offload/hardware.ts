/**
 * What an interface really is: driver, bus, firmware, queues, as the driver says.
 *
 * Invariant: asks the network namespace of the process, and never a file below /sys, which may show
 * another one.
 */
import { channels, driverInfo, type Channels } from '../../native/ffi/ethtool.js';
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

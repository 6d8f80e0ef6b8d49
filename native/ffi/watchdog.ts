/** A hardware watchdog (kernel: Documentation/watchdog/watchdog-api.rst). */
import { ioctl } from './libc.js';

/** _IOWR('W', 6, int) */
const WDIOC_SETTIMEOUT = 0xc0045706;

/** Has an open watchdog wait so many seconds from now on. @throws SystemError for one that cannot */
export function setWatchdogTimeout(fd: number, seconds: number): void {
  const value = Buffer.alloc(4);
  value.writeInt32LE(seconds);
  ioctl(fd, WDIOC_SETTIMEOUT, value, `the watchdog's ${seconds} s`);
}

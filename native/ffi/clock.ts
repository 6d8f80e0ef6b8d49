/** What the kernel knows of its clock's synchronisation: adjtimex(2), which changes nothing here. */
import koffi from 'koffi';
import { SystemError } from './libc.js';

const libc = koffi.load(null);
const cAdjtimex: (timex: Uint8Array) => number = libc.func('int adjtimex(void *timex)');

/** struct timex of 64-bit Linux, with room: it has 208 octets. */
const TIMEX = 256;
const OFFSET = 8;
const MAXIMUM_ERROR = 24;
const STATUS = 40;
const STA_UNSYNC = 0x0040;
const STA_NANO = 0x2000;

export interface KernelClock {
  readonly synchronised: boolean;
  /** What is still to be corrected, and the most that the clock may be wrong, in seconds. */
  readonly offset: number;
  readonly maximumError: number;
}

/** Throws SystemError. */
export function kernelClock(): KernelClock {
  const timex = Buffer.alloc(TIMEX);
  if (cAdjtimex(timex) < 0) throw new SystemError('adjtimex', koffi.errno());
  const status = timex.readInt32LE(STATUS);
  return {
    synchronised: (status & STA_UNSYNC) === 0,
    offset: Number(timex.readBigInt64LE(OFFSET)) / ((status & STA_NANO) === 0 ? 1e6 : 1e9),
    maximumError: Number(timex.readBigInt64LE(MAXIMUM_ERROR)) / 1e6,
  };
}

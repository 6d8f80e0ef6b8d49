/** Reading from the disk and not from memory: posix_fadvise(2), POSIX_FADV_DONTNEED. */
import koffi from 'koffi';
import { SystemError } from './libc.js';

const POSIX_FADV_DONTNEED = 4;
const fadvise = koffi
  .load('libc.so.6')
  .func('int posix_fadvise(int fd, int64_t offset, int64_t length, int advice)') as (
  fd: number,
  offset: number,
  length: number,
  advice: number,
) => number;

/** The kernel gives up what it keeps of this file or block device, as far as that is on the disk. Throws SystemError. */
export function forgetCached(fd: number): void {
  // The answer is the error itself, not errno.
  const error = fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  if (error !== 0) throw new SystemError('posix_fadvise', error);
}

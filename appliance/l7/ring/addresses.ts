/**
 * Addresses of equal parts of one piece of memory, as the two 32-bit words that the kernel's
 * structures want.
 *
 * Invariant: parts do not cross a multiple of 4 GiB (their size is a power of two and the first is
 * aligned to it), so the address of a byte within a part is `low + offset` with the same high word.
 * All values are signed words: JavaScript keeps those without allocating.
 */
export interface PartAddresses {
  readonly low: Int32Array;
  readonly high: Int32Array;
}

/** `base`: where the first part begins. Throws RangeError when parts could cross 4 GiB. */
export function partAddresses(base: bigint, size: number, count: number): PartAddresses {
  if ((size & (size - 1)) !== 0 || base % BigInt(size) !== 0n) {
    throw new RangeError(`parts of ${size} bytes at ${base} are not aligned to their size`);
  }
  const low = new Int32Array(count);
  const high = new Int32Array(count);
  for (let index = 0; index < count; index += 1) {
    const address = base + BigInt(index * size);
    low[index] = Number(BigInt.asIntN(32, address));
    high[index] = Number(BigInt.asIntN(32, address >> 32n));
  }
  return { low, high };
}

/**
 * Bodies of any length in which no block is like another one, so that bytes that are lost, doubled
 * or out of order change the checksum. As a program (`pattern.js BYTES`) it writes one to its output.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';

const BLOCK = 1 << 16;

export class Pattern implements Iterable<Buffer> {
  constructor(readonly bytes: number) {}

  *[Symbol.iterator](): Generator<Buffer> {
    for (let at = 0; at < this.bytes; at += BLOCK) {
      // A new one for each block: whoever writes it may hold it for long.
      const block = Buffer.alloc(Math.min(BLOCK, this.bytes - at), 'the same in every block. ');
      if (block.length >= 8) block.writeDoubleBE(at, 0);
      yield block;
    }
  }

  get sha256(): string {
    const hash = createHash('sha256');
    for (const block of this) hash.update(block);
    return hash.digest('hex');
  }
}

if (process.argv[1]?.endsWith('pattern.js') === true) {
  for (const block of new Pattern(Number(process.argv[2]))) {
    if (!process.stdout.write(block)) await once(process.stdout, 'drain');
  }
}

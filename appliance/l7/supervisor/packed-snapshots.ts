/**
 * A snapshot on its way to workers, as sealed memory. Workers that have the same get the same memory, so
 * it is made once for all of them.
 */
import { close } from '../../../native/ffi/libc.js';
import { sealedCopy } from '../../../native/ffi/packet-channel.js';
import { snapshotPart, type SnapshotSource } from '../worker/snapshots.js';

interface Packed {
  readonly fd: number;
  readonly bytes: number;
}

export class PackedSnapshots {
  readonly #packed = new Map<SnapshotSource | null, Packed>();

  constructor(
    readonly number: number,
    readonly source: SnapshotSource,
  ) {}

  /** For a worker that has `before`. Throws when there is no memory. */
  for(before: SnapshotSource | null): Packed {
    const known = this.#packed.get(before);
    if (known !== undefined) return known;
    const text = Buffer.from(JSON.stringify(snapshotPart(this.number, this.source, before)));
    const packed = { fd: sealedCopy('weir-l7-snapshot', text), bytes: text.length };
    this.#packed.set(before, packed);
    return packed;
  }

  close(): void {
    for (const { fd } of this.#packed.values()) close(fd);
    this.#packed.clear();
  }
}

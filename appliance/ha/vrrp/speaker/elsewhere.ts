/**
 * Tells the fast path which virtual routers another unit has, by shared memory (`elsewhere` in
 * native/bpf/maps.h): a switch that does not know a virtual MAC address floods frames for it, and one unit
 * alone is to serve them.
 *
 * Invariant: a router is this unit's from before its addresses are put on until after they are off.
 */
import { close } from '../../../../native/ffi/libc.js';
import { Mapping, pageSize } from '../../../../native/ffi/memory.js';
import type { RouterSettings } from '../settings.js';

const ROUTERS = 256;

export class Elsewhere {
  #mapping: Mapping | null = null;
  /** Those with a MAC address of their own. */
  #routers: readonly RouterSettings[] = [];

  /** `memory`: a descriptor, which is closed; null: this unit has no fast path. Throws BpfError. */
  follow(memory: number | null, routers: readonly RouterSettings[]): void {
    this.#mapping?.close();
    this.#mapping = null;
    this.#routers = routers.filter(({ virtualMac }) => virtualMac);
    if (memory === null) return;
    try {
      this.#mapping = Mapping.open(memory, { length: pageSize, access: 'write' });
    } finally {
      close(memory);
    }
  }

  /** These are about to be held. */
  here(held: readonly RouterSettings[]): void {
    this.#write(held, 0);
  }

  /** These alone are held. */
  settled(held: readonly RouterSettings[]): void {
    this.here(held);
    // An id may be used on several interfaces.
    const own = new Set(held.filter(({ virtualMac }) => virtualMac).map(place));
    this.#write(
      this.#routers.filter((router) => !own.has(place(router))),
      1,
    );
  }

  close(): void {
    this.#mapping?.close();
    this.#mapping = null;
  }

  #write(routers: readonly RouterSettings[], value: 0 | 1): void {
    if (this.#mapping === null) return;
    const bytes = new Uint8Array(this.#mapping.buffer);
    for (const router of routers) if (router.virtualMac) bytes[place(router)] = value;
  }
}

function place({ family, vrid }: RouterSettings): number {
  return (family === 4 ? 0 : ROUTERS) + vrid;
}

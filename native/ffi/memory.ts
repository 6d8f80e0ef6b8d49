/**
 * Memory shared with the kernel: mmap(2) as typed arrays.
 *
 * Invariant: the arrays of a Mapping are dead once it is closed. Reading one afterwards is a
 * segmentation fault, so holders ask the Mapping for them and keep no copy beyond its life.
 */
import koffi from 'koffi';
import { BpfError } from './bpf-error.js';
import { SystemError } from './libc.js';

const libc = koffi.load(null);
const mmap: (
  address: bigint,
  length: number,
  protection: number,
  flags: number,
  fd: number,
  offset: number,
) => bigint = libc.func('mmap', 'uint64', ['uint64', 'size_t', 'int', 'int', 'int', 'int64']);
const munmap: (address: bigint, length: number) => number = libc.func('munmap', 'int', [
  'uint64',
  'size_t',
]);
const getpagesize: () => number = libc.func('getpagesize', 'int', []);

const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;
const MAP_PRIVATE = 2;
const MAP_ANONYMOUS = 0x20;

/** Bytes in a page of memory. */
export const pageSize: number = getpagesize();

/** Rounded up to whole pages. */
export function wholePages(bytes: number): number {
  return Math.ceil(bytes / pageSize) * pageSize;
}

/** Address of a buffer's first byte, for structures that hold pointers. The caller keeps the buffer alive. */
export function addressOf(buffer: Uint8Array): bigint {
  return koffi.address(buffer);
}

let held: readonly Uint8Array[] = [];

/**
 * Runs `work` while these buffers cannot be collected: their addresses stand in a structure
 * that the kernel reads, where the garbage collector does not see them.
 */
export function holding<T>(buffers: readonly Uint8Array[], work: () => T): T {
  held = [...held, ...buffers];
  try {
    return work();
  } finally {
    held = held.slice(0, held.length - buffers.length);
  }
}

export class Mapping {
  readonly #address: bigint;
  readonly #length: number;
  #buffer: ArrayBuffer | null;

  private constructor(address: bigint, length: number) {
    this.#address = address;
    this.#length = length;
    this.#buffer = koffi.view(address, length);
  }

  /**
   * Maps `length` bytes of `fd` from `offset` (a multiple of the page size).
   * Throws BpfError. The fd may be closed afterwards: the mapping holds its object.
   */
  static open(
    fd: number,
    options: {
      readonly length: number;
      readonly offset?: number;
      readonly access: 'read' | 'write';
    },
  ): Mapping {
    const protection = options.access === 'write' ? PROT_READ | PROT_WRITE : PROT_READ;
    const address = BigInt.asIntN(
      64,
      BigInt(mmap(0n, options.length, protection, MAP_SHARED, fd, options.offset ?? 0)),
    );
    if (address === -1n) {
      throw new BpfError(`cannot map ${options.length} bytes of kernel memory`, {
        errno: koffi.errno(),
      });
    }
    return new Mapping(address, options.length);
  }

  /**
   * Fresh memory, all zero, at an address that never changes: for what the kernel reads or writes
   * on its own. Pages are taken as they are touched. Throws SystemError.
   */
  static anonymous(length: number): Mapping {
    const flags = MAP_PRIVATE | MAP_ANONYMOUS;
    const address = BigInt.asIntN(
      64,
      BigInt(mmap(0n, length, PROT_READ | PROT_WRITE, flags, -1, 0)),
    );
    if (address === -1n) throw new SystemError('mmap', koffi.errno(), `${length} bytes`);
    return new Mapping(address, length);
  }

  /** Where the mapping begins. Throws once it is closed. */
  get address(): bigint {
    void this.buffer;
    return this.#address;
  }

  /** The mapped bytes. Throws once the mapping is closed. */
  get buffer(): ArrayBuffer {
    if (this.#buffer === null) {
      throw new BpfError('this kernel memory is no longer mapped', { code: 'ECLOSED' });
    }
    return this.#buffer;
  }

  get length(): number {
    return this.#length;
  }

  close(): void {
    if (this.#buffer === null) return;
    this.#buffer = null;
    if (munmap(this.#address, this.#length) !== 0) {
      throw new BpfError('cannot unmap kernel memory', { errno: koffi.errno() });
    }
  }
}

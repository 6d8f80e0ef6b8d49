/**
 * BPF maps: look-ups, updates, batches, memory mapping. Source: bpf(2), Documentation/bpf/maps.rst.
 *
 * Invariant: keys and values are packed bytes exactly as the kernel stores them. A per-CPU value
 * is one value for each possible CPU, each rounded up to 8 bytes, side by side (`valueBytes`).
 */
import { closeSync, readFileSync } from 'node:fs';
import { BpfError } from './bpf-error.js';
import { mapInfo, type MapInfo } from './bpf-info.js';
import * as raw from './libbpf-raw.js';
import { Mapping, wholePages } from './memory.js';

/** enum bpf_map_type of linux/bpf.h, those that are used here. */
export const mapTypes = {
  hash: 1,
  array: 2,
  programArray: 3,
  perCpuHash: 5,
  perCpuArray: 6,
  lruHash: 9,
  lruPerCpuHash: 10,
  lpmTrie: 11,
  deviceMap: 14,
  deviceMapHash: 25,
  ringBuffer: 27,
} as const;

/** Map flags of linux/bpf.h. */
export const mapFlags = { noPreallocation: 1, mmapable: 1 << 10 } as const;

/** What an update may do (BPF_ANY, BPF_NOEXIST, BPF_EXIST of linux/bpf.h). */
export const updateFlags = { any: 0, insert: 1, replace: 2 } as const;
export type UpdateMode = keyof typeof updateFlags;

const perCpuTypes: ReadonlySet<number> = new Set([
  mapTypes.perCpuHash,
  mapTypes.perCpuArray,
  mapTypes.lruPerCpuHash,
]);

/** Number of CPUs that per-CPU values have room for. */
export const possibleCpus: number = countCpus(
  readFileSync('/sys/devices/system/cpu/possible', 'utf8'),
);

/** Number of CPUs in a list like `0-3,8` (Documentation/admin-guide/cputopology.rst). */
function countCpus(list: string): number {
  let count = 0;
  for (const range of list.trim().split(',')) {
    const [first = '', last = first] = range.split('-');
    count += Number(last) - Number(first) + 1;
  }
  return count;
}

const ENOENT = 2;
const EEXIST = 17;
const ENOSPC = 28;
const EOPNOTSUPP = 95;
const ENOTSUPP = 524;
const EINVAL = 22;

/** struct bpf_map_batch_opts: size, element flags, flags. */
function batchOptions(flags: number): Uint8Array {
  const bytes = new Uint8Array(24);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, 24n, true);
  view.setBigUint64(8, BigInt(flags), true);
  return bytes;
}

function unsupported(errno: number): boolean {
  return errno === ENOTSUPP || errno === EOPNOTSUPP || errno === EINVAL;
}

/** Some entries, packed. `keys` is `count` × keySize, `values` is `count` × valueBytes. */
export interface Entries {
  readonly count: number;
  readonly keys: Uint8Array;
  readonly values: Uint8Array;
}

/** How to make a map that no object file describes (tests, tools). */
export interface MapSpec {
  readonly type: number;
  readonly name: string;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags?: number;
}

/** A bucket of a hash table, where readBatch() goes on. */
export type BatchPlace = Uint8Array;

export interface BatchStep {
  readonly count: number;
  /** Null at the end of the table. */
  readonly next: BatchPlace | null;
}

export class BpfMap {
  readonly fd: number;
  /** The object's name for it, which may be longer than the kernel's 15 characters. */
  readonly name: string;
  readonly type: number;
  readonly keySize: number;
  /** Bytes of one value as declared. */
  readonly valueSize: number;
  /** Bytes that a look-up returns and an update takes: valueSize, or all CPUs' for per-CPU maps. */
  readonly valueBytes: number;
  readonly maxEntries: number;
  readonly flags: number;
  readonly perCpu: boolean;
  readonly #owned: boolean;
  readonly #mappings = new Set<Mapping>();
  #closed = false;

  private constructor(fd: number, name: string, owned: boolean, info: MapInfo) {
    this.fd = fd;
    this.name = name;
    this.#owned = owned;
    this.type = info.type;
    this.keySize = info.keySize;
    this.valueSize = info.valueSize;
    this.maxEntries = info.maxEntries;
    this.flags = info.flags;
    this.perCpu = perCpuTypes.has(info.type);
    this.valueBytes = this.perCpu
      ? Math.ceil(info.valueSize / 8) * 8 * possibleCpus
      : info.valueSize;
  }

  /** Opens a pinned map; `close` it. Throws BpfError (`ENOENT` when nothing is pinned there). */
  static open(path: string): BpfMap {
    const fd = raw.objGet(path);
    if (fd < 0) throw new BpfError(`cannot open the pinned table ${path}`, { errno: -fd });
    try {
      const info = mapInfo(fd);
      return new BpfMap(fd, info.name, true, info);
    } catch (cause) {
      closeSync(fd);
      throw cause;
    }
  }

  /** Makes a map of its own; `close` it. Throws BpfError. */
  static create(spec: MapSpec): BpfMap {
    const options = new Uint8Array(80);
    const view = new DataView(options.buffer);
    // struct bpf_map_create_opts: size, btf_fd, three type ids, inner_map_fd, map_flags …
    view.setBigUint64(0, 80n, true);
    view.setUint32(28, spec.flags ?? 0, true);
    const fd = raw.mapCreate(
      spec.type,
      spec.name,
      spec.keySize,
      spec.valueSize,
      spec.maxEntries,
      options,
    );
    if (fd < 0) throw new BpfError(`cannot create the table ${spec.name}`, { errno: -fd });
    return new BpfMap(fd, spec.name, true, mapInfo(fd));
  }

  /** A map whose descriptor somebody else owns. */
  static borrow(fd: number, name: string): BpfMap {
    return new BpfMap(fd, name, false, mapInfo(fd));
  }

  info(): MapInfo {
    return mapInfo(this.fd);
  }

  /** The value, or null when the key is not there. `into` saves the allocation. */
  lookup(key: Uint8Array, into?: Uint8Array): Uint8Array | null {
    this.#checkSize('key', key, this.keySize);
    const value = into ?? new Uint8Array(this.valueBytes);
    this.#checkSize('value', value, this.valueBytes);
    const result = raw.mapLookup(this.fd, key, value);
    if (result === 0) return value;
    if (result === -ENOENT) return null;
    throw this.#failure('read', result);
  }

  /**
   * Writes one entry. Returns false when the mode forbids it: `insert` and the key is there,
   * `replace` and it is not. Throws BpfError, `E2BIG` when the table is full.
   */
  update(key: Uint8Array, value: Uint8Array, mode: UpdateMode = 'any'): boolean {
    this.#checkSize('key', key, this.keySize);
    this.#checkSize('value', value, this.valueBytes);
    const result = raw.mapUpdate(this.fd, key, value, updateFlags[mode]);
    if (result === 0) return true;
    if (mode === 'insert' && result === -EEXIST) return false;
    if (mode === 'replace' && result === -ENOENT) return false;
    throw this.#failure('write', result);
  }

  /** Whether the key was there. */
  delete(key: Uint8Array): boolean {
    this.#checkSize('key', key, this.keySize);
    const result = raw.mapDelete(this.fd, key);
    if (result === 0) return true;
    if (result === -ENOENT) return false;
    throw this.#failure('delete from', result);
  }

  /** The key after `key` (null: the first), null at the end. A deleted key restarts from the first. */
  nextKey(key: Uint8Array | null): Uint8Array | null {
    if (key !== null) this.#checkSize('key', key, this.keySize);
    const next = new Uint8Array(this.keySize);
    const result = raw.mapNextKey(this.fd, key, next);
    if (result === 0) return next;
    if (result === -ENOENT) return null;
    throw this.#failure('list', result);
  }

  /**
   * Writes `keys.length / keySize` entries in one call. Throws BpfError; entries before the
   * failing one are then written.
   */
  updateBatch(keys: Uint8Array, values: Uint8Array, mode: UpdateMode = 'any'): void {
    const count = this.#countOf(keys);
    this.#checkSize('values', values, count * this.valueBytes);
    if (count === 0) return;
    const done = new Uint32Array([count]);
    const result = raw.mapUpdateBatch(
      this.fd,
      keys,
      values,
      new Uint8Array(done.buffer),
      batchOptions(updateFlags[mode]),
    );
    if (result === 0) return;
    if (!unsupported(-result)) throw this.#failure('write', result);
    for (let index = 0; index < count; index++) {
      const key = keys.subarray(index * this.keySize, (index + 1) * this.keySize);
      const value = values.subarray(index * this.valueBytes, (index + 1) * this.valueBytes);
      if (!this.update(key, value, mode)) {
        throw this.#failure('write', mode === 'insert' ? -EEXIST : -ENOENT);
      }
    }
  }

  /** Deletes these keys; those that are not there do not matter. Throws BpfError. */
  deleteBatch(keys: Uint8Array): void {
    const total = this.#countOf(keys);
    const done = new Uint32Array(1);
    for (let from = 0; from < total;) {
      done[0] = total - from;
      const result = raw.mapDeleteBatch(
        this.fd,
        keys.subarray(from * this.keySize),
        new Uint8Array(done.buffer),
        batchOptions(0),
      );
      if (result === 0) return;
      if (unsupported(-result)) {
        for (; from < total; from++) {
          this.delete(keys.subarray(from * this.keySize, (from + 1) * this.keySize));
        }
        return;
      }
      // The kernel stops at a missing key; `done` says how many went before it.
      if (result !== -ENOENT) throw this.#failure('delete from', result);
      from += (done[0] ?? 0) + 1;
    }
  }

  /**
   * All entries, `size` at a time. The arrays of one step are overwritten by the next. A table
   * that changes meanwhile may show an entry twice or not at all.
   */
  *batches(size = 4096): Generator<Entries, void, void> {
    let room = Math.max(1, Math.min(size, this.maxEntries));
    let keys = new Uint8Array(room * this.keySize);
    let values = new Uint8Array(room * this.valueBytes);
    let from: Uint8Array | null = null;
    for (;;) {
      const { result, seen, next } = this.#lookupBatch(from, room, keys, values);
      if (result === -ENOSPC) {
        // One hash bucket holds more than there was room for.
        room *= 2;
        keys = new Uint8Array(room * this.keySize);
        values = new Uint8Array(room * this.valueBytes);
        continue;
      }
      if (from === null && unsupported(-result)) {
        yield* this.#oneByOne();
        return;
      }
      if (result !== 0 && result !== -ENOENT) throw this.#failure('list', result);
      if (seen > 0) {
        yield {
          count: seen,
          keys: keys.subarray(0, seen * this.keySize),
          values: values.subarray(0, seen * this.valueBytes),
        };
      }
      if (result === -ENOENT) return;
      from = next;
    }
  }

  /**
   * One step of going over a hash table, for who keeps the arrays: entries from `from` on (null: the
   * first) are copied to the front of both, as many as `keys` has room for. Throws BpfError, also
   * when one bucket holds more than that.
   */
  readBatch(from: BatchPlace | null, keys: Uint8Array, values: Uint8Array): BatchStep {
    const { result, seen, next } = this.#lookupBatch(from, this.#countOf(keys), keys, values);
    if (result !== 0 && result !== -ENOENT) throw this.#failure('list', result);
    return { count: seen, next: result === 0 ? next : null };
  }

  #lookupBatch(
    from: BatchPlace | null,
    room: number,
    keys: Uint8Array,
    values: Uint8Array,
  ): { readonly result: number; readonly seen: number; readonly next: BatchPlace } {
    // Hash tables keep a 4-byte bucket number here, the others a key.
    const next = new Uint8Array(Math.max(8, this.keySize));
    const count = new Uint32Array([room]);
    const result = raw.mapLookupBatch(
      this.fd,
      from,
      next,
      keys,
      values,
      new Uint8Array(count.buffer),
      batchOptions(0),
    );
    return { result, seen: count[0] ?? 0, next };
  }

  *#oneByOne(): Generator<Entries, void, void> {
    for (let key = this.nextKey(null); key !== null; key = this.nextKey(key)) {
      const value = this.lookup(key);
      if (value !== null) yield { count: 1, keys: key, values: value };
    }
  }

  /** All entries at once, packed. */
  readAll(): Entries {
    const keys: Uint8Array[] = [];
    const values: Uint8Array[] = [];
    let count = 0;
    for (const batch of this.batches()) {
      keys.push(batch.keys.slice());
      values.push(batch.values.slice());
      count += batch.count;
    }
    return { count, keys: Buffer.concat(keys), values: Buffer.concat(values) };
  }

  /**
   * The values of an array made with BPF_F_MMAPABLE as memory: entry n at n × valueSize rounded
   * up to 8 bytes. The programs see each aligned write of up to 8 bytes as a whole.
   * `close` the mapping, or the map, when done.
   */
  mmap(access: 'read' | 'write' = 'write'): Mapping {
    const bytes = Math.ceil(this.valueSize / 8) * 8 * this.maxEntries;
    const mapping = Mapping.open(this.fd, { length: wholePages(bytes), access });
    this.#mappings.add(mapping);
    return mapping;
  }

  /** Pins the map under a path on a BPF file system. Throws BpfError, `EEXIST` when taken. */
  pin(path: string): void {
    const result = raw.objPin(this.fd, path);
    if (result < 0) {
      throw new BpfError(`cannot pin the table ${this.name} at ${path}`, { errno: -result });
    }
  }

  /** Unmaps its mappings and, for a map that was opened or created on its own, closes it. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const mapping of this.#mappings) mapping.close();
    this.#mappings.clear();
    if (this.#owned) closeSync(this.fd);
  }

  #countOf(keys: Uint8Array): number {
    if (keys.length % this.keySize !== 0) {
      throw new BpfError(
        `keys of table ${this.name} are ${this.keySize} bytes each, got ${keys.length} bytes`,
        { code: 'ESIZE' },
      );
    }
    return keys.length / this.keySize;
  }

  /** The kernel would read or write past a short buffer: this check keeps the process alive. */
  #checkSize(what: string, bytes: Uint8Array, size: number): void {
    if (this.#closed) {
      throw new BpfError(`table ${this.name} is closed`, { code: 'ECLOSED' });
    }
    if (bytes.length !== size) {
      throw new BpfError(
        `${what} of table ${this.name} must be ${size} bytes, got ${bytes.length}`,
        { code: 'ESIZE' },
      );
    }
  }

  #failure(verb: string, result: number): BpfError {
    return new BpfError(`cannot ${verb} the table ${this.name}`, { errno: -result });
  }
}

/**
 * BPF for the rest of the program: objects loaded from files, and everything that hangs on them.
 * Stands on libbpf 1.1 (Debian 12) or newer, called directly through koffi.
 * Source: Documentation/bpf/libbpf of the kernel, bpf/libbpf.h.
 *
 * Invariant: an object owns the descriptors of its maps and programs; they die with `close`,
 * pinned or attached ones live on in the kernel.
 */
import { existsSync, mkdirSync, statfsSync } from 'node:fs';
import { release } from 'node:os';
import { BpfError, errnoName, isOldKernel, tailOf } from './bpf-error.js';
import { mapInfo } from './bpf-info.js';
import { BpfMap, mapTypes } from './bpf-map.js';
import { BpfProgram } from './bpf-program.js';
import { Btf } from './btf.js';
import * as raw from './libbpf-raw.js';
import { addressOf, holding } from './memory.js';

export { BpfError, errnoName } from './bpf-error.js';
export type { LinkInfo, MapInfo, ProgramInfo } from './bpf-info.js';
export {
  BpfMap,
  mapFlags,
  mapTypes,
  possibleCpus,
  type Entries,
  type MapSpec,
  type UpdateMode,
} from './bpf-map.js';
export {
  BpfLink,
  BpfProgram,
  unpin,
  xdpActions,
  type TestResult,
  type TestRun,
  type XdpMode,
} from './bpf-program.js';
export { Mapping } from './memory.js';

/** What became of a map that was asked to continue a pinned one. */
export type PinnedOutcome =
  | { readonly state: 'absent' }
  | { readonly state: 'reused' }
  /** The pinned map does not fit this object, which gets a fresh one. `error.code` is `EMISMATCH`. */
  | { readonly state: 'mismatch'; readonly error: BpfError };

export interface OpenOptions {
  /** Sizes to use instead of those in the object, by map name. */
  readonly mapMaxEntries?: ReadonlyMap<string, number>;
  /** Pinned maps to continue, by map name: the path of the pin. */
  readonly pinned?: ReadonlyMap<string, string>;
}

/** The most that kernels before 6.4 accept for a verifier log; untouched pages cost nothing. */
const LOG_BYTES = (1 << 24) - 1;
const LOG_TAIL_LINES = 40;
/** struct bpf_object_open_opts up to kernel_log_level. */
const OPEN_OPTIONS_BYTES = 80;

export class BpfObject {
  readonly path: string;
  /** One for each entry of `pinned`, known after `open`. */
  readonly pinned: ReadonlyMap<string, PinnedOutcome>;
  readonly #handle: raw.Handle;
  readonly #options: Uint8Array;
  readonly #maps = new Map<string, BpfMap>();
  readonly #btf: Btf | null;
  #log: Uint8Array | null;
  #state: 'open' | 'loaded' | 'closed' = 'open';

  private constructor(
    path: string,
    handle: raw.Handle,
    options: Uint8Array,
    log: Uint8Array,
    settings: OpenOptions,
  ) {
    this.path = path;
    this.#handle = handle;
    this.#options = options;
    this.#log = log;
    const btf = raw.objectBtfBytes(handle);
    this.#btf = btf === null ? null : Btf.parse(btf);
    for (const [name, entries] of settings.mapMaxEntries ?? []) {
      const result = raw.mapSetMaxEntries(this.#mapHandle(name), entries);
      if (result < 0) {
        throw new BpfError(`cannot make the table ${name} hold ${entries} entries`, {
          errno: -result,
        });
      }
    }
    const outcomes = new Map<string, PinnedOutcome>();
    for (const [name, pin] of settings.pinned ?? []) outcomes.set(name, this.#reuse(name, pin));
    this.pinned = outcomes;
  }

  /**
   * Reads an object file and prepares its maps; nothing is in the kernel before `load`.
   * Throws BpfError. Look at `pinned` for maps that could not be continued.
   */
  static open(path: string, options: OpenOptions = {}): BpfObject {
    if (!existsSync(path)) {
      throw new BpfError(`there is no BPF object ${path}: build it with native/bpf/build.sh`, {
        code: 'ENOENT',
      });
    }
    const log = new Uint8Array(LOG_BYTES);
    const opts = new Uint8Array(OPEN_OPTIONS_BYTES);
    const view = new DataView(opts.buffer);
    // sz, object_name, relaxed_maps, pin_root_path, hole, kconfig, btf_custom_path, kernel_log_*
    view.setBigUint64(0, BigInt(OPEN_OPTIONS_BYTES), true);
    view.setBigUint64(56, addressOf(log), true);
    view.setBigUint64(64, BigInt(log.length), true);
    const opened = raw.withMessages(() => {
      const handle = holding([log], () => raw.objectOpen(path, opts));
      return { handle, errno: handle === 0n ? raw.lastErrno() : 0 };
    });
    if (opened.result.handle === 0n) {
      throw new BpfError(`cannot read the BPF object ${path}`, {
        errno: opened.result.errno,
        detail: opened.messages,
      });
    }
    try {
      return new BpfObject(path, opened.result.handle, opts, log, options);
    } catch (cause) {
      raw.objectClose(opened.result.handle);
      throw cause;
    }
  }

  /**
   * Creates the maps and has the kernel verify the programs. Throws BpfError with the tail of the
   * verifier's log, or `EOLDKERNEL` with that as its cause; the object is then to be closed.
   */
  load(): this {
    if (this.#state !== 'open') {
      throw new BpfError(`${this.path} is ${this.#state}`, { code: 'ESTATE' });
    }
    const log = this.#log ?? new Uint8Array(1);
    const loaded = holding([log, this.#options], () =>
      raw.withMessages(() => raw.objectLoad(this.#handle)),
    );
    if (loaded.result < 0) {
      const end = log.indexOf(0);
      const text = Buffer.from(log.subarray(0, end < 0 ? log.length : end)).toString('utf8');
      this.#log = null;
      const refusal = new BpfError(`the kernel did not take the BPF object ${this.path}`, {
        errno: -loaded.result,
        detail: `${tailOf(text, LOG_TAIL_LINES)}\n${loaded.messages}`,
      });
      // Asked only now: distributions carry what we need back to kernels with older numbers.
      if (!isOldKernel(release())) throw refusal;
      throw new BpfError(`kernel ${release()} is too old for the BPF object ${this.path}`, {
        code: 'EOLDKERNEL',
        cause: refusal,
      });
    }
    // libbpf still holds the buffer's address but only loading, which happens once, uses it.
    this.#log = null;
    this.#state = 'loaded';
    return this;
  }

  /** A map of the loaded object; it closes with the object. Throws BpfError when there is none. */
  map(name: string): BpfMap {
    this.#needLoaded();
    const known = this.#maps.get(name);
    if (known !== undefined) return known;
    const map = BpfMap.borrow(raw.mapFd(this.#mapHandle(name)), name);
    this.#maps.set(name, map);
    return map;
  }

  /** A program of the loaded object; it closes with the object. Throws BpfError when there is none. */
  program(name: string): BpfProgram {
    this.#needLoaded();
    const program = raw.objectFindProgram(this.#handle, name);
    if (program === 0n) {
      throw new BpfError(`${this.path} has no program ${name}: build it again`, { code: 'ENOENT' });
    }
    return BpfProgram.borrow(raw.programFd(program), name);
  }

  /** Names of the maps, less those that libbpf makes for global variables. */
  mapNames(): string[] {
    this.#needOpen();
    const names: string[] = [];
    for (let map = raw.objectNextMap(this.#handle, 0n); map !== 0n;) {
      const name = raw.mapName(map);
      if (!name.includes('.')) names.push(name);
      map = raw.objectNextMap(this.#handle, map);
    }
    return names;
  }

  programNames(): string[] {
    this.#needOpen();
    const names: string[] = [];
    for (let program = raw.objectNextProgram(this.#handle, 0n); program !== 0n;) {
      names.push(raw.programName(program));
      program = raw.objectNextProgram(this.#handle, program);
    }
    return names;
  }

  /** Type information of the object. Throws BpfError when it was built without. */
  btf(): Btf {
    if (this.#btf === null) {
      throw new BpfError(`${this.path} has no type information: build it with clang -g`, {
        code: 'EBTF',
      });
    }
    return this.#btf;
  }

  /** Closes every map and program that is neither pinned nor attached. */
  close(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#log = null;
    for (const map of this.#maps.values()) map.close();
    this.#maps.clear();
    raw.objectClose(this.#handle);
  }

  #needOpen(): void {
    if (this.#state === 'closed') {
      throw new BpfError(`${this.path} is closed`, { code: 'ESTATE' });
    }
  }

  #needLoaded(): void {
    if (this.#state !== 'loaded') {
      throw new BpfError(`${this.path} is not loaded`, { code: 'ESTATE' });
    }
  }

  #mapHandle(name: string): raw.Handle {
    const map = raw.objectFindMap(this.#handle, name);
    if (map === 0n) {
      throw new BpfError(`${this.path} has no table ${name}: build it again`, { code: 'ENOENT' });
    }
    return map;
  }

  #reuse(name: string, pin: string): PinnedOutcome {
    const map = this.#mapHandle(name);
    let pinned: BpfMap;
    try {
      pinned = BpfMap.open(pin);
    } catch (cause) {
      if (cause instanceof BpfError && cause.code === 'ENOENT') return { state: 'absent' };
      throw cause;
    }
    try {
      const differences = this.#differences(map, pinned);
      if (differences.length > 0) {
        return {
          state: 'mismatch',
          error: new BpfError(
            `the pinned table ${pin} is of another layout (${differences.join(', ')}); a fresh one takes its place`,
            { code: 'EMISMATCH' },
          ),
        };
      }
      // libbpf duplicates the descriptor.
      const result = raw.mapReuseFd(map, pinned.fd);
      if (result < 0) {
        throw new BpfError(`cannot continue the pinned table ${pin}`, { errno: -result });
      }
      return { state: 'reused' };
    } finally {
      pinned.close();
    }
  }

  #differences(map: raw.Handle, pinned: BpfMap): string[] {
    const found: string[] = [];
    const compare = (what: string, ours: number, theirs: number): void => {
      if (ours !== theirs) found.push(`${what} ${theirs}, wanted ${ours}`);
    };
    const info = mapInfo(pinned.fd);
    compare('type', raw.mapType(map), info.type);
    compare('key size', raw.mapKeySize(map), info.keySize);
    compare('value size', raw.mapValueSize(map), info.valueSize);
    compare('entries', raw.mapMaxEntries(map), info.maxEntries);
    // The kernel itself makes device maps read-only for programs.
    const own =
      info.type === mapTypes.deviceMap || info.type === mapTypes.deviceMapHash
        ? READ_ONLY_FOR_PROGRAMS
        : 0;
    compare('flags', raw.mapFlags(map) & ~own, info.flags & ~own);
    // Same sizes may still hide moved fields: compare the types, where the kernel kept them.
    if (found.length === 0 && info.btfId !== 0 && this.#btf !== null) {
      const theirs = Btf.ofKernel(info.btfId);
      const pairs = [
        ['key', raw.mapBtfKeyType(map), info.btfKeyType],
        ['value', raw.mapBtfValueType(map), info.btfValueType],
      ] as const;
      for (const [what, our, their] of pairs) {
        if (our !== 0 && their !== 0 && this.#btf.signature(our) !== theirs.signature(their)) {
          found.push(`fields of the ${what} ${theirs.describe(their)}`);
        }
      }
    }
    return found;
  }
}

/** Version of the library that was loaded: `1.1`. */
export function libbpfVersion(): string {
  return raw.versionString().replace(/^v/, '');
}

/** BPF_F_RDONLY_PROG of linux/bpf.h. */
const READ_ONLY_FOR_PROGRAMS = 1 << 7;
/** Number that statfs(2) reports for a BPF file system (linux/magic.h, BPF_FS_MAGIC). */
const BPF_FS_MAGIC = 0xcafe4a11;
/** MS_NOSUID | MS_NODEV | MS_NOEXEC of linux/mount.h. */
const SAFE_MOUNT = 2 | 4 | 8;
/** MNT_DETACH: gone from sight now, freed when nobody uses it. */
const MNT_DETACH = 2;

/** Whether a BPF file system is mounted at `path`. */
export function isBpffs(path: string): boolean {
  return existsSync(path) && statfsSync(path).type >>> 0 === BPF_FS_MAGIC;
}

/** Makes sure that a BPF file system is mounted at `path`. True when it had to be mounted. */
export function mountBpffs(path: string): boolean {
  if (isBpffs(path)) return false;
  mkdirSync(path, { recursive: true });
  const errno = raw.mount('bpf', path, 'bpf', SAFE_MOUNT);
  if (errno !== 0) throw new BpfError(`cannot mount a BPF file system at ${path}`, { errno });
  return true;
}

export function unmountBpffs(path: string): void {
  const errno = raw.unmount(path, MNT_DETACH);
  if (errno !== 0) {
    throw new BpfError(`cannot unmount the BPF file system at ${path} (${errnoName(errno)})`, {
      errno,
    });
  }
}

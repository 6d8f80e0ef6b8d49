/**
 * The functions of libbpf.so.1 and libc that the bindings call, declared and nothing else.
 * Signatures: bpf/libbpf.h and bpf/bpf.h of libbpf 1.1, which every later 1.x keeps.
 *
 * Invariant: every function here exists in libbpf 1.1 (Debian 12); pointers are bigint and
 * structures are packed byte by byte by the callers, so no layout depends on koffi.
 */
import koffi from 'koffi';
import { BpfError } from './bpf-error.js';

/** Pointer to something of libbpf's. 0n is NULL. */
export type Handle = bigint;
export type Bytes = Uint8Array | null;

type Library = ReturnType<typeof koffi.load>;

let loaded: Library | null = null;

/** Loaded by the first call, so that a machine without libbpf can still run everything else. */
function library(): Library {
  if (loaded !== null) return loaded;
  try {
    loaded = koffi.load('libbpf.so.1');
  } catch (cause) {
    throw new BpfError('libbpf.so.1 is not installed: install the package libbpf1', {
      code: 'ELIBBPF',
      cause,
    });
  }
  // Outside of withMessages libbpf stays quiet: its callers get error codes.
  setPrint(null);
  return loaded;
}

function bind<A extends unknown[], R>(
  name: string,
  result: string,
  parameters: string[],
): (...values: A) => R {
  let bound: ((...values: A) => R) | null = null;
  return (...values) => {
    const call: (...values: A) => R = bound ?? library().func(name, result, parameters);
    bound = call;
    return call(...values);
  };
}

const libc = koffi.load(null);
const p = 'uint64';

function handle(value: number | bigint): Handle {
  return BigInt(value);
}

type Returns = number | bigint;
const objectOpenFile: (path: string, options: Bytes) => Returns = bind('bpf_object__open_file', p, [
  'str',
  'void*',
]);
const findProgram: (object: Handle, name: string) => Returns = bind(
  'bpf_object__find_program_by_name',
  p,
  [p, 'str'],
);
const findMap: (object: Handle, name: string) => Returns = bind('bpf_object__find_map_by_name', p, [
  p,
  'str',
]);
const nextMap: (object: Handle, map: Handle) => Returns = bind('bpf_object__next_map', p, [p, p]);
const nextProgram: (object: Handle, program: Handle) => Returns = bind(
  'bpf_object__next_program',
  p,
  [p, p],
);
const objectBtf: (object: Handle) => Returns = bind('bpf_object__btf', p, [p]);
const btfRawData: (btf: Handle, size: Uint8Array) => Returns = bind('btf__raw_data', p, [
  p,
  'void*',
]);

export const objectOpen = (path: string, options: Bytes): Handle =>
  handle(objectOpenFile(path, options));
export const objectFindProgram = (object: Handle, name: string): Handle =>
  handle(findProgram(object, name));
export const objectFindMap = (object: Handle, name: string): Handle =>
  handle(findMap(object, name));
export const objectNextMap = (object: Handle, map: Handle): Handle => handle(nextMap(object, map));
export const objectNextProgram = (object: Handle, program: Handle): Handle =>
  handle(nextProgram(object, program));
export const objectLoad: (object: Handle) => number = bind('bpf_object__load', 'int', [p]);
export const objectClose: (object: Handle) => void = bind('bpf_object__close', 'void', [p]);

/** The raw BTF of an open object, copied; null when it has none. */
export function objectBtfBytes(object: Handle): Uint8Array | null {
  const btf = handle(objectBtf(object));
  if (btf === 0n) return null;
  const size = new Uint8Array(4);
  const data = handle(btfRawData(btf, size));
  const length = new DataView(size.buffer).getUint32(0, true);
  if (data === 0n || length === 0) return null;
  return new Uint8Array(koffi.view(data, length).slice(0));
}

/** `v1.1`. */
export const versionString: () => string = bind('libbpf_version_string', 'str', []);
export const programName: (program: Handle) => string = bind('bpf_program__name', 'str', [p]);
export const programFd: (program: Handle) => number = bind('bpf_program__fd', 'int', [p]);

export const mapName: (map: Handle) => string = bind('bpf_map__name', 'str', [p]);
export const mapFd: (map: Handle) => number = bind('bpf_map__fd', 'int', [p]);
export const mapType: (map: Handle) => number = bind('bpf_map__type', 'int', [p]);
export const mapKeySize: (map: Handle) => number = bind('bpf_map__key_size', 'uint32', [p]);
export const mapValueSize: (map: Handle) => number = bind('bpf_map__value_size', 'uint32', [p]);
export const mapMaxEntries: (map: Handle) => number = bind('bpf_map__max_entries', 'uint32', [p]);
export const mapFlags: (map: Handle) => number = bind('bpf_map__map_flags', 'uint32', [p]);
export const mapBtfKeyType: (map: Handle) => number = bind('bpf_map__btf_key_type_id', 'uint32', [
  p,
]);
export const mapBtfValueType: (map: Handle) => number = bind(
  'bpf_map__btf_value_type_id',
  'uint32',
  [p],
);
export const mapSetMaxEntries: (map: Handle, entries: number) => number = bind(
  'bpf_map__set_max_entries',
  'int',
  [p, 'uint32'],
);
export const mapReuseFd: (map: Handle, fd: number) => number = bind('bpf_map__reuse_fd', 'int', [
  p,
  'int',
]);

export const mapCreate: (
  type: number,
  name: string,
  keySize: number,
  valueSize: number,
  maxEntries: number,
  options: Bytes,
) => number = bind('bpf_map_create', 'int', ['int', 'str', 'uint32', 'uint32', 'uint32', 'void*']);
export const mapUpdate: (fd: number, key: Bytes, value: Bytes, flags: number) => number = bind(
  'bpf_map_update_elem',
  'int',
  ['int', 'void*', 'void*', 'uint64'],
);
export const mapLookup: (fd: number, key: Bytes, value: Bytes) => number = bind(
  'bpf_map_lookup_elem',
  'int',
  ['int', 'void*', 'void*'],
);
export const mapDelete: (fd: number, key: Bytes) => number = bind('bpf_map_delete_elem', 'int', [
  'int',
  'void*',
]);
export const mapNextKey: (fd: number, key: Bytes, next: Bytes) => number = bind(
  'bpf_map_get_next_key',
  'int',
  ['int', 'void*', 'void*'],
);
export const mapUpdateBatch: (
  fd: number,
  keys: Bytes,
  values: Bytes,
  count: Bytes,
  options: Bytes,
) => number = bind('bpf_map_update_batch', 'int', ['int', 'void*', 'void*', 'void*', 'void*']);
export const mapDeleteBatch: (fd: number, keys: Bytes, count: Bytes, options: Bytes) => number =
  bind('bpf_map_delete_batch', 'int', ['int', 'void*', 'void*', 'void*']);
export const mapLookupBatch: (
  fd: number,
  from: Bytes,
  next: Bytes,
  keys: Bytes,
  values: Bytes,
  count: Bytes,
  options: Bytes,
) => number = bind('bpf_map_lookup_batch', 'int', [
  'int',
  'void*',
  'void*',
  'void*',
  'void*',
  'void*',
  'void*',
]);

export const objPin: (fd: number, path: string) => number = bind('bpf_obj_pin', 'int', [
  'int',
  'str',
]);
export const objGet: (path: string) => number = bind('bpf_obj_get', 'int', ['str']);
export const objInfo: (fd: number, info: Uint8Array, length: Uint8Array) => number = bind(
  'bpf_obj_get_info_by_fd',
  'int',
  ['int', 'void*', 'void*'],
);
export const btfFdById: (id: number) => number = bind('bpf_btf_get_fd_by_id', 'int', ['uint32']);
export const linkCreate: (
  programFd: number,
  target: number,
  attachType: number,
  options: Bytes,
) => number = bind('bpf_link_create', 'int', ['int', 'int', 'int', 'void*']);
export const linkUpdate: (linkFd: number, programFd: number, options: Bytes) => number = bind(
  'bpf_link_update',
  'int',
  ['int', 'int', 'void*'],
);
export const linkDetach: (linkFd: number) => number = bind('bpf_link_detach', 'int', ['int']);
export const testRun: (programFd: number, options: Uint8Array) => number = bind(
  'bpf_prog_test_run_opts',
  'int',
  ['int', 'void*'],
);

/** The same in a thread of the pool; the caller keeps what `options` points to. */
export function testRunAside(programFd: number, options: Uint8Array): Promise<number> {
  const call = library().func('bpf_prog_test_run_opts', 'int', ['int', 'void*']);
  return new Promise((resolve, reject) => {
    call.async(programFd, options, (error: Error | null, result: number) => {
      if (error === null) resolve(result);
      else reject(error);
    });
  });
}

const mountCall: (
  source: string,
  target: string,
  type: string,
  flags: number,
  data: string | null,
) => number = libc.func('mount', 'int', ['str', 'str', 'str', 'uint64', 'str']);
const unmountCall: (target: string, flags: number) => number = libc.func('umount2', 'int', [
  'str',
  'int',
]);

/** 0 or the errno. */
export function mount(source: string, target: string, type: string, flags: number): number {
  return mountCall(source, target, type, flags, null) === 0 ? 0 : koffi.errno();
}
/** 0 or the errno. */
export function unmount(target: string, flags: number): number {
  return unmountCall(target, flags) === 0 ? 0 : koffi.errno();
}
/** errno of the last call that reports through it (those that return pointers). */
export function lastErrno(): number {
  return koffi.errno();
}

const setPrint: (callback: bigint | null) => Returns = bind('libbpf_set_print', p, ['void*']);
const vsnprintf: (buffer: Uint8Array, size: number, format: bigint, args: bigint) => number =
  libc.func('vsnprintf', 'int', ['void*', 'size_t', 'void*', 'void*']);
const printType = koffi.pointer(
  koffi.proto('int weir_libbpf_print(int level, void *format, void *args)'),
);

/** One message is cut at this many bytes: only verifier logs are longer, and they have their own buffer. */
const MESSAGE_BYTES = 4096;
/** LIBBPF_DEBUG of enum libbpf_print_level: chatter. */
const LEVEL_DEBUG = 2;

/**
 * Runs `work` while collecting what libbpf says, instead of letting it write to standard error.
 * libbpf hands its printer a va_list, which both x86-64 and AArch64 pass as a pointer: it goes
 * to vsnprintf as it came.
 */
export function withMessages<T>(work: () => T): { readonly result: T; readonly messages: string } {
  const lines: string[] = [];
  const buffer = new Uint8Array(MESSAGE_BYTES);
  const callback = koffi.register((level: number, format: bigint, args: bigint): number => {
    if (level >= LEVEL_DEBUG) return 0;
    const wanted = vsnprintf(buffer, buffer.length, format, args);
    const length = Math.max(0, Math.min(wanted, buffer.length - 1));
    lines.push(Buffer.from(buffer.subarray(0, length)).toString('utf8').trimEnd());
    return 0;
  }, printType);
  setPrint(callback);
  try {
    return { result: work(), messages: lines.join('\n') };
  } finally {
    setPrint(null);
    koffi.unregister(callback);
  }
}

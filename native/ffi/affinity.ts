/**
 * The CPUs of the calling thread: which it may use, and tying it to one.
 * Source: sched_setaffinity(2).
 */
import koffi from 'koffi';
import { BpfError } from './bpf-error.js';

const libc = koffi.load(null);
const setAffinity: (thread: number, size: number, mask: Uint8Array) => number = libc.func(
  'sched_setaffinity',
  'int',
  ['int', 'size_t', 'void*'],
);

const getAffinity: (thread: number, size: number, mask: Uint8Array) => number = libc.func(
  'sched_getaffinity',
  'int',
  ['int', 'size_t', 'void*'],
);

/** Bytes of a CPU mask: 1,024 CPUs, as glibc's cpu_set_t. */
const MASK_BYTES = 128;

function set(mask: Uint8Array, what: string): void {
  if (setAffinity(0, MASK_BYTES, mask) !== 0) {
    throw new BpfError(what, { errno: koffi.errno() });
  }
}

function allowed(): Uint8Array {
  const mask = new Uint8Array(MASK_BYTES);
  if (getAffinity(0, MASK_BYTES, mask) < 0) {
    throw new BpfError('cannot ask which CPUs this thread may use', { errno: koffi.errno() });
  }
  return mask;
}

/** The numbers of the CPUs that this thread may use, in order. Throws BpfError. */
export function allowedCpus(): readonly number[] {
  return [...allowed()].flatMap((byte, index) =>
    Array.from({ length: 8 }, (_, bit) => bit)
      .filter((bit) => (byte & (1 << bit)) !== 0)
      .map((bit) => index * 8 + bit),
  );
}

/**
 * Runs this thread on one CPU until the returned function is called. Throws BpfError (`EINVAL`
 * when there is no such CPU).
 */
export function pinThread(cpu: number): () => void {
  const before = allowed();
  const mask = new Uint8Array(MASK_BYTES);
  mask[cpu >> 3] = 1 << (cpu & 7);
  set(mask, `cannot run on CPU ${cpu} alone`);
  return () => {
    set(before, 'cannot let this thread use its CPUs again');
  };
}

/**
 * Goes to a CPU and back to whichever: once this returns, that CPU has run this thread. False: this
 * thread may not run there. Throws BpfError.
 */
export function visitCpu(cpu: number): boolean {
  const before = allowed();
  if ((((before[cpu >> 3] ?? 0) >> (cpu & 7)) & 1) === 0) return false;
  const mask = new Uint8Array(MASK_BYTES);
  mask[cpu >> 3] = 1 << (cpu & 7);
  set(mask, `cannot run on CPU ${cpu}`);
  set(before, 'cannot let this thread use its CPUs again');
  return true;
}

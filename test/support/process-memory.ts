/**
 * The memory of another process, looked through for octets of private keys: proc(5), `smaps` for the
 * regions, `pagemap` for the pages that are there, `mem` for what is in them. For root.
 *
 * Invariant: what was read is wiped.
 */
import { createPrivateKey, type JsonWebKey } from 'node:crypto';
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { pageSize } from '../../native/ffi/memory.js';

export interface Region {
  readonly start: number;
  readonly end: number;
  /** What is mapped, or `[heap]`, `[stack]`; empty: anonymous. */
  readonly name: string;
  /** VmFlags, two letters each: `dd` is in no core file, `lo` is never swapped. */
  readonly flags: ReadonlySet<string>;
}

function regionsOf(pid: number): Region[] {
  const regions: Region[] = [];
  let head: Omit<Region, 'flags'> | null = null;
  for (const line of readFileSync(`/proc/${pid}/smaps`, 'utf8').split('\n')) {
    const found = /^([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ \S+ *(.*)$/.exec(line);
    if (found !== null) {
      const [, start = '', end = '', name = ''] = found;
      head = { start: Number.parseInt(start, 16), end: Number.parseInt(end, 16), name };
    } else if (head !== null && line.startsWith('VmFlags:')) {
      regions.push({ ...head, flags: new Set(line.slice(8).trim().split(' ')) });
      head = null;
    }
  }
  return regions;
}

/** A piece of a key that gives it away. */
export interface Trace {
  readonly what: string;
  readonly form: 'octets' | 'reversed' | 'hexadecimal' | 'base64';
  /** The number of the key that it is of, by its name in a JSON Web Key: `d`, `p`… */
  readonly part: string;
  readonly octets: Buffer;
}

const WINDOW = 16;

/**
 * Pieces of each private number of a key, at its beginning, middle and end: as octets in both orders
 * (in DER the highest comes first, in OpenSSL's numbers the lowest), as hexadecimal, and as base64 in
 * each of its three alignments.
 */
export function tracesOf(name: string, pem: string | Buffer): Trace[] {
  const jwk: JsonWebKey = createPrivateKey(pem).export({ format: 'jwk' });
  const traces: Trace[] = [];
  for (const part of ['d', 'p', 'q', 'dp', 'dq', 'qi'] as const) {
    const text = jwk[part];
    if (text === undefined) continue;
    const number = Buffer.from(text, 'base64url');
    const places = { begin: 0, middle: (number.length - WINDOW) >> 1, end: number.length - WINDOW };
    for (const [place, at] of Object.entries(places)) {
      const piece = number.subarray(at, at + WINDOW);
      const add = (form: Trace['form'], octets: Buffer): unknown =>
        traces.push({ what: `${name}: ${place} of ${part}, ${form}`, form, part, octets });
      add('octets', piece);
      add('reversed', Buffer.from(piece).reverse());
      add('hexadecimal', Buffer.from(piece.toString('hex')));
      // What does not depend on the octets before and after.
      for (const skip of [0, 1, 2]) {
        add('base64', Buffer.from(piece.subarray(skip, skip + 12).toString('base64')));
      }
    }
  }
  return traces;
}

export interface Find {
  readonly region: Region;
  readonly trace: Trace;
}

/** One line for each find, for the reader of a failure. */
export function told(finds: readonly Find[]): string[] {
  return finds.map(
    ({ trace, region }) =>
      `${trace.what} in ${region.name || 'memory'} (${[...region.flags].join(' ')})`,
  );
}

/** Bytes that are read at a time. */
const PIECE = 16 << 20;
/** As long as the longest trace. */
const OVERLAP = 64;

/** Every place in what a process has written to, or can, where one of these is. */
export function findTraces(pid: number, traces: readonly Trace[]): Find[] {
  const finds: Find[] = [];
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  const pages = openSync(`/proc/${pid}/pagemap`, 'r');
  const block = Buffer.alloc(PIECE + OVERLAP);
  try {
    for (const region of regionsOf(pid)) {
      // Code of the kernel's own, which has no pages.
      if (region.name === '[vsyscall]') continue;
      // Code and other files that are only read.
      if (region.name.startsWith('/') && !region.flags.has('wr')) continue;
      for (const run of presentRuns(pages, region)) {
        for (let from = run.start; from < run.end; from += PIECE) {
          const length = Math.min(block.length, run.end - from);
          const part = block.subarray(0, readPart(memory, block, length, from));
          for (const trace of traces) {
            for (let at = part.indexOf(trace.octets); at >= 0 && at < PIECE;) {
              finds.push({ region, trace });
              at = part.indexOf(trace.octets, at + 1);
            }
          }
        }
      }
    }
  } finally {
    closeSync(memory);
    closeSync(pages);
    block.fill(0);
  }
  return finds;
}

/** Bits 63 and 62 of an entry of pagemap: the page is in memory, or swapped out. */
const PRESENT = 0xc0;

/** Pages one after the other that were ever touched: most of what is reserved was not. */
function* presentRuns(
  pages: number,
  { start, end }: Region,
): Generator<{ readonly start: number; readonly end: number }> {
  const entries = Buffer.alloc(8 * 8192);
  let begun = -1;
  for (let at = start; at < end;) {
    const most = Math.min(entries.length, ((end - at) / pageSize) * 8);
    const got = readSync(pages, entries, 0, most, (at / pageSize) * 8);
    if (got === 0) throw new Error(`pagemap ended at ${at.toString(16)}`);
    for (let entry = 0; entry < got; entry += 8, at += pageSize) {
      const present = ((entries[entry + 7] ?? 0) & PRESENT) !== 0;
      if (present && begun < 0) begun = at;
      else if (!present && begun >= 0) {
        yield { start: begun, end: at };
        begun = -1;
      }
    }
  }
  if (begun >= 0) yield { start: begun, end };
}

/** How many bytes there were: a region may have gone meanwhile, and that of a device has none. */
function readPart(memory: number, block: Buffer, length: number, from: number): number {
  try {
    return readSync(memory, block, 0, length, from);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EIO') return 0;
    throw error;
  }
}

/**
 * What a backup holds, as octets: records, each of a part, with what is no secret as JSON and what may
 * be one as octets; compressed as a whole.
 *
 * Invariant: a length is held against what is there before anything is made of it.
 */
import { promisify } from 'node:util';
import { brotliCompress, brotliDecompress, constants } from 'node:zlib';
import { BackupError } from './errors.js';

export interface Entry {
  /** Of the part, unlike any other there. */
  readonly key: string;
  /** JSON. */
  readonly meta: unknown;
  /** May hold secrets: whoever has it wipes it. */
  readonly body: Buffer;
}

export interface PartRecord extends Entry {
  readonly part: string;
}

/** Of what is in it; more is damage, or an attack. */
const LARGEST_CONTENT = 512 * 1024 * 1024;
const PREFIX = 8;

const compress = promisify(brotliCompress);
const decompress = promisify(brotliDecompress);

/** @throws BackupError */
export async function pack(records: readonly PartRecord[]): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let size = 0;
  for (const { part, key, meta, body } of records) {
    const head = Buffer.from(JSON.stringify([part, key, meta]));
    const prefix = Buffer.alloc(PREFIX);
    prefix.writeUInt32BE(head.length, 0);
    prefix.writeUInt32BE(body.length, 4);
    pieces.push(prefix, head, body);
    size += PREFIX + head.length + body.length;
  }
  if (size > LARGEST_CONTENT) {
    throw new BackupError(
      `The history has ${Math.round(size / 2 ** 20)} MiB, and a backup takes ${LARGEST_CONTENT / 2 ** 20}: back up the configuration only.`,
    );
  }
  const whole = Buffer.concat(pieces);
  try {
    // Revisions are much alike: the window reaches from one to the next.
    return await compress(whole, {
      params: {
        [constants.BROTLI_PARAM_QUALITY]: 5,
        [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS,
        [constants.BROTLI_PARAM_SIZE_HINT]: whole.length,
      },
    });
  } finally {
    whole.fill(0);
  }
}

/** Records whose bodies the caller wipes. @throws BackupError */
export async function unpack(packed: Buffer): Promise<PartRecord[]> {
  let whole: Buffer;
  try {
    whole = await decompress(packed, { maxOutputLength: LARGEST_CONTENT });
  } catch (cause) {
    throw new BackupError('What is in the backup is damaged, or more than it may be.', { cause });
  }
  try {
    const records: PartRecord[] = [];
    for (let at = 0; at < whole.length;) {
      if (whole.length - at < PREFIX) throw cutOff();
      const head = whole.readUInt32BE(at);
      const body = whole.readUInt32BE(at + 4);
      at += PREFIX;
      if (head + body > whole.length - at) throw cutOff();
      const [part, key, meta] = headOf(whole.toString('utf8', at, at + head));
      at += head;
      records.push({ part, key, meta, body: Buffer.from(whole.subarray(at, at + body)) });
      at += body;
    }
    return records;
  } finally {
    whole.fill(0);
  }
}

function headOf(text: string): [string, string, unknown] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new BackupError('A record of the backup cannot be read.', { cause });
  }
  if (Array.isArray(value) && typeof value[0] === 'string' && typeof value[1] === 'string') {
    return [value[0], value[1], value[2]];
  }
  throw new BackupError('A record of the backup is none.');
}

function cutOff(): BackupError {
  return new BackupError('A record of the backup claims to be longer than the backup is.');
}

export function wipe(records: readonly { readonly body: Buffer }[]): void {
  for (const { body } of records) body.fill(0);
}

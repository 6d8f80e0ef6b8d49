/**
 * The file of a backup: a header, and what it holds in chunks that are encrypted and authenticated.
 *
 *   0  8  "WEIRBKUP"
 *   8  2  version of this format, big-endian: 1
 *  10  3  cost of scrypt (RFC 7914): log2 N, r, p
 *  13  1  0
 *  14 16  salt
 *  30  7  nonce, its first bytes
 *  37  3  0
 *  40 16  tells whether a passphrase is the right one
 *  56  8  of the SHA-256 of all before: damage to the header is no wrong passphrase
 *  64     chunks of 64 KiB, the last one shorter, by AES-256-GCM, each with its tag of 16 bytes
 *
 * The nonce of a chunk (NIST SP 800-38D §8.2.1) is the header's 7 bytes, its number in 4 bytes, and 1
 * for the last one, else 0; the additional data is the header. So chunks that are missing, doubled or of
 * another file do not open. No length is written down anywhere, so none can be claimed.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  hkdfSync,
  randomBytes,
  scrypt,
  timingSafeEqual,
} from 'node:crypto';
import { BackupError } from './errors.js';

const MAGIC = Buffer.from('WEIRBKUP', 'latin1');
const VERSION = 1;
const HEADER = 64;
const CHECKED = 56;
const CHUNK = 64 * 1024;
const TAG = 16;
/** 128 MiB of memory for each guess. */
const COST = 17;
const LEAST_COST = 10;
const MOST_COST = 18;
const BLOCK = 8;
const PARALLEL = 1;
export const SHORTEST_PASSPHRASE = 8;
/** Longer ones are a file by mistake. */
const LONGEST_PASSPHRASE = 1024;

/** `cost`: log2 of scrypt's N. @throws BackupError */
export async function seal(content: Buffer, passphrase: string, cost = COST): Promise<Buffer> {
  if (
    [...passphrase].length < SHORTEST_PASSPHRASE ||
    Buffer.byteLength(passphrase) > LONGEST_PASSPHRASE
  ) {
    throw new BackupError(
      `A passphrase has at least ${SHORTEST_PASSPHRASE} characters, and at most ${LONGEST_PASSPHRASE} bytes: it is all that protects the keys in the file.`,
    );
  }
  const header = Buffer.alloc(HEADER);
  MAGIC.copy(header);
  header.writeUInt16BE(VERSION, 8);
  header.set([cost, BLOCK, PARALLEL], 10);
  randomBytes(23).copy(header, 14);
  const { key, check } = await keysOf(passphrase, header);
  try {
    check.copy(header, 40);
    checksum(header).copy(header, CHECKED);
    const pieces: Buffer[] = [header];
    for (let number = 0; number === 0 || number * CHUNK < content.length; number++) {
      const plain = content.subarray(number * CHUNK, (number + 1) * CHUNK);
      const last = (number + 1) * CHUNK >= content.length;
      const cipher = createCipheriv('aes-256-gcm', key, nonce(header, number, last));
      cipher.setAAD(header);
      pieces.push(cipher.update(plain), cipher.final(), cipher.getAuthTag());
    }
    return Buffer.concat(pieces);
  } finally {
    key.fill(0);
  }
}

/** What a file holds, which the caller wipes. @throws BackupError */
export async function unseal(file: Buffer, passphrase: string): Promise<Buffer> {
  const header = readHeader(file);
  const { key, check } = await keysOf(passphrase, header);
  const pieces: Buffer[] = [];
  try {
    if (!timingSafeEqual(check, header.subarray(40, CHECKED))) {
      throw new BackupError('The passphrase is not the one that this backup was made with.');
    }
    const size = CHUNK + TAG;
    const chunks = Math.max(1, Math.ceil((file.length - HEADER) / size));
    for (let number = 0; number < chunks; number++) {
      const chunk = file.subarray(HEADER + number * size, HEADER + (number + 1) * size);
      const opened = open(chunk, { header, key, number, last: number === chunks - 1 });
      if (opened === null) {
        throw new BackupError(
          'The backup is damaged or cut off: what is in it does not match what was written. Copy it again from where it came.',
        );
      }
      pieces.push(opened);
    }
    return Buffer.concat(pieces);
  } finally {
    key.fill(0);
    for (const piece of pieces) piece.fill(0);
  }
}

function readHeader(file: Buffer): Buffer {
  if (file.length < MAGIC.length || !file.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw new BackupError('This is no backup of Weir.');
  }
  const version = file.length >= 10 ? file.readUInt16BE(8) : VERSION;
  if (file.length < HEADER) throw new BackupError('The backup is cut off within its header.');
  const header = file.subarray(0, HEADER);
  if (!checksum(header).equals(header.subarray(CHECKED))) {
    throw new BackupError('The header of the backup is damaged. Copy it again from where it came.');
  }
  if (version !== VERSION) {
    throw new BackupError(
      `The backup has format ${version}, and this Weir reads format ${VERSION}: restore it with the version that made it, or a newer one.`,
    );
  }
  const [cost = 0, block, parallel, free] = header.subarray(10, 14);
  const known = block === BLOCK && parallel === PARALLEL && free === 0;
  if (!known || cost < LEAST_COST || cost > MOST_COST) {
    throw new BackupError('The header of the backup asks for costs that this Weir does not take.');
  }
  return header;
}

function checksum(header: Buffer): Buffer {
  return createHash('sha256').update(header.subarray(0, CHECKED)).digest().subarray(0, 8);
}

function nonce(header: Buffer, number: number, last: boolean): Buffer {
  const bytes = Buffer.alloc(12);
  header.copy(bytes, 0, 30, 37);
  bytes.writeUInt32BE(number, 7);
  bytes[11] = last ? 1 : 0;
  return bytes;
}

/** Null: it is not what was written. */
function open(
  chunk: Buffer,
  at: {
    readonly header: Buffer;
    readonly key: Buffer;
    readonly number: number;
    readonly last: boolean;
  },
): Buffer | null {
  if (chunk.length < TAG) return null;
  const decipher = createDecipheriv('aes-256-gcm', at.key, nonce(at.header, at.number, at.last));
  decipher.setAAD(at.header);
  decipher.setAuthTag(chunk.subarray(chunk.length - TAG));
  const plain = decipher.update(chunk.subarray(0, chunk.length - TAG));
  try {
    decipher.final();
    return plain;
  } catch {
    // Node says of a tag that does not fit nothing but that.
    plain.fill(0);
    return null;
  }
}

async function keysOf(passphrase: string, header: Buffer): Promise<{ key: Buffer; check: Buffer }> {
  const N = 2 ** (header[10] ?? COST);
  const options = { N, r: BLOCK, p: PARALLEL, maxmem: 256 * N * BLOCK };
  // One text typed on two keyboards may come composed in two ways.
  const secret = Buffer.from(passphrase.normalize('NFC'));
  const stretched = await new Promise<Buffer>((resolve, reject) => {
    scrypt(secret, header.subarray(14, 30), 32, options, (error, derived) => {
      if (error === null) resolve(derived);
      else reject(error);
    });
  });
  secret.fill(0);
  const part = (use: string, bytes: number): Buffer =>
    Buffer.from(hkdfSync('sha256', stretched, '', `weir backup ${use}`, bytes));
  const keys = { key: part('content', 32), check: part('check', 16) };
  stretched.fill(0);
  return keys;
}

/**
 * An update bundle: one signed file that a unit writes its idle slot from.
 *
 *     8 octets   "WEIRUPD1"
 *     4 octets   length of the header, big-endian, at most 4096
 *     header     JSON, UTF-8, exactly as `encodeHeader` writes it
 *     64 octets  Ed25519 signature (RFC 8032 §5.1) over "weir update bundle 1\0" and the header
 *     slot       the file system of a slot, as long as the header says, and nothing behind it
 *
 * The kernel and the initial RAM disk are files of the slot (/boot), so one digest covers all that is
 * booted, one write replaces all of it, and no file system is changed for an upgrade.
 *
 * Invariant: nothing of a header is believed, and nothing of a slot is written, before the signature
 * and the digests were found right. Memory does not grow with the file.
 */
import {
  createHash,
  createPublicKey,
  type KeyObject,
  sign as signOctets,
  verify as verifyOctets,
} from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { z } from 'zod';
import { UpgradeError } from './errors.js';
import { isVersion } from './versions.js';

export const MAGIC = Buffer.from('WEIRUPD1', 'latin1');
export const HEADER_LIMIT = 4096;
export const SIGNATURE_LENGTH = 64;
/** No slot is as large; a header that says more is wrong. Octets. */
export const SLOT_LIMIT = 4 * 2 ** 30;
const CONTEXT = Buffer.from('weir update bundle 1\0', 'latin1');
const PIECE = 1 << 20;

const version = z.string().max(100).refine(isVersion);
const headerSchema = z.strictObject({
  version,
  /** Of the source tree. */
  commit: z.string().regex(/^[0-9a-f]{40}$/),
  /** The oldest version that can be upgraded to this one. */
  minimumVersion: version,
  slot: z.strictObject({
    size: z.int().min(1).max(SLOT_LIMIT),
    sha256: z.string().regex(/^[0-9a-f]{64}$/),
  }),
});
export type BundleHeader = z.output<typeof headerSchema>;

export interface Bundle {
  readonly header: BundleHeader;
  /** Where the slot begins in the file. */
  readonly offset: number;
}

/** A piece of a slot, in order; `at` is where in the slot it is. */
export type Piece = (octets: Buffer, at: number) => Promise<void> | void;

export function encodeHeader({ version, commit, minimumVersion, slot }: BundleHeader): Buffer {
  const { size, sha256 } = slot;
  return Buffer.from(JSON.stringify({ version, commit, minimumVersion, slot: { size, sha256 } }));
}

/** All of a bundle that is before the slot. @throws RangeError for a header that no unit would read */
export function encodeBundleHead(header: BundleHeader, key: KeyObject): Buffer {
  const checked = headerSchema.safeParse(header);
  if (!checked.success) throw new RangeError(`no header of a bundle: ${checked.error.message}`);
  if (key.asymmetricKeyType !== 'ed25519') throw new RangeError('the key is no Ed25519 key');
  const octets = encodeHeader(header);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(octets.length);
  const signature = signOctets(null, Buffer.concat([CONTEXT, octets]), key);
  return Buffer.concat([MAGIC, length, octets, signature]);
}

/** The public keys of a PEM file, one or more. @throws UpgradeError */
export function readPublicKeys(pem: string, path: string): KeyObject[] {
  const blocks = pem.match(/-----BEGIN PUBLIC KEY-----[^-]*-----END PUBLIC KEY-----/g) ?? [];
  const keys = blocks.map((block) => {
    let key: KeyObject;
    try {
      key = createPublicKey(block);
    } catch (cause) {
      throw new UpgradeError('untrusted', `${path} has what is no public key.`, { cause });
    }
    if (key.asymmetricKeyType !== 'ed25519') {
      throw new UpgradeError('untrusted', `${path} has a key that is not of Ed25519.`);
    }
    return key;
  });
  if (keys.length > 0) return keys;
  throw new UpgradeError(
    'untrusted',
    `${path} has no public key (PEM, "BEGIN PUBLIC KEY"): without one no bundle can be trusted.`,
  );
}

/**
 * The head of a bundle, its signature verified with one of the keys, and the file as long as it
 * must be. The slot's digest is not looked at yet.
 *
 * @throws UpgradeError
 */
export async function readBundle(file: FileHandle, keys: readonly KeyObject[]): Promise<Bundle> {
  const { size } = await file.stat();
  const start = await read(file, 0, Math.min(size, MAGIC.length + 4 + HEADER_LIMIT + 64));
  if (start.length < MAGIC.length + 4 || !start.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw new UpgradeError('not-a-bundle', 'This is no update bundle of Weir.');
  }
  const { header, length } = parseHead(start, keys);
  const expected = length + header.slot.size;
  if (size !== expected) {
    const how = size < expected ? 'cut off' : 'longer than it should be';
    throw new UpgradeError(
      'damaged',
      `The bundle is ${how}: it has ${size} octets, and its header says ${expected}. Copy it again.`,
    );
  }
  return { header, offset: length };
}

/** What `encodeBundleHead` wrote, at the begin of `start`. @throws UpgradeError */
export function parseHead(
  start: Buffer,
  keys: readonly KeyObject[],
): { readonly header: BundleHeader; readonly length: number } {
  const damaged = (why: string): UpgradeError =>
    new UpgradeError('damaged', `The head of the bundle is damaged: ${why}. Copy it again.`);
  const from = MAGIC.length + 4;
  if (start.length < from || !start.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw new UpgradeError('not-a-bundle', 'This is no update bundle of Weir.');
  }
  const length = start.readUInt32BE(MAGIC.length);
  if (length > HEADER_LIMIT) throw damaged('its header is too long');
  const end = from + length + SIGNATURE_LENGTH;
  if (start.length < end) throw damaged('it is cut off');
  const octets = start.subarray(from, from + length);
  const signature = start.subarray(from + length, end);
  const signed = Buffer.concat([CONTEXT, octets]);
  if (!keys.some((key) => verifyOctets(null, signed, key, signature))) {
    throw new UpgradeError(
      'untrusted',
      'The bundle is not signed by a key that this unit trusts, so nothing was written.',
    );
  }
  const header = decodeHeader(octets);
  if (header === null) {
    throw new UpgradeError(
      'not-a-bundle',
      'The bundle is signed, but of a format that this version does not know.',
    );
  }
  return { header, length: end };
}

function decodeHeader(octets: Buffer): BundleHeader | null {
  let value: unknown;
  try {
    value = JSON.parse(octets.toString('utf8'));
  } catch {
    return null;
  }
  const checked = headerSchema.safeParse(value);
  // One way to write it: no second header has the same meaning.
  return checked.success && encodeHeader(checked.data).equals(octets) ? checked.data : null;
}

/**
 * Hands on the slot of a bundle piece by piece and holds it against its digest.
 *
 * @throws UpgradeError at the end when it is damaged: what was handed on must not be used then
 */
export async function readSlot(
  file: FileHandle,
  { header, offset }: Bundle,
  piece: Piece,
  signal?: AbortSignal,
): Promise<void> {
  await digestOf(file, offset, header.slot, piece, signal).then((right) => {
    if (right) return;
    throw new UpgradeError(
      'damaged',
      'The bundle is damaged: its slot is not what was signed. Copy it again.',
    );
  });
}

/** Whether so many octets of the file from `offset` on have this digest. */
export async function digestOf(
  file: FileHandle,
  offset: number,
  { size, sha256 }: BundleHeader['slot'],
  piece: Piece = () => undefined,
  signal?: AbortSignal,
): Promise<boolean> {
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafe(PIECE);
  for (let at = 0; at < size;) {
    signal?.throwIfAborted();
    const wanted = Math.min(PIECE, size - at);
    const { bytesRead } = await file.read(buffer, 0, wanted, offset + at);
    if (bytesRead === 0) return false;
    const octets = buffer.subarray(0, bytesRead);
    hash.update(octets);
    await piece(octets, at);
    at += bytesRead;
  }
  return hash.digest('hex') === sha256;
}

async function read(file: FileHandle, from: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await file.read(buffer, done, length - done, from + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return buffer.subarray(0, done);
}

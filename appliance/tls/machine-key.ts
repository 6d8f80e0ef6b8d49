/**
 * The key that private keys are encrypted with at rest: AES-256-GCM (NIST SP 800-38D), with the
 * certificate's name as additional data, so that an encrypted key moved to another name is refused.
 * A copy of the database alone is worthless without this file.
 *
 * Invariant: an existing file is never replaced, since that would make every stored key worthless;
 * a file that others may read is refused, not repaired: it must count as known to them.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  linkSync,
  openSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { wipingFreed } from '../../native/ffi/heap.js';
import { CertificateError } from './errors.js';

export const MACHINE_KEY_FILE = 'machine-key';
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** First byte of what `seal` gives; another way to encrypt gets another number. */
const FORM = 1;

export class MachineKey {
  readonly #key: Buffer;

  constructor(key: Buffer) {
    if (key.length !== KEY_BYTES) throw new RangeError(`a machine key has ${KEY_BYTES} bytes`);
    this.#key = key;
  }

  /**
   * The machine key of a state directory.
   *
   * @param make whether to make one when there is none: only while nothing is encrypted by it
   * @throws CertificateError (unavailable)
   */
  static open(directory: string, make: boolean): MachineKey {
    const path = join(directory, MACHINE_KEY_FILE);
    const known = read(path);
    if (known !== null) return new MachineKey(known);
    if (!make) {
      throw new CertificateError(
        'unavailable',
        `The machine key ${path} is missing, and the private keys of the certificate store are encrypted with it: restore the file, or remove the certificates, restart the daemon and import them again.`,
      );
    }
    return new MachineKey(create(path));
  }

  /** Nonce, tag and ciphertext of a private key. `plain` stays the caller's to wipe. */
  seal(name: string, plain: Uint8Array): Buffer {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce);
    cipher.setAAD(boundTo(name));
    const sealed = Buffer.concat([cipher.update(plain), cipher.final()]);
    return Buffer.concat([Buffer.of(FORM), nonce, cipher.getAuthTag(), sealed]);
  }

  /** The private key, which the caller wipes. @throws CertificateError (unavailable) */
  unseal(name: string, sealed: Uint8Array): Buffer {
    const start = 1 + NONCE_BYTES + TAG_BYTES;
    try {
      if (sealed[0] !== FORM || sealed.length <= start) throw new RangeError('unknown form');
      const nonce = sealed.subarray(1, 1 + NONCE_BYTES);
      const decipher = createDecipheriv('aes-256-gcm', this.#key, nonce, {
        authTagLength: TAG_BYTES,
      });
      decipher.setAAD(boundTo(name));
      decipher.setAuthTag(sealed.subarray(1 + NONCE_BYTES, start));
      // node copies what it gives, and does not wipe the first.
      const first = wipingFreed(() => decipher.update(sealed.subarray(start)));
      const rest = decipher.final();
      if (rest.length === 0) return first;
      const plain = Buffer.concat([first, rest]);
      first.fill(0);
      rest.fill(0);
      return plain;
    } catch (cause) {
      throw new CertificateError(
        'unavailable',
        `The private key of ${name} cannot be decrypted: it was encrypted with another machine key, or is damaged. Restore the file ${MACHINE_KEY_FILE}, or import the certificate again.`,
        cause,
      );
    }
  }
}

function boundTo(name: string): Buffer {
  return Buffer.from(`weir certificate key\0${name}`);
}

function read(path: string): Buffer | null {
  let file: number;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw new CertificateError('unavailable', `Cannot read the machine key ${path}.`, error);
  }
  try {
    const { mode, uid, size } = fstatSync(file);
    if ((mode & 0o077) !== 0) {
      throw new CertificateError(
        'unavailable',
        `The machine key ${path} can be used by others than its owner (mode ${(mode & 0o777).toString(8)}): see who read it, then run "chmod 600 ${path}" and restart the daemon.`,
      );
    }
    if (uid !== process.geteuid?.() && uid !== 0) {
      throw new CertificateError(
        'unavailable',
        `The machine key ${path} belongs to user ${uid}: see how that came, then run "chown root ${path}" and restart the daemon.`,
      );
    }
    const key = Buffer.alloc(KEY_BYTES);
    if (size !== KEY_BYTES || readSync(file, key) !== KEY_BYTES) {
      throw new CertificateError(
        'unavailable',
        `The machine key ${path} is damaged: it has ${size} bytes, not ${KEY_BYTES}. Restore it and restart the daemon.`,
      );
    }
    return key;
  } finally {
    closeSync(file);
  }
}

/** Whole or not at all, and never in the place of another one. */
function create(path: string): Buffer {
  const key = randomBytes(KEY_BYTES);
  const beside = `${path}.new`;
  try {
    rmSync(beside, { force: true });
    const file = openSync(beside, 'wx', 0o600);
    try {
      writeSync(file, key);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    linkSync(beside, path);
    rmSync(beside);
    const folder = openSync(dirname(path), 'r');
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
  } catch (cause) {
    throw new CertificateError('unavailable', `Cannot write the machine key ${path}.`, cause);
  }
  return key;
}

/**
 * Reads what is imported in a thread of its own with limits on time and memory: a file may ask for
 * any number of iterations. Octets of keys are handed over, not cloned, and wiped by who has them last.
 */
import { Worker } from 'node:worker_threads';
import { compiled } from '../paths.js';
import { CertificateError, type CertificateErrorCode } from './errors.js';
import type { Material, MaterialOptions } from './material.js';

const PATIENCE_MS = 20_000;
const MEMORY_MIB = 128;

/** What the thread says. */
export type ImportReply =
  | {
      readonly ok: true;
      readonly chain: readonly Uint8Array[];
      readonly key: Uint8Array | null;
      readonly warnings: readonly string[];
    }
  | { readonly ok: false; readonly code: CertificateErrorCode; readonly message: string };

/** As `readMaterial`. `bytes` stay the caller's to wipe. @throws CertificateError */
export async function importMaterial(
  bytes: Buffer,
  options: MaterialOptions,
  patienceMs = PATIENCE_MS,
): Promise<Material> {
  // Handed over rather than cloned, which would leave the octets in memory that nobody wipes.
  const given = new Uint8Array(bytes);
  const worker = new Worker(compiled('appliance/tls/import-thread.js'), {
    workerData: { bytes: given, options },
    transferList: [given.buffer],
    resourceLimits: { maxOldGenerationSizeMb: MEMORY_MIB },
    stdout: true,
    stderr: true,
  });
  let timer: NodeJS.Timeout | undefined;
  try {
    const reply = await new Promise<ImportReply>((resolve, reject) => {
      const fail = (message: string, cause?: unknown): void =>
        reject(new CertificateError('invalid', message, cause));
      timer = setTimeout(() => {
        fail(
          `What was given takes longer than ${patienceMs / 1000} s to decrypt: encrypt it with fewer iterations.`,
        );
      }, patienceMs);
      worker.once('message', resolve);
      worker.once('error', (cause) => fail('What was given cannot be read.', cause));
      worker.once('exit', () => fail('What was given cannot be read.'));
    });
    if (!reply.ok) throw new CertificateError(reply.code, reply.message);
    return {
      chain: reply.chain.map((der) => Buffer.from(der)),
      key: reply.key === null ? null : asBuffer(reply.key),
      warnings: reply.warnings,
    };
  } finally {
    clearTimeout(timer);
    // Not waited for: OpenSSL cannot be stopped in the middle of what it decrypts.
    worker.terminate().catch(() => undefined);
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

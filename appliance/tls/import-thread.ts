/** The thread of import.ts: one import, one reply, and it ends. */
import { parentPort, workerData } from 'node:worker_threads';
import { wipingFreed } from '../../native/ffi/heap.js';
import { CertificateError } from './errors.js';
import type { ImportReply } from './import.js';
import { readMaterial, type MaterialOptions } from './material.js';

interface Given {
  readonly bytes: Uint8Array;
  readonly options: Omit<MaterialOptions, 'known'> & { readonly known: readonly Uint8Array[] };
}

const { bytes, options } = workerData as Given;
const copy = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
let reply: ImportReply;
try {
  const known = options.known.map((one) => Buffer.from(one));
  const material = wipingFreed(() => readMaterial(copy, { ...options, known }));
  const { chain, warnings } = material;
  const key = material.key === null ? null : new Uint8Array(material.key);
  material.key?.fill(0);
  reply = { ok: true, chain, key, warnings };
} catch (error) {
  // Other errors end the thread, and its parent hears them.
  if (!(error instanceof CertificateError)) throw error;
  reply = { ok: false, code: error.code, message: error.message };
} finally {
  copy.fill(0);
}
const handedOver = reply.ok && reply.key !== null ? [reply.key.buffer as ArrayBuffer] : [];
parentPort?.postMessage(reply, handedOver);

/**
 * The PROXY header that a member wants to hear first on a connection, before TLS where there is TLS.
 *
 * Invariant: it has no TLVs, so it is never longer than a line of version 1 may be.
 */
import { type Endpoints, writeProxyBinary, writeProxyLine } from './http1/proxy-protocol.js';
import { Writer } from './http1/writer.js';
import type { L7Pool } from './tables.js';

/** The longest line has 107 bytes. */
const MOST = 128;

const noBytes = new Uint8Array(0);
const room = new Uint8Array(MOST);
const writer = new Writer();

/** What to send, empty for nothing; good until the next call. */
export function proxyPreamble({ proxyProtocol }: L7Pool, ends: Endpoints): Uint8Array {
  if (proxyProtocol === 'off') return noBytes;
  writer.reset(room, 0, MOST);
  if (proxyProtocol === 'v1') writeProxyLine(writer, ends);
  else writeProxyBinary(writer, ends, noBytes);
  return room.subarray(0, writer.end);
}

/**
 * Sessions that a server keeps for clients of TLS 1.2 without tickets (RFC 5246 §F.1.4): OpenSSL makes
 * the session and its random id, and asks here for what it has forgotten, SSL_CTX_sess_set_get_cb(3).
 * All of it happens in handshakes, or when a connection fails.
 *
 * Invariant: OpenSSL keeps none itself, and takes none of another session context or after its time,
 * nor one that a certificate of the client has not outlived.
 */
import { callback, pointerTo, type Pointer, raw } from './openssl-raw.js';
import { certificatesExpired, noteCertificates } from './tls-client-certificates.js';
import { TlsError } from './tls-error.js';
import { TLS1_2 } from './tls-versions.js';

export interface SessionStore {
  /** Most octets of a session that it takes. */
  readonly most: number;
  keep(id: Uint8Array, session: Uint8Array): void;
  /** What was kept; null: it is not known, or not any more. */
  find(id: Uint8Array): Uint8Array | null;
  forget(id: Uint8Array): void;
}

/** Octets of an id, at most. */
const MOST_ID = 32;
const SERVER = 2;
const NO_INTERNAL = 0x300;
const CTRL_SET_SESS_CACHE_MODE = 44;

let store: SessionStore | null = null;
let callbacks: { readonly add: Pointer; readonly get: Pointer; readonly remove: Pointer } | null =
  null;
/** Where pointers and lengths are handed over; what is in it holds for one call. */
const cell = Buffer.alloc(8);
const cellAddress = pointerTo(cell);

/** Where sessions of all contexts of this process are from now on. */
export function setSessionStore(given: SessionStore): void {
  store = given;
}

/** Connections of this server's context are resumed by what is in the store. */
export function storeSessions(context: Pointer): void {
  callbacks ??= {
    add: callback('int WeirStoreSession(int64 ssl, int64 session)', add),
    get: callback('int64 WeirGetSession(int64 ssl, int64 id, int length, int64 copy)', get),
    remove: callback('void WeirForgetSession(int64 context, int64 session)', remove),
  };
  raw.SSL_CTX_ctrl(context, CTRL_SET_SESS_CACHE_MODE, SERVER | NO_INTERNAL, 0);
  raw.SSL_CTX_sess_set_new_cb(context, callbacks.add);
  raw.SSL_CTX_sess_set_get_cb(context, callbacks.get);
  raw.SSL_CTX_sess_set_remove_cb(context, callbacks.remove);
}

/** A new session, which stays OpenSSL's own. Those with a ticket have no id, and those of 1.3 have one. */
function add(ssl: number, session: number): number {
  if (store === null || raw.SSL_version(ssl) !== TLS1_2 || !noted(ssl, session)) return 0;
  const id = idOf(session);
  const length = raw.i2d_SSL_SESSION(session, 0);
  if (id.length === 0 || length <= 0 || length > store.most) return 0;
  const bytes = Buffer.alloc(length);
  cell.writeBigUInt64LE(BigInt(pointerTo(bytes)));
  if (raw.i2d_SSL_SESSION(session, cellAddress) === length) store.keep(id, bytes);
  bytes.fill(0);
  return 0;
}

/** Whether the session has with it what `get` will ask of the client's certificates. */
function noted(ssl: Pointer, session: Pointer): boolean {
  try {
    return noteCertificates(ssl, session);
  } catch (error) {
    if (!(error instanceof TlsError)) throw error;
    return false; // for want of memory: the client begins anew next time
  }
}

/** The session is handed over, without a copy. */
function get(_ssl: number, id: number, length: number, copy: number): number {
  const bytes = length > MOST_ID ? null : (store?.find(octets(id, length)) ?? null);
  if (bytes === null) return 0;
  cell.fill(0);
  raw.memcpy(copy, cellAddress, 4);
  cell.writeBigUInt64LE(BigInt(pointerTo(bytes)));
  const session = raw.d2i_SSL_SESSION(0, cellAddress, bytes.length);
  bytes.fill(0);
  // It would be in the way of the connection's own.
  if (session === 0) raw.ERR_clear_error();
  else if (certificatesExpired(session)) {
    raw.SSL_SESSION_free(session);
    return 0;
  }
  return session;
}

function remove(_context: number, session: number): number {
  const id = idOf(session);
  if (id.length > 0) store?.forget(id);
  return 0;
}

function idOf(session: Pointer): Uint8Array {
  const id = raw.SSL_SESSION_get_id(session, cellAddress);
  return octets(id, cell.readUInt32LE(0));
}

function octets(address: Pointer, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  if (length > 0) raw.memcpy(pointerTo(bytes), address, length);
  return bytes;
}

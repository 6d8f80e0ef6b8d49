/**
 * The certificate that a client has shown, of the connection or of the session that it goes on with.
 *
 * A session has the client's own certificate and no others. What else is needed of the chain lies in
 * the ticket as its application data (SSL_CTX_set_session_ticket_cb(3)): until when all of the chain
 * is valid, and if asked for, what is between the client's certificate and the authority.
 *
 * Invariant: a session is resumed only while all certificates are valid that it was begun with. Each
 * use may bring a new ticket, so without that it could go on for ever.
 */
import { holding } from './memory.js';
import { callback, pointerTo, type Pointer, raw } from './openssl-raw.js';
import { failure, TlsError } from './tls-error.js';

export interface ClientCertificate {
  readonly der: Buffer;
  /** RFC 4514, in ASCII: every other octet is escaped. */
  readonly subject: string;
  readonly issuer: string;
}

const BIO_CTRL_PENDING = 10;
/**
 * XN_FLAG_RFC2253: ASN1_STRFLGS_RFC2253 (what RFC 2253 escapes, control octets and those above 0x7f of
 * UTF-8, unknown types as DER), SEP_COMMA_PLUS, DN_REV, DUMP_UNKNOWN_FIELDS.
 */
const RFC_2253 = 0x0317 + 0x0001_0000 + 0x0010_0000 + 0x0100_0000;

/** DER of X509. */
function derOf(certificate: Pointer): Buffer {
  const length = raw.i2d_X509(certificate, 0);
  if (length <= 0) throw failure('a certificate cannot be written');
  const der = Buffer.alloc(length);
  const where = new Uint8Array(new BigUint64Array([BigInt(pointerTo(der))]).buffer);
  holding([der, where], () => raw.i2d_X509(certificate, pointerTo(where)));
  return der;
}

/** X509_NAME_print_ex(3). A space at the end is written by its number: recipients would strip it. */
function nameText(name: Pointer): string {
  const bio = raw.BIO_new(raw.BIO_s_mem());
  if (bio === 0) throw failure('no memory for TLS');
  try {
    if (raw.X509_NAME_print_ex(bio, name, 0, RFC_2253) < 0) throw failure('a name is unreadable');
    const text = Buffer.alloc(raw.BIO_ctrl(bio, BIO_CTRL_PENDING, 0, 0));
    if (text.length > 0) {
      holding([text], () => raw.BIO_read(bio, pointerTo(text), text.length));
    }
    return text
      .toString('latin1')
      .replace(/[^ -~]/g, (one) => `\\${one.charCodeAt(0).toString(16).padStart(2, '0')}`)
      .replace(/\\ $/, '\\20');
  } finally {
    raw.BIO_free(bio);
  }
}

/** Of a server's connection; null: the client has shown none, or it was not found to be valid. */
export function clientCertificate(ssl: Pointer): ClientCertificate | null {
  const certificate = raw.SSL_get0_peer_certificate(ssl);
  if (certificate === 0 || raw.SSL_get_verify_result(ssl) !== 0) return null;
  return {
    der: derOf(certificate),
    subject: nameText(raw.X509_get_subject_name(certificate)),
    issuer: nameText(raw.X509_get_issuer_name(certificate)),
  };
}

/** What was between a client's certificate and the authority, the one that signed it first. */
export function clientChain(ssl: Pointer): Buffer[] {
  const verified = raw.SSL_get0_verified_chain(ssl);
  if (verified !== 0) return between(verified).map(derOf);
  const data = ticketData(raw.SSL_get_session(ssl));
  return data === null ? [] : unpack(data.subarray(VALIDITY_BYTES));
}

function between(chain: Pointer): Pointer[] {
  const count = raw.OPENSSL_sk_num(chain);
  return Array.from({ length: Math.max(0, count - 2) }, (_, i) =>
    raw.OPENSSL_sk_value(chain, i + 1),
  );
}

/** A certificate as its length in 4 octets and its DER. */
function pack(certificates: readonly Buffer[]): Buffer {
  return Buffer.concat(
    certificates.flatMap((der) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(der.length);
      return [length, der];
    }),
  );
}

function unpack(bytes: Buffer): Buffer[] {
  const certificates: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = at + 4 + bytes.readUInt32BE(at);
    certificates.push(bytes.subarray(at + 4, end));
    at = end;
  }
  return certificates;
}

/** Application data begin with when the chain is no longer valid: milliseconds since 1970, a double. */
const VALIDITY_BYTES = 8;
/** A ticket has at most 65,535 octets, with the client's certificate. A longer chain is not kept, and its session not resumed. */
const CHAIN_MOST = 16_384;
const DAY = 86_400_000;

const cells = Buffer.alloc(16);
const cellsAt = pointerTo(cells);

/** A copy of what lies beside a session in its ticket. */
function ticketData(session: Pointer): Buffer | null {
  cells.fill(0);
  if (raw.SSL_SESSION_get0_ticket_appdata(session, cellsAt, cellsAt + 8) !== 1) return null;
  const data = Buffer.alloc(Number(cells.readBigUInt64LE(8)));
  if (data.length === 0) return null;
  raw.memcpy(pointerTo(data), Number(cells.readBigUInt64LE(0)), data.length);
  return data;
}

/** When X509 is no longer valid; 0: that cannot be read. */
function validUntil(certificate: Pointer): number {
  // ASN1_TIME_diff(3) counts from the second that it is now.
  const now = Math.floor(Date.now() / 1000) * 1000;
  const read = raw.ASN1_TIME_diff(cellsAt, cellsAt + 4, 0, raw.X509_get0_notAfter(certificate));
  return read === 1 ? now + cells.readInt32LE(0) * DAY + cells.readInt32LE(4) * 1000 : 0;
}

/** Contexts whose sessions have the chain, too. */
const chainKept = new Set<Pointer>();

/**
 * A server's session is about to be given away, in a ticket or otherwise: notes in it what it has not
 * by itself. One that was resumed has it already. Whether there was memory for it.
 */
export function noteCertificates(ssl: Pointer, session: Pointer): boolean {
  const chain = raw.SSL_get0_verified_chain(ssl);
  if (chain === 0) return true;
  const all = Array.from({ length: raw.OPENSSL_sk_num(chain) }, (_, i) =>
    raw.OPENSSL_sk_value(chain, i),
  );
  const kept = chainKept.has(raw.SSL_get_SSL_CTX(ssl)) ? pack(between(chain).map(derOf)) : nothing;
  const until = kept.length > CHAIN_MOST ? 0 : Math.min(...all.map(validUntil));
  const data = Buffer.alloc(VALIDITY_BYTES + (until === 0 ? 0 : kept.length));
  data.writeDoubleLE(until);
  if (until !== 0) kept.copy(data, VALIDITY_BYTES);
  return raw.SSL_SESSION_set1_ticket_appdata(session, pointerTo(data), data.length) === 1;
}

const nothing = Buffer.alloc(0);

/** Whether a certificate that the session was begun with is no longer valid, so that it may not go on. */
export function certificatesExpired(session: Pointer): boolean {
  const data = ticketData(session);
  return data !== null && data.readDoubleLE() <= Date.now();
}

const DONE = 1;
const FAILED = 0;

/** What there is no memory for fails the handshake, which says so. */
function beforeTicket(ssl: number): number {
  try {
    return noteCertificates(ssl, raw.SSL_get_session(ssl)) ? DONE : FAILED;
  } catch (error) {
    if (!(error instanceof TlsError)) throw error;
    return FAILED;
  }
}

const STATUS_SUCCESS = 5;
const STATUS_RENEW = 6;
const IGNORE_AND_RENEW = 2;
const USE = 3;
const USE_AND_RENEW = 4;

/** A ticket was opened, or not. */
function afterTicket(session: number, status: number): number {
  if (status !== STATUS_SUCCESS && status !== STATUS_RENEW) return IGNORE_AND_RENEW;
  if (certificatesExpired(session)) return IGNORE_AND_RENEW;
  return status === STATUS_RENEW ? USE_AND_RENEW : USE;
}

let before: Pointer = 0;
let after: Pointer = 0;

/** Of a server's context that asks for certificates: what its sessions have of them. */
export function keepCertificates(context: Pointer, keepChain: boolean): void {
  before ||= callback('int WeirBeforeTicket(int64 ssl, int64 argument)', (ssl) =>
    beforeTicket(ssl ?? 0),
  );
  after ||= callback(
    'int WeirAfterTicket(int64 ssl, int64 session, int64 name, size_t length, int status, int64 argument)',
    (_ssl, session, _name, _length, status) => afterTicket(session ?? 0, status ?? 0),
  );
  if (raw.SSL_CTX_set_session_ticket_cb(context, before, after, 0) !== 1) {
    throw failure('its tickets');
  }
  // A context that is gone may have been where this one is.
  if (keepChain) chainKept.add(context);
  else chainKept.delete(context);
}

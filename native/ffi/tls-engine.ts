/**
 * TLS without sockets: bytes of the wire go in and out through two BIOs in memory, which all
 * connections of a thread share (SSL_read(3), SSL_write(3), BIO_s_mem(3)). That works because nothing
 * is left in them between two calls: what a connection has of a record that is not whole OpenSSL keeps
 * with the connection, and what it writes is taken at once.
 *
 * What comes in is not even copied: a read-only memory BIO reads from where its BUF_MEM points to, and
 * that is set here for each buffer. `open` tries this out and says so if this OpenSSL does it in
 * another way.
 *
 * Invariant: `feed` … `take` of one connection are not interrupted by those of another; OpenSSL's list
 * of errors is empty between two calls.
 */
import { holding } from './memory.js';
import { memoryAt, pointerTo, type Pointer, raw } from './openssl-raw.js';
import type { TlsContext } from './tls-context.js';
import { failure, takeFailure, type TlsFailure, TlsError } from './tls-error.js';

const BIO_CTRL_GET_BUF_MEM = 115;
const BIO_CTRL_SET_EOF_RETURN = 130;
const BIO_CTRL_RESET = 1;
const CTRL_SET_TLSEXT_HOSTNAME = 55;
const SENT_AND_RECEIVED = 3;
const ERROR_WANT_READ = 2;
const ERROR_ZERO_RETURN = 6;
const NO_PARTIAL_WILDCARDS = 4;
const EARLY_SUCCESS = 1;
const EARLY_FINISH = 2;

/** What became of a call, where it is no number of bytes. */
export const outcome = {
  /** It needs more from the peer. */
  more: 0,
  /** The peer has ended TLS in order. */
  ended: -1,
  /** It failed: `reason` says why. What is to be sent is an alert. */
  failed: -2,
  /** No more early data comes. */
  finished: -3,
} as const;

/** Words of a BUF_MEM: length, data, max, each of two. */
function bufMem(bio: Pointer): Int32Array {
  const cell = new BigUint64Array(1);
  const words = new Uint8Array(cell.buffer);
  const done = holding([words], () => raw.BIO_ctrl(bio, BIO_CTRL_GET_BUF_MEM, 0, pointerTo(words)));
  if (done !== 1) throw failure('a BIO without memory');
  return new Int32Array(memoryAt(Number(cell[0]), 24));
}

export class TlsEngine {
  /** Of the last call that failed: OpenSSL's words, and what kind of failure that is. */
  reason = '';
  failure: TlsFailure = 'other';
  readonly #in: Pointer;
  readonly #out: Pointer;
  readonly #source: Int32Array;
  readonly #sink: Int32Array;

  constructor() {
    this.#in = raw.BIO_new_mem_buf(pointerTo(nothing), 0);
    this.#out = raw.BIO_new(raw.BIO_s_mem());
    if (this.#in === 0 || this.#out === 0) throw failure('no memory for TLS');
    // Where it is empty there is more to come, not an end.
    raw.BIO_ctrl(this.#in, BIO_CTRL_SET_EOF_RETURN, -1, 0);
    raw.BIO_ctrl(this.#out, BIO_CTRL_SET_EOF_RETURN, -1, 0);
    this.#source = bufMem(this.#in);
    this.#sink = bufMem(this.#out);
    this.#prove();
  }

  /** A connection on the side that `context` is for. Throws TlsError. */
  connection(context: TlsContext, side: 'server' | 'client'): Pointer {
    const ssl = raw.SSL_new(context.pointer);
    if (ssl === 0) throw failure('no connection of TLS');
    raw.BIO_up_ref(this.#in);
    raw.SSL_set0_rbio(ssl, this.#in);
    raw.BIO_up_ref(this.#out);
    raw.SSL_set0_wbio(ssl, this.#out);
    if (side === 'server') raw.SSL_set_accept_state(ssl);
    else raw.SSL_set_connect_state(ssl);
    return ssl;
  }

  /**
   * Of a client: whom it asks for, and whom the certificate must name. `name` null: no name is sent,
   * `address` is what the certificate must have.
   */
  expect(ssl: Pointer, name: string | null, address: string): void {
    const parameters = raw.SSL_get0_param(ssl);
    raw.X509_VERIFY_PARAM_set_hostflags(parameters, NO_PARTIAL_WILDCARDS);
    const set =
      name === null
        ? raw.X509_VERIFY_PARAM_set1_ip_asc(parameters, address)
        : raw.X509_VERIFY_PARAM_set1_host(parameters, name, 0);
    const sent = name === null ? 1 : raw.SSL_ctrl_text(ssl, CTRL_SET_TLSEXT_HOSTNAME, 0, name);
    if (set !== 1 || sent !== 1) throw failure(`no connection of TLS to ${name ?? address}`);
  }

  /** What is wrong with the certificate of the other side; null: nothing, as far as it was looked at. */
  certificateProblem(ssl: Pointer): string | null {
    const result = raw.SSL_get_verify_result(ssl);
    return result === 0 ? null : raw.X509_verify_cert_error_string(result);
  }

  /** After the handshake: whether it went on with an earlier session, and the version of TLS. */
  resumed(ssl: Pointer): boolean {
    return raw.SSL_session_reused(ssl) === 1;
  }

  version(ssl: Pointer): number {
    return raw.SSL_version(ssl);
  }

  /** Frees a connection, in whatever state it is. */
  free(ssl: Pointer): void {
    raw.SSL_set_shutdown(ssl, SENT_AND_RECEIVED);
    raw.SSL_free(ssl);
  }

  /** The next calls read these bytes of the wire; they stay where they are meanwhile. */
  feed(low: number, high: number, length: number): void {
    const source = this.#source;
    source[0] = length;
    source[2] = low;
    source[3] = high;
    source[4] = length;
  }

  /** How many of them no call has read. */
  get left(): number {
    return this.#source[0] as number;
  }

  /** Goes on with the handshake: 1 when it is over, else an outcome. */
  handshake(ssl: Pointer): number {
    const done = raw.SSL_do_handshake(ssl);
    return done === 1 ? 1 : this.#why(ssl, done);
  }

  /**
   * Of a server that allows it, instead of `handshake` until it says `finished`: puts early data at
   * `address`, SSL_read_early_data(3). Returns how many bytes, or an outcome.
   */
  readEarly(ssl: Pointer, address: number, length: number): number {
    const done = raw.SSL_read_early_data(ssl, address, length, sizeAddress);
    if (done === EARLY_FINISH) return outcome.finished;
    return done === EARLY_SUCCESS ? Number(size[0]) : this.#why(ssl, 0);
  }

  /** As `write`, after early data was read and before the handshake is over. */
  writeEarly(ssl: Pointer, address: number, length: number): number {
    const done = raw.SSL_write_early_data(ssl, address, length, sizeAddress);
    return done === 1 ? Number(size[0]) : this.#why(ssl, 0);
  }

  /** Puts plain bytes at `address`. Returns how many, or an outcome. */
  read(ssl: Pointer, address: number, length: number): number {
    const count = raw.SSL_read(ssl, address, length);
    return count > 0 ? count : this.#why(ssl, count);
  }

  /** Encrypts all of these. Returns `length`, or an outcome. */
  write(ssl: Pointer, address: number, length: number): number {
    const count = raw.SSL_write(ssl, address, length);
    return count > 0 ? count : this.#why(ssl, count);
  }

  /** Ends the sending side of TLS. */
  shutdown(ssl: Pointer): void {
    if (raw.SSL_shutdown(ssl) < 0) this.#why(ssl, -1);
  }

  /** Whether a call has written something for the wire. */
  get hasOutput(): boolean {
    return this.#sink[0] !== 0;
  }

  /** Takes at most `length` bytes for the wire. Returns how many; fewer than asked for: that was all. */
  take(address: number, length: number): number {
    const count = raw.BIO_read(this.#out, address, length);
    if (count < length) this.#sink[0] = 0;
    return count < 0 ? 0 : count;
  }

  /** Throws away what was written, of a connection that is broken. */
  discard(): void {
    if (!this.hasOutput) return;
    raw.BIO_ctrl(this.#out, BIO_CTRL_RESET, 0, 0);
    this.#sink[0] = 0;
  }

  close(): void {
    raw.BIO_free(this.#in);
    raw.BIO_free(this.#out);
  }

  #why(ssl: Pointer, returned: number): number {
    switch (raw.SSL_get_error(ssl, returned)) {
      case ERROR_WANT_READ:
        return outcome.more;
      case ERROR_ZERO_RETURN:
        return outcome.ended;
      default: {
        const { reason, kind } = takeFailure();
        this.reason = reason || 'an unexpected state';
        this.failure = kind;
        return outcome.failed;
      }
    }
  }

  #prove(): void {
    const from = Buffer.from('a record of TLS');
    const to = Buffer.alloc(32);
    const words = new Int32Array(new BigInt64Array([BigInt(pointerTo(from))]).buffer);
    this.feed(words[0] as number, words[1] as number, 11);
    const read = raw.BIO_read(this.#in, pointerTo(to), 8);
    const half = read === 8 && to.toString('latin1', 0, 8) === 'a record' && this.left === 3;
    const rest = raw.BIO_read(this.#in, pointerTo(to), 8) === 3 && this.left === 0;
    const empty = raw.BIO_read(this.#in, pointerTo(to), 8) === -1;
    const written = raw.BIO_write(this.#out, pointerTo(from), 15) === 15 && this.hasOutput;
    const back = this.take(pointerTo(to), 32) === 15 && !this.hasOutput;
    const again = raw.BIO_write(this.#out, pointerTo(from), 4) === 4 && this.hasOutput;
    const taken = this.take(pointerTo(to), 4) === 4 && this.hasOutput;
    const none = this.take(pointerTo(to), 4) === 0 && !this.hasOutput;
    if (half && rest && empty && written && back && again && taken && none) return;
    throw new TlsError('this OpenSSL keeps memory BIOs in another way than is expected', '');
  }
}

const nothing = Buffer.alloc(1);
/** A size_t that OpenSSL writes. */
const size = new BigUint64Array(1);
const sizeAddress = pointerTo(new Uint8Array(size.buffer));

/**
 * Contexts of OpenSSL, SSL_CTX_new(3): what all connections of one kind have in common. Policies
 * follow Mozilla's recommendations for servers (version 5.7), without its finite-field DHE.
 *
 * Invariant: renegotiation and compression are off in every context, and no session is kept in one:
 * servers resume by tickets or what is stored outside, clients by what `onSession` got.
 */
import { callback, pointerTo, type Pointer, raw } from './openssl-raw.js';
import { keepCertificates } from './tls-client-certificates.js';
import { failure } from './tls-error.js';
import type { PrivateKey, X509 } from './tls-material.js';
import { storeSessions } from './tls-stored-sessions.js';
import { ticketCallback } from './tls-tickets.js';
import { TLS1_2, TLS1_3 } from './tls-versions.js';

export type TlsPolicy = 'modern' | 'intermediate';

/** A certificate with its chain, leaf first, and its key. */
export interface Identity {
  readonly chain: readonly X509[];
  readonly key: PrivateKey;
}

export interface ServerContextOptions {
  readonly policy: TlsPolicy;
  /** At most one of each kind of key. */
  readonly identities: readonly Identity[];
  /** Protocols in the server's order; empty: ALPN is not answered. */
  readonly alpn: readonly string[];
  /** Whether clients may resume: by tickets, those of TLS 1.2 without them by what is stored. */
  readonly tickets: boolean;
  /** Whether clients that resume may send data with their hello (RFC 8446 §2.3). */
  readonly earlyData: boolean;
  /** Tickets are good for contexts of the same 32 octets only. */
  readonly sessionContext: Uint8Array;
  readonly clients: {
    readonly required: boolean;
    readonly authorities: readonly X509[];
    readonly depth: number;
    /** Whether tickets have the certificates between that of the client and an authority, too. */
    readonly keepChain: boolean;
  } | null;
  /** Connections end with their handshake: nothing is said or heard on them (RFC 8737 §3). */
  readonly handshakeOnly?: boolean;
}

export interface ClientContextOptions {
  readonly policy: TlsPolicy;
  readonly verify: boolean;
  /** null: those of the system. */
  readonly authorities: readonly X509[] | null;
  readonly identity: Identity | null;
}

const CTRL_MODE = 33;
const CTRL_SET_SESS_CACHE_MODE = 44;
const CTRL_SET_TLSEXT_SERVERNAME_CB = 53;
const CTRL_CHAIN_CERT = 89;
const CTRL_SET_GROUPS_LIST = 92;
const CTRL_SET_MIN_PROTO_VERSION = 123;

const MODE_RELEASE_BUFFERS = 0x10;
const SESS_CACHE_OFF = 0;
const SESS_CACHE_CLIENT = 1;
const SESS_CACHE_NO_INTERNAL = 0x300;
const OP_NO_TICKET = 2 ** 14;
const OP_NO_COMPRESSION = 2 ** 17;
/**
 * OpenSSL's own guard against early data that is sent again needs a memory of tickets, which each worker
 * would have for itself: whoever reads early data must know that it may be a repetition.
 */
const OP_NO_ANTI_REPLAY = 2 ** 24;
/** Ours come first, but ChaCha20 for clients that begin with it: they have no AES in hardware. */
const OP_PRIORITIZE_CHACHA = 2 ** 21;
const OP_CIPHER_SERVER_PREFERENCE = 2 ** 22;
const OP_NO_RENEGOTIATION = 2 ** 30;
const VERIFY_NONE = 0;
const VERIFY_PEER = 1;
const VERIFY_REQUIRED = 1 | 2;
/** Bytes of early data that a client may send: a few heads of requests. */
const EARLY_MOST = 16_384;
/** RSA from 2,048 bits on, no SHA-1. */
const SECURITY_LEVEL = 2;

const suites13 = 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256';
const suites12 = [
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':');

function must(done: boolean, what: string): void {
  if (!done) throw failure(what);
}

function newContext(method: Pointer, policy: TlsPolicy): Pointer {
  const context = raw.SSL_CTX_new(method);
  if (context === 0) throw failure('no context for TLS');
  try {
    const least = policy === 'modern' ? TLS1_3 : TLS1_2;
    raw.SSL_CTX_set_security_level(context, SECURITY_LEVEL);
    raw.SSL_CTX_set_options(context, OP_NO_COMPRESSION + OP_NO_RENEGOTIATION);
    raw.SSL_CTX_ctrl(context, CTRL_MODE, MODE_RELEASE_BUFFERS, 0);
    must(raw.SSL_CTX_ctrl(context, CTRL_SET_MIN_PROTO_VERSION, least, 0) === 1, 'its versions');
    must(raw.SSL_CTX_set_cipher_list(context, suites12) === 1, 'its ciphers');
    must(raw.SSL_CTX_set_ciphersuites(context, suites13) === 1, 'its cipher suites');
    const groups = raw.SSL_CTX_ctrl_text(context, CTRL_SET_GROUPS_LIST, 0, 'X25519:P-256:P-384');
    must(groups === 1, 'its groups');
  } catch (error) {
    raw.SSL_CTX_free(context);
    throw error;
  }
  return context;
}

function useIdentity(context: Pointer, { chain, key }: Identity): void {
  const [leaf, ...others] = chain;
  must(
    leaf !== undefined && raw.SSL_CTX_use_certificate(context, leaf.pointer) === 1,
    'the certificate cannot be used',
  );
  must(raw.SSL_CTX_use_PrivateKey(context, key.pointer) === 1, 'the key does not fit');
  for (const one of others) {
    must(raw.SSL_CTX_ctrl(context, CTRL_CHAIN_CERT, 1, one.pointer) === 1, 'the chain is unusable');
  }
}

/** Lists of protocols that contexts offer. The callback below is given a place in it, and nothing else. */
const offers: (readonly string[])[] = [];

function placeOf(alpn: readonly string[]): number {
  const known = offers.findIndex((one) => one.join('\n') === alpn.join('\n'));
  return known >= 0 ? known : offers.push(alpn) - 1;
}

const OK = 0;
const ALERT_FATAL = 2;
const NOACK = 3;
const pointerCell = Buffer.alloc(8);
const lengthCell = Buffer.alloc(1);

/** SSL_CTX_set_alpn_select_cb(3): the first of ours that the client has as well. */
function selectProtocol(
  _ssl: number,
  out: number,
  outLength: number,
  theirs: number,
  length: number,
  place: number,
): number {
  const ours = (offers[place] ?? []).map((name) => Buffer.from(name, 'latin1'));
  const list = Buffer.alloc(length);
  raw.memcpy(pointerTo(list), theirs, length);
  for (const name of ours) {
    for (let at = 0; at < length; at += 1 + (list[at] ?? 0)) {
      const size = list[at] ?? 0;
      if (!list.subarray(at + 1, at + 1 + size).equals(name)) continue;
      // What is chosen lies in the client's own list.
      pointerCell.writeBigUInt64LE(BigInt(theirs + at + 1));
      lengthCell[0] = size;
      raw.memcpy(out, pointerTo(pointerCell), 8);
      raw.memcpy(outLength, pointerTo(lengthCell), 1);
      return OK;
    }
  }
  return ours.length === 0 ? NOACK : ALERT_FATAL;
}

let selectCallback: Pointer = 0;
let nameCallback: Pointer = 0;
let sessionCallback: Pointer = 0;

/** Who gets sessions of members; by the connection. True: it keeps the session. */
let keepSession: (ssl: Pointer, session: Pointer) => boolean = () => false;

export function onSession(keep: (ssl: Pointer, session: Pointer) => boolean): void {
  keepSession = keep;
}

export class TlsContext {
  #pointer: Pointer;

  private constructor(
    pointer: Pointer,
    readonly earlyData: boolean,
    readonly handshakeOnly: boolean,
  ) {
    this.#pointer = pointer;
  }

  /** Throws TlsError. */
  static server(options: ServerContextOptions): TlsContext {
    const context = newContext(raw.TLS_server_method(), options.policy);
    try {
      raw.SSL_CTX_set_options(context, OP_CIPHER_SERVER_PREFERENCE + OP_PRIORITIZE_CHACHA);
      for (const identity of options.identities) useIdentity(context, identity);
      const { sessionContext, clients, alpn } = options;
      must(
        raw.SSL_CTX_set_session_id_context(context, sessionContext, sessionContext.length) === 1,
        'its session context',
      );
      if (options.tickets) {
        // One is enough for a connection, and each costs as much as an answer.
        must(raw.SSL_CTX_set_num_tickets(context, 1) === 1, 'its tickets');
        raw.SSL_CTX_set_tlsext_ticket_key_evp_cb(context, ticketCallback());
        storeSessions(context);
      } else {
        must(raw.SSL_CTX_set_num_tickets(context, 0) === 1, 'its tickets');
        raw.SSL_CTX_set_options(context, OP_NO_TICKET);
        raw.SSL_CTX_ctrl(context, CTRL_SET_SESS_CACHE_MODE, SESS_CACHE_OFF, 0);
      }
      if (options.earlyData) {
        raw.SSL_CTX_set_options(context, OP_NO_ANTI_REPLAY);
        must(raw.SSL_CTX_set_max_early_data(context, EARLY_MOST) === 1, 'its early data');
        must(raw.SSL_CTX_set_recv_max_early_data(context, EARLY_MOST) === 1, 'its early data');
      }
      // That the name was understood is said only where there is a callback that says so.
      nameCallback ||= callback(
        'int WeirServerName(int64 ssl, int64 alert, int64 argument)',
        () => OK,
      );
      raw.SSL_CTX_callback_ctrl(context, CTRL_SET_TLSEXT_SERVERNAME_CB, nameCallback);
      if (alpn.length > 0) {
        selectCallback ||= callback(
          'int WeirSelectProtocol(int64 ssl, int64 out, int64 outLength, int64 theirs, uint length, int64 argument)',
          selectProtocol,
        );
        raw.SSL_CTX_set_alpn_select_cb(context, selectCallback, placeOf(alpn));
      }
      if (clients !== null) {
        trust(context, clients.authorities);
        for (const one of clients.authorities) {
          must(raw.SSL_CTX_add_client_CA(context, one.pointer) === 1, 'an authority of clients');
        }
        raw.SSL_CTX_set_verify(context, clients.required ? VERIFY_REQUIRED : VERIFY_PEER, 0);
        raw.SSL_CTX_set_verify_depth(context, clients.depth);
        keepCertificates(context, clients.keepChain);
      }
    } catch (error) {
      raw.SSL_CTX_free(context);
      throw error;
    }
    return new TlsContext(context, options.earlyData, options.handshakeOnly ?? false);
  }

  /** Throws TlsError. */
  static client(options: ClientContextOptions): TlsContext {
    const context = newContext(raw.TLS_client_method(), options.policy);
    try {
      if (options.identity !== null) useIdentity(context, options.identity);
      if (options.authorities !== null) trust(context, options.authorities);
      else
        must(raw.SSL_CTX_set_default_verify_paths(context) === 1, 'the authorities of the system');
      raw.SSL_CTX_set_verify(context, options.verify ? VERIFY_PEER : VERIFY_NONE, 0);
      raw.SSL_CTX_ctrl(
        context,
        CTRL_SET_SESS_CACHE_MODE,
        SESS_CACHE_CLIENT | SESS_CACHE_NO_INTERNAL,
        0,
      );
      sessionCallback ||= callback(
        'int WeirNewSession(int64 ssl, int64 session)',
        (ssl, session) => (keepSession(ssl ?? 0, session ?? 0) ? 1 : 0),
      );
      raw.SSL_CTX_sess_set_new_cb(context, sessionCallback);
    } catch (error) {
      raw.SSL_CTX_free(context);
      throw error;
    }
    return new TlsContext(context, false, false);
  }

  get pointer(): Pointer {
    return this.#pointer;
  }

  /** Connections that use it keep it for themselves. */
  close(): void {
    raw.SSL_CTX_free(this.#pointer);
    this.#pointer = 0;
  }
}

function trust(context: Pointer, authorities: readonly X509[]): void {
  const store = raw.SSL_CTX_get_cert_store(context);
  for (const one of authorities) {
    must(raw.X509_STORE_add_cert(store, one.pointer) === 1, 'an authority is unusable');
  }
}

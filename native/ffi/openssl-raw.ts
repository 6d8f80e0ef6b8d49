/**
 * The functions of OpenSSL that TLS needs, from the copy inside of node, so that nothing else has to
 * be installed and its security fixes come with node's. Manual pages: openssl.org, sections 3 and 7.
 *
 * Pointers are plain numbers: user-space addresses are below 2^47, and a number costs no heap object
 * on the way. Invariant: nobody but native/ffi calls these.
 */
import koffi from 'koffi';

/** An address. 0 is NULL. */
export type Pointer = number;

const node = koffi.load(null);

// A signed integer of 64 bits is what koffi takes and gives as a plain number.
const P = 'int64';

type Numbers = (...parameters: number[]) => number;

function numbers(name: string, result: string, parameters: readonly string[]): Numbers {
  return node.func(name, result, [...parameters]) as Numbers;
}

function withText(
  name: string,
  result: string,
  parameters: readonly string[],
): (first: number, ...rest: (number | string)[]) => number {
  return node.func(name, result, [...parameters]) as (
    first: number,
    ...rest: (number | string)[]
  ) => number;
}

export const raw = {
  TLS_server_method: numbers('TLS_server_method', P, []),
  TLS_client_method: numbers('TLS_client_method', P, []),

  SSL_CTX_new: numbers('SSL_CTX_new', P, [P]),
  SSL_CTX_free: numbers('SSL_CTX_free', 'void', [P]),
  SSL_CTX_ctrl: numbers('SSL_CTX_ctrl', 'long', [P, 'int', 'long', P]),
  SSL_CTX_ctrl_text: withText('SSL_CTX_ctrl', 'long', [P, 'int', 'long', 'str']),
  SSL_CTX_set_options: numbers('SSL_CTX_set_options', 'uint64', [P, 'uint64']),
  SSL_CTX_set_cipher_list: withText('SSL_CTX_set_cipher_list', 'int', [P, 'str']),
  SSL_CTX_set_ciphersuites: withText('SSL_CTX_set_ciphersuites', 'int', [P, 'str']),
  SSL_CTX_use_certificate: numbers('SSL_CTX_use_certificate', 'int', [P, P]),
  SSL_CTX_use_PrivateKey: numbers('SSL_CTX_use_PrivateKey', 'int', [P, P]),
  SSL_CTX_set_session_id_context: node.func('SSL_CTX_set_session_id_context', 'int', [
    P,
    'void *',
    'uint',
  ]) as (context: number, id: Uint8Array, length: number) => number,
  SSL_CTX_set_alpn_select_cb: numbers('SSL_CTX_set_alpn_select_cb', 'void', [P, P, P]),
  SSL_CTX_callback_ctrl: numbers('SSL_CTX_callback_ctrl', 'long', [P, 'int', P]),
  SSL_CTX_set_tlsext_ticket_key_evp_cb: numbers('SSL_CTX_set_tlsext_ticket_key_evp_cb', 'int', [
    P,
    P,
  ]),
  SSL_CTX_set_session_ticket_cb: numbers('SSL_CTX_set_session_ticket_cb', 'int', [P, P, P, P]),
  SSL_CTX_sess_set_new_cb: numbers('SSL_CTX_sess_set_new_cb', 'void', [P, P]),
  SSL_CTX_sess_set_get_cb: numbers('SSL_CTX_sess_set_get_cb', 'void', [P, P]),
  SSL_CTX_sess_set_remove_cb: numbers('SSL_CTX_sess_set_remove_cb', 'void', [P, P]),
  SSL_CTX_set_security_level: numbers('SSL_CTX_set_security_level', 'void', [P, 'int']),
  SSL_CTX_set_verify: numbers('SSL_CTX_set_verify', 'void', [P, 'int', P]),
  SSL_CTX_set_verify_depth: numbers('SSL_CTX_set_verify_depth', 'void', [P, 'int']),
  SSL_CTX_get_cert_store: numbers('SSL_CTX_get_cert_store', P, [P]),
  SSL_CTX_add_client_CA: numbers('SSL_CTX_add_client_CA', 'int', [P, P]),
  SSL_CTX_set_num_tickets: numbers('SSL_CTX_set_num_tickets', 'int', [P, 'size_t']),

  SSL_CTX_set_max_early_data: numbers('SSL_CTX_set_max_early_data', 'int', [P, 'uint32']),
  SSL_CTX_set_recv_max_early_data: numbers('SSL_CTX_set_recv_max_early_data', 'int', [P, 'uint32']),

  SSL_new: numbers('SSL_new', P, [P]),
  SSL_free: numbers('SSL_free', 'void', [P]),
  SSL_ctrl_text: withText('SSL_ctrl', 'long', [P, 'int', 'long', 'str']),
  SSL_set0_rbio: numbers('SSL_set0_rbio', 'void', [P, P]),
  SSL_set0_wbio: numbers('SSL_set0_wbio', 'void', [P, P]),
  SSL_set_accept_state: numbers('SSL_set_accept_state', 'void', [P]),
  SSL_set_connect_state: numbers('SSL_set_connect_state', 'void', [P]),
  SSL_do_handshake: numbers('SSL_do_handshake', 'int', [P]),
  /** No connection of ours asks for new keys; tests do. */
  SSL_key_update: numbers('SSL_key_update', 'int', [P, 'int']),
  SSL_read: numbers('SSL_read', 'int', [P, P, 'int']),
  SSL_write: numbers('SSL_write', 'int', [P, P, 'int']),
  SSL_read_early_data: numbers('SSL_read_early_data', 'int', [P, P, 'size_t', P]),
  SSL_write_early_data: numbers('SSL_write_early_data', 'int', [P, P, 'size_t', P]),
  SSL_shutdown: numbers('SSL_shutdown', 'int', [P]),
  SSL_set_shutdown: numbers('SSL_set_shutdown', 'void', [P, 'int']),
  SSL_get_error: numbers('SSL_get_error', 'int', [P, 'int']),
  SSL_version: numbers('SSL_version', 'int', [P]),
  SSL_session_reused: numbers('SSL_session_reused', 'int', [P]),
  SSL_get_verify_result: numbers('SSL_get_verify_result', 'long', [P]),
  SSL_get0_peer_certificate: numbers('SSL_get0_peer_certificate', P, [P]),
  SSL_get0_verified_chain: numbers('SSL_get0_verified_chain', P, [P]),
  SSL_get_SSL_CTX: numbers('SSL_get_SSL_CTX', P, [P]),
  SSL_get_session: numbers('SSL_get_session', P, [P]),
  SSL_get0_param: numbers('SSL_get0_param', P, [P]),
  SSL_set_session: numbers('SSL_set_session', 'int', [P, P]),
  SSL_SESSION_free: numbers('SSL_SESSION_free', 'void', [P]),
  SSL_SESSION_get_id: numbers('SSL_SESSION_get_id', P, [P, P]),
  i2d_SSL_SESSION: numbers('i2d_SSL_SESSION', 'int', [P, P]),
  d2i_SSL_SESSION: numbers('d2i_SSL_SESSION', P, [P, P, 'long']),
  SSL_SESSION_set1_ticket_appdata: numbers('SSL_SESSION_set1_ticket_appdata', 'int', [
    P,
    P,
    'size_t',
  ]),
  SSL_SESSION_get0_ticket_appdata: numbers('SSL_SESSION_get0_ticket_appdata', 'int', [P, P, P]),
  SSL_SESSION_get_protocol_version: numbers('SSL_SESSION_get_protocol_version', 'int', [P]),
  SSL_SESSION_is_resumable: numbers('SSL_SESSION_is_resumable', 'int', [P]),

  BIO_new: numbers('BIO_new', P, [P]),
  BIO_s_mem: numbers('BIO_s_mem', P, []),
  BIO_new_mem_buf: numbers('BIO_new_mem_buf', P, [P, 'int']),
  BIO_up_ref: numbers('BIO_up_ref', 'int', [P]),
  BIO_free: numbers('BIO_free', 'int', [P]),
  BIO_read: numbers('BIO_read', 'int', [P, P, 'int']),
  BIO_write: numbers('BIO_write', 'int', [P, P, 'int']),
  BIO_ctrl: numbers('BIO_ctrl', 'long', [P, 'int', 'long', P]),

  ERR_get_error: numbers('ERR_get_error', 'uint64', []),
  ERR_clear_error: numbers('ERR_clear_error', 'void', []),
  ERR_reason_error_string: node.func('ERR_reason_error_string', 'str', ['uint64']) as (
    code: number,
  ) => string | null,

  d2i_AutoPrivateKey: numbers('d2i_AutoPrivateKey', P, [P, P, 'long']),
  d2i_X509: numbers('d2i_X509', P, [P, P, 'long']),
  i2d_X509: numbers('i2d_X509', 'int', [P, P]),
  X509_get_subject_name: numbers('X509_get_subject_name', P, [P]),
  X509_get_issuer_name: numbers('X509_get_issuer_name', P, [P]),
  X509_NAME_print_ex: numbers('X509_NAME_print_ex', 'int', [P, P, 'int', 'ulong']),
  X509_get0_notAfter: numbers('X509_get0_notAfter', P, [P]),
  ASN1_TIME_diff: numbers('ASN1_TIME_diff', 'int', [P, P, P, P]),
  OPENSSL_sk_num: numbers('OPENSSL_sk_num', 'int', [P]),
  OPENSSL_sk_value: numbers('OPENSSL_sk_value', P, [P, 'int']),
  X509_free: numbers('X509_free', 'void', [P]),
  EVP_PKEY_free: numbers('EVP_PKEY_free', 'void', [P]),
  X509_STORE_add_cert: numbers('X509_STORE_add_cert', 'int', [P, P]),
  SSL_CTX_set_default_verify_paths: numbers('SSL_CTX_set_default_verify_paths', 'int', [P]),
  X509_VERIFY_PARAM_set1_host: withText('X509_VERIFY_PARAM_set1_host', 'int', [P, 'str', 'size_t']),
  X509_VERIFY_PARAM_set1_ip_asc: withText('X509_VERIFY_PARAM_set1_ip_asc', 'int', [P, 'str']),
  X509_VERIFY_PARAM_set_hostflags: numbers('X509_VERIFY_PARAM_set_hostflags', 'void', [P, 'uint']),
  X509_verify_cert_error_string: node.func('X509_verify_cert_error_string', 'str', ['long']) as (
    code: number,
  ) => string,

  EVP_aes_256_cbc: numbers('EVP_aes_256_cbc', P, []),
  EVP_EncryptInit_ex: node.func('EVP_EncryptInit_ex', 'int', [P, P, P, 'void *', P]) as (
    context: number,
    cipher: number,
    engine: number,
    key: Uint8Array,
    iv: number,
  ) => number,
  EVP_DecryptInit_ex: node.func('EVP_DecryptInit_ex', 'int', [P, P, P, 'void *', P]) as (
    context: number,
    cipher: number,
    engine: number,
    key: Uint8Array,
    iv: number,
  ) => number,
  EVP_MAC_init: node.func('EVP_MAC_init', 'int', [P, 'void *', 'size_t', 'void *']) as (
    context: number,
    key: Uint8Array,
    length: number,
    parameters: Uint8Array,
  ) => number,
  memcpy: numbers('memcpy', P, [P, P, 'size_t']),
  RAND_bytes: numbers('RAND_bytes', 'int', [P, 'int']),
};

/** A function that OpenSSL calls, in this thread, inside of one of our own calls. */
export function callback(prototype: string, work: (...parameters: number[]) => number): Pointer {
  const pointer = koffi.register(work, koffi.pointer(koffi.proto(prototype)));
  return Number(koffi.address(pointer));
}

/** The memory at an address, for as long as it lives: that is for the caller to know. */
export function memoryAt(address: Pointer, length: number): ArrayBuffer {
  return koffi.view(BigInt(address), length);
}

export function pointerTo(buffer: Uint8Array): Pointer {
  return Number(koffi.address(buffer));
}

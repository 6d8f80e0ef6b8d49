/** Versions of TLS, as they are on the wire and in OpenSSL (RFC 8446 §4.2.1). */
export const TLS1_2 = 0x0303;
export const TLS1_3 = 0x0304;

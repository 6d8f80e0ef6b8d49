/** The address of a client: of its connection, or what a PROXY header says instead. */
export interface ClientAddress {
  /** 16 bytes in network order; IPv4 as ::ffff:a.b.c.d (RFC 4291 §2.5.5.2). */
  readonly bytes: Uint8Array;
  readonly family: 4 | 6;
}

/** A client's address as the layer-7 tier knows it: 16 bytes in network order, IPv4 as ::ffff:a.b.c.d. */
export interface ClientAddress {
  readonly bytes: Uint8Array;
  readonly family: 4 | 6;
}

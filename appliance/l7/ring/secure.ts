/**
 * What connections that are not plain have between the wire and the handler: TLS (../tls/transport.ts).
 * The handler writes and receives plain bytes on them as on any other.
 *
 * Invariant: a slot is asked about only between `Connections.secure` and `closed`.
 */
export interface SecureTransport {
  /** A connection to a member is made: TLS begins. */
  connected(slot: number): void;
  /** Bytes of the wire, in a buffer of Owner.handler, which is the transport's now. */
  received(slot: number, buffer: number): void;
  /** Nothing more arrives: the peer's end, or an errno. */
  ended(slot: number, errno: number): void;
  /**
   * Nothing is on its way: moves what can go out from `Connections.output` to `Connections.wire`.
   * `last`: nothing follows, so the end of TLS goes with it. Whether the end of the connection may
   * follow what is in the wire now.
   */
  seal(slot: number, last: boolean): boolean;
  /** Bytes of the wire went out. Returns how many plain ones the handler may count as sent. */
  sent(slot: number, bytes: number): number;
  /** Plain bytes that are sealed and not yet sent. */
  sealed(slot: number): number;
  /** A turn begins: touches those that can go on. */
  settle(): void;
  /** The slot is free. */
  closed(slot: number): void;
}

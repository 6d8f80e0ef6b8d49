/**
 * TLS alerts to clients whose ClientHello leads nowhere (RFC 8446 §6): the one thing that Weir itself
 * says in a stream that it passes through.
 *
 * Invariant: sent in the clear, before any key: legal only as the first record of the server.
 */
const ALERT = 21;
const FATAL = 2;
/** Descriptions. */
export const alert = { decodeError: 50, internalError: 80, unrecognizedName: 112 } as const;

/** Content type, version 1.2, length, level, description. */
const record = Uint8Array.of(ALERT, 3, 3, 0, 2, FATAL, 0);

/** One array for all: it is copied before the next one is asked for. */
export function alertRecord(description: number): Uint8Array {
  record[6] = description;
  return record;
}

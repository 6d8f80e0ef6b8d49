/**
 * Server ids of QUIC connection ids (RFC 9000 §5.1): two bytes that name a member of a pool, the
 * same on every unit and after every restart, without anything being kept.
 */
import { createHash } from 'node:crypto';

/** 0 … 65,535: what the document says, else 16 bits of the digest of pool and member. */
export function quicServerId(pool: string, member: string, written: number | null): number {
  if (written !== null) return written;
  return createHash('sha256').update(`quic\0${pool}\0${member}`).digest().readUInt16BE(0);
}

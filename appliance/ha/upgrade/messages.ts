/**
 * What two units say to each other about an upgrade of one of them, over the pair's session.
 *
 * On the channel `upgrade`, JSON: the unit that sends a bundle asks (`ask`) how the other one is and is
 * answered (`state`, which comes by itself too when it changes); offers a bundle by its signed head
 * (`offer`); sends the piece that the other one wants (`want`), on the channel `upgrade-file`; and says
 * `start` when the other one has all (`have`), or hears `refuse`. So one piece is under way at a time,
 * and whoever receives decides when.
 */
import { z } from 'zod';

export const CHANNEL = 'upgrade';
export const FILE_CHANNEL = 'upgrade-file';
/** Octets of the file in a message. */
export const PIECE = 512 << 10;
/** Before the octets of a piece: id of the offer, and where in the file it is. */
const PREFIX = 4 + 8;

const id = z.int().min(0).max(0xffff_ffff);
const octets = z.int().min(0);
const sentence = z.string().max(2000);

const stateSchema = z.strictObject({
  type: z.literal('state'),
  version: z.string().max(100),
  phase: z.string().max(40),
  progress: z.strictObject({ done: octets, total: octets }).nullable(),
  problem: sentence.nullable(),
  /** The latest upgrade; `began` tells one from another. */
  last: z
    .strictObject({
      stage: z.string().max(40),
      version: z.string().max(100).nullable(),
      began: z.number(),
      reason: sentence.nullable(),
    })
    .nullable(),
});
export type PeerState = Omit<z.output<typeof stateSchema>, 'type'>;

const messageSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('ask') }),
  stateSchema,
  z.strictObject({
    type: z.literal('offer'),
    id,
    size: octets,
    /** All before the slot, base64. */
    head: z.string().max(8192),
    allowOlder: z.boolean(),
  }),
  z.strictObject({ type: z.literal('want'), id, from: octets }),
  z.strictObject({ type: z.literal('have'), id }),
  z.strictObject({ type: z.literal('refuse'), id, reason: sentence }),
  z.strictObject({
    type: z.literal('start'),
    id,
    allowOlder: z.boolean(),
    author: z.string().max(200),
  }),
]);
export type Message = z.output<typeof messageSchema>;

export function encode(message: Message): Buffer {
  return Buffer.from(JSON.stringify(message));
}

/** Null: it is no message. */
export function decode(body: Buffer): Message | null {
  let value: unknown;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch {
    return null;
  }
  const checked = messageSchema.safeParse(value);
  return checked.success ? checked.data : null;
}

export interface FilePiece {
  readonly id: number;
  readonly from: number;
  readonly octets: Buffer;
}

export function encodePiece({ id: offer, from, octets: piece }: FilePiece): Buffer {
  const prefix = Buffer.alloc(PREFIX);
  prefix.writeUInt32BE(offer, 0);
  prefix.writeBigUInt64BE(BigInt(from), 4);
  return Buffer.concat([prefix, piece]);
}

/** Null: it is no piece. */
export function decodePiece(body: Buffer): FilePiece | null {
  if (body.length <= PREFIX || body.length > PREFIX + PIECE) return null;
  const from = Number(body.readBigUInt64BE(4));
  return { id: body.readUInt32BE(0), from, octets: body.subarray(PREFIX) };
}

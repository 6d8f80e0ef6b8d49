/**
 * What the units of a pair say to each other about the configuration.
 *
 * Invariant: what comes out of `parseMessage` is of the right shape and size, each entry is named by
 * what it says, and each document is the one that its entry speaks of. Whether it is a valid
 * configuration is the taker's to find out.
 */
import { z } from 'zod';
import type { JsonValue } from '../../config/canonical.js';
import type { Delivered } from '../../config/shared-log.js';
import { entryId, entryKinds, sharedDigest, type SharedDocument } from '../../config/shared.js';

/** Entries in a message, and their documents together in characters; a single document may be larger. */
export const BATCH_ENTRIES = 64;
export const BATCH_CHARACTERS = 4 << 20;
const LOCATOR = 64;
const SHOWN_CHANGES = 20;

const id = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.int().min(0);
const text = (limit: number) => z.string().max(limit);

const standingSchema = z.strictObject({ id, weight: count, height: count, time: z.int() });

const deliveredSchema = z.strictObject({
  entry: z.strictObject({
    id,
    parent: id,
    kind: z.enum(entryKinds),
    unit: text(256),
    author: text(1024),
    time: z.int(),
    comment: text(65_536),
    confirmBy: z.int().nullable(),
    digest: id,
  }),
  document: z.record(z.string(), z.custom<JsonValue>()).nullable(),
});

/** What somebody else has done, for the author of a change that came second. */
const rivalSchema = z.strictObject({
  unit: text(256),
  author: text(1024),
  time: z.int(),
  comment: text(65_536),
  changes: z.array(text(4096)).max(SHOWN_CHANGES),
  more: count,
});

const messageSchema = z.discriminatedUnion('type', [
  /** Where the sender stands: when a session begins, after a change, or when it was asked. */
  z.strictObject({
    type: z.literal('hello'),
    pair: id,
    standing: standingSchema.nullable(),
    /** Whether it has a configuration, shared or not. */
    configured: z.boolean(),
    locator: z.array(id).max(LOCATOR),
    /** Wants one in return. */
    reply: z.boolean(),
  }),
  /** A change that nobody has yet; the sender writes it down when it is taken. */
  z.strictObject({
    type: z.literal('propose'),
    number: count,
    delivered: deliveredSchema,
    remaining: count,
  }),
  /** Entries that the sender has. */
  z.strictObject({
    type: z.literal('offer'),
    /** The one that ends with the head, or is `superseded`, is answered. */
    number: count,
    entries: z.array(deliveredSchema).max(BATCH_ENTRIES),
    /** `part`: more follow. `head`: the last one is the sender's head. `superseded`: to be kept only. */
    goal: z.enum(['part', 'head', 'superseded']),
    /** Milliseconds until the head goes back unless it is confirmed, if it waits for that. */
    remaining: count,
  }),
  z.strictObject({
    type: z.literal('answer'),
    /** Number of the proposal or offer. */
    to: count,
    outcome: z.discriminatedUnion('what', [
      /** It is written down there. */
      z.strictObject({ what: z.literal('taken') }),
      /** The other unit cannot execute it. */
      z.strictObject({ what: z.literal('refused'), reason: text(16_384) }),
      /** The other unit's author was first. */
      z.strictObject({ what: z.literal('conflict'), rival: rivalSchema }),
      /** It does not follow what the other unit has. */
      z.strictObject({ what: z.literal('elsewhere') }),
    ]),
  }),
]);

export type Message = z.output<typeof messageSchema>;
export type Hello = Extract<Message, { type: 'hello' }>;
export type Proposal = Extract<Message, { type: 'propose' }>;
export type Offer = Extract<Message, { type: 'offer' }>;
export type Answer = Extract<Message, { type: 'answer' }>;
export type Outcome = Answer['outcome'];
export type Rival = z.output<typeof rivalSchema>;

/** A message that is not what it should be: a defect, or somebody who has the key of a unit. */
export class MessageError extends Error {
  override readonly name = 'MessageError';
}

export function rivalOf(
  entry: { readonly unit: string; author: string; time: number; comment: string },
  changes: readonly string[],
): Rival {
  const { unit, author, time, comment } = entry;
  const shown = changes.slice(0, SHOWN_CHANGES).map((line) => line.slice(0, 4096));
  return { unit, author, time, comment, changes: shown, more: changes.length - shown.length };
}

/** @throws MessageError */
export function parseMessage(value: unknown): Message {
  const parsed = messageSchema.safeParse(value);
  if (!parsed.success) {
    const where = parsed.error.issues[0]?.path.join('.') ?? '';
    throw new MessageError(`a message about the configuration is malformed (${where})`);
  }
  const message = parsed.data;
  if (message.type === 'propose') checkDelivered(message.delivered);
  if (message.type === 'offer') message.entries.forEach(checkDelivered);
  return message;
}

function checkDelivered({ entry, document }: z.output<typeof deliveredSchema>): void {
  if (entryId(entry) !== entry.id) throw new MessageError('an entry is not what its name says');
  if ((entry.kind === 'confirm') !== (document === null)) {
    throw new MessageError('an entry without its document, or a confirmation with one');
  }
  if (entry.confirmBy !== null && entry.kind !== 'commit') {
    throw new MessageError('an entry that nobody has to confirm waits for that');
  }
  if (document !== null && (Object.hasOwn(document, 'unit') || digestOf(document) !== entry.digest))
    throw new MessageError('a document is not the one of its entry');
}

function digestOf(document: Readonly<Record<string, JsonValue>>): string {
  return sharedDigest(document as unknown as SharedDocument);
}

/** As the log takes it. */
export function delivered({ entry, document }: Proposal['delivered']): Delivered {
  return { entry, document: document as unknown as SharedDocument | null };
}

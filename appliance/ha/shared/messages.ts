/**
 * What units say to each other of what they share: a byte of type, four of the header's length, the
 * header as JSON, and of an entry the body, which JSON never sees: strings cannot be wiped.
 *
 * Invariant: what is decoded has the shape of its type, within these bounds; anything else is refused.
 */
import { z } from 'zod';
import type { Entry, Version } from './shelf.js';

export const CHANNEL = 'shared';
/** Versions in a message. */
export const PAGE = 500;
/** Versions that a unit may have. */
export const MOST_VERSIONS = 50_000;
/** Of a header and of a body, so that both fit into a message of the pair. */
export const HEADER_LIMIT = 512 << 10;
export const BODY_LIMIT = 448 << 10;
/** Times are before this: year 10889. */
const LATEST = 2 ** 48;

const key = z
  .string()
  .max(512)
  .regex(/^[a-z-]{1,32}\/[\x20-\x7e]*$/);
const version = z.strictObject({
  key,
  at: z.number().int().min(0).lt(LATEST),
  digest: z.string().regex(/^[0-9a-f]{0,64}$/),
});
const headers = {
  list: z.strictObject({
    first: z.boolean(),
    last: z.boolean(),
    versions: z.array(version).max(PAGE),
  }),
  entry: z.strictObject({ ...version.shape, meta: z.unknown() }),
  refused: z.strictObject({ key, why: z.string().max(1000) }),
};

const types = { list: 1, entry: 2, refused: 3 } as const;

export type SharedMessage =
  | {
      readonly type: 'list';
      /** Of a new list; what came of another is void. */
      readonly first: boolean;
      readonly last: boolean;
      readonly versions: readonly Version[];
    }
  | { readonly type: 'entry'; readonly entry: Entry }
  | { readonly type: 'refused'; readonly key: string; readonly why: string };

export class SharedMessageError extends Error {
  override readonly name = 'SharedMessageError';
}

/** The caller wipes it, when an entry is in it. @throws RangeError when it is too large */
export function encode(message: SharedMessage): Buffer {
  switch (message.type) {
    case 'list': {
      const { first, last, versions } = message;
      return pack('list', { first, last, versions: versions.map(bare) }, Buffer.alloc(0));
    }
    case 'entry': {
      const { meta, body } = message.entry;
      return pack('entry', { ...bare(message.entry), meta }, body);
    }
    case 'refused':
      return pack(
        'refused',
        { key: message.key, why: message.why.slice(0, 1000) },
        Buffer.alloc(0),
      );
  }
}

/** Bodies are parts of `bytes`. @throws SharedMessageError */
export function decode(bytes: Buffer): SharedMessage {
  if (bytes.length < 5) throw new SharedMessageError('it is cut off');
  const length = bytes.readUInt32BE(1);
  if (length > HEADER_LIMIT || 5 + length > bytes.length) {
    throw new SharedMessageError(`a header of ${length} bytes in a message of ${bytes.length}`);
  }
  const body = bytes.subarray(5 + length);
  const type = bytes.readUInt8(0);
  const text = bytes.subarray(5, 5 + length);
  if (type !== types.entry && body.length > 0) throw new SharedMessageError('something follows it');
  if (body.length > BODY_LIMIT) throw new SharedMessageError(`a body of ${body.length} bytes`);
  switch (type) {
    case types.list:
      return { type: 'list', ...parse(headers.list, text) };
    case types.entry: {
      const header = parse(headers.entry, text);
      if (header.meta === undefined) throw new SharedMessageError('an entry without meta');
      if ((header.meta === null) !== (header.digest === '')) {
        throw new SharedMessageError('an entry without a digest, or the reverse');
      }
      if (header.meta === null && body.length > 0) {
        throw new SharedMessageError('a body of what was removed');
      }
      return { type: 'entry', entry: { ...header, body } };
    }
    case types.refused:
      return { type: 'refused', ...parse(headers.refused, text) };
    default:
      throw new SharedMessageError(`unknown type ${type}`);
  }
}

function bare({ key: name, at, digest }: Version): Version {
  return { key: name, at, digest };
}

function pack(type: keyof typeof types, header: object, body: Buffer): Buffer {
  const text = Buffer.from(JSON.stringify(header));
  if (text.length > HEADER_LIMIT || body.length > BODY_LIMIT) {
    throw new RangeError('It is too large to be given to the other unit.');
  }
  const bytes = Buffer.alloc(5 + text.length + body.length);
  bytes.writeUInt8(types[type], 0);
  bytes.writeUInt32BE(text.length, 1);
  text.copy(bytes, 5);
  body.copy(bytes, 5 + text.length);
  return bytes;
}

function parse<T>(schema: z.ZodType<T>, text: Buffer): T {
  let value: unknown;
  try {
    value = JSON.parse(text.toString('utf8'));
  } catch {
    throw new SharedMessageError('its header is no JSON');
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new SharedMessageError(
    `its header: ${parsed.error.issues[0]?.path.join('.') ?? ''} ${parsed.error.issues[0]?.message ?? ''}`,
  );
}

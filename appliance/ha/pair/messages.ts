/**
 * What is inside frames. Control frames are strict JSON: an unknown key is refused, so that both units
 * mean the same by what they say; a unit that speaks another version says so in `version`.
 */
import { z } from 'zod';
import { name } from '../../config/basics.js';
import { unicastAddress } from '../../config/fields.js';
import { FrameError, numberAt, numbers } from './frames.js';

/** Of everything between two units; another one is refused. */
export const PROTOCOL_VERSION = 1;
/** Links of a pair (config/pair.ts). */
export const MAX_LINKS = 8;

const version = z.literal(PROTOCOL_VERSION);
const proof = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.int().min(0);

export const helloSchema = z.strictObject({
  version,
  /** The last message of that run of the other daemon that was delivered here; 0 and 0: none. */
  received: z.strictObject({ epoch: count, message: count }),
});
export type Hello = z.output<typeof helloSchema>;

export const joinSchema = z.strictObject({ version, name: name(), proof });
export const welcomeSchema = z.strictObject({
  version,
  name: name(),
  proof,
  /** Where the inviter listens: one link each. */
  addresses: z.array(unicastAddress()).min(1).max(MAX_LINKS),
});
export const emptySchema = z.strictObject({});
export const refusedReasons = [
  'code',
  'void',
  'itself',
  'same-name',
  'version',
  'unknown',
] as const;
export type RefusedReason = (typeof refusedReasons)[number];
export const refusedSchema = z.strictObject({ reason: z.enum(refusedReasons) });

export function encodeJson(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

/** The other unit speaks otherwise than this one, and says so. */
export class VersionError extends FrameError {
  constructor(version: number) {
    super(
      `its version of the pair's protocol is ${version}, this unit's is ${PROTOCOL_VERSION}: bring both units to the same version of Weir`,
    );
  }
}

const anyVersion = z.looseObject({ version: z.int().min(0) });

/** @throws FrameError, VersionError */
export function decodeJson<T>(schema: z.ZodType<T>, payload: Buffer): T {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload));
  } catch {
    throw new FrameError('a control frame is no JSON');
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const said = anyVersion.safeParse(value);
  if (said.success && said.data.version !== PROTOCOL_VERSION) {
    throw new VersionError(said.data.version);
  }
  const at = parsed.error.issues[0]?.path.join('.') ?? '';
  throw new FrameError(`a control frame is not as it should be (${at === '' ? 'keys' : at})`);
}

/** A message of a later layer. */
export interface Message {
  /** Counted from 1 in a session: between two runs of the two daemons. */
  readonly number: number;
  readonly channel: string;
  readonly body: Buffer;
}

export const CHANNEL = /^[a-z][a-z0-9-]{0,62}$/;

export function encodeMessage({ number, channel, body }: Message): Buffer {
  const name = Buffer.from(channel, 'latin1');
  return Buffer.concat([numbers(number), Buffer.of(name.length), name, body]);
}

/** @throws FrameError */
export function decodeMessage(payload: Buffer): Message {
  const number = numberAt(payload, 0);
  const end = 9 + (payload[8] ?? 0);
  const channel = payload.toString('latin1', 9, end);
  if (end > payload.length || !CHANNEL.test(channel))
    throw new FrameError('a channel without name');
  return { number, channel, body: payload.subarray(end) };
}

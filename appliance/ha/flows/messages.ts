/**
 * What the flow mirrors of two units say to each other on their channel: one byte of kind, then the
 * content.
 *
 * Invariant: whatever comes is checked whole before anything is done with it.
 */
import { z } from 'zod';
import { unicastAddress } from '../../config/fields.js';
import { PASSES, type Description } from './flow-table.js';

export const CHANNEL = 'flows';
/** Of everything here and of the records; another one is refused. */
export const VERSION = 1;
/** Interfaces and networks that a unit may tell of. */
const MOST_WAYS = 256;

const KIND = { hello: 1, records: 2, end: 3, ask: 4 } as const;

const hello = z.strictObject({
  version: z.literal(VERSION),
  table: z.string().min(1).max(200),
  natAddresses: z.array(unicastAddress()).max(128),
  ways: z
    .array(
      z.strictObject({
        interface: z.int().min(1).max(0xffff_ffff),
        vlan: z.array(z.int().min(1).max(4094)).max(2),
        networks: z.array(z.string().max(64)).max(64),
      }),
    )
    .max(MOST_WAYS),
});

export type FlowMessage =
  | { readonly kind: 'hello'; readonly description: Description }
  | { readonly kind: 'records'; readonly records: Buffer }
  /** All was told in the pass; what is told from now on is of the same or the next one. */
  | { readonly kind: 'end'; readonly pass: number; readonly next: number }
  /** Everything is to be told, and its end. */
  | { readonly kind: 'ask' };

export function encodeHello(description: Description): Buffer {
  const ways = description.ways.slice(0, MOST_WAYS);
  const json = JSON.stringify({ version: VERSION, ...description, ways });
  return Buffer.concat([Buffer.of(KIND.hello), Buffer.from(json)]);
}

export function encodeRecords(records: Buffer): Buffer {
  return Buffer.concat([Buffer.of(KIND.records), records]);
}

export function encodeEnd(pass: number, next: number): Buffer {
  return Buffer.of(KIND.end, pass, next);
}

export function encodeAsk(): Buffer {
  return Buffer.of(KIND.ask);
}

/** Null for what is no message. */
export function decode(body: Buffer, recordBytes: number): FlowMessage | null {
  const content = body.subarray(1);
  switch (body[0]) {
    case KIND.hello: {
      const parsed = hello.safeParse(json(content));
      if (!parsed.success) return null;
      const { table, natAddresses, ways } = parsed.data;
      return { kind: 'hello', description: { table, natAddresses, ways } };
    }
    case KIND.records:
      return content.length > 0 && content.length % recordBytes === 0
        ? { kind: 'records', records: content }
        : null;
    case KIND.end: {
      const [pass = 0, next = 0] = content;
      if (content.length !== 2 || !isPass(pass) || !isPass(next)) return null;
      return { kind: 'end', pass, next };
    }
    case KIND.ask:
      return content.length === 0 ? { kind: 'ask' } : null;
    default:
      return null;
  }
}

function isPass(number: number): boolean {
  return number >= 1 && number <= PASSES;
}

function json(bytes: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return undefined;
  }
}

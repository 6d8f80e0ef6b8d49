/**
 * What a parent and its speaker say to each other: a JSON object a packet (packet-channel.ts).
 *
 * Invariant: what comes in is parsed here, so everything behind it is what its types say.
 */
import { z } from 'zod';
import { formatAddress, readAddress } from '../../../config/address-codec.js';
import { isLinkLocal } from '../../../net/prefix.js';
import type { RouterStatus } from '../engine.js';
import { CENTISECOND, LONGEST_INTERVAL, MOST_ADDRESSES, SECOND } from '../packet.js';
import type { PathSettings, PathsSettings } from '../paths/settings.js';
import type { Rejection } from '../rejections.js';
import type { GroupSettings, RouterSettings } from '../settings.js';
import type { Role } from '../virtual-router.js';
import type { Lateness, LateTurn } from './lateness.js';
import type { PathStatus } from './pair-paths.js';

/** Settings with addresses and passwords as text. */
type Text<T> = {
  readonly [K in keyof T]: K extends 'addresses' | 'peers'
    ? readonly string[]
    : K extends 'password'
      ? string | null
      : T[K];
};
export type RouterText = Text<RouterSettings>;
export type GroupText = Omit<GroupSettings, 'routers'> & {
  readonly routers: readonly RouterText[];
};

/** Addresses as text; the key as 64 or more hexadecimal digits. */
export type PathsText = Omit<PathsSettings, 'key' | 'paths'> & {
  readonly key: string;
  readonly paths: readonly (Omit<PathSettings, 'local' | 'remote'> & {
    readonly local: string;
    readonly remote: string;
  })[];
};

export type ToSpeaker =
  /** Said by who adopts it. Answered by `loaded`, the roles, and what goes wrong. */
  | { readonly kind: 'adopt' }
  /**
   * SettingsText as JSON in the descriptor beside the message: these, and no others. A second
   * descriptor is for Elsewhere.follow().
   */
  | { readonly kind: 'configure' }
  /** Something that is tracked is well, or is not. */
  | { readonly kind: 'track'; readonly name: string; readonly well: boolean }
  /** Answered by `alive`. */
  | { readonly kind: 'ask' }
  /** Answered by `status`. */
  | { readonly kind: 'status' }
  /** Give up everything and end. */
  | { readonly kind: 'stop' };

export interface SettingsText {
  readonly groups: readonly GroupText[];
  /** Null: there is no other unit that heartbeats would go to. */
  readonly paths: PathsText | null;
}

export interface Settings {
  readonly groups: readonly GroupSettings[];
  readonly paths: PathsSettings | null;
}

export type FromSpeaker =
  /** It listens. `wishes`: what this machine did not allow, as sentences. */
  | { readonly kind: 'loaded'; readonly wishes: readonly string[] }
  | { readonly kind: 'alive' }
  | { readonly kind: 'configured' }
  /** The settings are not followed: the former ones hold. */
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'role'; readonly router: string; readonly role: Role; readonly why: string }
  /** Paths to the other unit, of which one has come or gone. */
  | { readonly kind: 'paths'; readonly paths: readonly PathStatus[] }
  /** Something goes wrong; null: it no longer does. */
  | { readonly kind: 'problem'; readonly subject: string; readonly message: string | null }
  /** So little of its lease was `left`, in milliseconds, that its guard nearly ended it. */
  | ({ readonly kind: 'late'; readonly left: number } & LateTurn)
  /** As many messages as it takes; `last` says which is it. */
  | {
      readonly kind: 'status';
      readonly routers: readonly RouterStatus[];
      readonly rejected: Readonly<Partial<Record<Rejection, number>>>;
      readonly lateness: Lateness;
      readonly last: boolean;
    };

/** Besides, for the parent's end alone (speaker-process.ts). */
export type SaidBySpeaker =
  | FromSpeaker
  /** Which process guards it; null: none. */
  | { readonly kind: 'guard'; readonly pid: number | null };

const address = z.string().transform((text, context) => {
  const read = readAddress(text);
  if (read !== null) return read.bytes;
  context.addIssue({ code: 'custom', message: `"${text}" is no IP address` });
  return z.NEVER;
});

const router = z
  .strictObject({
    name: z.string().min(1),
    interface: z.string().min(1).max(15),
    vrid: z.int().min(1).max(255),
    family: z.literal([4, 6]),
    version: z.literal([2, 3]),
    interval: z.int().min(CENTISECOND),
    addresses: z.array(address).min(1).max(MOST_ADDRESSES),
    checksum: z.enum(['message', 'pseudo-header']),
    password: z
      .string()
      .max(8)
      .regex(/^[\x21-\x7e]+$/)
      .transform((text) => Buffer.from(text, 'latin1'))
      .nullable(),
    peers: z.array(address).max(8),
    virtualMac: z.boolean(),
    otherAddresses: z.enum(['accept', 'refuse']),
  })
  .superRefine((settings, context) => {
    const refuse = (message: string): void => {
      context.addIssue({ code: 'custom', message: `${settings.name}: ${message}` });
    };
    const { version, family, interval } = settings;
    const [unit, longest] =
      version === 2 ? [SECOND, 255 * SECOND] : [CENTISECOND, LONGEST_INTERVAL];
    if (interval % unit !== 0 || interval > longest) {
      refuse(`version ${version} counts its interval in steps of ${unit} ms up to ${longest} ms`);
    }
    if (version === 2 && family === 6) refuse('version 2 has no IPv6');
    if (version === 3 && settings.password !== null) refuse('version 3 has no password');
    const size = family === 4 ? 4 : 16;
    for (const bytes of [...settings.addresses, ...settings.peers]) {
      if (bytes.length !== size) refuse(`${formatAddress(bytes)} is of the other family`);
    }
    if (settings.virtualMac && settings.peers.length > 0) {
      refuse('a virtual MAC address goes with multicast only');
    }
    // What is sent to all of them has one source.
    const local = settings.peers.filter((peer) => isLinkLocal({ family, bytes: peer }));
    if (local.length > 0 && local.length < settings.peers.length) {
      refuse('its peers are link-local addresses or others, not both');
    }
  });

const groups = z
  .array(
    z.strictObject({
      name: z.string().min(1),
      routers: z.array(router).min(1),
      priority: z.int().min(1).max(255),
      preempt: z.enum(['weaker', 'unfit', 'none']),
      preemptDelay: z.number().min(0),
      tracked: z.array(
        z.strictObject({
          name: z.string().min(1),
          weight: z.union([z.int().min(0).max(254), z.literal('fault')]),
        }),
      ),
    }),
  )
  .superRefine((all, context) => {
    const seen = new Set<string>();
    const once = (key: string): void => {
      if (seen.has(key)) context.addIssue({ code: 'custom', message: `${key} is there twice` });
      seen.add(key);
    };
    for (const { name, routers } of all) {
      once(`group ${name}`);
      for (const one of routers) {
        once(`virtual router ${one.name}`);
        once(`id ${one.vrid} of IPv${one.family} on ${one.interface}`);
        for (const bytes of one.addresses) once(`address ${formatAddress(bytes)}`);
      }
    }
  });

const paths = z
  .strictObject({
    key: z
      .string()
      .regex(/^([0-9a-f]{2}){32,}$/)
      .transform((text) => Buffer.from(text, 'hex')),
    port: z.int().min(1).max(65_535),
    interval: z.number().min(1),
    lost: z.number(),
    paths: z
      .array(
        z.strictObject({
          name: z.string().min(1),
          interface: z.string().min(1).max(15),
          family: z.literal([4, 6]),
          local: address,
          remote: address,
        }),
      )
      .max(8),
  })
  .superRefine(({ interval, lost, paths: all }, context) => {
    const refuse = (message: string): void => {
      context.addIssue({ code: 'custom', message });
    };
    if (lost < 3 * interval) refuse('a path is lost after three heartbeats at the soonest');
    if (new Set(all.map(({ name }) => name)).size < all.length) refuse('a path is there twice');
    for (const { name, family, local, remote } of all) {
      const size = family === 4 ? 4 : 16;
      if (local.length !== size || remote.length !== size) refuse(`${name}: not of one family`);
    }
  })
  .nullable();

const settings = z.strictObject({ groups, paths });

/** The settings, or a sentence that says why they are none. */
export function parseSettings(said: unknown): Settings | string {
  const result = settings.safeParse(said);
  if (result.success) return result.data;
  return result.error.issues.map(({ path, message }) => [...path, message].join(' ')).join('; ');
}

const toSpeaker = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('adopt') }),
  z.strictObject({ kind: z.literal('configure') }),
  z.strictObject({ kind: z.literal('track'), name: z.string(), well: z.boolean() }),
  z.strictObject({ kind: z.literal('ask') }),
  z.strictObject({ kind: z.literal('status') }),
  z.strictObject({ kind: z.literal('stop') }),
]);

/** Throws ZodError, or SyntaxError: who says something else is of another version. */
export function parseToSpeaker(packet: Buffer): z.output<typeof toSpeaker> {
  return toSpeaker.parse(JSON.parse(packet.toString()));
}

/** The ways between two speakers of a pair, besides the networks of their virtual routers. */
import type { Family } from '../../../config/address-codec.js';

export interface PathSettings {
  /** Unique in this unit. */
  readonly name: string;
  readonly interface: string;
  readonly family: Family;
  /** 4 or 16 bytes, as `family` says. */
  readonly local: Uint8Array;
  readonly remote: Uint8Array;
}

export interface PathsSettings {
  /** At least 32 bytes that nobody but the two units has. */
  readonly key: Uint8Array;
  /** UDP port on both units. */
  readonly port: number;
  /** Milliseconds between two heartbeats on a path, and of silence after which it is lost. */
  readonly interval: number;
  readonly lost: number;
  readonly paths: readonly PathSettings[];
}

/**
 * Heartbeats that go with an interval of advertisements, in milliseconds. From the default of 30 ms
 * on, the silence of all paths lasts three intervals, as VRRP's own does: a host that runs several
 * machines lets one of them stand still for up to 50 ms now and then, and such a unit is not dead. Who
 * asks for less wants the other unit as soon as can be: down to two intervals at 10 ms. At long
 * intervals heartbeats come more often, and a dead unit is known sooner by them, but never before an
 * interval is over: who asks for a second has units that stand still for that long.
 */
export function heartbeats(interval: number): { readonly interval: number; readonly lost: number } {
  const every = Math.max(3, Math.min(interval / 3, 100));
  const intervals = 2 + Math.min(1, Math.max(0, (interval - 10) / 20));
  return {
    interval: every,
    lost: Math.max(4 * every, interval, Math.min(intervals * interval, 600)),
  };
}

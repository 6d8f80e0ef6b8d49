/** What both tiers count of traffic that they refuse for a limit. Pure. */
import type { Refused } from './limits.js';

/** What the workers refused of a service. */
export interface ProxyRefusals {
  readonly rate: number;
  readonly connections: number;
  readonly queueFull: number;
  readonly queueTimeout: number;
}

export interface RefusalInput {
  /** Of the fast path, by reason. */
  readonly drops: Readonly<Record<string, number>>;
  /** By service of the proxy. */
  readonly proxied: ReadonlyMap<string, ProxyRefusals>;
}

/** Reasons of the fast path that are limits; they are counted for all services together. */
const DROPS: Readonly<Record<string, string>> = {
  'rate-limit': 'packets are dropped: flows begin faster than limits allow',
  'connection-limit': 'packets are dropped: there are as many flows as limits allow',
  'flow-table': 'packets are dropped: the flow table is full',
  'nat-ports': 'packets are dropped: full nat has no free port towards a member',
};

const PROXIED: Readonly<Record<keyof ProxyRefusals, readonly [string, string]>> = {
  rate: ['rate-limit', 'requests are refused: they come faster than limits allow'],
  connections: [
    'connection-limit',
    'connections are refused: there are as many as limits allow, or as workers can hold',
  ],
  queueFull: ['queue-full', 'requests are refused: the queue for a member with room is full'],
  queueTimeout: [
    'queue-timeout',
    'requests are refused: they waited too long for a member with room',
  ],
};

export function refusals({ drops, proxied }: RefusalInput): Refused[] {
  const found: Refused[] = [];
  for (const [reason, what] of Object.entries(DROPS)) {
    found.push({ key: reason, reason, what, count: drops[reason] ?? 0 });
  }
  for (const [service, counts] of proxied) {
    for (const [name, count] of Object.entries(counts) as [keyof ProxyRefusals, number][]) {
      const [reason, what] = PROXIED[name];
      found.push({ key: `${service} ${reason}`, service, reason, what, count });
    }
  }
  return found;
}

/**
 * Columns of traffic, the same for services, pools and members. Those of requests are there once the
 * proxy serves one of the rows, and come after the others, so that these keep their places.
 *
 * Invariant: a column has one unit. A connection that the proxy holds is a flow; it counts no packets,
 * and the fast path no requests: `-`.
 */
import type { CounterSet, ProxyTotals, ProxyTraffic, Rates } from '../api/contract.js';
import { bitsPerSecond, bytes, milliseconds, perSecond, quantity } from './format.js';
import type { Column } from './table.js';

export interface Traffic {
  readonly rates: Rates;
  readonly totals: CounterSet;
  readonly proxy: ProxyTraffic | null;
}

/** How soon a column goes; what is not named here stays. Rates go after everything else. */
export const GOES = {
  retries: 20,
  refused: 19,
  underWay: 18,
  clientErrors: 17,
  serverErrors: 16,
  median: 15,
  requests: 14.5,
  packets: 14,
  bytes: 13,
  flows: 12,
  since: 11,
  health: 10,
  nextHop: 9,
  packetsPerSecond: 8,
  forwarding: 7,
  pool: 6,
  cookies: 5.5,
  slowest: 5.3,
  services: 5,
  errorsPerSecond: 4.5,
  bitsPerSecond: 4,
  flowsPerSecond: 3,
  requestsPerSecond: 2.5,
  weight: 2,
  memberSince: 1,
} as const;

/** The fast path has nothing to do with the row. */
function proxied({ proxy, totals }: Traffic): boolean {
  return proxy !== null && totals.packets === 0;
}

const RATES: readonly Column<Traffic>[] = [
  {
    title: 'FLOWS/S',
    align: 'right',
    value: ({ rates, proxy }) =>
      perSecond(rates.flowsPerSecond + (proxy?.rates.connectionsPerSecond ?? 0)),
    dispensable: GOES.flowsPerSecond,
  },
  {
    title: 'PACKETS/S',
    align: 'right',
    value: (row) => (proxied(row) ? '-' : perSecond(row.rates.packetsPerSecond)),
    dispensable: GOES.packetsPerSecond,
  },
  {
    title: 'BITS/S',
    align: 'right',
    value: ({ rates, proxy }) =>
      bitsPerSecond(rates.bitsPerSecond + (proxy?.rates.bitsPerSecond ?? 0)),
    dispensable: GOES.bitsPerSecond,
  },
];

/** A value of the proxy; `-` where it has no part. */
function ofProxy(value: (proxy: ProxyTraffic) => string): (row: Traffic) => string {
  return ({ proxy }) => (proxy ? value(proxy) : '-');
}

const REQUEST_RATES: readonly Column<Traffic>[] = [
  {
    title: 'REQ/S',
    align: 'right',
    value: ofProxy(({ rates }) => perSecond(rates.requestsPerSecond)),
    dispensable: GOES.requestsPerSecond,
  },
  {
    title: '5XX/S',
    align: 'right',
    value: ofProxy(({ rates }) => perSecond(rates.errorsPerSecond)),
    colour: ({ proxy }) => ((proxy?.rates.errorsPerSecond ?? 0) > 0 ? 'red' : null),
    dispensable: GOES.errorsPerSecond,
  },
  {
    title: 'P99',
    align: 'right',
    value: ofProxy(({ latency }) => (latency === null ? '-' : milliseconds(latency.p99))),
    dispensable: GOES.slowest,
  },
];

const TOTALS: readonly Column<Traffic>[] = [
  {
    title: 'FLOWS',
    align: 'right',
    value: ({ totals, proxy }) => quantity(totals.flows + (proxy?.totals.connections ?? 0)),
    dispensable: GOES.flows,
    wideOnly: true,
  },
  {
    title: 'PACKETS',
    align: 'right',
    value: (row) => (proxied(row) ? '-' : quantity(row.totals.packets + row.totals.replyPackets)),
    dispensable: GOES.packets,
    wideOnly: true,
  },
  {
    title: 'BYTES',
    align: 'right',
    value: ({ totals, proxy }) =>
      bytes(
        totals.bytes +
          totals.replyBytes +
          (proxy?.totals.bytesIn ?? 0) +
          (proxy?.totals.bytesOut ?? 0),
      ),
    dispensable: GOES.bytes,
    wideOnly: true,
  },
];

const REQUEST_TOTALS: readonly Column<Traffic>[] = [
  {
    title: 'REQUESTS',
    align: 'right',
    value: ofProxy(({ totals }) => quantity(totals.requests)),
    dispensable: GOES.requests,
    wideOnly: true,
  },
  {
    title: '4XX',
    align: 'right',
    value: ofProxy(({ totals }) => quantity(totals.responses['4xx'])),
    dispensable: GOES.clientErrors,
    wideOnly: true,
  },
  {
    title: '5XX',
    align: 'right',
    value: ofProxy(({ totals }) => quantity(totals.responses['5xx'])),
    dispensable: GOES.serverErrors,
    wideOnly: true,
  },
  {
    title: 'P50',
    align: 'right',
    value: ofProxy(({ latency }) => (latency === null ? '-' : milliseconds(latency.p50))),
    dispensable: GOES.median,
    wideOnly: true,
  },
  {
    title: 'ACTIVE',
    align: 'right',
    value: ofProxy(({ active, underWay }) => quantity(active ?? underWay ?? 0)),
    dispensable: GOES.underWay,
    wideOnly: true,
  },
  {
    title: 'REFUSED',
    align: 'right',
    value: ofProxy(({ totals }) => quantity(refusals(totals))),
    dispensable: GOES.refused,
    wideOnly: true,
  },
  {
    title: 'RETRIES',
    align: 'right',
    value: ofProxy(({ totals }) => quantity(totals.retries)),
    dispensable: GOES.retries,
    wideOnly: true,
  },
];

export function refusals({ refused }: ProxyTotals): number {
  return Object.values(refused).reduce((sum, count) => sum + count, 0);
}

export function trafficColumns(rows: readonly Traffic[]): readonly Column<Traffic>[] {
  if (!rows.some(({ proxy }) => proxy)) return [...RATES, ...TOTALS];
  return [...RATES, ...REQUEST_RATES, ...TOTALS, ...REQUEST_TOTALS];
}

/**
 * What the proxy does for one service, pool or member, in lines for people.
 *
 * Invariant: what never happened is not listed.
 */
import type { ProxyTraffic } from '../api/contract.js';
import { bitsPerSecond, milliseconds, perSecond, quantity } from './format.js';
import { refusals } from './traffic-columns.js';

export type Line = readonly [name: string, value: string];

const REFUSED: Readonly<Record<keyof ProxyTraffic['totals']['refused'], string>> = {
  rate: 'over a limit of requests',
  connections: 'over a limit of connections',
  queueFull: 'queue full',
  queueTimeout: 'waited too long',
  noMember: 'no member',
  badRequest: 'bad request',
  tooSlow: 'client too slow',
};

const HANDSHAKE_FAILED: Readonly<Record<keyof ProxyTraffic['totals']['tls']['failed'], string>> = {
  gone: 'broken off or too slow',
  alert: 'refused by the other side',
  incompatible: 'nothing in common',
  certificate: 'bad certificate',
  name: 'unknown name',
  other: 'other',
};

export function proxyLines(proxy: ProxyTraffic): Line[] {
  const { rates, latency, totals } = proxy;
  const { connects, compressed, refused } = totals;
  const now = [
    `${perSecond(rates.requestsPerSecond)} requests`,
    `${perSecond(rates.errorsPerSecond)} of them 5xx`,
    `${perSecond(rates.connectionsPerSecond)} connections`,
    bitsPerSecond(rates.bitsPerSecond),
  ];
  const open = [
    ...(proxy.active === null ? [] : [`${quantity(proxy.active)} connections open`]),
    ...(proxy.underWay === null ? [] : [`${quantity(proxy.underWay)} requests under way`]),
    ...(proxy.queued === null ? [] : [`${quantity(proxy.queued)} waiting`]),
  ];
  const classes = Object.entries(totals.responses).filter(([, count]) => count > 0);
  const times =
    latency === null
      ? '-'
      : `p50 ${milliseconds(latency.p50)}, p90 ${milliseconds(latency.p90)}, p99 ${milliseconds(latency.p99)}, at most ${milliseconds(latency.max)}`;
  return [
    ['Requests', now.join(', ')],
    ['Active', open.join(', ')],
    ['Duration', times],
    [
      'So far',
      [
        totals.requests === 1 ? '1 request' : `${quantity(totals.requests)} requests`,
        ...classes.map(([name, count]) => `${name} ${quantity(count)}`),
      ].join(', '),
    ],
    ...some('Refused', refusals(totals), [
      ...Object.entries(REFUSED).map(([key, words]): [string, number] => [
        words,
        refused[key as keyof typeof refused],
      ]),
    ]),
    ...some('Members', connects.ok + connects.failed + connects.reused, [
      ['connections made', connects.ok],
      ['reused', connects.reused],
      ['failed', connects.failed],
    ]),
    ...some('Trouble', totals.retries + totals.clientAborts + totals.memberFailures, [
      ['retries', totals.retries],
      ['ended by clients', totals.clientAborts],
      ['failed at members', totals.memberFailures],
      ['ejections', totals.ejections],
    ]),
    ...tlsLines(totals.tls),
    ...some('Besides', totals.upgrades + compressed.responses, [
      ['upgrades', totals.upgrades],
      ['answers compressed', compressed.responses],
    ]),
  ];
}

function tlsLines({
  full,
  resumed,
  early,
  versions,
  failed,
}: ProxyTraffic['totals']['tls']): Line[] {
  const failures = Object.entries(HANDSHAKE_FAILED).map(([key, words]): [string, number] => [
    words,
    failed[key as keyof typeof failed],
  ]);
  const lost = failures.reduce((sum, [, count]) => sum + count, 0);
  return [
    ...some('Handshakes', full + resumed, [
      ['full', full],
      ['resumed', resumed],
      ['with early data', early],
      ['TLS 1.2', versions['1.2']],
      ['TLS 1.3', versions['1.3']],
    ]),
    ...some('No handshake', lost, failures),
  ];
}

function some(name: string, any: number, counts: readonly [string, number][]): Line[] {
  if (any === 0) return [];
  const there = counts.filter(([, count]) => count > 0);
  return [[name, there.map(([words, count]) => `${words} ${quantity(count)}`).join(', ')]];
}

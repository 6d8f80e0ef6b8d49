/**
 * From counters to what `weir show services|pools|members --json` says of layer 7. Pure.
 *
 * Invariant: rates and durations are of the time between two samples, totals of all time; without
 * requests in between, durations are null rather than zero.
 */
import { counter, durationBuckets, durationMax, durationSum } from './counter-layout.js';
import type { Counter } from './counter-layout.js';
import { difference, total, type CounterSample } from './counter-reader.js';
import { durationsOf } from './histogram.js';
import { rowName } from './row-registry.js';

export interface L7Rates {
  readonly connectionsPerSecond: number;
  readonly requestsPerSecond: number;
  /** Answers of class 5xx. */
  readonly errorsPerSecond: number;
  /** Both directions together. */
  readonly bitsPerSecond: number;
}

/** Milliseconds. */
export interface L7Latency {
  readonly mean: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

export interface L7Totals {
  readonly connections: number;
  readonly requests: number;
  readonly responses: Readonly<Record<'1xx' | '2xx' | '3xx' | '4xx' | '5xx', number>>;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly refused: {
    readonly rate: number;
    readonly connections: number;
    readonly queueFull: number;
    readonly queueTimeout: number;
    readonly noMember: number;
    readonly badRequest: number;
    readonly tooSlow: number;
  };
  readonly retries: number;
  readonly connects: { readonly ok: number; readonly failed: number; readonly reused: number };
  readonly ejections: number;
  readonly upgrades: number;
  readonly compressed: {
    readonly responses: number;
    readonly bytesIn: number;
    readonly bytesOut: number;
  };
  readonly clientAborts: number;
  readonly memberFailures: number;
  readonly tls: {
    readonly full: number;
    readonly resumed: number;
    readonly early: number;
    readonly versions: Readonly<Record<'1.2' | '1.3', number>>;
    readonly failed: {
      readonly gone: number;
      readonly alert: number;
      readonly incompatible: number;
      readonly certificate: number;
      readonly name: number;
      readonly other: number;
    };
  };
}

export interface L7Traffic {
  readonly rates: L7Rates;
  readonly latency: L7Latency | null;
  readonly totals: L7Totals;
  /** Open connections, requests under way and in the queue, now. */
  readonly active: number;
  readonly underWay: number;
  readonly queued: number;
}

export interface L7RouteTraffic extends L7Traffic {
  readonly route: string;
}

/** The traffic of one name of row-registry.ts, or of several together. */
export function trafficOf(
  before: CounterSample | null,
  now: CounterSample,
  names: readonly string[],
): L7Traffic {
  const nows: Float64Array[] = [];
  const gained: Float64Array[] = [];
  for (const name of names) {
    const row = now.rows.get(name);
    if (row === undefined) continue;
    nows.push(row);
    if (before !== null) gained.push(difference(before.rows.get(name), row));
  }
  const all = total(nows);
  const seconds = before === null ? 0 : Math.max(1, now.time - before.time) / 1000;
  const recent = total(gained);
  return {
    rates: ratesOf(recent, seconds),
    latency: latencyOf(recent),
    totals: totalsOf(all),
    active: at(all, counter.active),
    underWay: at(all, counter.underWay),
    queued: at(all, counter.queued),
  };
}

export function serviceTraffic(
  before: CounterSample | null,
  now: CounterSample,
  service: string,
): L7Traffic {
  return trafficOf(before, now, [rowName.service(service)]);
}

/** In the order of the routes. */
export function routeTraffic(
  before: CounterSample | null,
  now: CounterSample,
  service: string,
  routes: readonly string[],
): L7RouteTraffic[] {
  return routes.map((route) => ({
    route,
    ...trafficOf(before, now, [rowName.route(service, route)]),
  }));
}

/** `ids` are those of the members, `POOL/MEMBERKEY`. */
export function poolTraffic(
  before: CounterSample | null,
  now: CounterSample,
  ids: readonly string[],
): L7Traffic {
  return trafficOf(before, now, ids.map(rowName.member));
}

export function memberTraffic(
  before: CounterSample | null,
  now: CounterSample,
  id: string,
): L7Traffic {
  return trafficOf(before, now, [rowName.member(id)]);
}

function at(row: Float64Array, which: Counter): number {
  return row[which] ?? 0;
}

function ratesOf(gained: Float64Array, seconds: number): L7Rates {
  const rate = (count: number): number => (seconds > 0 ? count / seconds : 0);
  return {
    connectionsPerSecond: rate(at(gained, counter.opened)),
    requestsPerSecond: rate(at(gained, counter.requests)),
    errorsPerSecond: rate(at(gained, counter.status5xx)),
    bitsPerSecond: rate((at(gained, counter.bytesIn) + at(gained, counter.bytesOut)) * 8),
  };
}

/** Of a row, or of a difference of two. */
export function latencyOf(row: Float64Array): L7Latency | null {
  const micros = durationsOf(row, durationBuckets, row[durationSum] ?? 0, row[durationMax] ?? 0);
  if (micros === null) return null;
  return {
    mean: micros.mean / 1000,
    p50: micros.p50 / 1000,
    p90: micros.p90 / 1000,
    p99: micros.p99 / 1000,
    p999: micros.p999 / 1000,
    max: micros.max / 1000,
  };
}

export function totalsOf(row: Float64Array): L7Totals {
  const of = (which: Counter): number => at(row, which);
  return {
    connections: of(counter.opened),
    requests: of(counter.requests),
    responses: {
      '1xx': of(counter.status1xx),
      '2xx': of(counter.status2xx),
      '3xx': of(counter.status3xx),
      '4xx': of(counter.status4xx),
      '5xx': of(counter.status5xx),
    },
    bytesIn: of(counter.bytesIn),
    bytesOut: of(counter.bytesOut),
    refused: {
      rate: of(counter.refusedRate),
      connections: of(counter.refusedConnections),
      queueFull: of(counter.refusedQueueFull),
      queueTimeout: of(counter.refusedQueueTimeout),
      noMember: of(counter.refusedNoMember),
      badRequest: of(counter.refusedBadRequest),
      tooSlow: of(counter.refusedTooSlow),
    },
    retries: of(counter.retries),
    connects: {
      ok: of(counter.connectsOk),
      failed: of(counter.connectsFailed),
      reused: of(counter.reused),
    },
    ejections: of(counter.ejections),
    upgrades: of(counter.upgrades),
    compressed: {
      responses: of(counter.compressions),
      bytesIn: of(counter.compressedIn),
      bytesOut: of(counter.compressedOut),
    },
    clientAborts: of(counter.clientAborts),
    memberFailures: of(counter.memberFailures),
    tls: {
      full: of(counter.tlsFull),
      resumed: of(counter.tlsResumed),
      early: of(counter.tlsEarly),
      versions: { '1.2': of(counter.tls12), '1.3': of(counter.tls13) },
      failed: {
        gone: of(counter.tlsGone),
        alert: of(counter.tlsAlert),
        incompatible: of(counter.tlsIncompatible),
        certificate: of(counter.tlsCertificate),
        name: of(counter.tlsName),
        other: of(counter.tlsOther),
      },
    },
  };
}

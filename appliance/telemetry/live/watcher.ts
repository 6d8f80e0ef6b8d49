/**
 * What one viewer sees: gathers requests and flows that pass its filter, and makes a message of them
 * once a second. Pure: times are given.
 *
 * Invariant: bounded, whatever comes: `ROOM` keys, `MOST_FLOWS` flows, `MOST_LINES` lines a second.
 */
import type {
  ClientTop,
  LiveFlow,
  LiveMessage,
  LiveOrder,
  LiveRequest,
  LiveTop,
  LiveView,
  UrlTop,
} from '../../api/live-contract.js';
import type { LiveFilter, Subject } from '../../api/live-filter.js';
import { HeavyHitters, type Hitter } from './heavy-hitters.js';

const ROOM = 1000;
export const TOP_ROWS = 100;
const MOST_FLOWS = 100;
const MOST_LINES = 200;
/** Of paths and user agents that are told. */
const MOST_LETTERS = 1000;
/** Seconds in which weights fade to 1/e. */
const FADE_SECONDS = 10;

export interface Wanted {
  readonly view: LiveView;
  readonly order: LiveOrder;
  readonly filter: LiveFilter;
}

/** A flow as the fast path told its begin; `weight`: how many it stands for. */
export type NewFlow = Omit<LiveFlow, 'state' | 'idleMs'> & { readonly address: string };
export type FlowState = Pick<LiveFlow, 'state' | 'idleMs'>;

/** What is told once a second. */
export type LiveNews = Exclude<LiveMessage, { readonly type: 'hello' }>;

/** Sums that fade. */
interface Seen {
  connections: number;
  requests: number;
  bits: number;
  errors: number;
  /** Whether the proxy counted anything of it. */
  proxied: boolean;
  /** Of `timed` requests, milliseconds. */
  ms: number;
  timed: number;
  service: string;
  host: string | null;
  path: string;
  status: number;
}

export class Watcher<F extends NewFlow = NewFlow> {
  readonly wanted: Wanted;
  readonly #top = new HeavyHitters<Seen>(ROOM);
  #flows: F[] = [];
  #lines: LiveRequest[] = [];
  #skipped = 0;
  #began: number;
  #faded: number;

  /** `now`: milliseconds of a clock that only goes on, as everywhere here. */
  constructor(wanted: Wanted, now: number) {
    this.wanted = wanted;
    this.#began = now;
    this.#faded = now;
  }

  request(request: LiveRequest, weight: number): void {
    const { view, filter } = this.wanted;
    if (view === 'flows') return;
    const path = pathOf(request.target);
    const subject: Subject = { ...request, path: view === 'urls' ? path : request.target };
    if (!filter(subject)) return;
    if (view === 'log') {
      if (this.#lines.length >= MOST_LINES) this.#skipped += weight;
      else {
        this.#lines.push(shortened(request));
        this.#skipped += weight - 1;
      }
      return;
    }
    // A request whose head is not known any more has no method either, and was answered.
    const connection = request.method === null && request.status === 0;
    if (view === 'urls' && request.target === null) return;
    const key = view === 'clients' ? request.client : urlKey(request, path);
    if (key === null) return;
    const failed = request.status >= 500 || (request.status === 0 && !connection);
    const bits = (request.bytesIn + request.bytesOut) * 8;
    const gained = {
      connections: connection ? weight : 0,
      requests: connection ? 0 : weight,
      bits: bits * weight,
      errors: failed ? weight : 0,
    };
    const seen = this.#count(key, gained);
    if (seen === null) return;
    seen.proxied = true;
    seen.service = request.service ?? '';
    seen.host = request.host;
    seen.path = path;
    seen.status = request.status;
    if (request.totalMs === null) return;
    seen.ms += request.totalMs * weight;
    seen.timed += weight;
  }

  flow(flow: F, weight: number): void {
    const { view, filter } = this.wanted;
    if (view !== 'flows' && view !== 'clients') return;
    const { service, member } = flow;
    if (!filter({ service, member, client: flow.address })) return;
    if (view === 'flows') {
      this.#flows.push(flow);
      if (this.#flows.length > MOST_FLOWS * 2) this.#flows = this.#flows.slice(-MOST_FLOWS);
      return;
    }
    const seen = this.#count(flow.address, {
      connections: weight,
      requests: 0,
      bits: 0,
      errors: 0,
    });
    if (seen !== null) seen.service = service;
  }

  /** What is to be told now. `stateOf` is asked for the flows that are shown. */
  message(now: number, time: number, stateOf: (flow: F) => FlowState): LiveNews {
    const { view } = this.wanted;
    const seconds = this.#seconds(now);
    switch (view) {
      case 'log': {
        const message = { type: view, time, seconds, rows: this.#lines, skipped: this.#skipped };
        this.#lines = [];
        this.#skipped = 0;
        return message;
      }
      case 'flows': {
        const newest = this.#flows.slice(-MOST_FLOWS).sort((a, b) => b.time - a.time);
        const rows = newest.map((flow): LiveFlow => {
          const { protocol, client, service, pool, member, forwarding } = flow;
          return {
            ...{ time: flow.time, protocol, client, service, pool, member, forwarding },
            ...stateOf(flow),
          };
        });
        return { type: view, time, seconds, rows };
      }
      case 'clients': {
        const rows = this.#rows(now, (hitter, top): ClientTop => ({
          ...{ client: hitter.key, service: hitter.value.service },
          ...top,
        }));
        return { type: view, time, seconds, rows };
      }
      case 'urls': {
        const rows = this.#rows(now, ({ value }, top): UrlTop => {
          const { service, host, path, status, ms, timed } = value;
          const meanMs = timed > 0 ? ms / timed : null;
          return { ...{ service, host, path, status, meanMs }, ...top };
        });
        return { type: view, time, seconds, rows };
      }
    }
  }

  #seconds(now: number): number {
    return Math.max(0, now - this.#began) / 1000;
  }

  #count(
    key: string,
    gained: Pick<Seen, 'connections' | 'requests' | 'bits' | 'errors'>,
  ): Seen | null {
    const { order } = this.wanted;
    const weight = order === 'hits' ? gained.connections + gained.requests : gained[order];
    // What weighs nothing must not push out what does.
    if (weight === 0) return null;
    const seen = this.#top.add(key, weight, nothingSeen);
    seen.connections += gained.connections;
    seen.requests += gained.requests;
    seen.bits += gained.bits;
    seen.errors += gained.errors;
    return seen;
  }

  #rows<R>(now: number, row: (hitter: Readonly<Hitter<Seen>>, top: LiveTop) => R): R[] {
    const factor = Math.exp(-(now - this.#faded) / 1000 / FADE_SECONDS);
    this.#faded = now;
    this.#top.fade(factor, (seen) => {
      seen.connections *= factor;
      seen.requests *= factor;
      seen.bits *= factor;
      seen.errors *= factor;
      seen.ms *= factor;
      seen.timed *= factor;
    });
    // What a steady rate of 1 would have summed up to meanwhile. The first moment tells little, and
    // flows are weighed by what a whole second counted.
    const seconds = Math.max(1, this.#seconds(now));
    const one = FADE_SECONDS * (1 - Math.exp(-seconds / FADE_SECONDS));
    const rate = (sum: number): number => Number((sum / one).toPrecision(4));
    return this.#top
      .top(TOP_ROWS)
      .filter(({ value }) => value.connections + value.requests > FORGOTTEN)
      .map((hitter) => {
        const { connections, requests, bits, errors, proxied } = hitter.value;
        return row(hitter, {
          connectionsPerSecond: rate(connections),
          requestsPerSecond: rate(requests),
          bitsPerSecond: proxied ? rate(bits) : null,
          errorsPerSecond: rate(errors),
          surplus: rate(hitter.surplus),
        });
      });
  }
}

/** One hit of half a minute ago. */
const FORGOTTEN = Math.exp(-3);

function nothingSeen(): Seen {
  return {
    ...{ connections: 0, requests: 0, bits: 0, errors: 0, proxied: false, ms: 0, timed: 0 },
    ...{ service: '', host: null, path: '', status: 0 },
  };
}

function urlKey({ service, host }: LiveRequest, path: string): string {
  return JSON.stringify([service, host, path]);
}

/** Without query and fragment. */
export function pathOf(target: string | null): string {
  const path = /^[^?#]*/.exec(target ?? '')?.[0] ?? '';
  return path.slice(0, MOST_LETTERS);
}

function shortened(request: LiveRequest): LiveRequest {
  const short = (text: string | null): string | null => text?.slice(0, MOST_LETTERS) ?? null;
  const { target, host, userAgent } = request;
  return { ...request, target: short(target), host: short(host), userAgent: short(userAgent) };
}

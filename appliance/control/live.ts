/**
 * Live traffic for those who look: requests from the workers, which tell of them only meanwhile, and
 * flows from the events of the fast path.
 *
 * Invariants:
 * - While nobody looks the workers are not asked, and of flows only the last few are remembered.
 * - Flows are told within a budget of the fast path; each that is told stands for as many as the
 *   counters of its service say.
 */
import type { CounterDeltas, LiveMessage } from '../api/contract.js';
import { formatEndpoint } from '../config/addresses.js';
import { PortError } from '../api/port.js';
import type { L4Event, L4Tier } from '../l4/tier.js';
import type { WorkerTier } from '../l7/supervisor/worker-tier.js';
import { requestOf } from '../telemetry/live/request-line.js';
import { Watcher, type NewFlow, type Wanted } from '../telemetry/live/watcher.js';

export const MOST_VIEWERS = 16;
const RECENT = 100;
/** Flows of a second that are looked at: the fast path tells 200 of each CPU. */
const MOST_FLOWS = 10_000;

export interface LiveParts {
  readonly proxy: Pick<WorkerTier, 'watchRequests'>;
  readonly fastPath: Pick<L4Tier, 'flowState'>;
}

interface KnownFlow extends NewFlow {
  readonly event: L4Event;
}

interface Viewer {
  readonly watcher: Watcher<KnownFlow>;
  readonly send: (message: LiveMessage) => void;
}

export class LiveTraffic {
  readonly #parts: LiveParts;
  readonly #viewers = new Set<Viewer>();
  #recent: KnownFlow[] = [];
  /** Of this second, while somebody looks. */
  #flows: KnownFlow[] = [];

  constructor(parts: LiveParts) {
    this.#parts = parts;
  }

  /**
   * `send` must return at once and must not throw. Returns what ends it; calling that twice does no
   * harm. Errors: unavailable when too many look already.
   */
  watch(wanted: Wanted, send: (message: LiveMessage) => void): () => void {
    if (this.#viewers.size >= MOST_VIEWERS) {
      throw new PortError(
        'unavailable',
        `${MOST_VIEWERS} look at live traffic already: close one and try again.`,
      );
    }
    const viewer: Viewer = { watcher: new Watcher(wanted, performance.now()), send };
    if (wanted.view === 'flows') for (const flow of this.#recent) viewer.watcher.flow(flow, 1);
    this.#viewers.add(viewer);
    this.#look();
    return () => {
      if (this.#viewers.delete(viewer)) this.#look();
    };
  }

  /** A flow began. */
  flow(event: L4Event, time: number): void {
    const { service, member } = event;
    if (service === undefined || member === undefined) return;
    const flow: KnownFlow = {
      ...{ event, time, protocol: event.protocol, address: event.clientAddress },
      client: formatEndpoint({ address: event.clientAddress, port: event.clientPort }),
      ...{ service: service.name, pool: member.pool, member: member.member },
      forwarding: service.forwarding,
    };
    this.#recent.push(flow);
    if (this.#recent.length > RECENT * 2) this.#recent = this.#recent.slice(-RECENT);
    if (this.#viewers.size > 0 && this.#flows.length < MOST_FLOWS) this.#flows.push(flow);
  }

  /** Once a second, with what was counted in it. */
  step(deltas: CounterDeltas): void {
    if (this.#viewers.size === 0) return;
    const flows = this.#flows;
    this.#flows = [];
    const told = new Map<string, number>();
    for (const { service } of flows) told.set(service, (told.get(service) ?? 0) + 1);
    for (const flow of flows) {
      const { service } = flow;
      const all = Object.hasOwn(deltas.services, service) ? deltas.services[service]?.flows : 0;
      const weight = Math.max(1, (all ?? 0) / (told.get(service) ?? 1));
      for (const { watcher } of this.#viewers) watcher.flow(flow, weight);
    }
    const now = performance.now();
    const time = Date.now();
    for (const { watcher, send } of [...this.#viewers]) {
      send(watcher.message(now, time, ({ event }) => this.#parts.fastPath.flowState(event)));
    }
  }

  close(): void {
    this.#viewers.clear();
    this.#look();
  }

  #look(): void {
    const wanted = [...this.#viewers].some(({ watcher }) => watcher.wanted.view !== 'flows');
    this.#parts.proxy.watchRequests(wanted ? this.#hear : null);
    if (this.#viewers.size === 0) this.#flows = [];
  }

  readonly #hear = (bytes: Uint8Array, start: number, end: number): void => {
    const told = requestOf(
      Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString(),
    );
    if (told === null) return;
    for (const { watcher } of this.#viewers) watcher.request(told.request, told.weight);
  };
}

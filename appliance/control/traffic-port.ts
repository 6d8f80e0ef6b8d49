/** Answers about traffic of the past and of now, and records it once a second. */
import type { CounterDeltas, TrafficHistory } from '../api/contract.js';
import type { TrafficPort } from '../api/traffic-port.js';
import { PortError } from '../api/port.js';
import type { Intent } from '../config/schema.js';
import { serviceName } from '../telemetry/history/history.js';
import type { HistoryKeeper } from '../telemetry/history/keeper.js';
import { LoadMeter } from '../telemetry/history/unit-load.js';
import type { LiveTraffic } from './live.js';
import type { ProxyWatch } from './proxy-watch.js';
import type { Tables } from './tables.js';
import { trafficSamples } from './traffic-history.js';

export interface Seen {
  readonly intent: Intent;
  readonly tables: Tables;
  readonly deltas: CounterDeltas;
  readonly proxy: ProxyWatch;
}

export class Traffic implements TrafficPort {
  readonly #keeper: HistoryKeeper;
  readonly #fastPath: { activeFlows(): ReadonlyMap<string, number> };
  readonly #live: LiveTraffic;
  readonly #load = new LoadMeter();
  #services: ReadonlySet<string> = new Set();

  constructor(
    keeper: HistoryKeeper,
    fastPath: { activeFlows(): ReadonlyMap<string, number> },
    live: LiveTraffic,
  ) {
    this.#keeper = keeper;
    this.#fastPath = fastPath;
    this.#live = live;
  }

  /** Once a second, with what was counted since the last time. */
  sample({ intent, tables, deltas, proxy }: Seen): void {
    this.#services = new Set(Object.keys(intent.services));
    const load = this.#load.read();
    this.#keeper.step({ time: Date.now(), monotonic: performance.now() }, (seconds) =>
      trafficSamples({
        ...{ intent, tables, deltas, seconds, load },
        active: this.#fastPath.activeFlows(),
        proxied: (service) => proxy.second(service),
      }),
    );
  }

  async history(query: Parameters<TrafficPort['history']>[0]): Promise<TrafficHistory> {
    const { of, span } = query;
    const found = this.#keeper.read(of, span, Date.now());
    if (found !== null) return found;
    const begins = of === 'unit' || [...this.#services].some((name) => serviceName(name) === of);
    throw new PortError(
      'not-found',
      begins
        ? `Nothing is recorded of ${of} yet: ask again in a few seconds.`
        : `There is no history of ${of}: give unit, or service:NAME of a service, see "weir show services".`,
    );
  }

  watch(...args: Parameters<TrafficPort['watch']>): () => void {
    return this.#live.watch(...args);
  }

  close(): void {
    this.#live.close();
    this.#keeper.close();
  }
}

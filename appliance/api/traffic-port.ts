/** What the API asks of the daemon about traffic of the past and of now, as in port.ts. */
import type { HistorySpan, TrafficHistory } from './history-contract.js';
import type { LiveMessage, LiveOrder, LiveView } from './live-contract.js';
import type { LiveFilter } from './live-filter.js';

export interface TrafficPort {
  /** `of`: `unit`, or `service:NAME`. Errors: not-found. */
  history(query: { readonly of: string; readonly span: HistorySpan }): Promise<TrafficHistory>;
  /**
   * Messages of this view, once a second, until what it returns is called. `send` must return at once
   * and must not throw; it is not called before this returns. Errors: unavailable.
   */
  watch(
    wanted: { readonly view: LiveView; readonly order: LiveOrder; readonly filter: LiveFilter },
    send: (message: LiveMessage) => void,
  ): () => void;
}

/** What the API asks of the daemon about traffic of the past, as in port.ts. */
import type { HistorySpan, TrafficHistory } from './history-contract.js';

export interface TrafficPort {
  /** `of`: `unit`, or `service:NAME`. Errors: not-found. */
  history(query: { readonly of: string; readonly span: HistorySpan }): Promise<TrafficHistory>;
}

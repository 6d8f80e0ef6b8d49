/**
 * What the control API answers about the past: `GET /v1/history`. Part of contract.ts, whose
 * conventions and invariant hold here too.
 */
export const HISTORY_SPANS = ['10m', '1h', '24h', '30d', '1y'] as const;
export type HistorySpan = (typeof HISTORY_SPANS)[number];

/**
 * Averages over a slot. `connections` (new ones), `requests`, `errors` (answers of class 5xx) and
 * `drops` (packets of the unit; refused requests and connections of a proxied service) are per second,
 * `bitsIn` (from clients) and `bitsOut` (to them, where that passes through the unit) bits per second;
 * `active` (connections) and `membersUp` are counts; `cpu` and `memory` parts of the whole, 0 to 1.
 */
export type HistoryMeasure =
  | 'connections'
  | 'requests'
  | 'bitsIn'
  | 'bitsOut'
  | 'errors'
  | 'drops'
  | 'active'
  | 'membersUp'
  | 'cpu'
  | 'memory';

export interface TrafficHistory {
  /** `unit`, or `service:NAME`. */
  readonly of: string;
  readonly span: HistorySpan;
  /** A slot's length. Slots begin at whole multiples of it since 1970. */
  readonly stepMs: number;
  /** When the newest slot began; it is not over yet. */
  readonly newest: number;
  /**
   * By measure, the oldest slot first; null where nothing was seen, as while the daemon was away, or
   * where the measure has no meaning. A measure that is not kept is absent.
   */
  readonly values: { readonly [M in HistoryMeasure]?: readonly (number | null)[] };
}

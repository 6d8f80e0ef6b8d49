/**
 * What workers serve by: one state of the tables, whole and never changed.
 */
import type { L7Pool, L7Service, L7Unit } from './tables.js';

export interface Snapshot {
  /** Grows with each; wraps never. */
  readonly number: number;
  readonly unit: L7Unit;
  readonly services: ReadonlyMap<string, L7Service>;
  readonly pools: ReadonlyMap<string, L7Pool>;
  /** Rows in shared memory by the names of telemetry/row-registry.ts. */
  readonly rows: ReadonlyMap<string, number>;
  /** Numbers of access logs by where they go to. */
  readonly logs: ReadonlyMap<string, number>;
}

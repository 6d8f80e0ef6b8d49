/** What the API asks of the daemon about the unit's own network. Errors: as `DaemonPort`. */
import type { NetworkView, PingResult, ResolveResult, TraceResult } from './network-contract.js';

export interface NetworkPort {
  view(): Promise<NetworkView>;
  /** Errors: conflict while too many such tests are under way, invalid (no address). */
  ping(request: { readonly address: string; readonly count: number }): Promise<PingResult>;
  /** Errors: as `ping`. */
  trace(request: { readonly address: string; readonly hops: number }): Promise<TraceResult>;
  /** `server`: left out, those of the host. Errors: as `ping`. */
  resolve(request: { readonly name: string; readonly server?: string }): Promise<ResolveResult>;
}

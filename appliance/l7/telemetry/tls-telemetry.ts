/**
 * Handshakes of TLS, counted for the service or the member with which they were. Several lookups for
 * each are nothing beside the handshake.
 */
import type { TlsFailure } from '../../../native/ffi/tls-error.js';
import { TLS1_3 } from '../../../native/ffi/tls-versions.js';
import type { ClientSide, ServerSide, TlsObserver } from '../tls/sides.js';
import { counter, type Counter } from './counter-layout.js';
import { noRow, rowName } from './row-registry.js';
import type { WorkerCounters } from './worker-counters.js';

const counterOf: Readonly<Record<TlsFailure, Counter>> = {
  gone: counter.tlsGone,
  alert: counter.tlsAlert,
  incompatible: counter.tlsIncompatible,
  certificate: counter.tlsCertificate,
  name: counter.tlsName,
  other: counter.tlsOther,
};

export class TlsTelemetry implements TlsObserver {
  #rows: ReadonlyMap<string, number> = new Map();

  /** `tellNotMade` hears why there is no connection to a member. */
  constructor(
    private readonly counters: WorkerCounters,
    private readonly tellNotMade: (side: ClientSide, why: string) => void,
  ) {}

  /** The rows of a new snapshot. */
  adopt(rows: ReadonlyMap<string, number>): void {
    this.#rows = rows;
  }

  accepted({ service }: ServerSide, resumed: boolean, version: number, early: boolean): void {
    const name = rowName.service(service);
    this.#count(name, resumed, version);
    if (early) this.#add(name, counter.tlsEarly);
  }

  refused({ service }: ServerSide, failure: TlsFailure, _why: string): void {
    this.#add(rowName.service(service), counterOf[failure]);
  }

  made({ member }: ClientSide, resumed: boolean, version: number): void {
    this.#count(rowName.member(member), resumed, version);
  }

  notMade(side: ClientSide, failure: TlsFailure, why: string): void {
    this.#add(rowName.member(side.member), counterOf[failure]);
    this.tellNotMade(side, why);
  }

  #count(name: string, resumed: boolean, version: number): void {
    this.#add(name, resumed ? counter.tlsResumed : counter.tlsFull);
    this.#add(name, version === TLS1_3 ? counter.tls13 : counter.tls12);
  }

  #add(name: string, which: Counter): void {
    this.counters.add(this.#rows.get(name) ?? noRow, which, 1);
  }
}

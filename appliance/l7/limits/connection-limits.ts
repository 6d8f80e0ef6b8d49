/**
 * Connections of a service at one time, in all and of each client, as a worker asks for each
 * connection; what must be given back is kept by the connection's slot.
 *
 * Invariant: enter() and leave() come in pairs; a connection that was refused has nothing to leave.
 * It outlives snapshots: what a connection holds does not depend on the service's present limits.
 */
import type { ClientAddress } from '../client-address.js';
import type { L7Service } from '../tables.js';
import { REFUSED, UNTRACKED, type SharedCounts } from './counts.js';
import { seedOf, type Words } from './key-hash.js';
import { AddressCut } from './keys.js';

export type LimitedConnections = Pick<
  L7Service,
  'name' | 'connections' | 'connectionsPerClient' | 'clientPrefix' | 'clientPrefix6'
>;

/** Of one snapshot: a service's limits and where its counters are. */
export class ConnectionRule {
  readonly most: number;
  readonly mostPerClient: number;
  readonly service: Words;
  readonly seed: Words;
  readonly cut: AddressCut;

  constructor(service: LimitedConnections, seedLow: number, seedHigh: number) {
    this.most = service.connections;
    this.mostPerClient = service.connectionsPerClient;
    this.service = seedOf(`service ${service.name}`, seedLow, seedHigh);
    const { name, clientPrefix, clientPrefix6 } = service;
    this.seed = seedOf(`clients ${clientPrefix} ${clientPrefix6} ${name}`, seedLow, seedHigh);
    this.cut = new AddressCut(service);
  }
}

export class ConnectionLimits {
  readonly #services: SharedCounts;
  readonly #clients: SharedCounts;
  readonly #ofService: Int32Array;
  readonly #ofClient: Int32Array;
  readonly #hash: Words = new Int32Array(2);

  /** Two tables, so that no client fills that of the services. `slots`: of the worker's loop. */
  constructor(services: SharedCounts, clients: SharedCounts, slots: number) {
    this.#services = services;
    this.#clients = clients;
    this.#ofService = new Int32Array(slots).fill(UNTRACKED);
    this.#ofClient = new Int32Array(slots).fill(UNTRACKED);
  }

  /** Whether the connection may be: it counts from now on until leave(). */
  enter(slot: number, rule: ConnectionRule, client: ClientAddress): boolean {
    let ofClient = UNTRACKED;
    if (rule.mostPerClient > 0) {
      rule.cut.hash(client, rule.seed, this.#hash);
      const low = this.#hash[0] ?? 0;
      ofClient = this.#clients.enter(low, this.#hash[1] ?? 0, rule.mostPerClient);
      if (ofClient === REFUSED) return false;
    }
    let ofService = UNTRACKED;
    if (rule.most > 0) {
      ofService = this.#services.enter(rule.service[0] ?? 0, rule.service[1] ?? 0, rule.most);
      if (ofService === REFUSED) {
        this.#clients.leave(ofClient);
        return false;
      }
    }
    this.#ofClient[slot] = ofClient;
    this.#ofService[slot] = ofService;
    return true;
  }

  leave(slot: number): void {
    this.#clients.leave(this.#ofClient[slot] ?? UNTRACKED);
    this.#services.leave(this.#ofService[slot] ?? UNTRACKED);
    this.#ofClient[slot] = UNTRACKED;
    this.#ofService[slot] = UNTRACKED;
  }
}

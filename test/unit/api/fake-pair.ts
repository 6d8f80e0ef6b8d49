/** The part of the fake daemon that answers about the pair; it remembers what it was asked. */
import type { PairInvited, PairView } from '../../../appliance/api/pair-contract.js';
import type { PairPort } from '../../../appliance/api/pair-port.js';

export const FINGERPRINT = 'AA:'.repeat(31) + '01';

export const ALONE: PairView = {
  ...{ unit: 'weir-a', fingerprint: null, port: 9347, invitation: null, peer: null },
  ...{
    together: false,
    links: [],
    paths: [],
    unacknowledged: 0,
    refused: { foreign: 0 },
    problem: null,
  },
  standing: null,
};

export const PAIRED: PairView = {
  ...ALONE,
  fingerprint: FINGERPRINT,
  peer: {
    name: 'weir-b',
    fingerprint: FINGERPRINT.replace('01', '02'),
    role: 'inviter',
    addresses: ['10.0.0.1', '192.168.255.1'],
    port: 9347,
    since: Date.UTC(2026, 0, 1),
  },
  together: true,
  links: [
    {
      address: '10.0.0.1',
      up: true,
      since: Date.UTC(2026, 0, 1),
      rtt: 0.4,
      clock: { ms: -3.5, errorMs: 0.2 },
      active: true,
      reason: null,
    },
    {
      address: '192.168.255.1',
      ...{
        up: false,
        since: null,
        rtt: null,
        clock: null,
        active: false,
        reason: 'nothing was heard for 2 s',
      },
    },
  ],
  paths: [
    {
      ...{ path: '10.0.0.0/24', interface: 'eth0', local: '10.0.0.1', remote: '10.0.0.2' },
      ...{ heard: true, since: Date.UTC(2026, 0, 1) },
    },
    {
      ...{ path: '192.168.255.0/24', interface: 'eth1', local: '192.168.255.1' },
      ...{ remote: '192.168.255.2', heard: false, since: Date.UTC(2026, 0, 1) },
    },
  ],
  refused: { foreign: 3, replayed: 0 },
  standing: {
    configuration: {
      ...{ state: 'away', since: Date.UTC(2026, 0, 1), lacking: 2, revision: 12 },
      ...{ id: 'c0ffee00'.repeat(8), message: 'weir-b is away; it lacks 2 changes of this unit' },
      superseded: [
        { revision: 10, unit: 'weir-b', author: 'bob', time: Date.UTC(2026, 0, 1) },
        { revision: 9, unit: 'weir-b', author: 'bob', time: Date.UTC(2026, 0, 1) },
      ],
    },
    flows: {
      ...{ told: true, complete: false, known: 1200, toldPerSecond: 52, takenPerSecond: 0 },
      ...{ lag: 0, untold: 3, refused: { member: 4 }, takenOver: 7, problem: null },
    },
    clients: { told: 1500, taken: 0 },
    shared: {
      ...{ state: 'catching-up', waiting: 2, given: 5, taken: 1, notTaken: 1 },
      kinds: [
        { name: 'certificate', entries: 3 },
        { name: 'ticket-key', entries: 2 },
      ],
    },
    routers: { master: 1, backup: 1, down: 0 },
    failovers: ['shared/odd'],
  },
};

export const INVITED: PairInvited = {
  unit: 'weir-a',
  code: '00000-11111-22222-33333',
  expires: Date.UTC(2026, 0, 1, 0, 10),
  fingerprint: FINGERPRINT,
  addresses: ['10.0.0.1', '192.168.255.1'],
  port: 9347,
};

export class FakePair implements PairPort {
  readonly asked: { readonly method: keyof PairPort; readonly argument: unknown }[] = [];
  current = ALONE;
  /** Thrown by the next order. */
  failure: Error | null = null;

  async view(): Promise<PairView> {
    return this.current;
  }

  invite(argument: unknown): Promise<PairInvited> {
    return this.#answer('invite', argument, INVITED);
  }

  join(argument: unknown): Promise<PairView> {
    return this.#answer('join', argument, PAIRED);
  }

  leave(argument: unknown): Promise<PairView> {
    return this.#answer('leave', argument, ALONE);
  }

  async #answer<T>(method: keyof PairPort, argument: unknown, value: T): Promise<T> {
    this.asked.push({ method, argument });
    const failure = this.failure;
    this.failure = null;
    if (failure !== null) throw failure;
    return value;
  }
}

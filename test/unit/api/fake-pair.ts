/** The part of the fake daemon that answers about the pair; it remembers what it was asked. */
import type { PairInvited, PairView } from '../../../appliance/api/pair-contract.js';
import type { PairPort } from '../../../appliance/api/pair-port.js';

export const FINGERPRINT = 'AA:'.repeat(31) + '01';

export const ALONE: PairView = {
  ...{ unit: 'weir-a', fingerprint: null, port: 9347, invitation: null, peer: null },
  ...{ together: false, links: [], unacknowledged: 0, refused: { foreign: 0 }, problem: null },
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
  refused: { foreign: 3, replayed: 0 },
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

/** Some workers that share the counts of one pool, in one process: for tests of the choice of members. */
import { Balancer } from '../../appliance/l7/balance/balancer.js';
import type { EjectionListener } from '../../appliance/l7/balance/ejection.js';
import { Members, type MemberState } from '../../appliance/l7/balance/members.js';
import { BalanceMemory, type BalanceSizes } from '../../appliance/l7/balance/memory.js';
import type { L7Member, L7Pool } from '../../appliance/l7/tables.js';

export const quiet: EjectionListener = {
  ejected: () => undefined,
  returned: () => undefined,
};

export function memberOf(index: number, facts: Partial<L7Member> = {}): L7Member {
  const address = `10.0.${index >> 8}.${index & 255}`;
  return {
    id: `web/${address}:80`,
    key: `${address}:80`,
    address,
    port: 80,
    weight: 1,
    takes: true,
    state: 'serving',
    reason: '',
    maxConnections: 0,
    ...facts,
  };
}

export function poolOf(members: readonly L7Member[], facts: Partial<L7Pool> = {}): L7Pool {
  return {
    name: 'web',
    algorithm: 'round-robin',
    hash: 'source',
    members,
    whenDown: 'refuse',
    queue: 0,
    idleConnections: 0,
    idleTimeout: 1000,
    requestsPerConnection: 0,
    retries: 0,
    proxyProtocol: 'off',
    ejection: null,
    tls: null,
    ...facts,
  };
}

export function memories(workers: number, sizes: BalanceSizes): BalanceMemory[] {
  const buffer = new ArrayBuffer(BalanceMemory.sharedBytes(sizes));
  return Array.from(
    { length: workers },
    () =>
      new BalanceMemory(
        sizes,
        { buffer, offset: 0 },
        { buffer: new ArrayBuffer(BalanceMemory.ownBytes(sizes)), offset: 0 },
        0,
      ),
  );
}

export interface PlayedWorker {
  readonly memory: BalanceMemory;
  readonly members: Members;
  readonly states: readonly MemberState[];
  readonly balancer: Balancer;
}

/** As a supervisor would give it: for ever the same to the same member. */
function rowOf({ address }: L7Member): number {
  const [, , high = 0, low = 0] = address.split('.').map(Number);
  return high * 256 + low;
}

/** A worker takes over a pool. */
export function takeOver(
  memory: BalanceMemory,
  members: Members,
  pool: L7Pool,
  seed = 1,
  ejections = quiet,
): PlayedWorker {
  const states = pool.members.map((member) => members.of(member, member.port, rowOf(member)));
  members.retire();
  const balancer = new Balancer(pool, states, { memory, row: 0, seed, ejections });
  return { memory, members, states, balancer };
}

export function workersOf(count: number, pool: L7Pool, ejections = quiet): PlayedWorker[] {
  return memories(count, { members: pool.members.length, pools: 1 }).map((memory, index) =>
    takeOver(memory, new Members(memory), pool, index + 1, ejections),
  );
}

/**
 * Which services keep an entry for each of their flows, and which only for those that their hash
 * would not send where they go (native/bpf/flow.h).
 *
 * Invariant: decided here alone, for the fast path and for what is said of a change beforehand.
 */
import type { L4Pool, L4Service, L4Tables } from '../control/tables.js';
import { CHOICE } from './layouts.js';

/** Whether a hash of the packet alone picks the slot. */
export function isHash(choice: L4Pool['choice']): boolean {
  return CHOICE[choice] <= CHOICE['source-destination-hash'];
}

/** Whether every flow of a service needs an entry, because its hash does not say all about it. */
export function tracksAll(
  service: L4Service,
  choice: L4Pool['choice'],
  countsFlows: boolean,
): boolean {
  return (
    countsFlows ||
    service.forwarding === 'nat' ||
    service.forwarding === 'full-nat' ||
    !isHash(choice) ||
    service.persistence !== null
  );
}

/** Whether a limit on flows at one time holds for a service or a member of its pool. */
export function limitsFlows({ protection, pools }: L4Tables, service: L4Service): boolean {
  const own = protection?.services.get(service.name);
  if (protection === undefined || own === undefined) return false;
  return (
    own.connections > 0 ||
    (own.client?.connections ?? 0) > 0 ||
    (own.members &&
      pools
        .get(service.pool)
        ?.members.some(({ id }) => (protection.members.get(id)?.connections ?? 0) > 0) === true)
  );
}

/**
 * By which hash the flows of each service go that have no entry, by its name; null where every
 * flow has one.
 */
export function hashesOf(tables: L4Tables): Map<string, L4Pool['choice'] | null> {
  const found = new Map<string, L4Pool['choice'] | null>();
  for (const [name, service] of tables.services) {
    const pool = tables.pools.get(service.pool);
    if (pool === undefined) continue;
    const tracked = tracksAll(service, pool.choice, limitsFlows(tables, service));
    found.set(name, tracked ? null : pool.choice);
  }
  return found;
}

/** The part of a document that one pool can make invalid. */
import { poolsOf } from '../config/references.js';
import type { Document } from '../config/schema.js';

/**
 * A document of one pool and the services that lead to it, directly or as what stands in for
 * their own, with the other pools and the access lists that those need.
 */
export function partAround(document: Document, name: string): Document {
  const { version, unit, pools = {}, 'access-lists': lists = {}, certificates } = document;
  const withStandIns = (names: readonly string[]): Set<string> => {
    const found = new Set(names);
    // A set hands out what is added while it is walked through.
    for (const one of found) {
      const whenDown = Object.hasOwn(pools, one) ? pools[one]?.['when-down'] : undefined;
      if (typeof whenDown === 'object') found.add(whenDown.pool);
    }
    return found;
  };
  const services = Object.entries(document.services ?? {}).filter(([, service]) =>
    withStandIns(poolsOf(service)).has(name),
  );
  const usedLists = new Set(
    services.flatMap(([, { access }]) => [...(access?.allow ?? []), ...(access?.deny ?? [])]),
  );
  const needed = withStandIns([name, ...services.flatMap(([, service]) => poolsOf(service))]);
  return {
    version,
    unit,
    pools: Object.fromEntries(Object.entries(pools).filter(([pool]) => needed.has(pool))),
    services: Object.fromEntries(services),
    'access-lists': Object.fromEntries(
      Object.entries(lists).filter(([list]) => usedLists.has(list)),
    ),
    ...(certificates === undefined ? {} : { certificates }),
  };
}

/**
 * Which pools a service leads to: its own, those of its routes, and those that get copies.
 *
 * Invariant: whoever asks who uses a pool asks here.
 */
import type { Path } from './errors.js';

/** As a document or an intent has it. */
interface Leading {
  readonly pool?: string | undefined;
  readonly routes?:
    | readonly {
        readonly pool?: string | undefined;
        readonly pools?: readonly { readonly pool: string }[] | undefined;
        readonly mirror?: { readonly pool: string } | undefined;
      }[]
    | undefined;
}

/** The path of each reference below the service, and the pool. */
export function* poolReferences(service: Leading): Generator<readonly [path: Path, pool: string]> {
  if (service.pool !== undefined) yield [['pool'], service.pool];
  for (const [index, { pool, pools = [], mirror }] of (service.routes ?? []).entries()) {
    const path = ['routes', index];
    if (pool !== undefined) yield [[...path, 'pool'], pool];
    for (const [at, one] of pools.entries()) yield [[...path, 'pools', at, 'pool'], one.pool];
    if (mirror !== undefined) yield [[...path, 'mirror', 'pool'], mirror.pool];
  }
}

/** Each pool once, in the order of the document. */
export function poolsOf(service: Leading): string[] {
  return [...new Set(Array.from(poolReferences(service), ([, pool]) => pool))];
}

/** Those that answer clients: without those that only get copies. */
export function answeringPools(service: Leading): string[] {
  const routes = service.routes?.map(({ pool, pools }) => ({ pool, pools }));
  return poolsOf({ pool: service.pool, routes });
}

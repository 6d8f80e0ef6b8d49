/**
 * Which unit of a pair orders a certificate from an authority: the one that invited orders when it is
 * due, the other one later, if there is still none by then. So one that cannot order, or is dead, holds
 * nothing up, and nothing has to be agreed on.
 */
import type { PairState } from '../ha/pair/state.js';
import type { CertificateInfo } from '../tls/certificate-store.js';
import type { Declared } from '../tls/keeper.js';

/** While the other unit is heard: it has tried several times by then. */
const HEARD_MS = 600_000;
/** While it is not: it may only just be starting, as this one. */
const AWAY_MS = 60_000;

/** Milliseconds that this unit waits for the other one. */
export function orderPatience(
  { peer, links }: Pick<PairState, 'peer' | 'links'>,
  spec: Declared,
  info: Pick<CertificateInfo, 'kind' | 'notAfter'> | undefined,
  now: number,
): number {
  if (spec.type !== 'acme' || peer === null || peer.role === 'inviter') return 0;
  const wait = links.some(({ up }) => up) ? HEARD_MS : AWAY_MS;
  // One of a short life would end meanwhile.
  const left = info?.kind === 'certificate' ? Math.max(0, info.notAfter - now) / 2 : Infinity;
  return Math.min(wait, left);
}

/**
 * Who of a pool takes new flows: the members that serve, backups when too few do, and those
 * that are down all the same when the administrator prefers that to nobody.
 *
 * Invariant: a member that can serve is never held back because others cannot; only backups
 * wait, and only while enough others serve.
 */

export interface Candidate {
  /** `serve`; `at-need`: enabled and reachable, and its monitor fails; `no`. */
  readonly can: 'serve' | 'at-need' | 'no';
  readonly backup: boolean;
}

/** So many members, or so many per cent. */
export type Minimum = { readonly members: number } | { readonly percent: number };

/**
 * `enough`: as many serve as are needed, without backups. `backups`: with them. `all`: those that
 * are down are used as well. `few`: fewer than needed serve, and nothing more can be done here.
 * `none`: nobody takes flows.
 */
export type Muster = 'enough' | 'backups' | 'all' | 'few' | 'none';

export interface Quorum {
  readonly muster: Muster;
  /** How many must serve. */
  readonly needed: number;
  /** How many can serve, backups among them. */
  readonly serving: number;
  /** Who takes new flows, in the order of the candidates. */
  readonly takes: readonly boolean[];
}

/** @param enabled members that are set to serve and are no backups: what a percentage is of */
export function neededMembers(minimum: Minimum | undefined, enabled: number): number {
  if (minimum === undefined) return 1;
  return 'members' in minimum
    ? minimum.members
    : Math.max(1, Math.ceil((enabled * minimum.percent) / 100));
}

export function quorum(
  candidates: readonly Candidate[],
  needed: number,
  serveAll: boolean,
): Quorum {
  const count = (fits: (one: Candidate) => boolean): number => candidates.filter(fits).length;
  const serving = count((one) => one.can === 'serve');
  const own = count((one) => one.can === 'serve' && !one.backup);
  const result = (muster: Muster, takes: (one: Candidate) => boolean): Quorum => ({
    muster,
    needed,
    serving,
    takes: candidates.map(takes),
  });

  if (own >= needed) return result('enough', (one) => one.can === 'serve' && !one.backup);
  if (serving >= needed) return result('backups', (one) => one.can === 'serve');
  if (serveAll && count((one) => one.can === 'at-need') > 0) {
    return result('all', (one) => one.can !== 'no');
  }
  return result(serving > 0 ? 'few' : 'none', (one) => one.can === 'serve');
}

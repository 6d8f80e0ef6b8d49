/**
 * Which unit of a pair is in front, as a change of the configuration that both have, and what will
 * move by it.
 */
import type { AddressMove, PreferResult, RouterRow } from '../api/router-contract.js';
import type { ChangeRequest } from '../api/port.js';
import { PortError } from '../api/port.js';
import { usualPair } from '../config/pair.js';
import { withPreference, type Preference } from '../config/prefer.js';
import type { Intent } from '../config/schema.js';
import type { ConfigStore } from '../config/store.js';
import type { Changes } from './changes.js';
import { OTHER, PREFERRED, priorityOf, type PairTables } from './compile-pair.js';
import type { Roles } from './roles.js';

export interface PreferRequest extends ChangeRequest, Preference {
  readonly dryRun: boolean;
}

export interface PreferenceParts {
  readonly store: Pick<ConfigStore, 'head'>;
  readonly changes: Pick<Changes, 'apply' | 'plan'>;
  readonly roles: Pick<Roles, 'other' | 'rows'>;
}

/** @throws PortError: not-found, conflict, and as `Changes.apply` */
export async function prefer(
  { store, changes, roles }: PreferenceParts,
  request: PreferRequest,
): Promise<PreferResult> {
  const head = store.head();
  if (head === null) throw new PortError('not-found', 'No configuration was applied yet.');
  const { unit, share } = request;
  const own = head.document.unit.name;
  const peer = roles.other()?.name ?? null;
  const edited = withPreference(head.document, { unit, share }, [own, peer]);
  if (!edited.ok) throw new PortError('not-found', edited.message);
  const { document } = edited;
  const { intent, tables } = changes.plan({ document });
  const rows = await roles.rows();
  const comment =
    request.comment || `prefer ${unit ?? 'none'}${share === null ? '' : ` for ${share}`}`;
  const change = await changes.apply({
    ...request,
    ...{ comment, ifMatch: request.ifMatch ?? head.number, source: { document } },
  });
  const { preempt, 'preempt-delay': delay } = intent.pair ?? usualPair;
  const after = preferred(intent, tables.pair, peer);
  return { change, moves: moves(rows, after, own, peer), preempt, preemptDelay: delay };
}

/** The unit that each address is at while both are well; null: whichever has it. */
export function preferred(
  intent: Intent,
  { groups }: PairTables,
  peer: string | null,
): ReadonlyMap<string, string | null> {
  const own = intent.unit.name;
  const pair = intent.pair ?? usualPair;
  const found = new Map<string, string | null>();
  for (const { name, priority, routers } of groups) {
    const [router] = Object.entries(pair['virtual-routers'])
      .filter(([one, { group }]) => name === (group === undefined ? one : `group/${group}`))
      .map(([, one]) => one);
    // The shares of the two units have opposite preferences.
    const theirs =
      router === undefined
        ? PREFERRED + OTHER - priority
        : priorityOf(router, pair, peer ?? '', own);
    const holder = priority === theirs ? null : priority > theirs ? own : (peer ?? 'another unit');
    for (const { addresses } of routers) for (const one of addresses) found.set(one, holder);
  }
  return found;
}

function moves(
  rows: readonly RouterRow[],
  after: ReadonlyMap<string, string | null>,
  own: string,
  peer: string | null,
): AddressMove[] {
  return rows
    .flatMap(({ role, master, addresses }) => {
      const from = role === 'master' ? own : master === null ? null : (peer ?? 'another unit');
      return addresses.flatMap((address): AddressMove[] => {
        const to = after.get(address) ?? null;
        return to === null || to === from ? [] : [{ address, from, to }];
      });
    })
    .sort((a, b) => (a.address < b.address ? -1 : 1));
}

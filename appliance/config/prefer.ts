/**
 * The document with another unit in front: of all that moves by itself, of one share of it, or of a
 * virtual router of the document with its group. Pure.
 */
import type { Document } from './schema.js';
import { nearest, quote } from './words.js';

export interface Preference {
  /** Null: none; the addresses that move by themselves are shared out evenly. */
  readonly unit: string | null;
  /** `even`, `odd`, a virtual router or a group; null: all that moves by itself. */
  readonly share: string | null;
}

type PairDocument = NonNullable<Document['pair']>;
type RouterDocuments = NonNullable<PairDocument['virtual-routers']>;

/** `units`: this one's name and, if it is paired, the other's. */
export function withPreference(
  document: Document,
  { unit, share }: Preference,
  units: readonly [own: string, peer: string | null],
): { readonly ok: true; readonly document: Document } | { readonly ok: false; message: string } {
  const refuse = (message: string) => ({ ok: false, message }) as const;
  const [own, peer] = units;
  if (unit !== null && unit !== own && unit !== peer) {
    return refuse(
      peer === null
        ? `This unit is ${quote(own)}, and in no pair: name it, or say none.`
        : `There is no unit ${quote(unit)}: name ${quote(own)} or ${quote(peer)}, or say none.`,
    );
  }
  const pair = document.pair ?? {};
  if (share === null || share === 'even' || share === 'odd') {
    if (peer === null) {
      return refuse(
        'This unit is in no pair, so nothing moves by itself: name a virtual router with --share, or pair it (weir pair).',
      );
    }
    const other = unit === own ? peer : own;
    const first = unit !== null && share === 'odd' ? other : unit;
    return made(document, {
      ...without(pair, 'mode', 'prefer'),
      ...(unit !== null && share === null ? { mode: 'active-passive' as const } : {}),
      ...(first === null ? {} : { prefer: first }),
    });
  }
  const routers = pair['virtual-routers'] ?? {};
  const meant = Object.entries(routers).filter(
    ([name, { group }]) => name === share || group === share,
  );
  const groups = new Set(meant.map(([, { group }]) => group).filter((one) => one !== undefined));
  if (meant.length === 0) {
    const near = nearest(share, [
      ...['even', 'odd', ...Object.keys(routers)],
      ...Object.values(routers).flatMap(({ group }) => group ?? []),
    ]);
    const hint = near === undefined ? '' : ` (did you mean ${quote(near)}?)`;
    return refuse(
      `There is no share or virtual router ${quote(share)}${hint}: say even, odd, or one of pair.virtual-routers or its group.`,
    );
  }
  const changed: RouterDocuments = {};
  for (const [name, router] of Object.entries(routers)) {
    const moved = name === share || (router.group !== undefined && groups.has(router.group));
    changed[name] = !moved
      ? router
      : {
          ...without(router, 'prefer', 'priorities'),
          ...(unit === null ? {} : { prefer: unit }),
        };
  }
  return made(document, { ...pair, 'virtual-routers': changed });
}

function made(document: Document, pair: PairDocument) {
  const rest = without(document, 'pair');
  const empty = Object.keys(pair).length === 0;
  return { ok: true, document: empty ? rest : { ...document, pair } } as const;
}

function without<T extends object, K extends keyof T>(from: T, ...names: readonly K[]): Omit<T, K> {
  const left = { ...from };
  for (const name of names) delete left[name];
  return left;
}

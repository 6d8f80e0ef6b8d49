/**
 * A candidate on top of a newer revision: what was changed here is done again to what somebody else
 * made of the same document. Pure.
 *
 * Invariant: where only one side changed something, that stays. Where both did, this side's stays, and
 * the place is named. Lists are one value, but for those whose items have an address or a name.
 */
import { canonicalAddress } from '../../appliance/config/addresses.js';
import type { JsonValue } from '../../appliance/config/canonical.js';
import { formatPath, type Path } from '../../appliance/config/errors.js';
import { same } from './draft.js';
import { isList, isMap, wordOf, type JsonMap } from './schema.js';

export interface Merged {
  readonly document: JsonMap;
  /** Paths that both changed, each to something else. */
  readonly conflicts: readonly string[];
}

export function merged(original: JsonMap, mine: JsonMap, theirs: JsonMap): Merged {
  const conflicts: string[] = [];
  const document = merge(original, mine, theirs, [], conflicts) as JsonMap;
  return { document, conflicts };
}

type Value = JsonValue | undefined;

function merge(old: Value, mine: Value, theirs: Value, path: Path, conflicts: string[]): Value {
  if (same(mine, theirs) || same(old, theirs)) return mine;
  if (same(old, mine)) return theirs;
  if (isMap(mine) && isMap(theirs)) {
    return mergeMaps(isMap(old) ? old : {}, mine, theirs, path, conflicts);
  }
  if (isList(mine) && isList(theirs)) {
    const [a, b, c] = [keyed(isList(old) ? old : []), keyed(mine), keyed(theirs)];
    if (a !== null && b !== null && c !== null) {
      return Object.values(mergeMaps(a, b, c, path, conflicts));
    }
  }
  conflicts.push(formatPath(path));
  return mine;
}

/** In the order of theirs, and then what is only here. */
function mergeMaps(
  old: JsonMap,
  mine: JsonMap,
  theirs: JsonMap,
  path: Path,
  conflicts: string[],
): JsonMap {
  const keys = [...new Set([...Object.keys(theirs), ...Object.keys(mine)])];
  const parts = keys.flatMap((key): [string, JsonValue][] => {
    const at = (map: JsonMap): Value => (Object.hasOwn(map, key) ? map[key] : undefined);
    const part = merge(at(old), at(mine), at(theirs), [...path, key], conflicts);
    return part === undefined ? [] : [[key, part]];
  });
  return Object.fromEntries(parts);
}

/** Items by address and port; null when they have none, or two have the same. */
function keyed(list: readonly JsonValue[]): JsonMap | null {
  const found = new Map<string, JsonValue>();
  for (const item of list) {
    if (!isMap(item) || typeof item['address'] !== 'string') return null;
    const { port = '' } = item;
    // Behind a sign, so that no key is taken for an index and comes first.
    found.set(`@${canonicalAddress(item['address'])} ${wordOf(port)}`, item);
  }
  return found.size === list.length ? Object.fromEntries(found) : null;
}

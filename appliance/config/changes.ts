/**
 * What differs between two documents, for people and for the history.
 *
 * Invariant: members are matched by their address and port, never by their place in
 * the list, so removing the first of a thousand members is one change.
 */
import { canonicalAddress, memberKey, parseEndpoint } from './addresses.js';
import { canonicalJson, toJson, type JsonValue } from './canonical.js';
import { formatPath, type Path } from './errors.js';
import type { Document } from './schema.js';
import { quote } from './words.js';

export interface Change {
  /** `pools.web.members[10.0.0.1:80].weight`. */
  readonly path: string;
  readonly kind: 'added' | 'removed' | 'changed';
  readonly before?: JsonValue;
  readonly after?: JsonValue;
}

type JsonMap = Readonly<Record<string, JsonValue>>;

/**
 * From `before` (null: nothing was configured yet) to `after`, in the order of the paths' steps.
 * Keys whose value is undefined count as absent. Costs little where the two share their parts.
 */
export function diffDocuments(before: Document | null, after: Document): Change[] {
  const changes: Change[] = [];
  diffMaps((before ?? {}) as JsonMap, after as unknown as JsonMap, [], changes);
  return changes;
}

/** Sections of named parts: a new section is as many changes as it has parts. */
const sections = new Set(['pools', 'services', 'access-lists', 'certificates', 'alerts']);

function diffMaps(before: JsonMap, after: JsonMap, path: Path, changes: Change[]): void {
  const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
  for (const key of keys) {
    const empty = path.length === 0 && sections.has(key) ? {} : undefined;
    const old = Object.hasOwn(before, key) ? before[key] : empty;
    const now = Object.hasOwn(after, key) ? after[key] : empty;
    diffValues(old, now, [...path, key], changes);
  }
}

function diffValues(
  before: JsonValue | undefined,
  after: JsonValue | undefined,
  path: Path,
  changes: Change[],
): void {
  // Documents that were made from one another share what did not change.
  if (before === after) return;
  if (before === undefined || after === undefined) {
    note(before, after, formatPath(path), changes);
  } else if (isMap(before) && isMap(after)) {
    diffMaps(before, after, path, changes);
  } else if (
    isList(before) &&
    isList(after) &&
    path.length === 3 &&
    path[0] === 'pools' &&
    path[2] === 'members'
  ) {
    diffMembers(before, after, path, changes);
  } else if (isListOfMaps(before) && isListOfMaps(after)) {
    for (let index = 0; index < Math.max(before.length, after.length); index++) {
      diffValues(before[index], after[index], [...path, index], changes);
    }
  } else if (before !== after && canonicalJson(before) !== canonicalJson(after)) {
    note(before, after, formatPath(path), changes);
  }
}

function diffMembers(
  before: readonly JsonValue[],
  after: readonly JsonValue[],
  path: Path,
  changes: Change[],
): void {
  const old = byKey(before);
  const now = byKey(after);
  for (const key of new Set([...old.keys(), ...now.keys()])) {
    const a = old.get(key);
    const b = now.get(key);
    if (a === b) continue;
    const place = `${formatPath(path)}[${key}]`;
    if (a === undefined || b === undefined) {
      note(a, b, place, changes);
      continue;
    }
    const inner: Change[] = [];
    diffMaps(a, b, [], inner);
    changes.push(...inner.map((change) => ({ ...change, path: `${place}.${change.path}` })));
  }
}

/** Members by `ADDRESS:PORT`, or the address alone when the port is the service's own. */
function byKey(members: readonly JsonValue[]): Map<string, JsonMap> {
  const found = new Map<string, JsonMap>();
  for (const member of members) {
    if (!isMap(member)) continue;
    found.set(memberLabel(member), member);
  }
  return found;
}

function memberLabel({ address, port }: JsonMap): string {
  return memberKey({
    address: typeof address === 'string' ? canonicalAddress(address) : '?',
    port: typeof port === 'number' ? port : undefined,
  });
}

/**
 * The document with one member's state or weight set, or both.
 *
 * @param member `ADDRESS:PORT`; the port may be left out when only one member has the address
 * @returns a sentence when there is no such pool or member
 */
export function withMember(
  document: Document,
  poolName: string,
  member: string,
  setting: { readonly state?: 'enabled' | 'draining' | 'disabled'; readonly weight?: number },
):
  | {
      readonly ok: true;
      readonly document: Document;
      /** Its name in full. */
      readonly member: string;
    }
  | { readonly ok: false; readonly message: string } {
  const pools = document.pools ?? {};
  const pool = Object.hasOwn(pools, poolName) ? pools[poolName] : undefined;
  if (pool === undefined) {
    return { ok: false, message: `There is no pool ${quote(poolName)}: see "weir show pools".` };
  }
  const wanted = parseEndpoint(member);
  if (!wanted.ok) return { ok: false, message: `${wanted.message}.` };
  const { address, port } = wanted.value;
  const matches = pool.members.flatMap((one, index) =>
    canonicalAddress(one.address) === address && (port === 0 || one.port === port) ? [index] : [],
  );
  // Without a port, the member that has none itself is meant before those that have one.
  const exact =
    port === 0 ? matches.filter((index) => pool.members[index]?.port === undefined) : matches;
  const chosen = exact.length === 1 ? exact : matches;
  const [only] = chosen;
  const named = only === undefined ? undefined : pool.members[only];
  if (named === undefined || chosen.length !== 1) {
    const message =
      chosen.length === 0
        ? `The pool ${quote(poolName)} has no member ${quote(member)}: see "weir show members".`
        : `The pool ${quote(poolName)} has ${chosen.length} members at ${address}: add the port.`;
    return { ok: false, message };
  }
  const members = pool.members.map((one, index) => (index === only ? { ...one, ...setting } : one));
  return {
    ok: true,
    document: { ...document, pools: { ...pools, [poolName]: { ...pool, members } } },
    member: memberKey({ ...named, address: canonicalAddress(named.address) }),
  };
}

function note(
  before: JsonValue | undefined,
  after: JsonValue | undefined,
  path: string,
  changes: Change[],
): void {
  if (before === undefined && after === undefined) return;
  changes.push({
    path,
    kind: before === undefined ? 'added' : after === undefined ? 'removed' : 'changed',
    ...(before === undefined ? {} : { before: toJson(before) }),
    ...(after === undefined ? {} : { after: toJson(after) }),
  });
}

const marks = { added: '+', removed: '-', changed: '~' } as const;

/** One line a change: `+ path: value`, `- path: value`, `~ path: before → after`. */
export function formatChanges(changes: readonly Change[]): string {
  return changes.map(formatChange).join('\n');
}

export function formatChange(change: Change): string {
  const values = [change.before, change.after].filter((value) => value !== undefined);
  return `${marks[change.kind]} ${change.path}: ${values.map((value) => shorten(inlineValue(value))).join(' → ')}`;
}

/** A value on one line, much as YAML writes it between braces. */
export function inlineValue(value: JsonValue): string {
  if (isList(value)) return value.length === 0 ? '[]' : `[${value.map(inlineValue).join(', ')}]`;
  if (isMap(value)) {
    const parts = Object.entries(value).map(([key, item]) => `${key}: ${inlineValue(item)}`);
    return parts.length === 0 ? '{}' : `{ ${parts.join(', ')} }`;
  }
  return typeof value === 'string' && !/^[A-Za-z0-9./*_-][A-Za-z0-9 ./:*_-]*$/.test(value)
    ? quote(value)
    : String(value);
}

function shorten(text: string): string {
  return text.length > 160 ? `${text.slice(0, 159)}…` : text;
}

function isList(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value);
}

function isMap(value: JsonValue): value is JsonMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isListOfMaps(value: JsonValue): value is readonly JsonMap[] {
  return isList(value) && value.length > 0 && value.every(isMap);
}

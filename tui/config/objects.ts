/**
 * The objects of a document, as a list: what stands in it by kind and name, what of it is changed, and
 * who refers to whom. Pure.
 */
import { inlineValue } from '../../appliance/config/changes.js';
import { formatPath, type Path } from '../../appliance/config/errors.js';
import type { JsonValue } from '../../appliance/config/canonical.js';
import { same } from './draft.js';
import { isList, isMap, valueAt, wordOf, type JsonMap } from './schema.js';

export interface ObjectRow {
  readonly kind: string;
  readonly name: string;
  readonly path: Path;
  /** Undefined: it may be made, and is not there. */
  readonly value: JsonValue | undefined;
  readonly mark: 'new' | 'changed' | '';
}

/** Sections of named objects, with the word for one of them; the order of the list. */
export const SECTIONS: readonly { readonly section: string; readonly kind: string }[] = [
  { section: 'services', kind: 'service' },
  { section: 'pools', kind: 'pool' },
  { section: 'access-lists', kind: 'access-list' },
  { section: 'certificates', kind: 'certificate' },
  { section: 'alerts', kind: 'alert' },
];

const SINGLE = ['unit', 'pair', 'telemetry'] as const;

/** Of the last documents asked for: a frame asks several times for the same ones. */
let last: {
  readonly document: JsonMap;
  readonly original: JsonMap;
  readonly rows: readonly ObjectRow[];
} | null = null;

export function objectsOf(document: JsonMap, original: JsonMap): readonly ObjectRow[] {
  if (last?.document === document && last.original === original) return last.rows;
  const rows = listed(document, original);
  last = { document, original, rows };
  return rows;
}

function listed(document: JsonMap, original: JsonMap): ObjectRow[] {
  const row = (kind: string, name: string, path: Path): ObjectRow => {
    const value = valueAt(document, path);
    const before = valueAt(original, path);
    const mark = same(value, before) ? '' : before === undefined ? 'new' : 'changed';
    return { kind, name, path, value, mark };
  };
  const named = SECTIONS.flatMap(({ section, kind }) =>
    Object.keys(mapAt(document, section)).map((name) => row(kind, name, [section, name])),
  );
  const parts = Object.entries(mapAt(document, 'pools')).flatMap(([pool, value]) => {
    if (!isMap(value)) return [];
    const monitor =
      value['monitor'] === undefined ? [] : [row('monitor', pool, ['pools', pool, 'monitor'])];
    const { members } = value;
    const all = isList(members)
      ? members.map((member, index) =>
          row('member', `${pool}/${memberName(member)}`, ['pools', pool, 'members', index]),
        )
      : [];
    return [...monitor, ...all];
  });
  const monitors = parts.filter(({ kind }) => kind === 'monitor');
  const members = parts.filter(({ kind }) => kind === 'member');
  return [
    ...SINGLE.map((key) => row(key, key, [key])),
    ...named.filter(({ kind }) => kind === 'service' || kind === 'pool'),
    ...monitors,
    ...members,
    ...named.filter(({ kind }) => kind !== 'service' && kind !== 'pool'),
  ];
}

function memberName(member: JsonValue): string {
  if (!isMap(member)) return '?';
  const { address = '?', port } = member;
  return port === undefined ? wordOf(address) : `${wordOf(address)}:${wordOf(port)}`;
}

function mapAt(document: JsonMap, key: string): JsonMap {
  const value = document[key];
  return isMap(value) ? value : {};
}

const SUMMARY = 200;

/** What it says, on one line. */
export function summaryOf({ value }: ObjectRow): string {
  return shortened(value);
}

function shortened(value: JsonValue | undefined): string {
  if (value === undefined) return 'not set';
  const text = isMap(value)
    ? Object.entries(value)
        .map(
          ([key, one]) =>
            `${key}: ${isList(one) && one.length > 3 ? `${one.length} items` : inlineValue(one)}`,
        )
        .join(', ')
    : inlineValue(value);
  return text.length > SUMMARY ? `${text.slice(0, SUMMARY)}...` : text;
}

/** Keys whose text is the name of an object of a section. */
const REFERENCES: Readonly<Record<string, readonly string[]>> = {
  pools: ['pool'],
  certificates: ['certificates', 'certificate', 'authorities'],
  'access-lists': ['allow', 'deny'],
};

/** The key whose value, or whose list's items, stand at a path. */
function keyOf(path: Path): string {
  return String(path.findLast((step) => typeof step === 'string') ?? '');
}

/** Names of what a value at the path can refer to. */
export function namesFor(document: JsonMap, path: Path): string[] {
  const section = Object.keys(REFERENCES).find((one) => REFERENCES[one]?.includes(keyOf(path)));
  return section === undefined || path.length < 3 ? [] : Object.keys(mapAt(document, section));
}

/** Where a document names the object at the path. */
export function referencesTo(document: JsonMap, path: Path): string[] {
  const [section = '', name] = path;
  const keys = REFERENCES[String(section)];
  if (path.length !== 2 || keys === undefined) return [];
  const found: string[] = [];
  const look = (value: JsonValue, at: Path): void => {
    if (value === name && at.length > 2 && keys.includes(keyOf(at))) found.push(formatPath(at));
    else if (isList(value)) value.forEach((item, index) => look(item, [...at, index]));
    else if (isMap(value)) {
      for (const [key, item] of Object.entries(value)) look(item, [...at, key]);
    }
  };
  look(document, []);
  return found;
}

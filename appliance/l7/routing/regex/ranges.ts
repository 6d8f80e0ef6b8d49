/**
 * Sets of characters as sorted, separate ranges [low, high, low, high, …] of code points.
 *
 * Invariant: an octet that belongs to no well-formed UTF-8 (RFC 3629 §4) is a character by
 * itself, `INVALID`: negated sets and "." match it, so nobody slips through a rule by bad octets.
 */
export type Ranges = readonly number[];

export const INVALID = 0x110000;
const LAST = INVALID;

/** Sorts and joins what overlaps or touches. */
export function ranges(pairs: readonly (readonly [number, number])[]): Ranges {
  const sorted = [...pairs].sort((a, b) => a[0] - b[0]);
  const out: number[] = [];
  for (const [low, high] of sorted) {
    const last = out.at(-1);
    if (last !== undefined && low <= last + 1) out[out.length - 1] = Math.max(last, high);
    else out.push(low, high);
  }
  return out;
}

export function pairsOf(set: Ranges): [number, number][] {
  const out: [number, number][] = [];
  for (let i = 0; i < set.length; i += 2) out.push([set[i] ?? 0, set[i + 1] ?? 0]);
  return out;
}

export function union(...sets: readonly Ranges[]): Ranges {
  return ranges(sets.flatMap(pairsOf));
}

export function negated(set: Ranges): Ranges {
  const out: number[] = [];
  let from = 0;
  for (const [low, high] of pairsOf(set)) {
    if (low > from) out.push(from, low - 1);
    from = high + 1;
  }
  if (from <= LAST) out.push(from, LAST);
  return out;
}

export function includes(set: Ranges, point: number): boolean {
  for (let i = 0; i < set.length; i += 2) {
    if (point >= (set[i] ?? 0) && point <= (set[i + 1] ?? 0)) return true;
  }
  return false;
}

export const everything: Ranges = [0, LAST];
export const digits: Ranges = [0x30, 0x39];
export const wordCharacters: Ranges = [0x30, 0x39, 0x41, 0x5a, 0x5f, 0x5f, 0x61, 0x7a];
/** WhiteSpace and LineTerminator of ECMA-262 §12.2 and §12.3. */
export const spaces: Ranges = ranges([
  [0x09, 0x0d],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
]);

/** No script with upper and lower case lies above. */
const lastCased = 0x1e943;

/** With upper and lower case of each character. */
export function withoutCase(set: Ranges): Ranges {
  const more: [number, number][] = pairsOf(set);
  for (const [low, high] of pairsOf(set)) {
    for (let point = low; point <= Math.min(high, lastCased); point += 1) {
      const text = String.fromCodePoint(point);
      for (const other of [text.toLowerCase(), text.toUpperCase()]) {
        const code = other.codePointAt(0) ?? 0;
        // Some become several characters ("ß", "SS"): no case of one character.
        if (code !== point && String.fromCodePoint(code) === other) more.push([code, code]);
      }
    }
  }
  return ranges(more);
}

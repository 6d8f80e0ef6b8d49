/**
 * Words in messages: how text that somebody wrote is quoted, and which valid word is
 * nearest to a wrong one.
 *
 * The distance is Damerau-Levenshtein in its restricted form (optimal string
 * alignment): insertions, deletions, substitutions and swaps of neighbours each cost
 * one, and no part is edited twice.
 *
 * Invariant: quoted text is safe on a terminal; control and formatting characters
 * come out as escapes.
 */

/** Text as a JSON string in which everything invisible is an escape (`\u001b`). */
export function escapeText(text: string): string {
  return visible(JSON.stringify(text));
}

/** Text of somebody else's, such as a library's message, with everything invisible escaped. */
export function visible(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (character) =>
    Array.from(
      { length: character.length },
      (_, index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`,
    ).join(''),
  );
}

/** Text between double quotes, shortened and with everything invisible escaped. */
export function quote(text: string): string {
  return escapeText(text.length > 60 ? `${text.slice(0, 57)}...` : text);
}

/** A clause as the beginning of a sentence. */
export function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** `a`, `a or b`, `a, b or c`. */
export function alternatives(words: readonly string[]): string {
  if (words.length <= 1) return words.join('');
  return `${words.slice(0, -1).join(', ')} or ${words[words.length - 1] ?? ''}`;
}

/** Number of edits between two words, counted in UTF-16 units. Symmetric; 0 only for equal words. */
export function distance(from: string, to: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let i = 1; i <= from.length; i++) {
    const row = [i];
    for (let j = 1; j <= to.length; j++) {
      const same = from[i - 1] === to[j - 1];
      let best = Math.min(
        (last[j] ?? 0) + 1,
        (row[j - 1] ?? 0) + 1,
        (last[j - 1] ?? 0) + (same ? 0 : 1),
      );
      if (i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]) {
        best = Math.min(best, (beforeLast[j - 2] ?? 0) + 1);
      }
      row.push(best);
    }
    beforeLast = last;
    last = row;
  }
  return last[to.length] ?? 0;
}

/**
 * The candidate that somebody most likely meant, or undefined when none is near: at
 * most a third of the longer word may differ. Case is ignored, and `_` stands for `-`.
 */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  const wanted = fold(word);
  if (wanted.length > 64) return undefined;
  let found: string | undefined;
  let least = Infinity;
  for (const candidate of candidates) {
    const far = distance(wanted, fold(candidate));
    const allowed = Math.max(1, Math.floor(Math.max(wanted.length, candidate.length) / 3));
    if (far <= allowed && far < least) {
      least = far;
      found = candidate;
    }
  }
  return found;
}

function fold(word: string): string {
  return word.toLowerCase().replaceAll('_', '-');
}

/**
 * Versions of Weir and their order: MAJOR.MINOR.PATCH with an optional pre-release part, by
 * semver.org 2.0.0 §11. Build metadata has no meaning here and is refused.
 */
const NUMBER = '(0|[1-9]\\d{0,8})';
const VERSION = new RegExp(`^${NUMBER}\\.${NUMBER}\\.${NUMBER}(?:-([0-9A-Za-z.-]{1,64}))?$`);

export function isVersion(text: string): boolean {
  const before = VERSION.exec(text)?.[4];
  if (before === undefined) return VERSION.test(text);
  return before.split('.').every((part) => part !== '' && !/^0\d+$/.test(part));
}

/** Below 0: `a` is older. @throws RangeError for what is no version */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [parts(a), parts(b)];
  for (let at = 0; at < 3; at++) {
    const difference = Number(left.numbers[at]) - Number(right.numbers[at]);
    if (difference !== 0) return difference;
  }
  // A release comes after its pre-releases.
  if (left.before === null || right.before === null) {
    return Number(left.before === null) - Number(right.before === null);
  }
  for (let at = 0; at < Math.max(left.before.length, right.before.length); at++) {
    const difference = compareIdentifiers(left.before[at], right.before[at]);
    if (difference !== 0) return difference;
  }
  return 0;
}

function parts(text: string): { readonly numbers: string[]; readonly before: string[] | null } {
  if (!isVersion(text)) throw new RangeError(`no version: ${text}`);
  const match = VERSION.exec(text) ?? [];
  return { numbers: match.slice(1, 4), before: match[4]?.split('.') ?? null };
}

/** Fewer come first; numbers before words. */
function compareIdentifiers(a: string | undefined, b: string | undefined): number {
  if (a === undefined || b === undefined) return Number(b === undefined) - Number(a === undefined);
  const [left, right] = [/^\d+$/.test(a), /^\d+$/.test(b)];
  if (left && right) return Number(a) - Number(b);
  if (left !== right) return left ? -1 : 1;
  return a < b ? -1 : Number(a > b);
}

/**
 * Durations, sizes and rates: numbers that are always written with their unit
 * (`500ms`, `10MiB`, `100/s`) and always read as plain numbers (milliseconds, bytes,
 * a count per milliseconds).
 *
 * Invariant: a number without its unit is refused, never guessed at, and a value that
 * cannot be represented exactly is refused, never rounded.
 */
import { parsed, refused, type Parsed } from './parsed.js';
import { quote } from './words.js';

/** A count of something per so many milliseconds: `100/s` is `{ count: 100, per: 1000 }`. */
export interface Rate {
  readonly count: number;
  readonly per: number;
}

const durationUnits: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', 1_000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
]);

const sizeUnits: ReadonlyMap<string, number> = new Map([
  ['B', 1],
  ['kB', 1e3],
  ['MB', 1e6],
  ['GB', 1e9],
  ['TB', 1e12],
  ['KiB', 2 ** 10],
  ['MiB', 2 ** 20],
  ['GiB', 2 ** 30],
  ['TiB', 2 ** 40],
]);

const decimal = '(?:0|[1-9][0-9]{0,15})(?:\\.[0-9]{1,9})?';
export const durationPattern = `^(?:${decimal}(?:ms|s|m|h|d))+$`;
export const sizePattern = `^${decimal}(?:B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)$`;
export const byteRatePattern = `^${decimal}(?:B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)/s$`;
export const ratePattern = '^(?:[1-9][0-9]{0,15})/(?:s|m|h)$';

export const durationHelp =
  'a duration is a number with its unit, such as 500ms, 2s, 10m, 1h or 1h30m';
export const sizeHelp = 'a size is a number with its unit, such as 512B, 64KiB or 10MiB';
export const byteRateHelp = 'a speed is a size for each second, such as 500B/s or 1MiB/s';
export const rateHelp = 'a rate is a whole number for each s, m or h, such as 100/s or 6000/m';

/** `amount` is decimal text; exact, in integer arithmetic, or null when the product is no whole number. */
function multiplyExactly(amount: string, factor: number): number | null {
  const [whole = '0', fraction = ''] = amount.split('.');
  const scaled = BigInt(whole + fraction) * BigInt(factor);
  const scale = 10n ** BigInt(fraction.length);
  if (scaled % scale !== 0n) return null;
  const value = scaled / scale;
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : null;
}

/** Milliseconds. Units may be joined from large to small: `1h30m`. */
export function parseDuration(text: string): Parsed<number> {
  if (!new RegExp(durationPattern).test(text)) {
    return refused(`${quote(text)} is no duration: ${durationHelp}`);
  }
  let total = 0;
  let previous = Infinity;
  for (const [, amount = '', unit = ''] of text.matchAll(/([0-9.]+)([a-z]+)/g)) {
    const factor = durationUnits.get(unit) ?? 0;
    if (factor >= previous) {
      return refused(`${quote(text)} is no duration: write each unit once, from large to small`);
    }
    previous = factor;
    const part = multiplyExactly(amount, factor);
    if (part === null || !Number.isSafeInteger(total + part)) {
      return refused(`${quote(text)} is not a whole number of milliseconds: ${durationHelp}`);
    }
    total += part;
  }
  return parsed(total);
}

/** The shortest exact way to write milliseconds: `formatDuration(90000)` is `90s`. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds === 0) return '0s';
  for (const [unit, factor] of [...durationUnits].reverse()) {
    if (milliseconds % factor === 0) return `${milliseconds / factor}${unit}`;
  }
  return `${milliseconds}ms`;
}

/** Bytes. Decimal units count in thousands, `KiB` and its family in 1024 (IEC 80000-13). */
export function parseSize(text: string): Parsed<number> {
  const match = new RegExp(sizePattern).test(text) && /^([0-9.]+)([A-Za-z]+)$/.exec(text);
  if (!match) return refused(`${quote(text)} is no size: ${sizeHelp}`);
  const value = multiplyExactly(match[1] ?? '', sizeUnits.get(match[2] ?? '') ?? 0);
  if (value === null) return refused(`${quote(text)} is not a whole number of bytes: ${sizeHelp}`);
  return parsed(value);
}

/** Bytes in a second. */
export function parseByteRate(text: string): Parsed<number> {
  if (!new RegExp(byteRatePattern).test(text)) {
    return refused(`${quote(text)} is no speed: ${byteRateHelp}`);
  }
  return parseSize(text.slice(0, -'/s'.length));
}

export function formatSize(bytes: number): string {
  if (bytes === 0) return '0B';
  for (const unit of ['TiB', 'TB', 'GiB', 'GB', 'MiB', 'MB', 'KiB', 'kB']) {
    const factor = sizeUnits.get(unit) ?? 1;
    if (bytes % factor === 0) return `${bytes / factor}${unit}`;
  }
  return `${bytes}B`;
}

export function parseRate(text: string): Parsed<Rate> {
  const match = new RegExp(ratePattern).test(text) && /^([0-9]+)\/([smh])$/.exec(text);
  if (!match) return refused(`${quote(text)} is no rate: ${rateHelp}`);
  return parsed({ count: Number(match[1]), per: durationUnits.get(match[2] ?? '') ?? 1_000 });
}

export function formatRate(rate: Rate): string {
  return `${rate.count}/${formatDuration(rate.per).replace(/^1(?=[smh]$)/, '')}`;
}

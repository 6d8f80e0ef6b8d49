/**
 * Reads what people type as arguments and options.
 *
 * Invariant: each parser gives a checked value or throws commander's
 * `InvalidArgumentError` (exit status 2) with what was expected.
 */
import { InvalidArgumentError } from 'commander';

const MILLISECONDS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** `60s`, `2m`, `1h`, `1500ms`; a bare number is seconds. Milliseconds. */
export function parseDuration(text: string): number {
  const match = /^(\d{1,9})(ms|s|m|h)?$/.exec(text);
  const milliseconds = Number(match?.[1]) * (MILLISECONDS[match?.[2] ?? 's'] ?? Number.NaN);
  if (match === null || milliseconds < 1000 || milliseconds > 86_400_000) {
    throw new InvalidArgumentError('Give a time from 1s to 24h, such as 60s or 5m.');
  }
  return milliseconds;
}

export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max)) {
      throw new InvalidArgumentError(`Give a whole number from ${min} to ${max}.`);
    }
    return value;
  };
}

export const parseRevision = wholeNumber(1, Number.MAX_SAFE_INTEGER);

/** 0 means "nothing was ever applied". */
export const parseIfMatch = wholeNumber(0, Number.MAX_SAFE_INTEGER);

/** The part of a command's help that shows how it is used. */
export function examples(...lines: readonly (readonly [command: string, what: string])[]): string {
  const width = Math.max(...lines.map(([command]) => command.length));
  const shown = lines.map(([command, what]) => `  $ ${command.padEnd(width)}   ${what}`);
  return `\nExamples:\n${shown.join('\n')}`;
}

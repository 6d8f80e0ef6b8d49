/**
 * How every benchmark reports: minimum, median and maximum of its samples. With --json
 * one object a line, a stable interface.
 */
export interface Spread {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

export function spread(samples: readonly number[]): Spread {
  const sorted = [...samples].sort((a, b) => a - b);
  const [min, median, max] = [sorted[0], sorted[sorted.length >> 1], sorted.at(-1)];
  if (min === undefined || median === undefined || max === undefined) {
    throw new RangeError('a spread needs at least one sample');
  }
  return { min, median, max };
}

/** One line about samples in milliseconds. */
export function reportMilliseconds(name: string, samples: readonly number[], json: boolean): void {
  const ours = spread(samples);
  if (json) {
    console.log(JSON.stringify({ case: name, unit: 'ms', ours }));
    return;
  }
  const text = (value: number): string => value.toFixed(1).padStart(9);
  console.log(`${name.padEnd(34)}${text(ours.min)}${text(ours.median)}${text(ours.max)} ms`);
}

/** One line about many samples of one unit, with the value that 99 % of them stay below. */
export function report(
  name: string,
  unit: string,
  samples: readonly number[],
  json: boolean,
): void {
  const { min, median, max } = spread(samples);
  const sorted = [...samples].sort((a, b) => a - b);
  const p99 = sorted[Math.ceil(sorted.length * 0.99) - 1] ?? max;
  if (json) {
    console.log(JSON.stringify({ case: name, unit, ours: { min, median, p99, max } }));
    return;
  }
  const text = (value: number): string => value.toFixed(1).padStart(9);
  console.log(`${name.padEnd(34)}${text(min)}${text(median)}${text(p99)}${text(max)} ${unit}`);
}

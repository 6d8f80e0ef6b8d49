/**
 * What the layer-7 benchmark prints: for each case and measure the medians of the rounds, with least
 * and most, and Weir's as a ratio to the better peer's.
 *
 * Invariant: the better peer is chosen for each measure by its median, whatever the measure's
 * direction; a ratio is always Weir's figure divided by the peer's.
 */
import { spread, type Spread } from './report.js';
import type { Measure } from './l7-cases.js';

export interface Samples {
  /** Weir's name among them, if it ran. */
  readonly name: string;
  readonly values: readonly number[];
}

export interface Line {
  readonly case: string;
  readonly unit: string;
  readonly ours?: Spread;
  readonly peer: string;
  readonly theirs: Spread;
  readonly ratio?: number;
  /** All peers, by name and version. */
  readonly peers: Readonly<Record<string, Spread>>;
  /** The same load on the members without a proxy, where they can take it. */
  readonly floor?: Spread;
}

/** `ours` null: Weir did not run. Throws RangeError without peers. */
export function compare(
  name: string,
  measure: Measure,
  ours: readonly number[] | null,
  peers: readonly Samples[],
  floor: readonly number[],
): Line {
  const spreads = peers.map((peer) => ({ name: peer.name, theirs: spread(peer.values) }));
  const sorted = [...spreads].sort((a, b) =>
    measure.better === 'less'
      ? a.theirs.median - b.theirs.median
      : b.theirs.median - a.theirs.median,
  );
  const [best] = sorted;
  if (best === undefined) throw new RangeError('a comparison needs a peer');
  const own = ours === null ? null : spread(ours);
  return {
    case: `${name}.${measure.name}`,
    unit: measure.unit,
    ...(own === null ? {} : { ours: own }),
    peer: best.name,
    theirs: best.theirs,
    ...(own === null ? {} : { ratio: Number((own.median / best.theirs.median).toFixed(3)) }),
    peers: Object.fromEntries(spreads.map((each) => [each.name, each.theirs])),
    ...(floor.length === 0 ? {} : { floor: spread(floor) }),
  };
}

const digits = (value: number): string => value.toFixed(value < 100 ? 2 : 0);

/** Median with least and most. */
function figure({ min, median, max }: Spread): string {
  return `${digits(median)} (${digits(min)}–${digits(max)})`.padStart(28);
}

/** One line for people; the columns are those of `heading`. */
export function text(line: Line): string {
  const own = line.ours === undefined ? '–'.padStart(28) : figure(line.ours);
  const others = Object.values(line.peers).map(figure).join('');
  const floor = line.floor === undefined ? '–' : digits(line.floor.median);
  const ratio = line.ratio === undefined ? '–' : line.ratio.toFixed(2);
  return `${line.case.padEnd(26)}${own}${others}${floor.padStart(10)}${ratio.padStart(8)}  ${line.unit}`;
}

export function heading(peers: readonly string[]): string {
  const columns = ['weir', ...peers].map((name) => name.padStart(28)).join('');
  return `${'median (least–most)'.padEnd(26)}${columns}${'no proxy'.padStart(10)}${'ratio'.padStart(8)}`;
}

/**
 * How long a client is without an answer when an address moves between two units: the unit that
 * holds it dies (everything on it is killed, and its link goes down), stands still, loses its link,
 * hands over in order, and comes back. Weir's speakers next to keepalived with the same interval of
 * advertisements, in turn, in one run. Needs root and keepalived.
 */
import { availableParallelism } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { allowedCpus, pinThread } from '../../native/ffi/affinity.js';
import { addressActs, measureAddresses } from './failover-addresses.js';
import { runLoaded } from './failover-loaded.js';
import { FailoverStage } from './failover-stage.js';
import { KeepalivedContender, WeirContender, type Contender } from './failover-units.js';
import { spread, type Spread } from './report.js';

export interface BenchOptions {
  readonly json: boolean;
  readonly runs: number;
  readonly only: readonly string[];
  /** Seconds under load instead of failovers (failover-loaded.ts), and milliseconds between advertisements. */
  readonly loaded?: number;
  readonly interval?: number;
}

export const defaults: BenchOptions = { json: false, runs: 5, only: [] };

/** Milliseconds between advertisements. */
const DEFAULT = 30;
const FASTEST = 10;
/** After what happened, at the least: everything that follows from it is over. */
const AFTER_MS = 1000;

type Act = 'death' | 'freeze' | 'linkdown' | 'handover' | 'failback';
/** Each with the interval it is measured at. `failback` comes with `handover`. */
const cases: readonly { readonly name: string; readonly act: Act; readonly interval: number }[] = [
  { name: 'failover.death.default', act: 'death', interval: DEFAULT },
  { name: 'failover.death.fastest', act: 'death', interval: FASTEST },
  { name: 'failover.handover', act: 'handover', interval: DEFAULT },
  { name: 'failover.failback', act: 'failback', interval: DEFAULT },
  { name: 'failover.freeze', act: 'freeze', interval: DEFAULT },
  { name: 'failover.linkdown', act: 'linkdown', interval: DEFAULT },
];

export async function run(options: BenchOptions = defaults): Promise<void> {
  if (options.loaded !== undefined) {
    await runLoaded(options.interval ?? DEFAULT, options.loaded, options.json);
    return;
  }
  const wanted = cases.filter(({ name }) => chosen(name, options));
  const cpus = allowedCpus();
  const apart = availableParallelism() > 1 ? (cpus[0] ?? null) : null;
  const back = apart === null ? () => undefined : pinThread(cpus[1] ?? 0);
  const stage = new FailoverStage();
  try {
    await stage.build(apart);
    if (!options.json) {
      console.log(
        `the longest time without an answer, one question a millisecond, ${options.runs} runs: median (least–most)`,
      );
    }
    for (const act of addressActs) {
      if (!chosen(`failover.addresses.${act}`, options)) continue;
      await measureAddresses(act, options.runs, options.json);
    }
    for (const interval of new Set(wanted.map((one) => one.interval))) {
      const here = wanted.filter((one) => one.interval === interval);
      const acts = new Set(here.map(({ act }) => act));
      const samples: [string, Map<Act, number[]>][] = [];
      for (const contender of [new WeirContender(interval), new KeepalivedContender(interval)]) {
        samples.push([contender.name, await measure(stage, contender, acts, options.runs)]);
      }
      for (const { name, act } of here) print(name, act, samples, options.json);
    }
  } finally {
    await stage.end();
    back();
  }
}

function chosen(name: string, { only }: BenchOptions): boolean {
  return only.length === 0 || only.some((word) => name.includes(word));
}

async function measure(
  stage: FailoverStage,
  contender: Contender,
  acts: ReadonlySet<Act>,
  runs: number,
): Promise<Map<Act, number[]>> {
  const gaps = new Map<Act, number[]>();
  const note = async (act: Act): Promise<void> => {
    gaps.set(act, [...(gaps.get(act) ?? []), await stage.gap()]);
  };
  try {
    for (const unit of ['a', 'b'] as const) {
      await stage.serve(unit);
      await contender.start(unit);
    }
    for (let round = 0; round < runs; round += 1) {
      for (const act of acts) {
        if (act === 'failback') continue;
        const during = `${contender.name}, ${act}`;
        await stage.settles('a', during);
        await delay(AFTER_MS);
        // Not always at the same moment of an interval.
        await delay((round * 7) % contender.interval);
        await stage.mark();
        await begin(stage, contender, act);
        // One that stands still as a whole cannot take its address off: both hold it.
        if (act !== 'freeze') await stage.settles('b', during);
        await delay(AFTER_MS);
        await note(act);
        await stage.mark();
        await undo(stage, contender, act);
        await stage.settles('a', during);
        await delay(AFTER_MS);
        if (act === 'handover') await note('failback');
      }
    }
  } catch (error) {
    throw new Error(`${String(error)}\n${contender.explain()}`, { cause: error });
  } finally {
    await contender.end();
  }
  return gaps;
}

async function begin(stage: FailoverStage, contender: Contender, act: Act): Promise<void> {
  switch (act) {
    case 'death':
      contender.signal('a', 'SIGKILL');
      await stage.signalServer('a', 'SIGKILL');
      stage.link('a', 'down');
      await contender.forget('a');
      break;
    case 'freeze':
      contender.signal('a', 'SIGSTOP');
      await stage.signalServer('a', 'SIGSTOP');
      break;
    case 'linkdown':
      stage.link('a', 'down');
      break;
    case 'handover':
    case 'failback':
      await contender.stop('a');
  }
}

async function undo(stage: FailoverStage, contender: Contender, act: Act): Promise<void> {
  switch (act) {
    case 'death':
      stage.link('a', 'up');
      await stage.serve('a');
      await contender.start('a');
      break;
    case 'freeze':
      await stage.signalServer('a', 'SIGCONT');
      contender.signal('a', 'SIGCONT');
      break;
    case 'linkdown':
      stage.link('a', 'up');
      break;
    case 'handover':
    case 'failback':
      await contender.start('a');
  }
}

const digits = ({ min, median, max }: Spread): string =>
  `${median.toFixed(1)} (${min.toFixed(1)}–${max.toFixed(1)})`.padStart(26);

function print(
  name: string,
  act: Act,
  [ours, theirs]: readonly [string, Map<Act, number[]>][],
  json: boolean,
): void {
  const [mine, peers] = [ours?.[1].get(act), theirs?.[1].get(act)];
  if (mine === undefined || peers === undefined) return;
  const [own, peer] = [spread(mine), spread(peers)];
  const ratio = Number((own.median / peer.median).toFixed(3));
  if (json) {
    const line = { case: name, unit: 'ms', ours: own, peer: theirs?.[0], theirs: peer, ratio };
    console.log(JSON.stringify(line));
    return;
  }
  console.log(
    `${name.padEnd(26)}${digits(own)} ms  ${theirs?.[0] ?? ''}${digits(peer)} ms  ratio ${ratio.toFixed(2)}`,
  );
}

/**
 * Weir, HAProxy and nginx with the same work in front of the same members, in one run, round by
 * round: CPU time a request, requests a second, and how long they take.
 *
 *     npm run bench -- l7 [--json] [--runs N] [--seconds S] [--workers N] [--only CASE …]
 *
 * Each round takes every case through all of them in turn, and each round begins with another. The
 * proxy has CPUs of its own; the load and the members share the others. The floor is the load on
 * the members without a proxy, its CPU time that of the members.
 *
 * Invariant: every answer is checked (l7-load.ts), and every proxy must do all of the scene
 * (l7-scene.ts) before anything is timed.
 */
import { loadavg } from 'node:os';
import { cases, chosen, type Case, type Measure, measures } from './l7-cases.js';
import type { LoadResult } from './l7-load-process.js';
import { haproxy, nginx } from './l7-peers.js';
import { compare, heading, text } from './l7-results.js';
import type { Proxy } from './l7-scene.js';
import { Stage } from './l7-stage.js';
import { weir } from './l7-weir.js';

export interface BenchOptions {
  readonly json: boolean;
  readonly runs: number;
  /** Length of one measurement. */
  readonly seconds: number;
  readonly workers: number;
  /** Names of cases, or their beginnings; none: all. */
  readonly only: readonly string[];
}

export const defaults: BenchOptions = {
  json: false,
  runs: 5,
  seconds: 1,
  workers: 1,
  only: [],
};

/** Milliseconds that each proxy serves before anything is measured. */
const FIRST = 3000;
/** Part of a measurement that goes before it, unmeasured. */
const WARM_UP = 0.4;

/** Results of all rounds by case and by who served. */
type Results = Map<string, Map<string, LoadResult[]>>;

export async function run(options: BenchOptions = defaults): Promise<void> {
  const ours = weir();
  const peers = [haproxy(), nginx()];
  await measureAll(ours, peers, options);
}

export async function measureAll(
  ours: Proxy | null,
  peers: readonly Proxy[],
  options: BenchOptions,
): Promise<void> {
  const wanted = chosen(options.only);
  const stage = await Stage.open(ours === null ? peers : [ours, ...peers], options.workers);
  const results: Results = new Map(
    cases.map(({ name }) => [name, new Map<string, LoadResult[]>()]),
  );
  try {
    await warmUp(stage, wanted);
    for (let round = 0; round < options.runs; round += 1) {
      for (const which of wanted) await take(stage, which, round, options, results);
    }
  } finally {
    await stage.close();
  }
  const named = peers.map(({ name, version }) => ({ name, label: `${name} ${version}` }));
  if (!options.json) {
    const load = loadavg()
      .map((value) => value.toFixed(1))
      .join(' ');
    console.log(`${options.runs} rounds of ${options.seconds} s, load average ${load}`);
    console.log(heading(named.map(({ label }) => label)));
  }
  for (const { name } of wanted) {
    const of = results.get(name);
    const taken = (who: string): readonly LoadResult[] => of?.get(who) ?? [];
    for (const measure of measures) {
      const values = (who: string): number[] => taken(who).map((one) => valueOf(measure, one));
      const line = compare(
        `l7.${name}`,
        measure,
        ours === null ? null : values(ours.name),
        named.map((peer) => ({ name: peer.label, values: values(peer.name) })),
        values('direct'),
      );
      console.log(options.json ? JSON.stringify(line) : text(line));
    }
  }
}

/** Everybody serves for a while first: what runs for days is not measured by its first second. */
async function warmUp(stage: Stage, wanted: readonly Case[]): Promise<void> {
  const timing = { warmUpMs: FIRST, measureMs: 100 };
  const names = ['keepalive.64', ...(wanted.some(({ tls }) => tls !== null) ? ['tls.64'] : [])];
  for (const busy of cases.filter(({ name }) => names.includes(name))) {
    for (const who of stage.running) {
      if (busy.tls === null || who.tls !== null) await stage.measure(busy, who, timing);
    }
  }
}

/** One case, once for everybody. */
async function take(
  stage: Stage,
  which: Case,
  round: number,
  { seconds }: BenchOptions,
  results: Results,
): Promise<void> {
  const timing = { warmUpMs: seconds * 1000 * WARM_UP, measureMs: seconds * 1000 };
  const { running } = stage;
  for (let turn = 0; turn < running.length; turn += 1) {
    const who = running[(turn + round) % running.length];
    if (who === undefined) throw new Error('nobody has this turn');
    if (which.tls !== null && who.tls === null) continue;
    const result = await stage.measure(which, who, timing);
    const of = results.get(which.name);
    const before = of?.get(who.name) ?? [];
    of?.set(who.name, [...before, result]);
  }
}

function valueOf({ name }: Measure, result: LoadResult): number {
  switch (name) {
    case 'cpu':
    case 'kernel':
      return result[name] / 1000 / result.answers;
    case 'rps':
      return result.answers / result.seconds;
    default:
      return result[name];
  }
}

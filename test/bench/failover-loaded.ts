/**
 * Whether a pair keeps its roles on a machine that is busy with everything else (lab/vrrp-load.ts):
 * two speakers of Weir, for as long as told. Counts what must not be: changes of a role, speakers or
 * guards that end, a moment at which not exactly one unit holds the address; and says how late the
 * speakers were at worst, and how busy the machine was.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { LATENESS_BOUNDS, type Lateness } from '../../appliance/ha/vrrp/speaker/lateness.js';
import type { FromParent } from '../lab/vrrp-process.js';
import { VrrpLoad } from '../lab/vrrp-load.js';
import { FailoverStage, unitNames, type UnitName } from './failover-stage.js';
import { StallWatch, type Stalls } from '../lab/stalls.js';
import { WeirContender } from './failover-units.js';

const LOOK_MS = 500;

interface Outcome {
  readonly interval: number;
  readonly seconds: number;
  readonly roleChanges: number;
  readonly ends: number;
  /** Looks at which not one unit alone held the address. */
  readonly wrong: number;
  readonly looks: number;
  /** Milliseconds that the host kept from this machine's CPUs. */
  readonly stolen: number;
  /** By CPU. */
  readonly stalls: readonly Stalls[];
  /** Of the machine, at the end. */
  readonly load: string;
  readonly speakers: Readonly<Record<UnitName, Lateness | null>>;
  readonly said: readonly string[];
}

/** Roles, ends and hold-ups are what is looked for. */
const telling: readonly FromParent['kind'][] = ['role', 'exit', 'problem', 'late', 'output'];

export async function runLoaded(interval: number, seconds: number, json: boolean): Promise<void> {
  const stage = new FailoverStage();
  const contender = new WeirContender(interval);
  let meters: StallWatch | null = null;
  let load: VrrpLoad | null = null;
  try {
    stage.buildLinks();
    for (const unit of unitNames) await contender.start(unit);
    await stage.settles('a', 'before the load');
    load = new VrrpLoad();
    meters = await StallWatch.start();
    const outcome = await watch(stage, contender, interval, seconds);
    print({ ...outcome, stalls: await meters.ask() }, json);
  } finally {
    meters?.end();
    if (load !== null) await load.end();
    await contender.end();
    await stage.end();
  }
}

async function watch(
  stage: FailoverStage,
  contender: WeirContender,
  interval: number,
  seconds: number,
): Promise<Omit<Outcome, 'stalls'>> {
  const from = performance.now();
  const stolen = stolenTime();
  const until = performance.now() + seconds * 1000;
  let [looks, wrong] = [0, 0];
  while (performance.now() < until) {
    await delay(LOOK_MS);
    const before = contender.heard;
    const holders = unitNames.filter((unit) => stage.holds(unit));
    // Two looks are not one: what changed between them proves nothing.
    if (contender.heard !== before) continue;
    looks += 1;
    if (holders.length !== 1) wrong += 1;
  }
  const said = unitNames.flatMap((unit) =>
    contender
      .said(unit)
      .filter(({ message, at }) => at >= from && telling.includes(message.kind))
      .map((one) => ({ unit, ...one })),
  );
  const [a, b] = [await contender.lateness('a'), await contender.lateness('b')];
  return {
    ...{ interval, seconds, looks, wrong, speakers: { a, b } },
    roleChanges: said.filter(({ message }) => message.kind === 'role').length,
    ends: said.filter(
      ({ message }) =>
        message.kind === 'exit' || (message.kind === 'problem' && message.message !== null),
    ).length,
    stolen: stolenTime() - stolen,
    load: readFileSync('/proc/loadavg', 'utf8').trim(),
    said: said.map(
      ({ unit, message, at }) =>
        `${((at - from) / 1000).toFixed(3)} s, ${unit}: ${JSON.stringify(message)}`,
    ),
  };
}

/** Of all CPUs, in milliseconds: proc_stat(5). */
function stolenTime(): number {
  const [, ...times] = (readFileSync('/proc/stat', 'utf8').split('\n')[0] ?? '').split(/\s+/);
  return Number(times[7] ?? 0) * 10;
}

function print(outcome: Outcome, json: boolean): void {
  const name = `failover.loaded.${outcome.interval}`;
  if (json) {
    console.log(JSON.stringify({ case: name, ...outcome }));
    return;
  }
  const { seconds, roleChanges, ends, wrong, looks, stolen, load, speakers, said } = outcome;
  console.log(
    `${name}: ${seconds} s, ${roleChanges} changes of a role, ${ends} ends, ${wrong} of ${looks} looks without one holder; load ${load}, ${stolen} ms stolen`,
  );
  outcome.stalls.forEach(({ worst, above10, above30 }, cpu) => {
    console.log(
      `  CPU ${cpu} stood still for ${worst.toFixed(1)} ms at worst, ${above10} times above 10, ${above30} above 30`,
    );
  });
  for (const unit of unitNames) {
    const lateness = speakers[unit];
    if (lateness === null) continue;
    const { turns, worst, leastLease } = lateness;
    const counts = turns.map((count, index) => `${LATENESS_BOUNDS[index] ?? 'more'}: ${count}`);
    console.log(`  ${unit}: turns by ms late: ${counts.join(', ')}`);
    if (worst !== null) {
      console.log(
        `     worst ${worst.late.toFixed(1)} ms at ${new Date(worst.at).toISOString()} (${JSON.stringify(worst.parts)}), least lease ${leastLease?.toFixed(1) ?? '-'} ms`,
      );
    }
  }
  for (const line of said.slice(0, 30)) console.log(`  ${line}`);
}

/**
 * A network that falls apart and heals, in every way, with a client in each part that asks every
 * millisecond. After each: one owner, and no client that asks who is not there any more.
 *
 *     WEIR_SPLITS=100 WEIR_INTERVAL=30 node build/test/lab/vrrp-splits.test.js    # so many of each kind
 *     WEIR_SPLIT=cable …                                                          # of these kinds alone
 *
 * Addresses are IPv4, IPv6, and IPv4 with a virtual MAC address. A split in which the machine itself
 * stood still says nothing and is played again.
 */
import { execFileSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { heartbeats } from '../../appliance/ha/vrrp/paths/settings.js';
import type { GroupText, PathsText } from '../../appliance/ha/vrrp/speaker/messages.js';
import { runInRealTime } from '../../native/ffi/realtime.js';
import { monotonicNow } from '../../native/ffi/timer.js';
import { generator } from '../support/random.js';
import { needs } from '../support/needs.js';
import { Echo, Probe, type Gap } from './probe.js';
import { StallWatch } from './stalls.js';
import { groupText, sysctl, VrrpStage, type UnitName, type WeirUnit } from './vrrp-stage.js';
import { change, laySwitches, splits, type Split } from './vrrp-switches.js';

const test = suite('splits of a pair');
const count = Number(process.env['WEIR_SPLITS'] ?? 1);
/** Of advertisements, in milliseconds. Long by default, since the machine is busy with other tests. */
const interval = Number(process.env['WEIR_INTERVAL'] ?? 100);
const only = process.env['WEIR_SPLIT'] ?? '';
/**
 * How long A, whose link was down, waits before it takes its addresses back: as a pair's (5 s), longer
 * than its kernel needs until it asks again for clients that it asked for in vain meanwhile.
 */
const PREEMPT_DELAY = 1500;
const seed = Number(process.env['WEIR_SEED'] ?? Date.now() % 2 ** 32);
/** Asked for by who measures; else the machine is busy with other tests, and only a defect is as slow. */
const strict = process.env['WEIR_SPLITS'] !== undefined;
/** What no address may be without an answer after a split has healed, in milliseconds. */
const BLACK_HOLE = strict ? 100 : 1000;
const OWNED = (strict ? 3 : 10) * interval;
/** Whoever is cut off, somebody has every address after this. */
const TAKEN = 8 * interval;
/** For so many milliseconds a CPU may stand still, and a split counts. */
const STILL = interval / 3;
/** What it takes to start `ip` and mend something, in milliseconds; what takes longer waits for others. */
const HEALING = 20;
/** So often what was disturbed is played again, for each split. */
const PATIENCE = 5;
const PORT = 7;
const LISTENER_PRIORITY = 35;
const routers = [
  { name: 'four', vrid: 51, family: 4, addresses: ['10.9.0.80'] },
  { name: 'six', vrid: 51, family: 6, addresses: ['fd09::80'] },
  { name: 'mac', vrid: 52, family: 4, addresses: ['10.9.0.82'], virtualMac: true },
] as const;
const addresses = routers.flatMap((router) => router.addresses);
const groups = (priority: number): GroupText[] =>
  routers.map((router) =>
    groupText(
      { interval, ...router },
      { name: router.name, priority, preemptDelay: PREEMPT_DELAY },
    ),
  );

function paths(unit: UnitName): PathsText {
  const [own, other] = unit === 'a' ? [1, 2] : [2, 1];
  const path = (name: string, on: string, network: string): PathsText['paths'][number] => ({
    ...{ name, interface: on, family: 4 },
    ...{ local: `${network}.${own}`, remote: `${network}.${other}` },
  });
  return {
    key: 'ad'.repeat(32),
    port: 9348,
    ...heartbeats(interval),
    paths: [path('cable', 'pair0', '10.9.9'), path('lan', 'eth0', '10.9.0')],
  };
}

interface Scene {
  readonly stage: VrrpStage;
  readonly units: Readonly<Record<UnitName, WeirUnit>>;
  readonly clients: readonly Probe[];
  readonly stalls: StallWatch;
}

async function scene(stage: VrrpStage): Promise<Scene> {
  laySwitches(stage);
  const cpu = availableParallelism() > 1 ? 0 : null;
  for (const unit of ['a', 'b'] as const) {
    sysctl(stage.namespace(unit), 'net.ipv4.ip_nonlocal_bind=1', 'net.ipv6.ip_nonlocal_bind=1');
    const echo = await Echo.start(PORT, addresses, { namespace: stage.namespace(unit), cpu: null });
    stage.onEnd(() => echo.end());
  }
  const units = { a: stage.weir('a'), b: stage.weir('b') };
  if (strict) {
    // What the units say is dated when it arrives here; behind the speakers, before everybody else.
    runInRealTime(LISTENER_PRIORITY);
    for (const { parent } of Object.values(units)) {
      execFileSync('chrt', ['-a', '-f', '-p', String(LISTENER_PRIORITY), String(parent)]);
    }
  }
  await units.a.configure(groups(200), paths('a'));
  for (const { name } of routers) await becomes(units.a, name, 'master');
  await units.b.configure(groups(100), paths('b'));
  for (const unit of [units.a, units.b]) {
    await unit.hears('paths', 0, (message) => message.paths.every(({ alive }) => alive));
  }
  const clients: Probe[] = [];
  for (const host of ['lan', 'far'] as const) {
    const namespace = stage.namespace(host);
    const client = await Probe.start(PORT, addresses, { namespace, cpu });
    stage.onEnd(() => client.end());
    clients.push(client);
  }
  const stalls = await StallWatch.start();
  stage.onEnd(() => Promise.resolve(stalls.end()));
  return { stage, units, clients, stalls };
}

async function becomes(unit: WeirUnit, router: string, role: string): Promise<void> {
  await unit.hears('role', 0, (message) => message.router === router && message.role === role);
}

/** The roles of a router at a unit, and since when. */
function history(unit: WeirUnit, router: string): { role: string; at: number }[] {
  return unit.messages.flatMap((message, index) =>
    message.kind === 'role' && message.router === router
      ? [{ role: message.role, at: unit.times[index] ?? 0 }]
      : [],
  );
}

/**
 * How long after `since` (of performance.now()) a router had no owner, or two. A hand-over that begins
 * later has two, or none, for a moment: that is no split.
 */
function untilOwned(units: Scene['units'], router: string, since: number): number {
  const changes = (['a', 'b'] as const).flatMap((unit) =>
    history(units[unit], router).map((one) => ({ ...one, unit })),
  );
  const now: Record<UnitName, string> = { a: 'down', b: 'down' };
  let [wrongFrom, owned]: [number | null, number] = [-Infinity, 0];
  for (const { unit, role, at } of changes.sort((one, other) => one.at - other.at)) {
    now[unit] = role;
    if (Object.values(now).filter((is) => is === 'master').length !== 1) wrongFrom ??= at;
    else if (wrongFrom !== null) {
      const handOver = wrongFrom > since && at - wrongFrom <= OWNED;
      if (!handOver) owned = Math.max(owned, at - since);
      wrongFrom = null;
    }
  }
  return wrongFrom === null ? owned : Infinity;
}

/** Everything is as it was at first, and the clients are answered. */
async function untilSettled({ units, clients }: Scene, since: number): Promise<void> {
  const deadline = monotonicNow() + 20_000;
  const a = (): boolean =>
    routers.every(
      ({ name }) =>
        history(units.a, name).at(-1)?.role === 'master' &&
        history(units.b, name).at(-1)?.role === 'backup',
    );
  const heard = (unit: WeirUnit): boolean =>
    unit.messages
      .filter((message) => message.kind === 'paths')
      .at(-1)
      ?.paths.every(({ alive }) => alive) ?? false;
  for (;;) {
    const open = (await Promise.all(clients.map((client) => client.gaps())))
      .flat(2)
      .some(({ to }) => to === null);
    const done = a() && heard(units.a) && heard(units.b) && !open;
    if (done && monotonicNow() - since > 4 * interval) return;
    if (monotonicNow() > deadline) {
      const last = [units.a, units.b].map(({ messages }) => JSON.stringify(messages.slice(-9)));
      throw new Error(
        `it does not settle; clients ${open ? 'wait' : 'are answered'}; ${last.join('; ')}`,
      );
    }
    await delay(interval / 3);
  }
}

const longest = (gaps: readonly Gap[], from: number, to: number): number =>
  Math.max(0, ...gaps.map((gap) => Math.min(gap.to ?? to, to) - Math.max(gap.from, from)));

/** What one split did, in milliseconds. */
interface Outcome {
  /** Without an answer before it healed, and after it had. */
  readonly apart: number;
  readonly healed: number;
  /** The address, and from where, that was longest without an answer after it. */
  readonly slowest: string;
  /** From its healing until there was one owner of everything. */
  readonly owned: number;
  /** For so long a CPU stood still, or the split could not be healed. */
  readonly still: number;
}

async function play(on: Scene, split: Split, lasting: number): Promise<Outcome> {
  const { stage, units, clients, stalls } = on;
  await stalls.ask();
  for (const client of clients) await client.mark();
  const cutAt = monotonicNow();
  change(stage, split.cut);
  await delay(lasting);
  if (lasting > TAKEN) {
    for (const { name } of routers) {
      const roles = [units.a, units.b].map((unit) => history(unit, name).at(-1)?.role);
      assert.ok(roles.includes('master'), `${split.name}: ${name} is nobody's after ${lasting} ms`);
    }
  }
  const [healedAt, since] = [monotonicNow(), performance.now()];
  change(stage, split.heal);
  const healing = monotonicNow() - healedAt;
  await untilSettled(on, healedAt);
  const end = monotonicNow();
  const seen = (await Promise.all(clients.map((client) => client.gaps()))).flatMap((of, client) =>
    of.map((gaps, index) => ({
      who: `${addresses[index] ?? ''} from ${client === 0 ? "B's" : "A's"} switch`,
      gaps,
    })),
  );
  const all = seen.flatMap(({ gaps }) => gaps);
  const healed = longest(all, healedAt, end);
  return {
    apart: longest(all, cutAt, healedAt),
    healed,
    slowest: seen.find(({ gaps }) => longest(gaps, healedAt, end) === healed)?.who ?? '',
    owned: Math.max(...routers.map(({ name }) => untilOwned(units, name, since))),
    still: Math.max(...(await stalls.ask()).map((one) => one.worst), healing - HEALING),
  };
}

const told = (values: readonly number[]): string => {
  const sorted = [...values].sort((one, other) => one - other);
  const at = (part: number): string =>
    (sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0).toFixed(0);
  return `${at(0.5)} / ${at(1)}`;
};

needs.macvlan(test)(
  `${count} of every kind, every ${interval} ms an advertisement, seed ${seed}`,
  () =>
    VrrpStage.run(async (stage) => {
      const on = await scene(stage);
      await untilSettled(on, monotonicNow());
      const random = generator(seed);
      const worst: string[] = [];
      let disturbed = 0;
      console.log('median / most in ms: without an answer while apart; after; until one owner');
      for (const split of splits.filter(({ name }) => name.includes(only))) {
        const outcomes: Outcome[] = [];
        let again = PATIENCE * count;
        while (outcomes.length < count) {
          // From less than anybody notices to long after everybody has.
          const lasting = random(outcomes.length % 2 === 0 ? 3 * interval : 12 * interval);
          const outcome = await play(on, split, lasting);
          if (outcome.still > STILL && again > 0) {
            again -= 1;
            continue;
          }
          outcomes.push(outcome);
          const { healed, owned, slowest } = outcome;
          if (healed <= BLACK_HOLE && owned <= OWNED) continue;
          const line = `${split.name}, for ${lasting} ms: ${healed.toFixed(0)} ms without an answer of ${slowest} after it, one owner after ${owned.toFixed(0)} ms`;
          console.log(line);
          worst.push(line);
        }
        disturbed += PATIENCE * count - again;
        const of = (key: 'apart' | 'healed' | 'owned'): string =>
          told(outcomes.map((one) => one[key]));
        console.log(`${split.name}: ${of('apart')}; ${of('healed')}; ${of('owned')}`);
      }
      console.log(`${disturbed} played again, since a CPU stood still`);
      assert.equal(worst, []);
    }),
);

test.run();

/**
 * Random faults of a pair, one after the other: wires cut, daemons and whole units killed or frozen,
 * disks that take no writes, addresses given away, commits meanwhile. After each is healed, the pair is as it should be.
 *
 *     WEIR_SEED=7 WEIR_STEPS=100 node build/test/lab/pair-faults.test.js
 *
 * What is not played: jumps of the clock, which a namespace shares with its machine (what depends on
 * it is played with clocks of its own in test/unit: ha/shared, ha/replication, ha/pair, ha/network).
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { RevisionRow } from '../../appliance/api/contract.js';
import { needs } from '../support/needs.js';
import { generator } from '../support/random.js';
import { Holding } from './holding.js';
import { PairLab, type Wire } from './pair-lab.js';
import { httpPort } from './server-process.js';
import { addressOf, memberNames } from './topology.js';
import { pause, until, type Unit } from './unit.js';

const test = suite('faults of a pair');
const seed = Number(process.env['WEIR_SEED'] ?? Date.now() % 2 ** 32);
const steps = Number(process.env['WEIR_STEPS'] ?? 6);
/** Nothing here takes so long; a machine that is busy may. */
const PATIENCE = 60_000;

const gateway = '10.77.0.1';
const forwarded = '10.78.0.81';
const proxied = '10.78.0.80';
const addresses = [gateway, forwarded, proxied];
const units = ['unit-a', 'unit-b'] as const;
const wires: readonly Wire[] = ['inside', 'outside', 'cable'];

function configuration(description: string): object {
  const members = memberNames.map((name) => ({ address: addressOf(name, 4), port: httpPort }));
  return {
    pools: { web: { members, description } },
    services: {
      plain: {
        listen: { address: forwarded, port: 80, protocol: 'tcp' },
        ...{ forwarding: 'nat', pool: 'web' },
      },
      site: { listen: { address: proxied, port: 80, protocol: 'http' }, pool: 'web' },
    },
    pair: {
      'preempt-delay': '500ms',
      'virtual-routers': {
        inside: { id: 10, interface: 'eth0', addresses: [gateway], prefer: 'unit-a', group: 'nat' },
        outside: { id: 11, addresses: [forwarded], prefer: 'unit-a', group: 'nat' },
        site: { id: 12, addresses: [proxied], prefer: 'unit-b' },
      },
    },
  };
}

/** Plays one fault from its beginning to its end; `meanwhile` is called while it lasts. */
type Fault = (lab: PairLab, meanwhile: () => Promise<void>) => Promise<void>;
type Random = (below: number) => number;

function pick<T>(random: Random, values: readonly T[]): T {
  const value = values[random(values.length)];
  if (value === undefined) throw new Error('nothing to pick from');
  return value;
}

/** A fault and what it is called, decided by chance. */
function faultOf(random: Random): [string, Fault] {
  const unit = pick(random, units);
  const silent = random(2) === 0;
  const some = wires.filter(() => random(2) === 0);
  const cutWires = some.length === 0 ? [pick(random, wires)] : some;
  const time = 100 + random(3000);
  const how = silent ? 'silently ' : '';
  const cut = (which: readonly Wire[]): Fault => {
    return async (lab, meanwhile) => {
      for (const wire of which) await lab.cut(wire, { unit, silent });
      await pause(time);
      await meanwhile();
      for (const wire of which) await lab.mend(wire, { unit });
    };
  };
  switch (random(8)) {
    case 0:
      return [`all wires of ${unit} are ${how}cut for ${time} ms`, cut(wires)];
    case 1:
    case 2:
      return [`${cutWires.join(', ')} of ${unit} ${how}cut for ${time} ms`, cut(cutWires)];
    case 3:
      return [
        `the daemon of ${unit} is killed`,
        async (lab, meanwhile) => {
          await lab.unit(unit).end('SIGKILL');
          await meanwhile();
          await lab.unit(unit).start();
        },
      ];
    case 4:
      return [
        `everything of ${unit} is killed`,
        async (lab, meanwhile) => {
          lab.killAll(unit);
          await meanwhile();
          await lab.unit(unit).end('SIGKILL');
          await lab.unit(unit).start();
        },
      ];
    case 5:
      return [
        `${unit} is frozen for ${time} ms`,
        async (lab, meanwhile) => {
          lab.signalAll(unit, 'SIGSTOP');
          await pause(time);
          lab.signalAll(unit, 'SIGCONT');
          await meanwhile();
        },
      ];
    case 6:
      return [
        `the disk of ${unit} takes no writes for ${time} ms`,
        async (lab, meanwhile) => {
          const disk = lab.disks.get(unit);
          disk?.freeze();
          // Who tells this unit something now may have to wait for it.
          await Promise.all([meanwhile(), pause(time).then(() => disk?.thaw())]);
        },
      ];
    default:
      return [
        `${unit} gives its addresses away for ${time} ms`,
        async (lab, meanwhile) => {
          await lab.unit(unit).weir('pair', 'failover', '--all');
          await meanwhile();
          await pause(time);
          await lab.unit(unit).must('pair', 'failover', '--all', '--cancel');
        },
      ];
  }
}

/** The entry of the shared log that a unit executes, and what it says of being in step. */
async function standing(unit: Unit): Promise<string> {
  const { replication } = await unit.status();
  if (replication?.state !== 'in-step') return replication?.message ?? 'no pair';
  const rows = await unit.get<RevisionRow[]>('/v1/revisions?limit=1000');
  const newest = rows.find(({ shared }) => shared !== null && shared.state !== 'superseded');
  return `in step at ${newest?.shared?.id ?? 'nothing'}`;
}

/** Both units say that they have the same configuration, and they have. */
async function untilInStep(lab: PairLab): Promise<void> {
  await until('both units are in step at the same entry', PATIENCE, async () => {
    const [a, b] = await Promise.all([standing(lab.a), standing(lab.b)]);
    return (a === b && a.startsWith('in step')) || `unit-a: ${a}; unit-b: ${b}`;
  });
}

/** Every commit that was acknowledged is in the history of both units, superseded or not. */
async function nothingLost(lab: PairLab, acknowledged: readonly string[]): Promise<void> {
  for (const unit of [lab.a, lab.b]) {
    const rows = await unit.get<RevisionRow[]>('/v1/revisions?limit=1000');
    const kept = new Set(rows.map(({ comment }) => comment));
    const lost = acknowledged.filter((one) => !kept.has(one));
    assert.equal(lost, [], `acknowledged commits that ${unit.name} has not`);
  }
}

needs.lab(test)(`${steps} faults by chance, seed ${seed}`, async () => {
  const random = generator(seed);
  const disks = (why: string): void => {
    console.log(`disks that take no writes are not played: ${why}`);
  };
  await PairLab.run({ members: true, gateway: 1, disks }, async (lab) => {
    const holding = new Holding(lab, addresses, PATIENCE);
    await lab.pair();
    await lab.apply('unit-a', configuration('at first'));
    await holding.until([gateway, forwarded]);
    const acknowledged: string[] = [];
    const story: string[] = [];
    let count = 0;
    const commit = async (): Promise<void> => {
      const unit = lab.unit(pick(random, units));
      const comment = `change ${(count += 1)}`;
      const row = `${addressOf('member-1', 4)}:${httpPort}`;
      const words = ['--weight', String(1 + (count % 200)), '--comment', comment];
      const { status } = await unit.weir('set', 'member', 'web', row, ...words);
      // A unit that is dead, or loses against the other one, says so.
      if (status === 0) acknowledged.push(comment);
    };
    for (let step = 1; step <= steps; step += 1) {
      const [name, fault] = faultOf(random);
      const commits = random(3);
      story.push(`${step}. ${name}, ${commits} commits meanwhile`);
      console.log(story.at(-1));
      try {
        await fault(lab, async () => {
          for (let made = 0; made < commits; made += 1) await commit();
        });
        await lab.untilLinks(2);
        await untilInStep(lab);
        await holding.until([gateway, forwarded]);
        await lab.untilServed([forwarded, proxied], PATIENCE);
        await nothingLost(lab, acknowledged);
      } catch (error) {
        const last = [lab.a, lab.b].map((unit) => `${unit.name}: ${unit.logTail()}`);
        throw new Error([`seed ${seed}:`, ...story, (error as Error).message, ...last].join('\n'), {
          cause: error,
        });
      }
    }
    assert.ok(acknowledged.length > 0 || count === 0, `none of ${count} commits was acknowledged`);
  });
});

test.run();

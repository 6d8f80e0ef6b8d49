/**
 * Random faults of a pair, one after the other: wires cut, daemons and whole units killed or frozen,
 * addresses given away, commits meanwhile. After each is healed, the pair is as it should be.
 *
 *     WEIR_SEED=7 WEIR_STEPS=100 node build/test/lab/pair-faults.test.js
 *
 * What is not played: jumps of the clock, which a namespace shares with its machine (what units tell
 * each other of time is played in test/unit/ha), and slow disks.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { RevisionRow } from '../../appliance/api/contract.js';
import { needs } from '../support/needs.js';
import { generator } from '../support/random.js';
import { CommandError, run, within } from './commands.js';
import { PairLab, type Wire } from './pair-lab.js';
import { httpPort } from './server-process.js';
import { addressOf, memberNames, type UnitName } from './topology.js';
import { pause, until } from './unit.js';

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
  switch (random(7)) {
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

/** Which of the shared addresses the kernel of a unit has. */
async function held(lab: PairLab, unit: UnitName): Promise<string[]> {
  const text = await run('ip', ['-n', lab.topology.namespace(unit), '-json', '-4', 'addr']);
  const links = JSON.parse(text) as { readonly addr_info: { readonly local: string }[] }[];
  const there = new Set(links.flatMap(({ addr_info: own }) => own.map(({ local }) => local)));
  return addresses.filter((address) => there.has(address));
}

/** Each address is where it belongs, and nowhere else. */
async function untilInPlace(lab: PairLab): Promise<void> {
  const wanted = JSON.stringify([[gateway, forwarded], [proxied]]);
  await until(`addresses of unit-a and unit-b: ${wanted}`, PATIENCE, async () => {
    const seen = JSON.stringify([await held(lab, 'unit-a'), await held(lab, 'unit-b')]);
    return seen === wanted || seen;
  });
}

async function untilServed(lab: PairLab): Promise<void> {
  const client = lab.topology.namespace('client');
  for (const address of [forwarded, proxied]) {
    await until(`the client is served at ${address}`, PATIENCE, async () => {
      const words = ['curl', '-sS', '--max-time', '2', `http://${address}/`];
      try {
        await run('nsenter', within(client, words).slice(1));
        return true;
      } catch (error) {
        if (error instanceof CommandError) return error.message;
        throw error;
      }
    });
  }
}

/** Both units say that they have the same configuration, and they have. */
async function untilInStep(lab: PairLab): Promise<void> {
  const shared: string[] = [];
  for (const unit of [lab.a, lab.b]) {
    await until(`${unit.name} is in step`, PATIENCE, async () => {
      const { replication } = await unit.status();
      return replication?.state === 'in-step' || (replication?.message ?? 'no pair');
    });
  }
  for (const unit of [lab.a, lab.b]) {
    const rows = await unit.get<RevisionRow[]>('/v1/revisions?limit=1000');
    shared.push(rows.find((row) => row.shared !== null)?.shared?.id ?? 'none');
  }
  assert.is(shared[0], shared[1], 'the newest entry of the shared log on both units');
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
  await PairLab.run({ members: true, gateway: 1 }, async (lab) => {
    await lab.pair();
    await lab.apply('unit-a', configuration('at first'));
    await untilInPlace(lab);
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
      try {
        await fault(lab, async () => {
          for (let made = 0; made < commits; made += 1) await commit();
        });
        await lab.untilLinks(2);
        await untilInStep(lab);
        await untilInPlace(lab);
        await untilServed(lab);
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

/** Two speakers on a machine that is busy with everything else. The figures are the benchmark's. */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { heartbeats } from '../../appliance/ha/vrrp/paths/settings.js';
import { needs } from '../support/needs.js';
import { VrrpLoad } from './vrrp-load.js';
import { groupText, VrrpStage, type WeirUnit } from './vrrp-stage.js';

const test = suite('VRRP under load');
const lab = needs.lab(test);

const ADDRESS = '10.9.0.80';
/** So long that no pause of the host comes near the three of them that another unit waits. */
const INTERVAL = 100;
const LOOKS = 30;
const LOOK_MS = 250;
const SCHED_FIFO = 1;
const parts = ['speaker', 'guard'] as const;

async function pair(stage: VrrpStage): Promise<{ a: WeirUnit; b: WeirUnit }> {
  stage.cable();
  const [a, b] = [stage.weir('a'), stage.weir('b')];
  const path = { name: 'cable', interface: 'pair0', family: 4 } as const;
  const common = { key: 'be'.repeat(32), port: 9348, ...heartbeats(INTERVAL) };
  const [one, two] = ['10.9.9.1', '10.9.9.2'];
  await a.configure([groupText({ interval: INTERVAL }, { priority: 200 })], {
    ...common,
    paths: [{ ...path, local: one, remote: two }],
  });
  await a.becomes('master');
  await b.configure([groupText({ interval: INTERVAL }, { priority: 100 })], {
    ...common,
    paths: [{ ...path, local: two, remote: one }],
  });
  await b.hears('paths', 0, ({ paths }) => paths.some(({ alive }) => alive));
  return { a, b };
}

/** Field 41 of proc_pid_stat(5), of every thread. */
function policies(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).map((thread) => {
    const text = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8');
    return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[38]);
  });
}

lab('every thread of a speaker and of its guard goes before the others of the machine', () =>
  VrrpStage.run(async (stage) => {
    const { a } = await pair(stage);
    for (const part of parts) {
      const found = policies(await a.pidOf(part));
      assert.ok(
        found.every((policy) => policy === SCHED_FIFO),
        `${part}: ${found.join(' ')}`,
      );
    }
  }),
);

lab('both CPUs, the memory, the disk and the lock of network settings are busy: roles stay', () =>
  VrrpStage.run(async (stage) => {
    const { a, b } = await pair(stage);
    const units = [a, b];
    const before = await Promise.all(
      units.flatMap((unit) => parts.map((part) => unit.pidOf(part))),
    );
    const told = units.map(({ messages }) => messages.length);
    const load = new VrrpLoad();
    try {
      for (let look = 0; look < LOOKS; look += 1) {
        await delay(LOOK_MS);
        const holders = (['a', 'b'] as const).filter((u) => stage.addresses(u).includes(ADDRESS));
        assert.equal(holders, ['a']);
      }
    } finally {
      await load.end();
    }
    for (const [index, unit] of units.entries()) {
      const said = unit.messages
        .slice(told[index])
        .filter(({ kind }) => kind === 'role' || kind === 'exit' || kind === 'problem');
      assert.equal(said, []);
    }
    const after = await Promise.all(units.flatMap((unit) => parts.map((part) => unit.pidOf(part))));
    assert.equal(after, before, 'nobody was ended');
    const { lateness } = await a.status();
    const turns = lateness.turns.reduce((sum, count) => sum + count, 0);
    assert.ok(turns > LOOKS, `${turns} turns`);
    assert.ok((lateness.leastLease ?? 0) > 0, `${lateness.leastLease} ms were left of the lease`);
  }),
);

test.run();

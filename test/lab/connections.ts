/**
 * TCP connections in each family through one forwarding mode, 2,000 of them held open at once
 * with heartbeats, and UDP flows beside them, while a member dies and returns, another drains,
 * weights change, the daemon is killed and restarted, and a change is rolled back (the drain,
 * weights and the rollback by nat alone, unless it is the long run). None may be lost but those of
 * the member that died.
 *
 *     WEIR_CONNECTIONS=100000 node build/test/lab/connections-nat.test.js
 *
 * Each act is a test; they build on each other, so they share one lab and stop at the
 * first that throws.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { lacking, needs } from '../support/needs.js';
import * as acts from './acts.js';
import { pathsOf, type Mode } from './configuration.js';
import { Lab } from './lab.js';
import { describeSeen, Stage, type Act, type Seen } from './stage.js';
import { pause } from './unit.js';

/** Connections in each family. */
const wanted = Number(process.env['WEIR_CONNECTIONS'] ?? 20_000);
/**
 * New connections a second in each family. 2,000 are about what two cores can do, clients and
 * members included; a machine that does much else has time for fewer.
 */
const rate = wanted >= 100_000 ? 2000 : 1000;
const held = 2000;
/** Long enough for the slowest machine that is supported, in milliseconds. */
const patience = 240_000;

/** What a way of forwarding has a part in … */
const brief: readonly Act[] = [acts.baseline, acts.death, acts.comeback, acts.restart];
/** … and all, which one of them plays for the others where time matters. */
const whole: readonly Act[] = [
  acts.baseline,
  acts.distribution,
  acts.death,
  acts.comeback,
  acts.drain,
  acts.weights,
  acts.restart,
  acts.rollback,
];

function expectGood(what: string, seen: Seen): void {
  console.log(`\n${what}: ${describeSeen(seen)}`);
  assert.is(seen.troubles.join('\n'), '', `${what}: expected no trouble`);
}

/** Those that a death took come back within a heartbeat. */
function expectHeld(what: string, seen: Seen): void {
  for (const [name, { open }] of seen.reports) {
    if (!name.includes('tcp')) continue;
    assert.ok(open >= held, `${what}, ${name}: expected ${held} connections held, seen ${open}`);
  }
}

/** Registers and runs the tests of a mode. */
export function connectionsThrough(mode: Mode): void {
  const test = suite(`connections-${mode}`);
  let lab: Lab | undefined;
  let stage: Stage | undefined;
  const opened = (): Stage => {
    if (stage === undefined) throw new Error('the lab did not open');
    return stage;
  };

  test.before(async () => {
    if (lacking('lab') !== null) return;
    lab = await Lab.open(pathsOf(mode));
    stage = await Stage.open(lab, ({ protocol }) =>
      protocol === 'udp'
        ? { rate: 40, concurrency: 64, long: 30, heartbeat: 250 }
        : { rate, concurrency: 256, long: held, heartbeat: 4000 },
    );
  });

  test.after(async () => {
    await lab?.close();
  });

  const script = mode === 'nat' || wanted >= 100_000 ? whole : brief;
  for (const act of script) {
    needs.lab(test)(act.name, async () => {
      const seen = await opened().play(act);
      expectGood(act.name, seen);
      if (act !== acts.death) expectHeld(act.name, seen);
    });
  }

  needs.lab(test)(`${wanted} connections in each family, none lost`, async () => {
    const { connections } = opened();
    const tcp = (): [string, number][] => [...connections].filter(([name]) => name.includes('tcp'));
    const until = performance.now() + patience;
    do {
      await pause(500);
      await opened().window('more');
    } while (tcp().some(([, count]) => count < wanted) && performance.now() < until);
    expectGood('the rest', await opened().close());
    console.log(JSON.stringify(Object.fromEntries(connections)));
    assert.is(tcp().length, 2, 'expected both families');
    for (const [name, count] of tcp()) {
      assert.ok(count >= wanted, `${name}: expected ${wanted} connections, seen ${count}`);
    }
  });

  test.run();
}

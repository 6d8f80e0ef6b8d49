/**
 * A pair that was made by commands: the shares of both units, and what becomes of them when wires are
 * cut. Advertisements are a second apart, so whatever is faster was told over another path.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { PairView, RouterRow } from '../../appliance/api/contract.js';
import { needs } from '../support/needs.js';
import { Holding, toldAt } from './holding.js';
import { PairLab, type Wire } from './pair-lab.js';
import { httpPort } from './server-process.js';
import { addressOf, memberNames } from './topology.js';
import { until, type Unit } from './unit.js';

const test = suite('roles of a pair');
const [even, odd] = ['10.78.0.80', '10.78.0.81'];
const INTERVAL = 1000;
/** Two or three advertisements, and what a busy machine adds: only what is told is faster. */
const TOLD = INTERVAL;
const wires: readonly Wire[] = ['inside', 'outside', 'cable'];

const document = (): object => ({
  pools: {
    web: {
      members: memberNames.map((name) => ({ address: addressOf(name, 4), port: httpPort })),
    },
  },
  services: Object.fromEntries(
    [even, odd].map((address, index) => [
      `site-${index}`,
      { listen: { address, port: 80, protocol: 'http' }, pool: 'web' },
    ]),
  ),
  pair: { 'advertisement-interval': `${INTERVAL}ms`, 'preempt-delay': '500ms', prefer: 'unit-a' },
});

/** Waits until just these networks' heartbeats are heard at the unit, IPv4. */
async function untilHeard(unit: Unit, silent: readonly string[] = []): Promise<void> {
  await until(`silent at ${unit.name}: ${silent.join(' ')}`, 20_000, async () => {
    const { paths } = await unit.get<PairView>('/v1/pair');
    const seen = paths.filter(({ heard }) => heard !== true).map(({ interface: on }) => on);
    const names = [...new Set(seen)].sort().join(' ');
    return (paths.length >= 3 && names === silent.join(' ')) || `${paths.length} paths: ${names}`;
  });
}

const takeovers = async (unit: Unit): Promise<number[]> =>
  (await unit.get<RouterRow[]>('/v1/routers')).map((row) => row.takeovers);

needs.lab(test)(
  'one cut wire moves nothing, or at once; all cut, each serves; mended, one does',
  () =>
    PairLab.run({ members: true, document }, async (lab) => {
      const holding = new Holding(lab, [even, odd]);
      const untilShared = (): Promise<number> => holding.until([even], [odd]);
      await lab.pair();
      await untilShared();
      await Promise.all([untilHeard(lab.a), untilHeard(lab.b)]);
      assert.match(await lab.a.must('pair', 'status'), /10\.79\.0\.0\/24 +eth2 +heard/);
      assert.match(await lab.b.must('show', 'routers'), /Heartbeats of unit-a: .*eth2/);

      const before = [await takeovers(lab.a), await takeovers(lab.b)];
      await lab.cut('cable', { silent: true });
      await Promise.all([untilHeard(lab.a, ['eth2']), untilHeard(lab.b, ['eth2'])]);
      assert.is((await lab.a.weir('pair', 'status', '--check')).status, 8);
      assert.match(
        await lab.b.must('show', 'events', '--kind', 'pair'),
        /heartbeats of unit-a no longer come by eth2 \(10\.79\.0\.0\/24\)/,
      );
      await lab.mend('cable');
      await Promise.all([untilHeard(lab.a), untilHeard(lab.b)]);
      await untilShared();
      assert.equal([await takeovers(lab.a), await takeovers(lab.b)], before, 'no role changed');

      const cutAt = Date.now();
      await lab.cut('outside', { unit: 'unit-a' });
      const taken = await toldAt(lab.b, cutAt, /even\/.* is master: the other unit gave it up/);
      console.log(`a link that went down: taken over within ${taken - cutAt} ms`);
      assert.ok(taken - cutAt < TOLD, `taken over after ${taken - cutAt} ms`);
      await holding.until([], [even, odd]);
      await lab.mend('outside', { unit: 'unit-a' });
      await untilShared();

      for (const wire of wires) await lab.cut(wire, { silent: true });
      await holding.until([even, odd], [even, odd]);
      for (const wire of wires) await lab.mend(wire);
      await untilShared();
      await Promise.all([untilHeard(lab.a), untilHeard(lab.b)]);

      await lab.a.must('pair', 'leave', '--yes');
      await holding.until([even, odd], [even, odd]);
      const { paths } = await lab.a.get<PairView>('/v1/pair');
      assert.equal(paths, [], 'no pair, no paths');
    }),
);

test.run();

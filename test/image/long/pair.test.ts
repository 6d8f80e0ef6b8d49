/**
 * Two boxes of the image in QEMU, paired over a link of their own; one ends as by a loss of power, and a
 * client measures how long it is without an answer from the other one.
 */
import { suite } from 'uvu';
import type { PairInvited, PairView, RouterRow } from '../../../appliance/api/contract.js';
import { needs } from '../../support/needs.js';
import type { Machine } from '../../support/qemu.js';
import { inNamespace } from '../namespace.js';
import {
  ask,
  isAnswered,
  json,
  makeSwitches,
  makeUnitSeed,
  PATIENCE_MS,
  READY,
  SERVICES,
  since,
  Stage,
  until,
} from '../stage.js';

const SWITCHES = { outside: '10.98.0.2/24', inside: '10.99.0.11/24', private: null } as const;

const test = suite('two boxes of the image');
const image = needs.image(test);
const stage = new Stage(test, 'boxes', () => {
  makeSwitches(SWITCHES);
});

function start(unit: 'a' | 'b', number: number): Machine {
  const seed = makeUnitSeed(stage.folder('seed'), {
    ...{ unit: `box-${unit}`, number, services: unit === 'a' },
  });
  return stage.start({
    ...{ seed, number },
    taps: Object.keys(SWITCHES).map((name) => `${name}-${unit}`),
  });
}

const mastersOf = async (machine: Machine): Promise<number> =>
  (await json<RouterRow[]>(machine, 'show routers')).filter(({ role }) => role === 'master').length;

image('the other box of a pair carries on when one loses its power', async () => {
  const a = start('a', 3);
  await a.says(READY, PATIENCE_MS);
  await until(
    () => a.shell('weir history'),
    (text) => text.includes('from WEIR-SEED'),
  );
  const b = start('b', 4);
  await b.says(READY, PATIENCE_MS);
  await until(
    () => b.shell('weir history'),
    (text) => text.includes('from WEIR-SEED'),
  );
  const { code } = await json<PairInvited>(a, 'pair invite 10.97.0.3');
  await b.shell(`echo ${code} | weir pair join - 10.97.0.3`, PATIENCE_MS);
  for (const box of [a, b]) {
    await until(
      () => json<PairView>(box, 'pair status'),
      ({ links }) => links.some(({ up }) => up),
    );
  }
  await until(
    async () => [await mastersOf(a), await mastersOf(b)],
    ([first = 0, second = 0]) => first + second > 0,
  );
  await isAnswered(SERVICES.proxied);
  const masters = { a: await mastersOf(a), b: await mastersOf(b) };
  console.log(`  virtual routers: box-a is master of ${masters.a}, box-b of ${masters.b}`);
  const victim = masters.a > 0 ? a : b;
  await victim.cut();
  const cutAt = performance.now();
  await isAnswered(SERVICES.proxied);
  console.log(`  the other box answers ${since(cutAt)} later`);
  for (let asked = 0; asked < 20; asked++) await ask(SERVICES.proxied);
});

inNamespace(import.meta.url, () => {
  test.run();
});

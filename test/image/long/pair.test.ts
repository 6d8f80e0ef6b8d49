/**
 * Two boxes of the image in QEMU, paired over a link of their own; one ends as by a loss of power, and a
 * client measures how long it is without an answer from the other one.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { PairInvited, PairView, RouterRow } from '../../../appliance/api/contract.js';
import { projectRoot } from '../../../appliance/paths.js';
import { needs } from '../../support/needs.js';
import { Machine } from '../../support/qemu.js';
import { inNamespace } from '../namespace.js';
import { answered, ask, makeSwitches, makeUnitSeed, startMember } from '../stage.js';

const IMAGE = process.env['WEIR_IMAGE'] ?? join(projectRoot, 'build/image/weir.img');
const PATIENCE_MS = 900_000;
const READY = /weir: ready ([\d.]+) seconds/;
const SWITCHES = { outside: '10.98.0.2/24', inside: '10.99.0.11/24', private: null } as const;
const SERVICE = '10.98.0.80';

const test = suite('two boxes of the image');
const image = needs.image(test);
const context: { folder: string; machines: Machine[]; member: Server | null } = {
  ...{ folder: '', machines: [], member: null },
};

function start(unit: 'a' | 'b', number: number): Machine {
  const folder = mkdtempSync(join(context.folder, `${unit}-`));
  const seed = makeUnitSeed(mkdtempSync(join(context.folder, 'seed-')), {
    ...{ unit: `box-${unit}`, number, services: unit === 'a' },
  });
  const machine = new Machine({
    ...{ image: IMAGE, folder, firmware: 'bios', seed, number },
    taps: Object.keys(SWITCHES).map((name) => `${name}-${unit}`),
  });
  context.machines.push(machine);
  return machine;
}

async function json<T>(machine: Machine, words: string): Promise<T> {
  return JSON.parse(await machine.shell(`weir ${words} --json`)) as T;
}

/** Asks until it is so; a box under emulation takes its time. */
async function until<T>(read: () => Promise<T>, so: (found: T) => boolean): Promise<T> {
  const end = performance.now() + PATIENCE_MS;
  for (;;) {
    const found = await read();
    if (so(found)) return found;
    if (performance.now() > end)
      throw new Error(`it did not come to that: ${JSON.stringify(found)}`);
  }
}

const mastersOf = async (machine: Machine): Promise<number> =>
  (await json<RouterRow[]>(machine, 'show routers')).filter(({ role }) => role === 'master').length;

test.after.each(async () => {
  for (const machine of context.machines) await machine.cut();
});
test.after(() => {
  context.member?.closeAllConnections();
  context.member?.close();
  if (context.folder !== '') rmSync(context.folder, { recursive: true, force: true });
});

image('the other box of a pair carries on when one loses its power', async () => {
  context.folder = mkdtempSync(join(tmpdir(), 'weir-boxes-'));
  makeSwitches(SWITCHES);
  context.member = await startMember();
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
  assert.is(await answered(SERVICE, PATIENCE_MS), 'from the member\n');
  const masters = { a: await mastersOf(a), b: await mastersOf(b) };
  console.log(`  virtual routers: box-a is master of ${masters.a}, box-b of ${masters.b}`);
  const victim = masters.a > 0 ? a : b;
  await victim.cut();
  const cutAt = performance.now();
  assert.is(await answered(SERVICE, PATIENCE_MS), 'from the member\n');
  console.log(`  the other box answers ${((performance.now() - cutAt) / 1000).toFixed(1)} s later`);
  for (let asked = 0; asked < 20; asked++) await ask(SERVICE);
});

inNamespace(import.meta.url, () => {
  test.run();
});

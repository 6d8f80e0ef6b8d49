/**
 * Upgrades of the image in QEMU, from slot A to B and back by itself: a version that is good, one whose
 * kernel panics, one whose daemon does not start, one that hangs, and a loss of power while a slot is
 * written. The image must trust the key of this build tree (`npm run image -- --development-key`).
 */
import { generateKeyPairSync } from 'node:crypto';
import { rmSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { UpgradeView } from '../../../appliance/api/contract.js';
import { developmentKey } from '../../../images/bundle.js';
import { needs } from '../../support/needs.js';
import type { Machine } from '../../support/qemu.js';
import { inNamespace } from '../namespace.js';
import {
  ask,
  isAnswered,
  json,
  makeNetwork,
  makeSeed,
  PATIENCE_MS,
  READY,
  SERVICES,
  since,
  Stage,
  until,
} from '../stage.js';
import { bundleOf, makeStick, SLOT, SlotTree, trustsDevelopmentKey } from './slots.js';

/** Two tries of three minutes each until the watchdog bites, and three boots. */
const WATCHDOG_MS = 1_800_000;

const test = suite('upgrades of the image');
const image = needs.image(test);
const stage = new Stage(test, 'upgrade', makeNetwork, prepare);
/** `used`: a disk that was booted once and has its configuration. */
const files = { seed: '', stick: '', used: '' };

function start(overlay: string, over?: string): Machine {
  return stage.start({
    ...{ seed: files.seed, update: files.stick, reboots: true, overlay: stage.file(overlay) },
    ...(over === undefined ? {} : { over }),
  });
}

async function booted(overlay: string): Promise<Machine> {
  const machine = start(overlay, files.used);
  await machine.says(READY, PATIENCE_MS);
  await isAnswered(SERVICES.proxied);
  return machine;
}

const status = (machine: Machine): Promise<UpgradeView> => json(machine, 'upgrade status');

/** Begins an upgrade with a file of the stick; the shell has no part in how it ends. */
const begin = (machine: Machine, file: string): Promise<string> =>
  machine.shell(`(weir upgrade /update/${file} --yes >/data/upgrade.log 2>&1 &)`);

/** Upgrades and waits until some slot is ready again. */
async function upgrade(machine: Machine, file: string, ms: number): Promise<void> {
  const begun = performance.now();
  machine.forget();
  await begin(machine, file);
  const away = outage(ms);
  await machine.says(READY, ms);
  console.log(`  ready again after ${since(begun)}; clients had no answer for ${await away}`);
  console.log((await machine.shell('cat /data/upgrade.log')).replace(/^/gm, '  '));
}

/** How long clients have no answer, from the first failure to the next answer. */
async function outage(ms: number): Promise<string> {
  const end = performance.now() + ms;
  let last = performance.now();
  let failed = false;
  while (performance.now() < end) {
    try {
      await ask(SERVICES.proxied, 2000);
      if (failed) return since(last);
      last = performance.now();
    } catch {
      // What is measured.
      failed = true;
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error(
    `clients had ${failed ? 'no answer' : 'answers all the time'} for ${since(last)}`,
  );
}

async function isWhole(machine: Machine, running: 'a' | 'b', version: string): Promise<void> {
  const view = await status(machine);
  assert.is(view.version, version);
  assert.equal(
    view.slots.filter((row) => row.running && row.good && !row.trial).map(({ slot }) => slot),
    [running],
  );
  assert.match(await machine.shell('weir history'), /from WEIR-SEED/);
  await isAnswered(SERVICES.proxied);
  await isAnswered(SERVICES.fast);
}

async function makeStickOfBundles(): Promise<string> {
  const { key } = developmentKey();
  const bundles: string[] = [];
  const add = async (slot: string, name: string, version: string, by = key): Promise<void> => {
    const out = stage.file(`${name}.update`);
    await bundleOf(slot, out, version, by);
    bundles.push(out);
    rmSync(slot);
  };
  const tree = new SlotTree(SLOT, stage.folder('slots'));
  await add(
    tree.packInit('foreign', ''),
    'foreign',
    '0.9.0',
    generateKeyPairSync('ed25519').privateKey,
  );
  await add(tree.packInit('panic', '#!/bin/busybox sh\nexit 1\n'), 'panic', '0.9.0');
  await add(tree.packInit('hang', HANG), 'hang', '0.9.0');
  tree.setVersion('0.9.0');
  await add(tree.pack('good'), 'good', '0.9.0');
  tree.breakDaemon();
  await add(tree.pack('dead'), 'dead', '0.9.0');
  const stick = stage.file('stick.img');
  makeStick(stick, bundles);
  bundles.forEach((file) => rmSync(file));
  return stick;
}

/** Stands still as soon as the watchdog waits, which here has little patience. */
const HANG = `#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
modprobe i6300esb heartbeat=20
printf 1 >/dev/watchdog
echo hanging
while :; do :; done
`;

async function prepare(): Promise<void> {
  trustsDevelopmentKey();
  files.seed = makeSeed(stage.folder('seed'));
  files.stick = await makeStickOfBundles();
  const first = start('used.qcow2');
  await first.says(READY, PATIENCE_MS);
  await isAnswered(SERVICES.proxied);
  await first.shell('sync');
  await first.cut();
  files.used = stage.file('used.qcow2');
}

image('a version that is good stays, and what nobody trusted signed is refused', async () => {
  const machine = await booted('good.qcow2');
  const refused = await machine.shell('weir upgrade /update/foreign.update --yes 2>&1 || true');
  console.log(refused.replace(/^/gm, '  '));
  assert.match(refused, /key/);
  await upgrade(machine, 'good.update', PATIENCE_MS);
  const { last } = await until(
    () => status(machine),
    ({ phase }) => phase === 'idle',
  );
  assert.is(last?.stage, 'good');
  await isWhole(machine, 'b', '0.9.0');
});

image('a version whose kernel panics falls back by itself', async () => {
  const machine = await booted('panic.qcow2');
  await upgrade(machine, 'panic.update', PATIENCE_MS);
  assert.is(machine.console.match(/Kernel panic/g)?.length, 2);
  assert.is((await status(machine)).last?.stage, 'fallen-back');
  await isWhole(machine, 'a', '0.1.0');
});

image('a version that hangs falls back by the watchdog', async () => {
  const machine = await booted('hang.qcow2');
  await upgrade(machine, 'hang.update', PATIENCE_MS);
  assert.is(machine.console.match(/^hanging/gm)?.length, 2);
  assert.is((await status(machine)).last?.stage, 'fallen-back');
  await isWhole(machine, 'a', '0.1.0');
});

image(
  'a loss of power while a slot is written leaves the slot and the configuration as they were',
  async () => {
    const machine = await booted('cut.qcow2');
    // Committed a moment before: what the unit answered for is on the disk.
    await machine.shell(
      'weir export >/tmp/c.yaml && sed -i s/1s/2s/ /tmp/c.yaml && weir apply /tmp/c.yaml --comment committed',
    );
    await begin(machine, 'good.update');
    await until(
      () => status(machine),
      ({ phase, progress }) => phase === 'writing' && (progress?.done ?? 0) > 2 ** 24,
    );
    await machine.cut();
    const again = start('cut.qcow2');
    await again.says(READY, PATIENCE_MS);
    const { last } = await status(again);
    assert.is(last?.stage, 'failed');
    assert.match(await again.shell('weir history'), /committed/);
    await isWhole(again, 'a', '0.1.0');
  },
);

image('a version whose daemon does not start falls back by the watchdog', async () => {
  const machine = await booted('dead.qcow2');
  await upgrade(machine, 'dead.update', WATCHDOG_MS);
  assert.is((await status(machine)).last?.stage, 'fallen-back');
  await isWhole(machine, 'a', '0.1.0');
});

inNamespace(import.meta.url, () => {
  test.run();
});

/**
 * Upgrades of the image in QEMU, from slot A to B and back by itself: a version that is good, one whose
 * kernel panics, one whose daemon does not start, one that hangs, and a loss of power while a slot is
 * written. The image must trust the key of this build tree (`npm run image -- --development-key`).
 */
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { UpgradeView } from '../../../appliance/api/contract.js';
import { projectRoot } from '../../../appliance/paths.js';
import { developmentKey } from '../../../images/bundle.js';
import { lacking, needs } from '../../support/needs.js';
import { Machine } from '../../support/qemu.js';
import { inNamespace } from '../namespace.js';
import { answered, ask, makeNetwork, makeSeed, startMember, TAPS } from '../stage.js';
import { bundleOf, makeStick, SlotTree, trustedKeys } from './slots.js';

const folderOfImage = join(projectRoot, 'build/image');
const IMAGE = process.env['WEIR_IMAGE'] ?? join(folderOfImage, 'weir.img');
const SLOT = process.env['WEIR_SLOT'] ?? join(folderOfImage, 'weir.squashfs');
const BOOT_MS = 600_000;
/** Two tries of three minutes each until the watchdog bites, and three boots. */
const WATCHDOG_MS = 1_800_000;
const READY = /weir: ready ([\d.]+) seconds/;

const test = suite('upgrades of the image');

interface Context {
  folder: string;
  seed: string;
  stick: string;
  /** A disk that was booted once and has its configuration. */
  used: string;
  machine: Machine | null;
  member: Server | null;
}
const context: Context = {
  ...{ folder: '', seed: '', stick: '', used: '' },
  ...{ machine: null, member: null },
};

function start(overlay: string, over?: string): Machine {
  const folder = mkdtempSync(join(context.folder, 'machine-'));
  const { seed, stick: update } = context;
  context.machine = new Machine({
    ...{ image: IMAGE, folder, firmware: 'bios', seed, update, taps: TAPS, reboots: true },
    overlay: join(context.folder, overlay),
    ...(over === undefined ? {} : { over }),
  });
  return context.machine;
}

async function booted(overlay: string): Promise<Machine> {
  const machine = start(overlay, context.used);
  await machine.says(READY, BOOT_MS);
  assert.is(await answered('10.98.0.80', BOOT_MS), 'from the member\n');
  return machine;
}

const status = async (machine: Machine): Promise<UpgradeView> =>
  JSON.parse(await machine.shell('weir upgrade status --json')) as UpgradeView;

/** Asks until it is so. */
async function until(
  machine: Machine,
  so: (view: UpgradeView) => boolean,
  ms: number,
): Promise<UpgradeView> {
  const end = performance.now() + ms;
  for (;;) {
    const view = await status(machine);
    if (so(view)) return view;
    if (performance.now() > end)
      throw new Error(`it did not come to that: ${JSON.stringify(view)}`);
  }
}

const since = (begun: number): string => `${((performance.now() - begun) / 1000).toFixed(0)} s`;

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
      await ask('10.98.0.80', 2000);
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
  assert.is(await answered('10.98.0.80', BOOT_MS), 'from the member\n');
  assert.is(await answered('10.98.0.81', BOOT_MS), 'from the member\n');
}

async function makeStickOfBundles(): Promise<string> {
  const { folder } = context;
  const { key } = developmentKey();
  const files: string[] = [];
  const add = async (slot: string, name: string, version: string, by = key): Promise<void> => {
    const out = join(folder, `${name}.update`);
    await bundleOf(slot, out, version, by);
    files.push(out);
    rmSync(slot);
  };
  const tree = new SlotTree(SLOT, mkdtempSync(join(folder, 'slots-')));
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
  const stick = join(folder, 'stick.img');
  makeStick(stick, files);
  files.forEach((file) => rmSync(file));
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
  makeNetwork();
  context.seed = makeSeed(mkdtempSync(join(context.folder, 'seed-')));
  context.member = await startMember();
  context.stick = await makeStickOfBundles();
  const first = start('used.qcow2');
  await first.says(READY, BOOT_MS);
  assert.is(await answered('10.98.0.80', BOOT_MS), 'from the member\n');
  await first.shell('sync');
  await first.cut();
  context.used = join(context.folder, 'used.qcow2');
}

async function clean(): Promise<void> {
  await context.machine?.cut();
  context.member?.closeAllConnections();
  context.member?.close();
  if (context.folder !== '') rmSync(context.folder, { recursive: true, force: true });
}

const image = needs.image(test);
test.before(async () => {
  if (lacking('image') !== null) return;
  if (!existsSync(SLOT) || !trustedKeys(SLOT).includes(developmentKey().publicKey)) {
    throw new Error(
      'the image trusts another key: build it with npm run image -- --development-key',
    );
  }
  context.folder = mkdtempSync(join(tmpdir(), 'weir-upgrade-'));
  try {
    await prepare();
  } catch (error) {
    await clean();
    throw error;
  }
});
test.after.each(async () => {
  await context.machine?.cut();
  context.machine = null;
});
test.after(clean);

image('a version that is good stays, and what nobody trusted signed is refused', async () => {
  const machine = await booted('good.qcow2');
  const refused = await machine.shell('weir upgrade /update/foreign.update --yes 2>&1 || true');
  console.log(refused.replace(/^/gm, '  '));
  assert.match(refused, /key/);
  await upgrade(machine, 'good.update', BOOT_MS);
  const { last } = await until(machine, ({ phase }) => phase === 'idle', BOOT_MS);
  assert.is(last?.stage, 'good');
  await isWhole(machine, 'b', '0.9.0');
});

image('a version whose kernel panics falls back by itself', async () => {
  const machine = await booted('panic.qcow2');
  await upgrade(machine, 'panic.update', BOOT_MS);
  assert.is(machine.console.match(/Kernel panic/g)?.length, 2);
  assert.is((await status(machine)).last?.stage, 'fallen-back');
  await isWhole(machine, 'a', '0.1.0');
});

image('a version that hangs falls back by the watchdog', async () => {
  const machine = await booted('hang.qcow2');
  await upgrade(machine, 'hang.update', BOOT_MS);
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
      machine,
      ({ phase, progress }) => phase === 'writing' && (progress?.done ?? 0) > 2 ** 24,
      BOOT_MS,
    );
    await machine.cut();
    const again = start('cut.qcow2');
    await again.says(READY, BOOT_MS);
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

/** What the boot loader's menu of the image is for: a password that was forgotten. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { projectRoot } from '../../../appliance/paths.js';
import { lacking, needs } from '../../support/needs.js';
import { Machine } from '../../support/qemu.js';
import { makeUnitSeed } from '../stage.js';

const IMAGE = process.env['WEIR_IMAGE'] ?? join(projectRoot, 'build/image/weir.img');
const PATIENCE_MS = 600_000;
const FORGOTTEN = 'nobody knows this any more';
const NEW = 'what was typed at the console';
/** As GRUB reads them from a serial port. */
const DOWN = '\u000e';

const test = suite('the console of the image');
const image = needs.image(test);
const context: { folder: string; machine: Machine | null } = { folder: '', machine: null };

test.before(() => {
  if (lacking('image') === null) context.folder = mkdtempSync(join(tmpdir(), 'weir-console-'));
});
test.after.each(async () => {
  await context.machine?.cut();
});
test.after(() => {
  if (context.folder !== '') rmSync(context.folder, { recursive: true, force: true });
});

function start(seed: string): Machine {
  context.machine = new Machine({
    ...{ image: IMAGE, firmware: 'bios', seed, taps: [] },
    folder: mkdtempSync(join(context.folder, 'machine-')),
    overlay: join(context.folder, 'disk.qcow2'),
  });
  return context.machine;
}

const login = (password: string): string =>
  `echo '${password}' | weir login admin --password-stdin >/dev/null 2>&1 && echo in || echo out`;

image('whoever stands at the box gives a user a new password', async () => {
  const seed = makeUnitSeed(mkdtempSync(join(context.folder, 'seed-')), {
    ...{ unit: 'box', number: 3, administrator: FORGOTTEN },
  });
  const first = start(seed);
  await first.says(/weir: ready/, PATIENCE_MS);
  const seeded = 'until [ -e /data/seeded-administrator ]; do sleep 1; done; sync';
  await first.shell(seeded, PATIENCE_MS);
  assert.is(await first.shell(login(FORGOTTEN)), 'in');
  await first.cut();

  const second = start(seed);
  await second.says(/automatically in/, PATIENCE_MS);
  second.type(`${DOWN}${DOWN}\r`);
  await second.says(/New password of a user/, PATIENCE_MS);
  second.type('\r');
  await second.says(/admin, administrator[^]*Whose password\?/, PATIENCE_MS);
  second.forget();
  second.type('admin\r');
  await second.says(/New password:/, PATIENCE_MS);
  second.type(`${NEW}\r`);
  await second.says(/Again:/, PATIENCE_MS);
  second.type(`${NEW}\r`);
  await second.says(/admin has a new password/, PATIENCE_MS);
  assert.is(await second.shell(login(FORGOTTEN)), 'out');
  assert.is(await second.shell(login(NEW)), 'in');
  assert.not.match(second.console, new RegExp(NEW));
});

test.run();

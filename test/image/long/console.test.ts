/** What the boot loader's menu of the image is for: a password that was forgotten. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { needs } from '../../support/needs.js';
import type { Machine } from '../../support/qemu.js';
import { inNamespace } from '../namespace.js';
import { makeUnitSeed, PATIENCE_MS, READY, Stage } from '../stage.js';

const FORGOTTEN = 'nobody knows this any more';
const NEW = 'what was typed at the console';
/** As GRUB reads them from a serial port. */
const DOWN = '\u000e';

const test = suite('the console of the image');
const image = needs.image(test);
const stage = new Stage(test, 'console');

const start = (seed: string): Machine =>
  stage.start({ seed, taps: [], overlay: stage.file('disk.qcow2') });

const login = (password: string): string =>
  `echo '${password}' | XDG_RUNTIME_DIR=/run weir login admin --password-stdin >/dev/null 2>&1 && echo in || echo out`;

image('whoever stands at the box gives a user a new password', async () => {
  const seed = makeUnitSeed(stage.folder('seed'), {
    ...{ unit: 'box', number: 3, administrator: FORGOTTEN },
  });
  const first = start(seed);
  await first.says(READY, PATIENCE_MS);
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
  await second.says(/The same again:/, PATIENCE_MS);
  second.type(`${NEW}\r`);
  await second.says(/admin has a new password/, PATIENCE_MS);
  assert.is(await second.shell(login(FORGOTTEN)), 'out');
  assert.is(await second.shell(login(NEW)), 'in');
  assert.not.match(second.console, new RegExp(NEW));
});

inNamespace(import.meta.url, () => {
  test.run();
});

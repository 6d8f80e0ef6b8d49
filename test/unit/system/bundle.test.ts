/** What a unit makes of update bundles, whole ones and others. */
import { generateKeyPairSync } from 'node:crypto';
import { open, readFile, truncate, writeFile } from 'node:fs/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseHead } from '../../../appliance/system/slots/bundle.js';
import { UpgradeError } from '../../../appliance/system/slots/errors.js';
import { compareVersions, isVersion } from '../../../appliance/system/slots/versions.js';
import { ROOM, withSlots } from '../../support/slot-scene.js';

const test = suite('update bundles');

const nothing = (): void => undefined;

async function refused(work: Promise<unknown>, code: UpgradeError['code']): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (!(error instanceof UpgradeError)) throw error;
    assert.is(error.code, code, error.message);
    return error.message;
  }
  throw new Error('it was not refused');
}

test('a bundle is read back as it was made', () =>
  withSlots(async (scene) => {
    const { path, content } = await scene.bundle();
    const opened = await scene.keeper().open(path, false, nothing);
    try {
      assert.is(opened.header.version, '0.2.0');
      assert.is(opened.header.slot.size, content.length);
      const { size } = await opened.file.stat();
      assert.is(size, opened.offset + content.length);
    } finally {
      await opened.file.close();
    }
  }));

test('a bit that is flipped in any part is found before anything is written', () =>
  withSlots(async (scene) => {
    const { path } = await scene.bundle();
    const whole = await readFile(path);
    const { length } = parseHead(whole, [scene.keys.publicKey]);
    const places = {
      magic: 0,
      length: 9,
      'begin of the header': 12,
      'end of the header': length - 65,
      'begin of the signature': length - 64,
      'end of the signature': length - 1,
      'begin of the slot': length,
      'middle of the slot': length + 1_234_567,
      'end of the slot': whole.length - 1,
    };
    const keeper = scene.keeper();
    for (const [name, at] of Object.entries(places)) {
      const bad = Buffer.from(whole);
      bad.writeUInt8(bad.readUInt8(at) ^ 0x10, at);
      await writeFile(path, bad);
      try {
        const opened = await keeper.open(path, true, nothing);
        await opened.file.close();
        assert.unreachable(`${name}: it was taken`);
      } catch (error) {
        assert.instance(error, UpgradeError, name);
      }
    }
    assert.ok(scene.content('b', ROOM).equals(Buffer.alloc(ROOM, 'b')));
  }));

test('a bundle that is cut off anywhere, or goes on, is refused', () =>
  withSlots(async (scene) => {
    const { path } = await scene.bundle();
    const { length: whole } = await readFile(path);
    const keeper = scene.keeper();
    for (const size of [whole - 1, whole >> 1, 300, 100, 11, 0]) {
      await truncate(path, size);
      await refused(keeper.open(path, false, nothing), size < 12 ? 'not-a-bundle' : 'damaged');
    }
    const { path: longer } = await scene.bundle({ version: '0.3.0' });
    const file = await open(longer, 'a');
    await file.write('x');
    await file.close();
    assert.match(await refused(keeper.open(longer, false, nothing), 'damaged'), 'longer');
  }));

test('a signature by another key is refused, and by one of several it is taken', () =>
  withSlots(async (scene) => {
    const other = generateKeyPairSync('ed25519');
    const { path } = await scene.bundle({ key: other.privateKey });
    await refused(scene.keeper().open(path, true, nothing), 'untrusted');
    const both = scene.keeper({ keys: () => [scene.keys.publicKey, other.publicKey] });
    const opened = await both.open(path, false, nothing);
    await opened.file.close();
  }));

test('versions decide what may be written', () =>
  withSlots(async (scene) => {
    const keeper = scene.keeper({ version: '0.2.0' });
    const { path: older } = await scene.bundle({ version: '0.1.9' });
    assert.match(await refused(keeper.open(older, false, nothing), 'version'), '--allow-older');
    const opened = await keeper.open(older, true, nothing);
    await opened.file.close();
    const { path: far } = await scene.bundle({ version: '0.9.0', minimumVersion: '0.5.0' });
    assert.match(await refused(keeper.open(far, true, nothing), 'version'), 'from 0.5.0 on');
  }));

test('a slot that does not fit is refused', () =>
  withSlots(async (scene) => {
    const { path } = await scene.bundle({ size: ROOM + 1 });
    assert.match(await refused(scene.keeper().open(path, false, nothing), 'space'), 'room for');
  }));

test('what is no file, or not there, is refused', () =>
  withSlots(async (scene) => {
    await refused(scene.keeper().open('/nonexistent', false, nothing), 'missing');
    await refused(scene.keeper().open(scene.root, false, nothing), 'not-a-bundle');
  }));

test('versions are ordered as semver.org says', () => {
  const order = ['0.9.0', '1.0.0-alpha', '1.0.0-alpha.1', '1.0.0-alpha.beta', '1.0.0-beta.2'];
  order.push('1.0.0-beta.11', '1.0.0-rc.1', '1.0.0', '1.0.1', '1.10.0');
  for (const [i, a] of order.entries()) {
    for (const [j, b] of order.entries()) {
      assert.is(Math.sign(compareVersions(a, b)), Math.sign(i - j), `${a} ${b}`);
    }
  }
  for (const no of ['', '1', '1.2', '01.2.3', '1.2.3+b', '1.2.3-', '1.2.3-a..b', '1.2.3-01']) {
    assert.is(isVersion(no), false, no);
  }
});

test.run();

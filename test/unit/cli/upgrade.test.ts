/** What `weir upgrade` asks of the daemon, and says. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { UpgradeView } from '../../../appliance/api/contract.js';
import { SLOTS_IDLE, WRITING } from '../api/fake-upgrades.js';
import { withApi } from '../api/fixture.js';
import { weir } from './weir.js';

const test = suite('cli: upgrade');
const REBOOTING: UpgradeView = { ...SLOTS_IDLE, phase: 'rebooting' };

test('it follows an upgrade until the reboot', () =>
  withApi(async ({ daemon, socket }) => {
    daemon.upgrades.views = [WRITING, REBOOTING];
    const ran = await weir(['upgrade', '/data/next', '--pair', '--allow-older', '--yes'], {
      socket,
    });
    assert.is(ran.code, 0, ran.err);
    const [asked] = daemon.upgrades.asked;
    assert.ok(asked && 'file' in asked);
    const { author, ...order } = asked;
    assert.equal(order, { file: '/data/next', pair: true, allowOlder: true });
    assert.ok(author);
    assert.match(ran.err, 'writes the other slot and reads it back, 25 %');
    assert.match(ran.out, 'The unit reboots');
  }));

test('what failed is the exit status', () =>
  withApi(async ({ daemon, socket }) => {
    daemon.upgrades.views = [{ ...SLOTS_IDLE, problem: 'The bundle is damaged.' }];
    const ran = await weir(['upgrade', 'next', '--yes'], { socket });
    assert.is(ran.code, 1);
    assert.match(ran.err, 'The bundle is damaged.');
  }));

test('a unit whose daemon must not reboot asks for it', () =>
  withApi(async ({ daemon, socket }) => {
    daemon.upgrades.views = [{ ...SLOTS_IDLE, phase: 'armed', reboots: false }];
    const ran = await weir(['upgrade', 'back', '--yes'], { socket });
    assert.is(ran.code, 0, ran.err);
    assert.match(ran.out, 'Reboot this unit now');
    assert.ok('back' in (daemon.upgrades.asked[0] ?? {}));
  }));

test('status shows slots and how the latest one ended; with --json what the API answers', () =>
  withApi(async ({ socket }) => {
    const ran = await weir(['upgrade', 'status'], { socket });
    assert.match(ran.out, /Slot a +0\.1\.0 \(c0ffee000000\), runs, boots\n/);
    assert.match(ran.out, 'fallen-back (no link on eth1)');
    const json = await weir(['upgrade', 'status', '--json'], { socket });
    assert.equal(JSON.parse(json.out), SLOTS_IDLE);
  }));

test('without a bundle it says what it needs', () =>
  withApi(async ({ socket }) => {
    const ran = await weir(['upgrade'], { socket });
    assert.is(ran.code, 2);
    assert.match(ran.err, 'Name the bundle');
  }));

test.run();

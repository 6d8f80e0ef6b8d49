/** Upgrades of a unit with files as slots, cut off anywhere. */
import Database from 'better-sqlite3';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  otherSlot,
  readChoice,
  type Slot,
  TRIES,
  writeChoice,
} from '../../../appliance/system/slots/environment.js';
import { UpgradeError } from '../../../appliance/system/slots/errors.js';
import {
  beginJudging,
  judge,
  missing,
  type Picture,
} from '../../../appliance/system/slots/judge.js';
import type { Begin } from '../../../appliance/system/slots/keeper.js';
import { SlotFiles } from '../../../appliance/system/slots/slot-files.js';
import { copyStores, restoreStores } from '../../../appliance/system/slots/store-copies.js';
import { ROOM, type SlotScene, withSlots } from '../../support/slot-scene.js';

const test = suite('slots');

const BEGIN: Begin = { author: 'root', before: null, handedOver: false };
const nothing = (): void => undefined;

class Cut extends Error {}

/** Files that lose power with the write number `at`: before it, or within it. */
class CutFiles extends SlotFiles {
  left: number;
  constructor(folder: string, at: number) {
    super(folder);
    this.left = at;
  }

  step(): void {
    if (this.left-- === 0) throw new Cut();
  }

  override choose(choice: Parameters<SlotFiles['choose']>[0]): void {
    this.step();
    super.choose(choice);
    this.step();
  }

  override write(
    ...[from, bundle, onProgress, signal]: Parameters<SlotFiles['write']>
  ): Promise<void> {
    this.step();
    return super.write(
      from,
      bundle,
      (done) => {
        this.step();
        onProgress(done);
      },
      signal,
    );
  }
}

/** All of an upgrade: write, arm, boot, judge. */
async function upgrade(scene: SlotScene, path: string, files: SlotFiles): Promise<void> {
  // The time is asked for right before the journal is written: a cut there is one between two writes.
  const now = (): number => {
    if (files instanceof CutFiles) files.step();
    return Date.now();
  };
  const keeper = scene.keeper({ files, now });
  keeper.recover();
  const opened = await keeper.open(path, false, nothing);
  try {
    await keeper.write(opened, BEGIN, nothing);
  } finally {
    await opened.file.close();
  }
  keeper.arm();
}

async function cutOff(work: () => Promise<void> | void): Promise<boolean> {
  try {
    await work();
    return false;
  } catch (error) {
    if (error instanceof Cut) return true;
    if (error instanceof UpgradeError && error.cause instanceof Cut) return true;
    throw error;
  }
}

test('an upgrade: the idle slot is written, tried once and good', () =>
  withSlots(async (scene) => {
    const { path, content } = await scene.bundle();
    await upgrade(scene, path, new SlotFiles(scene.slots));
    assert.ok(scene.content('b', content.length).equals(content));
    assert.equal(readChoice(scene.environment), { good: 'a', trial: 'b', tries: TRIES });
    assert.is(scene.boot(), 'b');
    const after = scene.keeper({ version: '0.2.0' });
    assert.is(after.recover(), 'judge');
    after.markGood();
    assert.equal(readChoice(scene.environment), { good: 'b', trial: null, tries: 0 });
    assert.is(after.upgrade?.stage, 'good');
    assert.is(scene.boot(), 'b');
    assert.equal(after.journal.slots.a, { version: '0.1.0', commit: null });
  }));

test('a slot that is bad is left, and one that never comes up is given up by the boot loader', () =>
  withSlots(async (scene) => {
    const { path } = await scene.bundle();
    await upgrade(scene, path, new SlotFiles(scene.slots));
    scene.boot();
    const bad = scene.keeper({ version: '0.2.0' });
    assert.is(bad.recover(), 'judge');
    bad.fallBack('no link on eth0');
    // The daemon ends before the unit reboots.
    assert.is(scene.keeper({ version: '0.2.0' }).recover(), 'reboot');
    assert.is(scene.boot(), 'a');
    const back = scene.keeper();
    assert.is(back.recover(), 'nothing');
    assert.is(back.upgrade?.reason, 'no link on eth0');

    await upgrade(scene, path, new SlotFiles(scene.slots));
    assert.equal([scene.boot(), scene.boot(), scene.boot()], ['b', 'b', 'a']);
    const given = scene.keeper();
    assert.is(given.recover(), 'nothing');
    const { stage, reason } = given.upgrade ?? {};
    assert.equal([stage, reason], ['fallen-back', 'it did not come up']);
  }));

test('whatever write of an upgrade is cut off, a whole slot boots and the next upgrade succeeds', () =>
  withSlots(async (scene) => {
    const { path, content } = await scene.bundle({ size: ROOM });
    let cuts = 0;
    for (let at = 0; ; at++) {
      const before = scene.running;
      const cut = await cutOff(() => upgrade(scene, path, new CutFiles(scene.slots, at)));
      const slot = scene.boot();
      // What boots is either the slot from before or a whole new one.
      if (slot !== before) assert.ok(scene.content(slot, content.length).equals(content));
      const keeper = scene.keeper();
      const next = keeper.recover();
      assert.is(next, slot === before ? 'nothing' : 'judge', `cut ${at}`);
      assert.is(keeper.recover(), next, 'to recover twice changes nothing');
      if (next === 'judge') {
        // A cut within the last write of the judgement, before or after it.
        const judged = scene.keeper({ files: new CutFiles(scene.slots, cuts % 2) });
        assert.ok(await cutOff(() => judged.markGood()));
        const then = scene.boot();
        const again = scene.keeper();
        if (again.recover() === 'judge') again.markGood();
        assert.is(then, slot);
        assert.is(again.upgrade?.stage, 'good');
      } else {
        assert.ok(
          keeper.upgrade === null || ['failed', 'fallen-back'].includes(keeper.upgrade.stage),
        );
      }
      assert.is(readChoice(scene.environment).good, scene.running);
      assert.is(readChoice(scene.environment).trial, null);
      if (!cut) break;
      cuts += 1;
    }
    assert.ok(cuts >= 8, `${cuts} cuts`);
  }));

test('a slot that was cut off has no file system', () =>
  withSlots(async (scene) => {
    const { path, content } = await scene.bundle({ size: ROOM });
    assert.ok(await cutOff(() => upgrade(scene, path, new CutFiles(scene.slots, 3))));
    const start = scene.content('b', 4096);
    assert.ok(start.equals(Buffer.alloc(4096)));
    assert.not.ok(scene.content('b', ROOM).equals(content));
  }));

test('going back needs a version in the other slot, and tries it like a new one', () =>
  withSlots(async (scene) => {
    assert.throws(() => scene.keeper().goBack(BEGIN), /no version to go back to/);
    const { path } = await scene.bundle();
    await upgrade(scene, path, new SlotFiles(scene.slots));
    scene.boot();
    const newer = scene.keeper({ version: '0.2.0' });
    newer.recover();
    newer.markGood();
    newer.goBack(BEGIN);
    newer.arm();
    assert.is(newer.upgrade?.version, '0.1.0');
    assert.is(scene.boot(), 'a');
    const older = scene.keeper();
    assert.is(older.recover(), 'judge');
    older.markGood();
    assert.is(scene.boot(), 'a');
  }));

test('the environment block is as grub-editenv reads and writes it, in place', () =>
  withSlots((scene) => {
    const editenv = (...args: string[]): string =>
      execFileSync('grub-editenv', [scene.environment, ...args], { encoding: 'utf8' });
    editenv('set', 'extra=a b\\c');
    writeChoice(scene.environment, { good: 'b', trial: 'a', tries: 2 });
    const listed = editenv('list').trim().split('\n').sort();
    assert.equal(listed, ['default_slot=b', 'extra=a b\\c', 'tries=2', 'try_slot=a']);
    editenv('set', 'tries=1');
    assert.equal(readChoice(scene.environment), { good: 'b', trial: 'a', tries: 1 });
    assert.is(readFileSync(scene.environment).length, 1024);
  }));

test('a damaged block is an error to read, and is made whole by the next choice', () =>
  withSlots((scene) => {
    writeFileSync(scene.environment, Buffer.alloc(1024));
    assert.throws(() => readChoice(scene.environment), /damaged/);
    writeChoice(scene.environment, { good: 'a', trial: null, tries: 0 });
    assert.is(readChoice(scene.environment).good, 'a');
  }));

test('going back finds a database as that slot left it, if the other version changed its layout', () =>
  withSlots((scene) => {
    const path = join(scene.state, 'weir.db');
    const write = (sql: string): void => {
      const database = new Database(path);
      database.pragma('journal_mode = WAL');
      database.exec(sql);
      database.close();
    };
    const rows = (file = path): unknown[] => {
      const database = new Database(file, { readonly: true });
      try {
        return database.prepare('SELECT * FROM t').pluck().all();
      } finally {
        database.close();
      }
    };
    write('PRAGMA user_version = 1; CREATE TABLE t (x); INSERT INTO t VALUES (1)');
    copyStores(scene.state, 'a');
    write('INSERT INTO t VALUES (2)');
    assert.equal(restoreStores(scene.state, 'a'), []);
    assert.equal(rows(), [1, 2], 'what was committed with the same layout stays');
    write('PRAGMA user_version = 2; INSERT INTO t VALUES (3)');
    const [restored] = restoreStores(scene.state, 'a');
    assert.equal(rows(), [1]);
    assert.equal(rows(restored?.aside), [1, 2, 3]);
    assert.equal(restoreStores(scene.state, 'a'), [], 'once');
    assert.equal(restoreStores(scene.state, 'b'), [], 'the other slot has no copy');
  }));

const WELL: Picture = {
  links: ['eth0', 'eth1'],
  addresses: ['192.0.2.10'],
  routers: [],
  datapath: ['eth0'],
  workers: true,
  pair: true,
  pools: { web: 4, api: 1 },
};

test('a slot is good after all was well for a while, and bad when that takes too long', () => {
  const limits = { holdMs: 10, limitMs: 100 };
  let state = beginJudging(0);
  state = judge(state, 5, [], limits);
  state = judge(state, 12, ['no worker serves'], limits);
  state = judge(state, 14, [], limits);
  state = judge(state, 23, [], limits);
  assert.is(state.verdict, 'waiting');
  state = judge(state, 24, [], limits);
  assert.is(state.verdict, 'good');
  assert.is(judge(state, 999, null, limits).verdict, 'good', 'a verdict does not change');
  const bad = judge(judge(beginJudging(0), 1, null, limits), 100, null, limits);
  assert.is(bad.verdict, 'bad');
  assert.equal(bad.missing, ['the unit does not answer']);
});

test('what was there before the upgrade must be there after it', () => {
  assert.equal(missing(WELL, WELL), []);
  const better = { ...WELL, links: ['eth0', 'eth1', 'eth2'], pools: { ...WELL.pools, more: 2 } };
  assert.equal(missing(WELL, better), []);
  assert.equal(missing(WELL, { ...WELL, pools: { web: 2, api: 1 } }), [], 'members come and go');
  for (const worse of [
    { links: ['eth0'] },
    { addresses: [] },
    { datapath: [] },
    { workers: false },
    { pair: false },
    { pools: { web: 1, api: 1 } },
    { pools: { web: 4 } },
  ]) {
    assert.is(missing(WELL, { ...WELL, ...worse }).length, 1, JSON.stringify(worse));
  }
  const slot: Slot = 'a';
  assert.is(otherSlot(otherSlot(slot)), slot);
});

test.run();

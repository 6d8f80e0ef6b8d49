/**
 * Damage and shortage: what the store must say, and that it never makes things worse. A
 * store that cannot be trusted is refused with the name of the newest backup and is left
 * as it was.
 */
import Database from 'better-sqlite3';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Document } from '../../appliance/config/schema.js';
import { ConfigStore, StoreError, type StoreErrorCode } from '../../appliance/config/store.js';
import { needs } from '../support/needs.js';
import { documentOf } from './store-child.js';

const faults = suite('a damaged store');
let folder = '';
faults.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'weir-store-'));
});
faults.after.each(() => {
  rmSync(folder, { recursive: true, force: true });
});

function fill(path: string, revisions: number): void {
  const store = ConfigStore.open(path);
  for (let number = 1; number <= revisions; number++) {
    store.commit({ document: documentOf(number), author: 'test', comment: 'c' });
  }
  store.close();
}

function failure(action: () => unknown): StoreError {
  try {
    action();
  } catch (error) {
    if (error instanceof StoreError) return error;
    throw error;
  }
  throw new Error('a StoreError was expected, but nothing was thrown');
}

function refuses(path: string, code: StoreErrorCode, text: RegExp): void {
  const before = readFileSync(path);
  const error = failure(() => ConfigStore.open(path).close());
  assert.is(error.code, code, error.message);
  assert.match(error.message, text);
  assert.match(error.message, path);
  assert.ok(readFileSync(path).equals(before), 'the file is as it was');
}

faults('cut off at any length: refused, or whole', () => {
  const path = join(folder, 'weir.db');
  fill(path, 3);
  const whole = readFileSync(path);
  for (const share of [0, 0.001, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99]) {
    writeFileSync(path, whole);
    truncateSync(path, Math.floor(whole.length * share));
    const error = failure(() => ConfigStore.open(path).close());
    assert.ok(
      error.code === 'corrupt' || error.code === 'not-a-store',
      `${share}: ${error.message}`,
    );
    assert.match(error.message, /There is no backup beside it\. Nothing was changed\./);
    assert.is(statSync(path).size, Math.floor(whole.length * share), 'the file is as it was');
  }
});

faults('a flipped bit is an error or changes nothing that is read', () => {
  const path = join(folder, 'weir.db');
  fill(path, 2);
  const whole = readFileSync(path);
  const expected = JSON.stringify(documentOf(2));
  let noticed = 0;
  // A step that is prime to the page size touches headers, cells and free space alike.
  for (let bit = 7; bit < whole.length * 8; bit += 6_151) {
    const flipped = Buffer.from(whole);
    flipped.writeUInt8((flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7)), bit >> 3);
    writeFileSync(path, flipped);
    for (const suffix of ['-wal', '-shm']) rmSync(path + suffix, { force: true });
    try {
      const store = ConfigStore.open(path);
      try {
        const document = store.head()?.document;
        assert.equal(
          sorted(document),
          sorted(JSON.parse(expected) as Document),
          `bit ${bit}: read without an error`,
        );
        assert.is(store.head()?.author, 'test', `bit ${bit}`);
        assert.is(store.head()?.number, 2, `bit ${bit}: a revision disappeared in silence`);
      } finally {
        store.close();
      }
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      noticed += 1;
    }
  }
  assert.ok(noticed > 0, 'no flip was noticed, so the test flips the wrong bits');
});

function sorted(document: Document | undefined): unknown {
  return JSON.parse(JSON.stringify(document, Object.keys(flatKeys(document)).sort()));
}

function flatKeys(value: unknown, keys: Record<string, true> = {}): Record<string, true> {
  if (typeof value === 'object' && value !== null) {
    for (const [key, item] of Object.entries(value)) {
      keys[key] = true;
      flatKeys(item, keys);
    }
  }
  return keys;
}

faults('a changed row is noticed wherever it is read', () => {
  const path = join(folder, 'weir.db');
  for (const change of [
    `UPDATE revisions SET document = replace(document, 'unit-2', 'unit-9') WHERE number = 2`,
    `UPDATE revisions SET author = 'somebody' WHERE number = 2`,
    `UPDATE revisions SET time = time + 1 WHERE number = 2`,
    `UPDATE revisions SET changes = '[]' WHERE number = 2`,
  ]) {
    for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true });
    fill(path, 3);
    const database = new Database(path);
    database.exec(change);
    database.close();
    const store = ConfigStore.open(path);
    try {
      assert.is(store.head()?.number, 3, 'the newest revision is fine');
      assert.is(failure(() => store.revision(2)).code, 'corrupt', change);
      assert.is(failure(() => store.history()).code, 'corrupt', change);
      const report = store.integrityCheck();
      assert.not.ok(report.ok);
      assert.is(report.problems.length, 1, change);
      assert.match(report.problems[0] ?? '', /revision 2/);
    } finally {
      store.close();
    }
  }
});

faults('what is no store is refused and left alone', () => {
  const path = join(folder, 'weir.db');
  writeFileSync(path, 'version: 1\n'.repeat(500));
  refuses(path, 'not-a-store', /is no database/);
  rmSync(path);
  const other = new Database(path);
  other.exec('CREATE TABLE things (name TEXT)');
  other.close();
  refuses(path, 'not-a-store', /not one of Weir/);
  rmSync(path);
  fill(path, 1);
  const newer = new Database(path);
  newer.pragma('user_version = 99');
  newer.close();
  refuses(path, 'newer', /newer Weir \(layout 99/);
});

faults('the newest backup is named', () => {
  const path = join(folder, 'weir.db');
  let time = Date.UTC(2026, 0, 1);
  const store = ConfigStore.open(path, { now: () => (time += 1_000) });
  store.commit({ document: documentOf(1), author: 'test', comment: '' });
  store.backup();
  const newest = store.backup();
  store.close();
  truncateSync(path, 5_000);
  refuses(
    path,
    'corrupt',
    new RegExp(`The newest backup is ${newest.replaceAll('.', '\\.')}\\. Nothing was changed\\.`),
  );
  copyFileSync(newest, path);
  const restored = ConfigStore.open(path);
  assert.equal(restored.head()?.document, documentOf(1));
  assert.ok(restored.integrityCheck().ok);
  restored.close();
});

faults('a log without its store is not taken for an empty configuration', () => {
  const path = join(folder, 'weir.db');
  const store = ConfigStore.open(path);
  store.commit({ document: documentOf(1), author: 'test', comment: '' });
  copyFileSync(`${path}-wal`, join(folder, 'wal'));
  store.close();
  rmSync(path);
  copyFileSync(join(folder, 'wal'), `${path}-wal`);
  assert.match(failure(() => ConfigStore.open(path)).message, /is missing, but its log/);
  assert.not.ok(existsSync(path));
});

faults('another writer is waited for, then named', () => {
  const path = join(folder, 'weir.db');
  fill(path, 1);
  const store = ConfigStore.open(path, { busyTimeout: 50 });
  const other = new Database(path);
  try {
    other.exec('BEGIN IMMEDIATE');
    const error = failure(() =>
      store.commit({ document: documentOf(2), author: 'test', comment: '' }),
    );
    assert.is(error.code, 'busy', error.message);
    other.exec('ROLLBACK');
    assert.is(store.commit({ document: documentOf(2), author: 'test', comment: '' }).number, 2);
  } finally {
    other.close();
    store.close();
  }
});

faults.run();

const root = process.getuid?.() === 0;
const disks = suite('a disk that does not cooperate');
let mount = '';

disks.before.each(() => {
  mount = mkdtempSync(join(tmpdir(), 'weir-disk-'));
});
disks.after.each(() => {
  // The mount goes even when the test failed in the middle; rm alone would say "busy".
  if (isMounted(mount)) execFileSync('umount', [mount]);
  rmSync(mount, { recursive: true, force: true });
});

function isMounted(path: string): boolean {
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .some((line) => line.split(' ')[1] === path);
}

function mountDisk(size: string): void {
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=700`, 'weir-test', mount]);
}

const onDisk = needs.root(disks);

onDisk(
  'full: the commit fails with a sentence, the last revision stays, and room is enough to go on',
  () => {
    mountDisk('2m');
    const path = join(mount, 'weir.db');
    const store = ConfigStore.open(path);
    let committed = 0;
    let error: StoreError | null = null;
    while (error === null && committed < 2_000) {
      try {
        committed = store.commit({
          document: documentOf(committed + 1),
          author: 'test',
          comment: '',
        }).number;
        if (committed === 3) writeFileSync(join(mount, 'ballast'), Buffer.alloc(1_000_000));
      } catch (caught) {
        if (!(caught instanceof StoreError)) throw caught;
        error = caught;
      }
    }
    assert.is(error?.code, 'disk-full', error?.message ?? `no error in ${committed} commits`);
    assert.match(error?.message ?? '', /is full: free some space/);
    assert.ok(committed >= 3, `some commits fit, seen ${committed}`);
    assert.equal(
      store.head()?.document,
      documentOf(committed),
      'the last acknowledged revision is there',
    );
    store.close();

    const full = ConfigStore.open(path);
    assert.is(
      full.head()?.number,
      committed,
      'a full disk does not keep the store from being opened',
    );
    const backup = failure(() => full.backup());
    assert.is(backup.code, 'disk-full', backup.message);
    assert.equal(
      readdirSync(mount).filter((file) => file.includes('backup')),
      [],
      'no half backup is left',
    );
    rmSync(join(mount, 'ballast'));
    assert.is(
      full.commit({ document: documentOf(committed + 1), author: 'test', comment: '' }).number,
      committed + 1,
    );
    assert.ok(full.integrityCheck().ok);
    full.close();
  },
);

onDisk('full from the start: no half store is left', () => {
  mountDisk('64k');
  writeFileSync(join(mount, 'ballast'), Buffer.alloc(60_000));
  const path = join(mount, 'weir.db');
  const error = failure(() => ConfigStore.open(path));
  assert.is(error.code, 'disk-full', error.message);
  assert.equal(readdirSync(mount), ['ballast']);
});

onDisk('read-only: said so, and nothing is lost', () => {
  mountDisk('2m');
  const path = join(mount, 'weir.db');
  fill(path, 1);
  execFileSync('mount', ['-o', 'remount,ro', mount]);
  const existing = failure(() => ConfigStore.open(path));
  assert.is(existing.code, 'read-only', existing.message);
  assert.is(failure(() => ConfigStore.open(join(mount, 'other.db'))).code, 'read-only');
  execFileSync('mount', ['-o', 'remount,rw', mount]);
  const store = ConfigStore.open(path);
  assert.is(store.head()?.number, 1);
  store.close();
});

disks('a folder that is not there, or may not be written, is named', () => {
  const missing = failure(() => ConfigStore.open(join(mount, 'nowhere', 'weir.db')));
  assert.match(missing.message, /nowhere/);
  if (root) return;
  const closed = join(mount, 'closed');
  mkdirSync(closed);
  chmodSync(closed, 0o500);
  assert.is(failure(() => ConfigStore.open(join(closed, 'weir.db'))).code, 'read-only');
});

disks.run();

/** What the image is built by, as far as it needs neither root nor Debian's packages. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { archives, sources } from '../../../images/apt.js';
import { cpio, FILE } from '../../../images/cpio.js';
import { environmentBlock } from '../../../images/grub.js';
import { moduleClosure, parseDependencies } from '../../../images/initrd.js';
import {
  DISK_MIB,
  LAYOUT,
  partitionNumber,
  partitionScript,
} from '../../../appliance/system/disk-layout.js';
import { formatLock, lockDifferences, parseLock, readLock } from '../../../images/lock.js';
import { licences } from '../../../images/manifest.js';
import { PACKAGES } from '../../../images/packages.js';
import { isUsed } from '../../../images/product.js';

const test = suite('the build of the image');

test('packages come from the mirrors of this machine, at the suite of the image', () => {
  const lines = [
    'http://mirror.example/debian/|Debian|Debian',
    'http://mirror.example/debian/|Debian|Debian',
    'http://other.example/|somebody|else',
    'http://mirror.example/security/|Debian|Debian-Security',
  ];
  assert.is(archives(lines).length, 2);
  const written = sources(lines);
  assert.is(written.length, 3);
  assert.match(written[0] ?? '', /http:\/\/mirror\.example\/debian trixie main non-free-firmware$/);
  assert.match(written[2] ?? '', /security trixie-security /);
  assert.not.match(written.join('\n'), /other\.example/);
  assert.throws(() => sources(['http://other.example/|somebody|else']), /no Debian mirror/);
});

test('the lock holds everything that is asked for, and a difference has a sentence', () => {
  const lock = readLock();
  for (const name of Object.keys(PACKAGES)) assert.ok(lock.has(name), name);
  assert.equal(parseLock(formatLock(lock)), lock);
  assert.throws(() => parseLock('nodejs\n'), /not NAME=VERSION/);
  const wanted = new Map([
    ['a', '1'],
    ['b', '1'],
  ]);
  const installed = new Map([
    ['a', '2'],
    ['c', '1'],
  ]);
  assert.is(lockDifferences(wanted, installed).length, 3);
  assert.equal(lockDifferences(wanted, wanted), []);
});

test('partitions follow each other and leave room for both tables', () => {
  let next = 1;
  for (const { start, size } of LAYOUT) {
    assert.is(start, next);
    next += size;
  }
  assert.is(DISK_MIB, next + 1);
  assert.is(LAYOUT.at(-1)?.name, 'data');
  assert.is(partitionNumber('slot-a'), 3);
  const ids = [...partitionScript({ seed: '000000000001' }).matchAll(/(?:uuid=|label-id: )(\S+)/g)];
  assert.is(new Set(ids.map(([, id]) => id)).size, LAYOUT.length + 1);
  assert.not.match(partitionScript({}), /uuid/);
});

test('modules come with all that they need, and those of the kernel itself are no error', () => {
  const dependencies = parseDependencies('kernel/a.ko: kernel/b-c.ko kernel/d.ko\nkernel/d.ko:\n');
  assert.equal(moduleClosure(['a', 'built-in'], dependencies), [
    'kernel/a.ko',
    'kernel/b-c.ko',
    'kernel/d.ko',
  ]);
});

test('an archive for the kernel has headers on 4 octets and the folders above its files', () => {
  const archive = cpio([{ path: 'a/b', mode: FILE | 0o644, content: Buffer.from('hello') }]);
  const text = archive.toString('latin1');
  const starts = [...text.matchAll(/070701/g)].map(({ index }) => index);
  assert.is(starts.length, 3);
  assert.ok(starts.every((at) => at % 4 === 0));
  assert.ok(text.indexOf('a\0') < text.indexOf('a/b\0'));
  assert.is(archive.length % 4, 0);
});

test('the environment block is one that GRUB reads, and never grows', () => {
  const block = environmentBlock({ default_slot: 'a', tries: '0' });
  assert.is(block.length, 1024);
  assert.match(block.toString('latin1'), /^# GRUB Environment Block\ndefault_slot=a\ntries=0\n#+$/);
  assert.throws(() => environmentBlock({ long: 'x'.repeat(1024) }), /too large/);
});

test('of npm packages sources and papers stay behind, code stays', () => {
  assert.ok(isUsed('yaml', 'dist/doc/directives.js'));
  assert.ok(isUsed('better-sqlite3', 'build/Release/better_sqlite3.node'));
  assert.not(isUsed('better-sqlite3', 'deps/sqlite3/sqlite3.c'));
  assert.not(isUsed('zod', 'README.md'));
  assert.ok(isUsed('zod', 'LICENSE'));
});

test('licences are read where they are written for machines', () => {
  const text = 'Format: https://example/\n\nFiles: *\nLicense: MIT\n\nFiles: x\nLicense: GPL-2+\n';
  assert.equal(licences(text), ['GPL-2+', 'MIT']);
  assert.equal(licences('This package is free.\nLicense: of its own\n'), []);
});

test.run();

/** The installer: which disks there are, what is asked, what is written and read back. */
import { createHash } from 'node:crypto';
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DISK_MIB, partition } from '../../../appliance/system/disk-layout.js';
import { parseAnswers } from '../../../appliance/system/install/answers.js';
import { consolesOf } from '../../../appliance/system/install/consoles.js';
import {
  chooseDisk,
  type Disk,
  diskText,
  parseDisks,
} from '../../../appliance/system/install/disks.js';
import { type InstallerParts, runInstaller } from '../../../appliance/system/install/installer.js';
import { readMedium } from '../../../appliance/system/install/medium.js';
import { partitionDevice } from '../../../appliance/system/install/seed.js';
import { type DiskTools, writeWeir } from '../../../appliance/system/install/write.js';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const test = suite('the installer');
let folder = '';

test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'weir-installer-'));
});
test.after.each(() => {
  rmSync(folder, { recursive: true, force: true });
});

const device = (name: string, more: object = {}): object => ({
  ...{
    name,
    path: `/dev/${name}`,
    size: 8 * GIB,
    model: null,
    serial: null,
    tran: 'sata',
    ro: false,
  },
  ...{ type: 'disk', fstype: null, label: null, partlabel: null, ...more },
});
const listed = (...devices: object[]): string => JSON.stringify({ blockdevices: devices });

test('disks that can be written are listed with what is on them; the medium is none of them', () => {
  const disks = parseDisks(
    listed(
      device('zram0'),
      device('loop0', { type: 'loop' }),
      device('sr0', { type: 'rom' }),
      device('sdc', { ro: true }),
      device('mmcblk0boot0'),
      device('sda', { children: [device('sda1', { type: 'part' })] }),
      device('sdb', {
        ...{ model: 'FAST 5 ', serial: ' X1', size: 240 * GIB },
        children: [device('sdb1', { type: 'part', fstype: 'ntfs', label: 'Windows' })],
      }),
      device('nvme0n1', {
        children: ['slot-a', 'slot-b', 'data'].map((partlabel, index) =>
          device(`nvme0n1p${index + 1}`, { type: 'part', partlabel }),
        ),
      }),
    ),
    '/dev/sda1',
  );
  assert.equal(disks.map(diskText), [
    '/dev/sdb  240 GiB  sata  FAST 5 (serial X1)  ntfs "Windows"',
    '/dev/nvme0n1  8.0 GiB  sata  a Weir',
  ]);
  assert.throws(() => parseDisks('{"blockdevices":[{"name":"sda"}]}', '/dev/sr0'));
});

const disk = (name: string, gib: number, more: Partial<Disk> = {}): Disk => ({
  ...{ name, path: `/dev/${name}`, bytes: gib * GIB, model: '', serial: '', transport: '' },
  ...{ holds: [], weir: false, ...more },
});

test('an answer file means one disk, or nothing is done', () => {
  const disks = [disk('sda', 480, { serial: 'S1' }), disk('sdb', 120), disk('sdc', 1)];
  assert.is(chooseDisk(disks, 'largest').name, 'sda');
  assert.is(chooseDisk(disks, 'smallest').name, 'sdb', 'one that is too small is not meant');
  assert.is(chooseDisk(disks, 'serial:S1').name, 'sda');
  assert.is(chooseDisk(disks, '/dev/sdb').name, 'sdb');
  assert.throws(() => chooseDisk(disks, 'only'), /several disks at all/);
  assert.throws(() => chooseDisk(disks, '/dev/sdc'), /no disk \/dev\/sdc that is large enough/);
  assert.throws(() => chooseDisk([disk('sda', 9), disk('sdb', 9)], 'smallest'), /several/);
  assert.throws(() => chooseDisk([], 'only'), /no disk is large enough. The disks are: none/);
});

test('a mistake in an answer file has a sentence', () => {
  assert.equal(parseAnswers('disk: only'), {
    ...{ disk: 'only', 'overwrite-weir': false, then: 'power-off' },
  });
  assert.throws(() => parseAnswers('disk: sda'), /^install.yaml: disk: expected only, smallest/);
  assert.throws(() => parseAnswers('disk: only\nforce: true'), /install.yaml: .*force/);
  assert.throws(() => parseAnswers('disk: [only'), /^install.yaml: /);
  assert.throws(() => parseAnswers(''), /^install.yaml: /);
});

test('consoles are those that the kernel has', () => {
  assert.equal(consolesOf('quiet console=tty0 console=ttyS0,115200 a.console=x'), [
    ...['/dev/tty0', '/dev/ttyS0'],
  ]);
});

interface Played {
  readonly said: string[];
  readonly installed: string[];
  readonly parts: InstallerParts;
}

function played(
  answers: string[],
  { disks = [disk('sda', 8), disk('sdb', 8)], file = null as string | null, fail = '' } = {},
): Played {
  const said: string[] = [];
  const installed: string[] = [];
  const rest = [...answers];
  let trouble = fail;
  const parts: InstallerParts = {
    consoles: {
      say: (line) => said.push(line),
      ask: (question) => {
        said.push(question);
        const next = rest.shift();
        return next === undefined
          ? Promise.reject(new Error('nobody answers'))
          : Promise.resolve(next);
      },
    },
    version: '1.2.3',
    seed: { answers: file, configuration: false },
    disks: () => disks,
    install: ({ name }) => {
      const why = trouble;
      trouble = '';
      if (why !== '') throw new Error(why);
      installed.push(name);
    },
  };
  return { said, installed, parts };
}

test('a person is asked twice, and only the name of the disk is a yes', async () => {
  const { said, installed, parts } = played(['7', '2', 'yes', '', '2', 'sdb', '']);
  assert.is(await runInstaller(parts), 'restart');
  assert.equal(installed, ['sdb']);
  const text = said.join('\n');
  assert.match(text, /There is no disk "7"/);
  assert.match(text, /Everything on \/dev\/sdb {2}8\.0 GiB {2}empty will be erased/);
  assert.match(text, /Nothing was written/);
  assert.match(text, /Weir is on \/dev\/sdb, and was read back/);
});

test('a disk that is too small is refused, a failure begins anew, q ends', async () => {
  const small = played(['1', 'q'], { disks: [disk('sda', 1)] });
  assert.is(await runInstaller(small.parts), 'power-off');
  assert.match(small.said.join('\n'), /\/dev\/sda is too small/);
  const broken = played(['1', 'sda', 'q'], { fail: 'EIO' });
  assert.is(await runInstaller(broken.parts), 'power-off');
  assert.match(broken.said.join('\n'), /It failed: EIO/);
  assert.equal(broken.installed, []);
});

test('an answer file asks nobody, and erases no Weir unless it says so', async () => {
  const plain = played([], { file: 'disk: /dev/sdb' });
  assert.is(await runInstaller(plain.parts), 'power-off');
  assert.equal(plain.installed, ['sdb']);
  const disks = [disk('sda', 8, { weir: true })];
  const kept = played([], { file: 'disk: only', disks });
  let why = '';
  await runInstaller(kept.parts).catch((error: unknown) => {
    why = String(error);
  });
  assert.match(why, /there is a Weir already/);
  assert.equal(kept.installed, []);
  const file = 'disk: only\noverwrite-weir: true\nthen: restart';
  const again = played([], { file, disks });
  assert.is(await runInstaller(again.parts), 'restart');
  assert.equal(again.installed, ['sda']);
});

/** A medium with a slot of so many octets. */
function makeMedium(slotBytes: number): string {
  const medium = join(folder, 'medium');
  mkdirSync(medium);
  const head = Buffer.alloc(partition('slot-a').start * MIB);
  for (let from = 0; from < head.length; from += MIB) head.writeUInt32LE(from + 1, from);
  const files = {
    'weir.squashfs': Buffer.alloc(slotBytes, 'slot'),
    'head.gz': gzipSync(head, { level: 1 }),
  };
  const sums = Object.entries(files).map(([name, bytes]) => {
    writeFileSync(join(medium, name), bytes);
    return `${createHash('sha256').update(bytes).digest('hex')}  ${name}\n`;
  });
  writeFileSync(join(medium, 'SHA256SUMS'), sums.join(''));
  return medium;
}

/** Everywhere where something stood before, there are ones. */
function makeDisk(bytes: number): string {
  const path = join(folder, 'disk');
  const file = openSync(path, 'w');
  ftruncateSync(file, bytes);
  const ones = Buffer.alloc(MIB, 1);
  const slotB = partition('slot-b').start * MIB;
  for (const at of [0, slotB, partition('data').start * MIB, bytes - MIB])
    writeSync(file, ones, 0, MIB, at);
  closeSync(file);
  return path;
}

const quiet = { writing: (): void => undefined, checking: (): void => undefined };
const BYTES = (DISK_MIB + 10) * MIB;

function tools(more: Partial<DiskTools> = {}): { scripts: string[]; tools: DiskTools } {
  const scripts: string[] = [];
  return {
    scripts,
    tools: {
      partition: (_path, script) => scripts.push(script),
      forget: () => undefined,
      ...more,
    },
  };
}

function at(path: string, from: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  const file = openSync(path, 'r');
  try {
    return bytes.subarray(0, readSync(file, bytes, 0, length, from));
  } finally {
    closeSync(file);
  }
}

test('a disk gets loader, slot and table, and nothing of what it had before starts again', () => {
  const medium = readMedium(makeMedium(3 * MIB + 5));
  const path = makeDisk(BYTES);
  const { scripts, tools: with_ } = tools();
  writeWeir(path, BYTES, medium, quiet, with_);
  const slot = partition('slot-a').start * MIB;
  assert.is(at(path, slot, medium.slotBytes).equals(readFileSync(medium.slot)), true, 'the slot');
  assert.is(at(path, 0, 440).equals(medium.head.subarray(0, 440)), true, 'the boot code');
  const loader = [partition('bios-boot').start * MIB, slot] as const;
  assert.is(at(path, loader[0], slot - loader[0]).equals(medium.head.subarray(...loader)), true);
  for (const from of [
    512,
    partition('slot-b').start * MIB,
    partition('data').start * MIB,
    BYTES - MIB,
  ]) {
    const rest = at(path, from, 4096);
    assert.is(rest.equals(Buffer.alloc(rest.length)), true, `zeros at ${from}`);
  }
  assert.is(scripts.length, 1);
  assert.match(
    scripts[0] ?? '',
    /start=\d+MiB, type=[-0-9A-F]+, name=data$/m,
    'data takes the rest',
  );
});

test('a disk that keeps something else than was written gets no table and no boot code', () => {
  const medium = readMedium(makeMedium(2 * MIB));
  const path = makeDisk(BYTES);
  const { scripts, tools: with_ } = tools({
    forget: (device_) => {
      const file = openSync(device_, 'r+');
      writeSync(file, 'X', (partition('slot-a').start + 1) * MIB);
      closeSync(file);
    },
  });
  assert.throws(() => {
    writeWeir(path, BYTES, medium, quiet, with_);
  }, /does not keep what is written to it: the slot reads differently/);
  assert.equal(scripts, []);
  assert.is(at(path, 0, 512).equals(Buffer.alloc(512)), true, 'nothing boots from it');
});

test('a damaged medium is noticed before anything is written', () => {
  const medium = makeMedium(MIB);
  writeFileSync(join(medium, 'weir.squashfs'), Buffer.alloc(MIB, 'slop'));
  assert.throws(() => readMedium(medium), /weir.squashfs of the medium is damaged/);
});

test('a partition is found by its name', () => {
  const events = { vda1: 'DEVNAME=vda1\nPARTNAME=esp\n', vda5: 'DEVNAME=vda5\nPARTNAME=data\n' };
  for (const [name, event] of Object.entries(events)) {
    mkdirSync(join(folder, 'vda', name), { recursive: true });
    writeFileSync(join(folder, 'vda', name, 'uevent'), event);
  }
  assert.is(partitionDevice('/dev/vda', 'data', folder), '/dev/vda5');
  assert.throws(() => partitionDevice('/dev/vda', 'slot-a', folder), /no partition slot-a/);
});

test.run();

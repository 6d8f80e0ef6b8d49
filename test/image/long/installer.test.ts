/**
 * The installer installs: from a CD with BIOS, by somebody who types, and from a stick with UEFI, by files
 * on the stick alone. What it wrote then starts without the medium. Needs root, QEMU and an image.
 */
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { projectRoot } from '../../../appliance/paths.js';
import { lacking, needs } from '../../support/needs.js';
import { Machine, type MachineOptions } from '../../support/qemu.js';
import { inNamespace } from '../namespace.js';
import { answered, makeNetwork, makeSeedFiles, startMember, TAPS } from '../stage.js';

const INSTALLER =
  process.env['WEIR_INSTALLER'] ?? join(projectRoot, 'build/image/weir-installer.iso');
const BOOT_MS = 600_000;
const DISK_BYTES = 3 * 2 ** 30;
const READY = /weir: ready ([\d.]+) seconds/;

const test = suite('the installer medium');

interface Context {
  folder: string;
  machine: Machine | null;
  member: Server | null;
}
const context: Context = { folder: '', machine: null, member: null };

function start(options: Pick<MachineOptions, 'firmware' | 'disk' | 'medium'>): Machine {
  const folder = mkdtempSync(join(context.folder, 'machine-'));
  context.machine = new Machine({ ...options, image: '', folder, taps: TAPS });
  return context.machine;
}

function emptyDisk(name: string): string {
  const path = join(context.folder, name);
  const file = openSync(path, 'w');
  ftruncateSync(file, DISK_BYTES);
  closeSync(file);
  return path;
}

/** A copy of the medium with files on its volume WEIR-SEED, as a person puts them there. */
function stickWith(files: readonly string[]): string {
  const stick = join(context.folder, 'stick.img');
  copyFileSync(INSTALLER, stick);
  const { stdout, status, stderr } = spawnSync('sfdisk', ['--json', stick], { encoding: 'utf8' });
  assert.is(status, 0, stderr);
  const { partitiontable } = JSON.parse(stdout) as {
    partitiontable: { sectorsize: number; partitions: { node: string; start: number }[] };
  };
  const seed = partitiontable.partitions.find(({ node }) => node.endsWith('3'));
  assert.ok(seed !== undefined, `the third partition of ${stdout}`);
  const at = `${stick}@@${seed.start * partitiontable.sectorsize}`;
  const copied = spawnSync('mcopy', ['-s', '-i', at, ...files, '::'], { encoding: 'utf8' });
  assert.is(copied.status, 0, copied.stderr);
  return stick;
}

async function startsAlone(firmware: MachineOptions['firmware'], disk: string): Promise<Machine> {
  const machine = start({ firmware, disk });
  const [, after] = await machine.says(READY, BOOT_MS);
  console.log(`  the installed disk is ready ${after} s after the kernel (${firmware})`);
  return machine;
}

function inside(): void {
  const image = needs.image(test);
  test.before(async () => {
    if (lacking('image') !== null) return;
    context.folder = mkdtempSync(join(tmpdir(), 'weir-installer-'));
    makeNetwork();
    context.member = await startMember();
  });
  test.after.each(async () => {
    await context.machine?.cut();
    context.machine = null;
  });
  test.after(() => {
    context.member?.closeAllConnections();
    context.member?.close();
    if (context.folder !== '') rmSync(context.folder, { recursive: true, force: true });
  });

  image('a person at the serial console installs from a CD with BIOS', async () => {
    const disk = emptyDisk('typed.img');
    const machine = start({ firmware: 'bios', disk, medium: { file: INSTALLER, as: 'cd' } });
    await machine.says(/1 {2}\/dev\/vda {2}3\.0 GiB {2}virtio {2}empty[^]*Which one/, BOOT_MS);
    machine.type('1\r');
    await machine.says(/Type vda to do that/, BOOT_MS);
    machine.type('vda\r');
    await machine.says(/Weir is on \/dev\/vda, and was read back[^]*Take the medium out/, BOOT_MS);
    console.log(
      `  installed ${((performance.now() - machine.startedAt) / 1000).toFixed(0)} s after power-on`,
    );
    machine.type('\r');
    await machine.ended;
    const alone = await startsAlone('bios', disk);
    const size = Number(await alone.shell('df -m --output=size /data | tail -n 1'));
    assert.ok(size > 1500, `the data partition has the rest of the disk: ${size} MiB`);
  });

  image('files on a stick install with UEFI and configure the box, and nobody types', async () => {
    const answers = join(context.folder, 'install.yaml');
    writeFileSync(answers, 'disk: only\n');
    const files = makeSeedFiles(mkdtempSync(join(context.folder, 'seed-')));
    const file = stickWith([answers, ...files]);
    const disk = emptyDisk('unattended.img');
    const machine = start({ firmware: 'uefi', disk, medium: { file, as: 'usb' } });
    await machine.says(/As install.yaml says: \/dev\/vda/, BOOT_MS);
    await machine.says(/Powering off/, BOOT_MS);
    await machine.ended;
    await startsAlone('uefi', disk);
    assert.is(await answered('10.98.0.80', BOOT_MS), 'from the member\n');
  });

  test.run();
}

inNamespace(import.meta.url, inside);

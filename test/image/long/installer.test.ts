/**
 * The installer installs: from a CD with BIOS, by somebody who types, and from a stick with UEFI, by files
 * on the stick alone. What it wrote then starts without the medium. Needs root, QEMU and an image.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, copyFileSync, ftruncateSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { needs } from '../../support/needs.js';
import type { Machine, MachineOptions } from '../../support/qemu.js';
import { inNamespace } from '../namespace.js';
import {
  FOLDER_OF_IMAGE,
  isAnswered,
  makeSeedFiles,
  PATIENCE_MS,
  READY,
  SERVICES,
  since,
  Stage,
} from '../stage.js';

const INSTALLER = process.env['WEIR_INSTALLER'] ?? join(FOLDER_OF_IMAGE, 'weir-installer.iso');
const DISK_BYTES = 3 * 2 ** 30;

const test = suite('the installer medium');
const image = needs.image(test);
const stage = new Stage(test, 'installer');

function emptyDisk(name: string): string {
  const path = stage.file(name);
  const file = openSync(path, 'w');
  ftruncateSync(file, DISK_BYTES);
  closeSync(file);
  return path;
}

/** A copy of the medium with files on its volume WEIR-SEED, as a person puts them there. */
function stickWith(files: readonly string[]): string {
  const stick = stage.file('stick.img');
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
  const machine = stage.start({ firmware, disk });
  const [, after] = await machine.says(READY, PATIENCE_MS);
  console.log(`  the installed disk is ready ${after} s after the kernel (${firmware})`);
  return machine;
}

image('a person at the serial console installs from a CD with BIOS', async () => {
  const disk = emptyDisk('typed.img');
  const machine = stage.start({ firmware: 'bios', disk, medium: { file: INSTALLER, as: 'cd' } });
  await machine.says(/1 {2}\/dev\/vda {2}3\.0 GiB {2}virtio {2}empty[^]*Which one/, PATIENCE_MS);
  machine.type('1\r');
  await machine.says(/Type vda to do that/, PATIENCE_MS);
  machine.type('vda\r');
  await machine.says(
    /Weir is on \/dev\/vda, and was read back[^]*Take the medium out/,
    PATIENCE_MS,
  );
  console.log(`  installed ${since(machine.startedAt)} after power-on`);
  machine.type('\r');
  await machine.ended;
  const alone = await startsAlone('bios', disk);
  const size = Number(await alone.shell('df -m --output=size /data | tail -n 1'));
  assert.ok(size > 1500, `the data partition has the rest of the disk: ${size} MiB`);
});

image('files on a stick install with UEFI and configure the box, and nobody types', async () => {
  const answers = stage.file('install.yaml');
  writeFileSync(answers, 'disk: only\n');
  const files = makeSeedFiles(stage.folder('seed'));
  const file = stickWith([answers, ...files]);
  const disk = emptyDisk('unattended.img');
  const machine = stage.start({ firmware: 'uefi', disk, medium: { file, as: 'usb' } });
  await machine.says(/As install.yaml says: \/dev\/vda/, PATIENCE_MS);
  await machine.says(/Powering off/, PATIENCE_MS);
  await machine.ended;
  await startsAlone('uefi', disk);
  await isAnswered(SERVICES.proxied);
});

inNamespace(import.meta.url, () => {
  test.run();
});

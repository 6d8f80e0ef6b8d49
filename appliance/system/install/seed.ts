/**
 * What the volume WEIR-SEED gave goes to the data partition of the box, whose first boot takes it from
 * there: the medium is gone by then.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

/** Of the volume: what a box takes. */
const TAKEN = ['weir.yaml', 'network', 'administrator'];

export function hasConfiguration(seed: string): boolean {
  return TAKEN.some((name) => existsSync(join(seed, name)));
}

/** Device of a partition by its name in the table, as the kernel knows it. Throws an Error when there is none. */
export function partitionDevice(disk: string, name: string, sys = '/sys/class/block'): string {
  const folder = join(sys, basename(disk));
  for (const entry of readdirSync(folder)) {
    const file = join(folder, entry, 'uevent');
    if (!existsSync(file)) continue;
    const event = readFileSync(file, 'utf8');
    const device = /^DEVNAME=(.+)$/m.exec(event)?.[1];
    if (device !== undefined && event.split('\n').includes(`PARTNAME=${name}`)) {
      return `/dev/${device}`;
    }
  }
  throw new Error(`the kernel shows no partition ${name} on ${disk}`);
}

const run = (program: string, ...words: readonly string[]): void => {
  execFileSync(program, words, { stdio: ['ignore', 'ignore', 'pipe'] });
};

/** Makes the data partition of `disk`, with the seed in it. `at` is an empty folder. */
export function writeData(disk: string, seed: string, at: string): void {
  const device = partitionDevice(disk, 'data');
  run('mkfs.ext4', '-q', '-F', '-L', 'weir-data', device);
  if (!hasConfiguration(seed)) return;
  run('busybox', 'mount', '-t', 'ext4', device, at);
  try {
    const target = join(at, 'seed');
    mkdirSync(target, { mode: 0o700 });
    for (const name of TAKEN) {
      const from = join(seed, name);
      if (existsSync(from)) cpSync(from, join(target, name), { recursive: true });
    }
  } finally {
    run('busybox', 'umount', at);
  }
}

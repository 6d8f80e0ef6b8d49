/** Slots that differ from the one that was built, and update bundles of them, for the tests of upgrades. */
import { spawnSync } from 'node:child_process';
import type { KeyObject } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { developmentKey, makeBundle } from '../../../images/bundle.js';
import { cpio, FILE } from '../../../images/cpio.js';
import { FOLDER_OF_IMAGE } from '../stage.js';

export const SLOT = process.env['WEIR_SLOT'] ?? join(FOLDER_OF_IMAGE, 'weir.squashfs');

/** An update is of a commit; these are of none. */
const COMMIT = '0'.repeat(40);
const PRODUCT = 'usr/lib/weir';

function run(program: string, ...words: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, words, { encoding: 'utf8' });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${program} ${words.join(' ')}: ${stderr}`);
  return stdout;
}

/** Throws where the image does not take updates that these tests sign. */
export function trustsDevelopmentKey(): void {
  const trusted = existsSync(SLOT)
    ? run('unsquashfs', '-cat', SLOT, `${PRODUCT}/update-keys.pem`)
    : '';
  if (!trusted.includes(developmentKey().publicKey)) {
    throw new Error(
      'the image trusts another key: build it with npm run image -- --development-key',
    );
  }
}

/** The tree of a slot, which is changed from one variant to the next. */
export class SlotTree {
  readonly #folder: string;
  readonly #root: string;

  constructor(slot: string, folder: string) {
    this.#folder = folder;
    this.#root = join(folder, 'root');
    run('unsquashfs', '-q', '-n', '-d', this.#root, slot);
  }

  setVersion(version: string): void {
    const path = join(this.#root, PRODUCT, 'package.json');
    const found = JSON.parse(readFileSync(path, 'utf8')) as object;
    writeFileSync(path, JSON.stringify({ ...found, version }));
  }

  /** The daemon ends with an error as soon as it starts (images/join.ts says where its modules are). */
  breakDaemon(): void {
    const path = join(this.#root, PRODUCT, 'build/code/appliance/main.js');
    writeFileSync(path, 'throw new Error("broken for a test");\n');
  }

  /** All of it, packed in a hurry. */
  pack(name: string): string {
    const out = join(this.#folder, `${name}.squashfs`);
    const quick = ['-comp', 'gzip', '-Xcompression-level', '1', '-b', '256K', '-no-xattrs'];
    run('mksquashfs', this.#root, out, ...quick, '-noappend', '-no-progress', '-quiet');
    return out;
  }

  /** Nothing but a kernel and an initial RAM disk whose first program is this script of busybox. */
  packInit(name: string, script: string): string {
    const tree = join(this.#folder, name);
    const boot = join(tree, 'boot');
    mkdirSync(boot, { recursive: true });
    run('cp', join(this.#root, 'boot/vmlinuz'), boot);
    // The kernel unpacks archives one after the other: a later file replaces an earlier one.
    const init = cpio([{ path: 'init', mode: FILE | 0o755, content: Buffer.from(script) }]);
    const rest = readFileSync(join(this.#root, 'boot/initrd'));
    const gap = Buffer.alloc((4 - (rest.length % 4)) % 4);
    writeFileSync(join(boot, 'initrd'), Buffer.concat([rest, gap, init]));
    const out = join(this.#folder, `${name}.squashfs`);
    run('mksquashfs', tree, out, '-comp', 'gzip', '-noappend', '-no-progress', '-quiet');
    return out;
  }
}

export async function bundleOf(
  slot: string,
  out: string,
  version: string,
  key: KeyObject,
): Promise<void> {
  await makeBundle({ slot, out, version, commit: COMMIT, minimumVersion: '0.1.0', key });
}

/** A stick with files, as a person would prepare it. */
export function makeStick(path: string, files: readonly string[]): void {
  const octets = files.reduce((sum, file) => sum + statSync(file).size, 0);
  const kibibytes = Math.ceil(octets / 1024) + 16 * 1024;
  run('mkfs.vfat', '-F', '32', '-n', 'WEIR-UPDATE', '-C', path, String(kibibytes));
  run('mcopy', '-i', path, ...files, '::');
}

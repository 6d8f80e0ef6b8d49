/**
 * `npm run image`: builds the slot, the disk image and the installer to build/image/.
 *
 *   npm run image                    what packages.lock says
 *   npm run image -- --renew-lock    packages.lock anew, from the newest packages of the mirror
 *
 *     --update-key FILE     trust updates that are signed with this public key (PEM); may be repeated
 *     --development-key     trust those that this build tree signs
 *
 * Without a key an image takes no updates.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { projectRoot } from '../appliance/paths.js';
import { readPublicKeys } from '../appliance/system/slots/bundle.js';
import { developmentKey } from './bundle.js';
import { command } from './command.js';
import { writeDisk } from './disk.js';
import { writeInstaller } from './installer.js';
import { lockDifferences, LOCK_FILE, readLock, writeLock } from './lock.js';
import { manifest } from './manifest.js';
import { productionPackages } from './product.js';
import { release } from './release.js';
import { installedPackages, newestRoot, rootArchive } from './root.js';
import { writeSlot } from './slot.js';
import { ensureTools } from './tools.js';

const OUT = join(projectRoot, 'build/image');
const say = (line: string): void => {
  console.log(`image: ${line}`);
};

function withWork<T>(use: (work: string) => T): T {
  mkdirSync(OUT, { recursive: true });
  const work = mkdtempSync(join(OUT, 'work-'));
  try {
    return use(work);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function renewLock(): void {
  withWork((work) => {
    const archive = join(work, 'newest.tar');
    newestRoot(archive);
    command('tar', ['-xf', archive, '-C', work, './var/lib/dpkg']);
    writeLock(installedPackages(work));
  });
  say(`wrote ${LOCK_FILE}`);
}

/** All of them as one file. Throws an Error for what is no key. */
function updateKeys(files: readonly string[], development: boolean): string | null {
  const keys = files.map((file) => {
    const pem = readFileSync(file, 'utf8');
    return readPublicKeys(pem, file)
      .map((key) => key.export({ type: 'spki', format: 'pem' }).toString())
      .join('');
  });
  if (development) keys.push(developmentKey().publicKey);
  return keys.length === 0 ? null : keys.join('');
}

function build(trusted: string | null): void {
  const lock = readLock();
  const of = release();
  say(`Debian packages (${lock.size} of packages.lock)`);
  const archive = rootArchive(lock, join(OUT, 'cache'));
  const file = (name: string): string => join(OUT, name);
  const npm = productionPackages();
  say(`slot of ${of.version}, commit ${of.commit}`);
  if (trusted === null) say('no --update-key: this image takes no updates');
  withWork((work) => {
    writeSlot(file('weir.squashfs'), work, {
      ...{ archive, release: of, packages: npm, updateKeys: trusted },
      manifest: (root) => {
        const wrong = lockDifferences(lock, installedPackages(root));
        if (wrong.length > 0)
          throw new Error(`The image differs from its lock:\n${wrong.join('\n')}`);
        const text = manifest(root, of, npm);
        writeFileSync(file('manifest.json'), text);
        return text;
      },
    });
  });
  say('disk image');
  writeDisk(file('weir.img'), file('weir.squashfs'), of.epoch);
  command('qemu-img', [
    ...['convert', '-q', '-f', 'raw', '-O', 'qcow2'],
    ...[file('weir.img'), file('weir.qcow2')],
  ]);
  say('installer');
  writeInstaller(file('weir-installer.iso'), {
    ...{ disk: file('weir.img'), slot: file('weir.squashfs'), epoch: of.epoch },
  });
  const sums = ['weir.squashfs', 'weir.img', 'weir-installer.iso', 'manifest.json'].map((name) => {
    const sum = createHash('sha256')
      .update(readFileSync(file(name)))
      .digest('hex');
    const { size, blocks } = statSync(file(name));
    say(`${name}: ${mib(size)} MiB (${mib(blocks * 512)} on disk), sha256 ${sum}`);
    return `${sum}  ${name}\n`;
  });
  writeFileSync(file('SHA256SUMS'), sums.join(''));
}

const mib = (bytes: number): number => Math.ceil(bytes / 2 ** 20);

function main(): void {
  const { values } = parseArgs({
    options: {
      'renew-lock': { type: 'boolean' },
      'update-key': { type: 'string', multiple: true, default: [] },
      'development-key': { type: 'boolean', default: false },
    },
  });
  ensureTools(say);
  if (values['renew-lock'] === true) renewLock();
  else build(updateKeys(values['update-key'], values['development-key']));
}

try {
  main();
} catch (error) {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : null;
  console.error(`image: ${error instanceof Error ? error.message : String(error)}`);
  if (cause !== null) console.error(cause.message);
  process.exitCode = 1;
}

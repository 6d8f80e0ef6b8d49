/**
 * The root of Debian that a slot is made from, as a tar archive. It depends on the lock and
 * nothing else, so it is kept and made again only when the lock changes.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { SUITE, sources } from './apt.js';
import { command } from './command.js';
import { formatLock } from './lock.js';
import { PACKAGES } from './packages.js';

/** Never unpacked: nobody reads manuals on the box, and its language is English. */
const EXCLUDED = ['man', 'info', 'locale', 'lintian', 'bash-completion'].map(
  (name) => `path-exclude=/usr/share/${name}/*`,
);
/** Of the documentation only licences: whoever ships packages owes them. */
const LICENCES = ['path-exclude=/usr/share/doc/*', 'path-include=/usr/share/doc/*/copyright'];
/** A time before every commit, so that the archive depends on the lock alone. */
const EPOCH = '1700000000';

function bootstrap(packages: readonly string[], archive: string): void {
  mkdirSync(dirname(archive), { recursive: true });
  const work = mkdtempSync(join(dirname(archive), 'bootstrap-'));
  try {
    const list = join(work, 'sources.list');
    writeFileSync(list, `${sources().join('\n')}\n`);
    const unfinished = join(work, 'root.tar');
    command(
      'mmdebstrap',
      [
        '--variant=essential',
        '--mode=root',
        '--format=tar',
        ...[...EXCLUDED, ...LICENCES].map((option) => `--dpkgopt=${option}`),
        '--aptopt=Apt::Install-Recommends "false"',
        `--include=${packages.join(',')}`,
        SUITE,
        unfinished,
        list,
      ],
      { environment: { SOURCE_DATE_EPOCH: EPOCH } },
    );
    renameSync(unfinished, archive);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Path of the archive of what `lock` names, made if it is not in `cache`. */
export function rootArchive(lock: ReadonlyMap<string, string>, cache: string): string {
  const key = createHash('sha256')
    .update(formatLock(lock))
    .update(JSON.stringify([EXCLUDED, LICENCES, SUITE]))
    .digest('hex');
  const archive = join(cache, `root-${key.slice(0, 16)}.tar`);
  if (!existsSync(archive)) {
    try {
      bootstrap(
        [...lock].map(([name, version]) => `${name}=${version}`),
        archive,
      );
    } catch (cause) {
      throw new Error(
        'Debian could not be installed for the image. If a version of packages.lock is no longer ' +
          'at the mirror, npm run image -- --renew-lock takes the newest.',
        { cause },
      );
    }
  }
  return archive;
}

/** The newest that the mirror has, unpacked into an archive that the caller removes. */
export function newestRoot(archive: string): void {
  bootstrap(Object.keys(PACKAGES), archive);
}

/** Packages with versions in an unpacked root. */
export function installedPackages(root: string): Map<string, string> {
  const text = command('dpkg-query', [
    `--admindir=${join(root, 'var/lib/dpkg')}`,
    '-W',
    '-f=${Package}=${Version}\n',
  ]).toString();
  return new Map(
    text
      .trim()
      .split('\n')
      .map((line) => line.split('=', 2) as [string, string]),
  );
}

/** What is built: the version, and the commit that everything is dated by. */
import { spawnSync } from 'node:child_process';
import { projectRoot } from '../appliance/paths.js';
import { version } from '../appliance/api/version.js';

export interface Release {
  /** Of package.json, such as 0.1.0. */
  readonly version: string;
  /** "unknown" outside a git clone; ".dirty" at its end when files differ from it. */
  readonly commit: string;
  /** Time of the commit, in seconds. Dates every file of the image. */
  readonly epoch: number;
}

function git(...words: readonly string[]): string | null {
  const { status, stdout } = spawnSync('git', words, { cwd: projectRoot, encoding: 'utf8' });
  return status === 0 ? stdout.trim() : null;
}

/** Throws an Error when there is neither a commit nor SOURCE_DATE_EPOCH. */
export function release(): Release {
  const commit = git('rev-parse', 'HEAD');
  const stated = process.env['SOURCE_DATE_EPOCH'] ?? git('log', '-1', '--format=%ct');
  const epoch = Number(stated);
  if (stated === null || !Number.isSafeInteger(epoch)) {
    throw new Error(
      'The image is dated by its commit: build in a git clone, or set SOURCE_DATE_EPOCH.',
    );
  }
  const dirty = git('status', '--porcelain') === '' ? '' : '.dirty';
  return {
    version: version(),
    commit: commit === null ? 'unknown' : `${commit}${dirty}`,
    epoch,
  };
}

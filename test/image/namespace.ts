/** Runs the tests of a file in a network namespace of its own, which ends with it. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { lacking } from '../support/needs.js';

/** Set in the process that has a network of its own. */
const INSIDE = 'WEIR_TEST_NETWORK';

/** `url`: import.meta.url of the file, which is run once more. */
export function inNamespace(url: string, run: () => void): void {
  if (process.env[INSIDE] === 'yes' || lacking('image') !== null) {
    run();
    return;
  }
  const made = spawnSync('unshare', ['--net', '--', process.execPath, fileURLToPath(url)], {
    stdio: 'inherit',
    env: { ...process.env, [INSIDE]: 'yes' },
  });
  process.exitCode = made.status ?? 1;
}

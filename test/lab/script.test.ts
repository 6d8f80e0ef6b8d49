/** `npm start` ends as it should: interrupted, it removes all that it made. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { needs } from '../support/needs.js';
import { labPaths } from './topology.js';

const test = suite('script');
const program = fileURLToPath(new URL('./main.js', import.meta.url));

for (const [signal, status] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  needs.lab(test)(`${signal} in the middle of an act leaves nothing behind`, async () => {
    const child = spawn(process.execPath, [program], { stdio: ['ignore', 'pipe', 'pipe'] });
    const closed = once(child, 'close') as Promise<[number | null, string | null]>;
    let output = '';
    const begun = new Promise<void>((resolve) => {
      const look = (text: Buffer): void => {
        output += text.toString('utf8');
        if (output.includes('baseline')) resolve();
      };
      child.stdout.on('data', look);
      child.stderr.on('data', look);
    });
    await Promise.race([begun, closed]);
    child.kill(signal);
    const [code] = await closed;
    assert.is(code, status, output);
    assert.match(output, /ok {5}baseline/);
    const pid = child.pid ?? 0;
    const left = readdirSync('/run/netns').filter((name) => name.startsWith(`weir-lab-${pid}-`));
    assert.equal(left, [], 'expected no namespaces');
    assert.not.ok(existsSync(labPaths(pid).pins), 'expected no pins');
    assert.not.ok(existsSync(labPaths(pid).files), 'expected no files');
  });
}

test.run();

/** The runner must not call a broken test file good. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readResult, runFile } from '../../support/test-file.js';

const test = suite('test-file');
const ended = { code: 0, signal: null, timedOut: false, limit: 1000 };
const summary = (total: number, passed: number, skipped: number): string =>
  `\n  Total:     ${total}\n  Passed:    ${passed}\n  Skipped:   ${skipped}\n  Duration:  1.00ms\n\n`;

test('counts what uvu printed', () => {
  assert.equal(readResult(summary(5, 5, 0), ended), {
    passed: 5,
    failed: 0,
    skips: [],
    trouble: null,
  });
  assert.is(readResult(summary(5, 3, 0), { ...ended, code: 1 }).failed, 2);
});

test('tests that a failed hook kept from running are told', () => {
  const { failed, trouble } = readResult(summary(5, 3, 0), ended);
  assert.is(failed, 2);
  assert.match(trouble ?? '', /did not run 2 of its tests: a hook before them failed/);
  const shown = readResult(`   FAIL  suite  "a"\n${summary(5, 3, 0)}`, ended);
  assert.is(shown.trouble, null);
});

test('named skips are read back, unnamed ones are a failure', () => {
  const named = readResult(`~ skipped "a": it needs root.\n${summary(1, 1, 1)}`, ended);
  assert.equal(named.skips, [{ name: 'a', reason: 'it needs root.' }]);
  assert.is(named.failed, 0);
  assert.is(readResult(summary(1, 1, 1), ended).failed, 1);
});

function processState(pid: number): string {
  try {
    return /\) (\S)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1] ?? 'unreadable';
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 'gone';
    throw error;
  }
}

for (const [what, output, ending] of [
  ['no test', summary(0, 0, 0), ended],
  ['no summary', '', ended],
  ['a status other than 0', summary(1, 1, 0), { ...ended, code: 3 }],
  ['a signal', summary(1, 1, 0), { ...ended, code: null, signal: 'SIGSEGV' as const }],
  ['the time limit', summary(1, 1, 0), { ...ended, timedOut: true }],
] as const) {
  test(`${what} is a failure`, () => {
    assert.ok(readResult(output, ending).failed > 0);
  });
}

test('a file that hangs is ended, and its children with it', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'weir-runner-'));
  try {
    const file = join(directory, 'hang.mjs');
    writeFileSync(
      file,
      `import { spawn } from 'node:child_process';
       const child = spawn('sleep', ['60'], { stdio: 'ignore' });
       console.log('child ' + child.pid);
       setInterval(() => {}, 1000);`,
    );
    const signal = new AbortController().signal;
    const result = await runFile(file, { limit: 400, env: process.env, signal });
    assert.match(result.trouble ?? '', /longer than its limit/);
    const pid = Number(/child (\d+)/.exec(result.output)?.[1]);
    assert.ok(pid > 0, `expected a child's pid, saw ${result.output}`);
    // Its new parent may not have collected it yet; a zombie is dead enough.
    assert.ok(
      ['gone', 'Z'].includes(processState(pid)),
      `expected it gone, saw ${processState(pid)}`,
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test.run();

/** The external monitor with real programs: verdicts, limits, and nothing left behind. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Cancellation } from '../../../appliance/health/cancellation.js';
import { accountOf, probeExternal } from '../../../appliance/health/external.js';
import type { ProbeResult } from '../../../appliance/health/state-machine.js';
import { needs } from '../../support/needs.js';

const me = userInfo().username;

function run(
  command: readonly string[],
  options: { timeout?: number; user?: string; cancelled?: Cancellation } = {},
): Promise<ProbeResult> {
  const { timeout = 10_000, user = me, cancelled = new Cancellation() } = options;
  return probeExternal(
    { address: '10.0.0.1', port: 80 },
    { command: [...command], timeout, user },
    cancelled,
  );
}

const shell = (script: string): string[] => ['/bin/sh', '-c', script, 'check'];
const said = ({ outcome, reason }: ProbeResult): string => `${outcome}: ${reason}`;

const verdicts: readonly (readonly [what: string, command: readonly string[], verdict: string])[] =
  [
    ['status 0', shell('exit 0'), 'pass: exit status 0'],
    ['another status', shell('exit 3'), 'fail: exit status 3'],
    ['what it says', shell('echo fine; echo more'), 'pass: exit status 0: fine'],
    ['what it says of an error', shell('echo no disk >&2; exit 1'), 'fail: exit status 1: no disk'],
    ['the last arguments', shell('echo "$1 on $2"'), 'pass: exit status 0: 10.0.0.1 on 80'],
    ['a signal', shell('kill -SEGV $$'), 'fail: ended by SIGSEGV'],
    ['control characters', shell("printf '\\033[31mred\\007\\n'"), 'pass: exit status 0: [31mred'],
    [
      'no shell in between',
      ['/bin/echo', '$HOME;', '`id`', '*'],
      'pass: exit status 0: $HOME; `id` * 10.0.0.1 80',
    ],
    [
      'no such program',
      ['/nonexistent/check'],
      'inconclusive: cannot run /nonexistent/check: there is no such file, or the interpreter in its first line is missing',
    ],
    [
      'no program',
      ['/etc/passwd'],
      `inconclusive: cannot run /etc/passwd: ${me} may not execute it`,
    ],
    [
      'more output than anybody reads',
      shell('while :; do echo 0123456789012345678901234567890123456789; done'),
      'fail: /bin/sh wrote more than 1024 KiB and was killed',
    ],
  ];

for (const [what, command, verdict] of verdicts) {
  test(`external: ${what}`, async () => assert.is(said(await run(command)), verdict));
}

test('external: the environment holds nothing of the daemon', async () => {
  process.env['WEIR_TEST_SECRET'] = 'x';
  try {
    const result = await run(shell('env | grep -v -e ^PATH= -e ^LANG= -e ^PWD= -e ^_= -e ^SHLVL='));
    assert.is(said(result), 'fail: exit status 1', 'grep found no other variable');
  } finally {
    delete process.env['WEIR_TEST_SECRET'];
  }
});

/** Processes whose command line has the word, by /proc. */
function processesWith(word: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(word);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === 'ENOENT' || code === 'ESRCH' || code === 'EACCES') return false;
      throw error;
    }
  });
}

/** A number of seconds that no other process of this machine sleeps. */
let serial = 0;
const seconds = (): string => `${100_000 + process.pid}.${(serial += 1)}`;

async function gone(word: string): Promise<void> {
  const deadline = Date.now() + 10_000;
  // SIGKILL was sent; the kernel and init need their moment.
  while (processesWith(word).length > 0) {
    assert.ok(Date.now() < deadline, `still there: sleep ${word}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test('external: a program that hangs is killed with all its children', async () => {
  const time = seconds();
  const script = `sleep ${time} & (sleep ${time} & sleep ${time}) & trap "" TERM; wait`;
  const result = await run(shell(script), { timeout: 300 });
  assert.is(said(result), 'fail: /bin/sh did not end within 300ms and was killed');
  await gone(time);
});

test('external: what a program leaves behind is killed, and does not delay the verdict', async () => {
  const time = seconds();
  assert.is(said(await run(shell(`sleep ${time} & echo ok`))), 'pass: exit status 0: ok');
  await gone(time);
});

test('external: a cancelled probe ends its program', async () => {
  const time = seconds();
  const cancelled = new Cancellation();
  const probe = run(shell(`sleep ${time}; true`), { cancelled });
  const deadline = Date.now() + 10_000;
  while (processesWith(time).length === 0) {
    assert.ok(Date.now() < deadline, 'the program has not started');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  cancelled.cancel();
  assert.is((await probe).outcome, 'inconclusive');
  await gone(time);
});

test('external: many members at once take turns, and all get their verdict', async () => {
  const results = await Promise.all(Array.from({ length: 100 }, () => run(['/bin/true'])));
  assert.equal(new Set(results.map(said)), new Set(['pass: exit status 0']));
});

test('external: a user that this unit does not have', async () => {
  const result = await run(['/bin/true'], { user: 'no-such-user' });
  assert.is(said(result), 'inconclusive: this unit has no user no-such-user');
});

test('external: accounts are those of passwd(5)', () => {
  const passwd = 'root:x:0:0:root:/root:/bin/sh\nbroken\nweb:x:33:34::/:/bin/false\n';
  assert.equal(accountOf('web', passwd), { uid: 33, gid: 34 });
  assert.is(accountOf('broken', passwd), null);
  assert.is(accountOf('we', passwd), null);
});

needs.root(test)('external: the program is nobody, in no group of the daemon', async () => {
  assert.is(said(await run(shell('id -un; :'), { user: 'nobody' })), 'pass: exit status 0: nobody');
  assert.is(
    said(await run(shell('id -G; :'), { user: 'nobody' })),
    `pass: exit status 0: ${accountOf('nobody')?.gid ?? 'unknown'}`,
  );
});

needs.root(test)('external: a program that only root may run', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-external-'));
  try {
    const program = join(folder, 'check');
    writeFileSync(program, '#!/bin/sh\nexit 0\n', { mode: 0o700 });
    assert.is(
      said(await run([program], { user: 'nobody' })),
      `inconclusive: cannot run ${program}: nobody may not execute it`,
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test.run();

/**
 * Fewer workers: what waits in the backlog of a socket that goes is served by those that stay, by
 * net.ipv4.tcp_migrate_req, which is set in the namespace of the test alone.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { needs } from '../support/needs.js';
import type { TierAnswer } from '../support/tier-process.js';

const test = suite('fewer workers of layer 7');
const lab = needs.lab(test);

const support = join(import.meta.dirname, '..', 'support');
const namespace = `weir-l7-${process.pid}`;
const PORT = '8080';
const MEMBER = '8081';

function ip(...words: string[]): string {
  const ran = spawnSync('ip', words, { encoding: 'utf8' });
  if (ran.status !== 0) throw new Error(`ip ${words.join(' ')}: ${ran.stderr}`);
  return ran.stdout;
}

function within(script: string, words: readonly string[], env: Record<string, string> = {}) {
  const child = spawn(
    'ip',
    ['netns', 'exec', namespace, process.execPath, ...(script === '' ? [] : [script]), ...words],
    { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, ...env } },
  );
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  return {
    child,
    line: async (): Promise<string> => String((await lines.next()).value),
  };
}

/** Resolves when the process is stopped: a signal takes effect a moment later. */
async function stopped(pid: number): Promise<void> {
  process.kill(pid, 'SIGSTOP');
  while (!/^State:\s+T/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

lab('connections that wait for a worker that goes are served by those that stay', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'weir-l7-'));
  ip('netns', 'add', namespace);
  try {
    ip('-n', namespace, 'link', 'set', 'lo', 'up');
    const server = `require('http').createServer((q, a) => a.end('a')).listen(${MEMBER}, '127.0.0.1', () => console.log('ready'))`;
    const member = within('', ['-e', server]);
    assert.is(await member.line(), 'ready');
    const daemon = within(
      join(support, 'tier-process.js'),
      [join(directory, 'l7.json'), '2', PORT, MEMBER],
      { WEIR_TEST_MIGRATE: '1', WEIR_L7_LINGER: '1' },
    );
    assert.is(await daemon.line(), 'ready');
    const ask = async (line: string): Promise<TierAnswer> => {
      daemon.child.stdin.write(`${line}\n`);
      return JSON.parse(await daemon.line()) as TierAnswer;
    };
    const before = await ask('state');
    assert.match(before.events.join('\n'), /set net.ipv4.tcp_migrate_req to 1/);
    // The second one: that whose place goes. What comes to its socket waits.
    await stopped(before.workers[1]?.pid ?? 0);
    const clients = within(join(support, 'waiting-process.js'), [PORT, '60']);
    assert.is(await clients.line(), 'sent');
    const after = await ask('workers 1');
    const answers = JSON.parse(await clients.line()) as string[];
    assert.equal(
      answers.filter((answer) => answer !== 'HTTP/1.1 200 OK'),
      [],
      'requests that were not answered',
    );
    assert.is(after.workers.filter(({ state }) => state === 'serving').length, 1);
    const ended = once(daemon.child, 'exit');
    daemon.child.stdin.end();
    await ended;
  } finally {
    for (const pid of ip('netns', 'pids', namespace).split('\n')) {
      if (pid !== '') process.kill(Number(pid), 'SIGKILL');
    }
    ip('netns', 'delete', namespace);
    rmSync(directory, { recursive: true, force: true });
  }
});

test.run();

/** What worker processes may and may not, and what becomes of them where they may too little. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { userName } from '../../../../native/ffi/peer-credentials.js';
import { poolWith, serviceAt, tablesOf } from '../../../support/l7-tables.js';
import { needs } from '../../../support/needs.js';
import type { TierAnswer } from '../../../support/tier-process.js';
import { freePort, get, withTier } from '../../../support/worker-stage.js';

const test = suite('rights of layer-7 workers');
const uring = needs.uring(test);
const root = needs.root(test);

const program = join(import.meta.dirname, '..', '..', '..', 'support', 'tier-process.js');

function statusOf(pid: number): (name: string) => string {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  return (name) =>
    new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(text)?.[1]?.trim() ?? 'no such line';
}

root(
  'a worker that serves is nobody, of no group, with no capability, and can gain none',
  async () => {
    await withTier(async ({ tier, members, port }) => {
      await tier.execute(tablesOf([serviceAt(port)], [poolWith(members)], 1));
      assert.match(await get(port), /^200 /);
      const [{ pid } = { pid: 0 }] = tier.workers;
      const status = statusOf(pid);
      const uids = status('Uid').split('\t');
      assert.is(uids.length, 4);
      for (const uid of uids) assert.is(userName(Number(uid)), 'nobody');
      for (const gid of status('Gid').split('\t')) assert.is.not(gid, '0');
      assert.is(status('Groups'), '');
      assert.is(status('NoNewPrivs'), '1');
      for (const set of ['CapEff', 'CapPrm', 'CapInh', 'CapAmb']) {
        assert.is(status(set), '0000000000000000', set);
      }
      const open = /^Max open files\s+(\d+)/m.exec(
        readFileSync(`/proc/${pid}/limits`, 'utf8'),
      )?.[1];
      assert.ok(Number(open) >= 512, `${open ?? 'no'} descriptors`);
    });
  },
);

uring(
  'where io_uring is forbidden the services say so in a sentence, and nothing is tried over and over',
  async () => {
    const directory = mkdtempSync(join(tmpdir(), 'weir-l7-'));
    const port = await freePort();
    const words = [program, join(directory, 'l7.json'), '2', String(port), '9'];
    const daemon = spawn(process.execPath, words, {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, WEIR_TEST_NO_URING: '1' },
    });
    try {
      const exited = once(daemon, 'exit');
      const lines = createInterface(daemon.stdout)[Symbol.asyncIterator]();
      assert.is((await lines.next()).value, 'ready');
      daemon.stdin.write('state\n');
      const answer = JSON.parse(String((await lines.next()).value)) as TierAnswer;
      const sentence = /^A security policy forbids io_uring \(EPERM\)\. Let the seccomp profile/;
      assert.is(answer.events.length, 1, answer.events.join('\n'));
      assert.match(answer.events[0] ?? '', sentence);
      assert.is(answer.problems.length, 1);
      assert.match(answer.problems[0] ?? '', sentence);
      assert.equal(answer.workers, [], 'none is there until the next try, in half a minute');
      daemon.stdin.end();
      await exited;
    } finally {
      daemon.kill('SIGKILL');
      rmSync(directory, { recursive: true, force: true });
    }
  },
);

test.run();

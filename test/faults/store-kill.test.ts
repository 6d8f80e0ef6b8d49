/**
 * The store survives being killed at any instant: a process that commits without pause
 * gets SIGKILL 200 times, at random moments. After each, the newest revision is the last
 * acknowledged one or the one that was being committed, whole, and a revision that waits
 * for a confirmation is there with its deadline or not at all.
 *
 * WEIR_SEED repeats a run's moments as far as the scheduler lets it.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { canonicalJson, sha256 } from '../../appliance/config/canonical.js';
import { ConfigStore } from '../../appliance/config/store.js';
import { documentOf, waits } from './store-child.js';

const kills = 200;
const child = join(dirname(fileURLToPath(import.meta.url)), 'store-child.js');
const seed = Number(process.env['WEIR_SEED'] ?? Date.now() % 2 ** 32);

/** mulberry32: a small generator, so that the moments can be repeated. */
function random(state: number): () => number {
  let a = state >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = a;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Promised {
  number: number;
  digest: string;
  confirmed: number;
}

/** Runs the child until `moment`, kills it, and returns the last thing that it promised. */
async function runAndKill(
  path: string,
  moment: (started: ChildProcess) => Promise<void>,
): Promise<Promised> {
  const started = spawn(process.execPath, [child, path], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  let complaints = '';
  started.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  started.stderr.setEncoding('utf8').on('data', (text: string) => (complaints += text));
  // 'close', not 'exit': the pipe is then empty, and every promise that was made was read.
  const closed = once(started, 'close');
  try {
    await moment(started);
  } finally {
    started.kill('SIGKILL');
    await closed;
  }
  assert.is(complaints, '', `the child must not fail by itself: ${complaints}`);
  const promised: Promised = { number: 0, digest: '', confirmed: 0 };
  // A line that was cut off was not promised.
  for (const line of output.slice(0, output.lastIndexOf('\n') + 1).split('\n')) {
    const [step, number = '', digest = ''] = line.split(' ');
    if (step === 'commit') Object.assign(promised, { number: Number(number), digest });
    if (step === 'confirm') promised.confirmed = Number(number);
  }
  return promised;
}

function check(path: string, promised: Promised, before: number, label: string): number {
  const store = ConfigStore.open(path);
  try {
    const head = store.head();
    const seen = head?.number ?? 0;
    const last = Math.max(promised.number, before);
    assert.ok(seen === last || seen === last + 1, `${label}: acknowledged ${last}, seen ${seen}`);
    if (head === null) return 0;
    assert.is(
      canonicalJson(head.document),
      canonicalJson(documentOf(seen)),
      `${label}: the document is that of revision ${seen}`,
    );
    assert.is(
      head.digest,
      sha256(canonicalJson(documentOf(seen))),
      `${label}: the digest of revision ${seen}`,
    );
    if (seen === promised.number)
      assert.is(head.digest, promised.digest, `${label}: the digest that was acknowledged`);

    const pending = store.pendingConfirm();
    if (waits(seen)) {
      // It may have been confirmed in the instant before the kill.
      if (pending === null)
        assert.ok(seen === last, `${label}: revision ${seen} lost its deadline`);
      else
        assert.equal(
          pending,
          { revision: seen, previous: seen - 1, deadline: 4_102_444_800_000 },
          label,
        );
      if (promised.confirmed === seen) assert.is(pending, null, `${label}: ${seen} was confirmed`);
    } else {
      assert.is(pending, null, `${label}: revision ${seen} does not wait`);
    }
    return seen;
  } finally {
    store.close();
  }
}

const faults = suite('the store is killed');
let folder = '';
faults.before(() => {
  folder = mkdtempSync(join(tmpdir(), 'weir-store-kill-'));
});
faults.after(() => {
  rmSync(folder, { recursive: true, force: true });
});

faults(`${kills} times while it commits (WEIR_SEED=${seed})`, async () => {
  const path = join(folder, 'weir.db');
  const next = random(seed);
  let seen = 0;
  let whole = 0;
  for (let kill = 1; kill <= kills; kill++) {
    const pause = next() * 30;
    const early = next() < 0.1;
    const promised = await runAndKill(path, async (started) => {
      // A tenth dies while it starts; the others after their first commit of this life.
      if (early) await delay(20 + pause * 2);
      else {
        if (started.stdout === null) throw new Error('the child has no standard output');
        await once(started.stdout, 'data');
        spin(pause);
      }
    });
    const now = check(path, promised, seen, `kill ${kill}`);
    assert.ok(now >= seen, `kill ${kill}: ${seen} revisions before, ${now} after`);
    if (now === promised.number + 1 && promised.number > 0) whole += 1;
    seen = now;
  }
  const store = ConfigStore.open(path);
  try {
    assert.equal(store.integrityCheck(), { ok: true, problems: [], revisions: seen });
    assert.ok(seen > kills, `more revisions than kills, seen ${seen}`);
  } finally {
    store.close();
  }
  assert.is(statSync(path).mode & 0o777, 0o600);
  console.log(
    `  ${kills} kills, ${seen} revisions; ${whole} times a commit was on disk before it was acknowledged`,
  );
});

faults('20 times while it is created', async () => {
  const next = random(seed ^ 0x5eed);
  for (let kill = 1; kill <= 20; kill++) {
    const home = mkdtempSync(join(folder, 'new-'));
    const path = join(home, 'weir.db');
    const promised = await runAndKill(path, async () => {
      // Kill in the moment in which the first file appears, or shortly after.
      const deadline = performance.now() + 5_000;
      while (readdirSync(home).length === 0) {
        if (performance.now() > deadline) throw new Error('the child made no file within 5 s');
        await delay(1);
      }
      spin(next() * 15);
    });
    check(path, promised, 0, `creation ${kill}`);
  }
});

/** Waits within a millisecond, which timers cannot. */
function spin(milliseconds: number): void {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
}

faults.run();

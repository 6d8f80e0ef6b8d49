/** Worker processes that die, hang or do not start: what is lost, and what is not. */
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Listeners } from '../../../../appliance/l7/supervisor/listeners.js';
import { isAlive } from '../../../support/child.js';
import { poolWith, serviceAt, tablesOf } from '../../../support/l7-tables.js';
import { needs } from '../../../support/needs.js';
import { freePort, get, withTier } from '../../../support/worker-stage.js';

const test = suite('layer-7 workers that fail');
const uring = needs.uring(test);

uring('what waits in the backlog of a worker that dies is served by its replacement', async () => {
  await withTier(async ({ tier, members, port, settled }) => {
    await tier.execute(tablesOf([serviceAt(port)], [poolWith(members)], 1));
    assert.match(await get(port), /^200 /);
    const pid = tier.workers[0]?.pid ?? 0;
    // Stopped, it accepts nothing: all of these are in the backlog when it dies.
    await stop(pid, settled);
    const waiting = Array.from({ length: 50 }, () => get(port));
    await settled(() => pendingAt(port) >= 50);
    process.kill(pid, 'SIGKILL');
    const answers = await Promise.all(waiting);
    assert.equal(
      answers.filter((answer) => !/^200 [ab]$/.test(answer)),
      [],
    );
    assert.is.not(tier.workers[0]?.pid, pid);
    assert.is(tier.workers[0]?.restarts, 1);
  });
});

uring('SIGTERM is for the daemon, and for a worker once there is none', async () => {
  const before = process.env['WEIR_L7_LINGER'];
  process.env['WEIR_L7_LINGER'] = '60';
  let pid = 0;
  try {
    await withTier(async ({ tier, members, port, settled }) => {
      await tier.execute(tablesOf([serviceAt(port)], [poolWith(members)], 1));
      pid = tier.workers[0]?.pid ?? 0;
      process.kill(pid, 'SIGTERM');
      assert.match(await get(port), /^200 /, 'it serves on');
      assert.is(tier.workers[0]?.pid, pid);
      await tier.leave();
      assert.match(await get(port), /^200 /, 'and without a daemon');
      await settled(() => {
        // It may not have heard yet that there is none.
        if (isAlive(pid)) process.kill(pid, 'SIGTERM');
        return !isAlive(pid);
      });
    });
  } finally {
    if (pid > 0 && isAlive(pid)) process.kill(pid, 'SIGKILL');
    if (before === undefined) delete process.env['WEIR_L7_LINGER'];
    else process.env['WEIR_L7_LINGER'] = before;
  }
});

uring('a worker that hangs is ended and replaced; what it had not accepted is served', async () => {
  await withTier(async ({ tier, members, port, events, settled }) => {
    await tier.execute(tablesOf([serviceAt(port)], [poolWith(members)], 1));
    const pid = tier.workers[0]?.pid ?? 0;
    await stop(pid, settled);
    assert.match(await get(port), /^200 /);
    await settled(() => events.length >= 2);
    assert.is(events[0]?.message, `worker ${pid} gave no sign of life for 5 s and is ended`);
    assert.match(events[1]?.message ?? '', /was ended by SIGKILL/);
  });
});

uring('a restart whose new workers do not start leaves the old ones serving', async () => {
  await withTier(async ({ tier, members, port }) => {
    await tier.execute(tablesOf([serviceAt(port)], [poolWith(members)], 1));
    const before = process.env['WEIR_L7_USER'];
    process.env['WEIR_L7_USER'] = 'weir-no-such-user';
    try {
      // The spare was started before, and is well.
      await tier.restart();
      const [serving] = tier.workers.filter(({ state }) => state === 'serving');
      let why = '';
      await tier.restart().catch((error: unknown) => {
        why = String(error);
      });
      assert.match(why, /the old ones go on/);
      const still = tier.workers.filter(({ state }) => state === 'serving');
      assert.equal(
        still.map(({ pid }) => pid),
        [serving?.pid],
      );
      assert.equal(tier.problems, []);
      assert.match(await get(port), /^200 /);
    } finally {
      if (before === undefined) delete process.env['WEIR_L7_USER'];
      else process.env['WEIR_L7_USER'] = before;
    }
  });
});

uring('workers that die at each start are told as failing, until they serve', async () => {
  await withTier(async ({ tier, members, port, settled }) => {
    const before = process.env['WEIR_L7_USER'];
    process.env['WEIR_L7_USER'] = 'weir-no-such-user';
    try {
      await tier.execute(tablesOf([serviceAt(port)], [poolWith(members)], 1));
      const { unable, failing, places } = tier.health;
      assert.equal([unable, failing, places], [null, 1, 1]);
    } finally {
      if (before === undefined) delete process.env['WEIR_L7_USER'];
      else process.env['WEIR_L7_USER'] = before;
    }
    await settled(() => tier.workers.some(({ state }) => state === 'serving'));
    assert.match(await get(port), /^200 /);
    await settled(() => tier.health.failing === 0);
  });
});

test('a service may listen at an address that the unit does not have yet', async () => {
  const listeners = new Listeners();
  try {
    const port = await freePort();
    const services = ['192.0.2.1', '2001:db8::1'].map((address) =>
      serviceAt(port, { name: `at ${address}`, address }),
    );
    listeners.follow(services, 2);
    assert.equal(listeners.problems, []);
    assert.is(listeners.of(0).size, 2);
    assert.is(listeners.of(1).size, 2);
  } finally {
    listeners.close();
  }
});

/** Stops a process, and waits until it stands still: the signal comes a moment later. */
async function stop(pid: number, settled: (until: () => boolean) => Promise<void>): Promise<void> {
  process.kill(pid, 'SIGSTOP');
  await settled(() => /^State:\tT/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')));
}

/** Connections to 127.0.0.1:port that wait to be accepted: what its listener has in its queue. */
function pendingAt(port: number): number {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  let waiting = 0;
  for (const line of readFileSync('/proc/net/tcp', 'utf8').split('\n')) {
    const [, local, , state, queues] = line.trim().split(/\s+/);
    if (local !== `0100007F:${hex}` || state !== '0A') continue;
    waiting += Number.parseInt(queues?.split(':')[1] ?? '0', 16);
  }
  return waiting;
}

test.run();

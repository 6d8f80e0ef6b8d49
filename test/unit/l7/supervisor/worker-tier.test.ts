/** Worker processes: started, killed, replaced, told of new tables, all while they serve. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Agent, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { allowedCpus, pinThread } from '../../../../native/ffi/affinity.js';
import { poolWith, serviceAt, tablesOf } from '../../../support/l7-tables.js';
import { needs } from '../../../support/needs.js';
import { get, withTier } from '../../../support/worker-stage.js';

const test = suite('layer-7 workers');
const uring = needs.uring(test);

uring('workers serve what the tables say, and follow them', async () => {
  await withTier(async ({ tier, members, port, output }) => {
    const [a = 0, b = 0] = members;
    const service = serviceAt(port);
    await tier.execute(tablesOf([service], [poolWith([a])]));
    assert.is(tier.workers.length, 2, output.join('\n'));
    for (let i = 0; i < 4; i += 1) assert.is(await get(port), '200 a');
    await tier.execute(tablesOf([service], [poolWith([b])]));
    for (let i = 0; i < 4; i += 1) assert.is(await get(port), '200 b');
    await tier.execute(tablesOf([], []));
    const refused = await get(port).catch((error: unknown) => String(error));
    assert.match(refused, /ECONNREFUSED/);
  });
});

uring('workers stay on the CPUs that the daemon may use, each on its own', async () => {
  const cpus = allowedCpus();
  const [last = 0] = cpus.slice(-1);
  const ofWorkers = async (workers: number): Promise<string[]> => {
    const places: string[] = [];
    await withTier(async ({ tier, members, port }) => {
      await tier.execute(tablesOf([serviceAt(port)], [poolWith(members)], workers));
      for (const { pid } of tier.workers) {
        const status = readFileSync(`/proc/${pid}/task/${pid}/status`, 'utf8');
        places.push(/^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1] ?? '');
      }
    });
    return places.sort();
  };
  assert.equal(await ofWorkers(cpus.length), cpus.map(String).sort());
  // Workers are started by this thread, so they may use what it may.
  const unpin = pinThread(last);
  try {
    assert.equal(await ofWorkers(1), [String(last)]);
  } finally {
    unpin();
  }
});

uring('a worker that is killed is replaced, and only its own connections are lost', async () => {
  await withTier(async ({ tier, members, port, events, settled }) => {
    await tier.execute(tablesOf([serviceAt(port)], [poolWith(members)]));
    await settled(() => tier.workers.every(({ state }) => state === 'serving'));
    const [first] = tier.workers;
    const pid = first?.pid ?? 0;
    process.kill(pid, 'SIGKILL');
    await settled(() => events.length === 1);
    // Asked at once: what is in the dead one's backlog waits for the replacement.
    const answers = await Promise.all(Array.from({ length: 40 }, () => get(port)));
    assert.ok(
      answers.every((answer) => /^200 [ab]$/.test(answer)),
      answers.join(', '),
    );
    await settled(() => tier.workers.length === 2 && tier.workers.every((w) => w.pid !== pid));
    assert.match(events[0]?.message ?? '', /was ended by SIGKILL; its connections are lost/);
  });
});

uring('restarting all workers and changing the tables under load loses nothing', async () => {
  await withTier(async ({ tier, members, port }) => {
    const service = serviceAt(port);
    await tier.execute(tablesOf([service], [poolWith(members)]));
    const agent = new Agent({ keepAlive: true, maxSockets: 32 });
    let going = true;
    const failures: string[] = [];
    let requests = 0;
    const client = async (): Promise<void> => {
      while (going) {
        try {
          const answer = await get(port, agent);
          requests += 1;
          if (!/^200 [ab]$/.test(answer)) failures.push(answer);
        } catch (error) {
          failures.push(String(error));
        }
      }
    };
    const clients = Array.from({ length: 32 }, client);
    const before = new Set(tier.workers.map(({ pid }) => pid));
    for (let i = 0; i < 3; i += 1) {
      await tier.execute(tablesOf([service], [poolWith(members.slice(i % 2))]));
    }
    await tier.restart();
    const serving = tier.workers.filter(({ state }) => state === 'serving');
    assert.ok(
      serving.every(({ pid }) => !before.has(pid)),
      'all serving workers are new',
    );
    await tier.execute(tablesOf([service], [poolWith(members)], 3));
    going = false;
    await Promise.all(clients);
    agent.destroy();
    assert.ok(requests > 100, `${requests} requests`);
    assert.equal(failures, []);
  });
});

uring('what workers count and members work on is told', async () => {
  await withTier(async ({ tier, members, port }) => {
    const pool = poolWith(members);
    await tier.execute(tablesOf([serviceAt(port)], [pool]));
    for (let i = 0; i < 6; i += 1) await get(port);
    const requests = tier.workers.reduce((sum, worker) => sum + worker.requests, 0);
    assert.is(requests, 6);
    const loads = pool.members.map(({ id }) => tier.loadOf(id));
    for (const load of loads) {
      assert.is(load?.underWay, 0);
      assert.ok((load?.responseUs ?? 0) > 0, `an estimate expected, ${load?.responseUs} seen`);
    }
    assert.equal([tier.loadOf('web/nil'), tier.waitingFor('web')], [null, 0]);
    const { unable, notListening, failing, places } = tier.health;
    assert.equal([unable, notListening, failing, places], [null, [], 0, 2]);
  });
});

uring('a port that somebody else has is a problem of its service alone', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  try {
    await withTier(async ({ tier, members, port }) => {
      const taken = (other.address() as AddressInfo).port;
      const services = [serviceAt(port), serviceAt(taken, { name: 'other' })];
      await tier.execute(tablesOf(services, [poolWith(members)]));
      assert.match(await get(port), /^200 /);
      assert.equal(
        tier.problems.map(({ service }) => service),
        ['other'],
      );
      assert.match(tier.problems[0]?.message ?? '', /another program does/);
    });
  } finally {
    other.close();
  }
});

/** Processes that this one has started, and that were not there before. */
function started(before: readonly number[] = []): number[] {
  const text = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8');
  const all = text.split(' ').map(Number).filter(Boolean);
  return all.filter((pid) => !before.includes(pid)).sort((a, b) => a - b);
}

uring(
  'processes that were started ahead take the places, and a spare comes after them',
  async () => {
    await withTier(async ({ tier, members, port, settled }) => {
      const before = started();
      tier.warm(2);
      const ahead = started(before);
      assert.is(ahead.length, 2, 'so many were started');
      const served = tier.execute(tablesOf([serviceAt(port)], [poolWith(members)], 2));
      assert.equal(started(before), ahead, 'nothing else loads while they come up');
      await served;
      assert.match(await get(port), /^200 /);
      assert.equal(
        tier.workers.map(({ pid }) => pid).sort((a, b) => a - b),
        ahead,
      );
      await settled(() => started(before).length === 3);
    });
  },
);

uring('processes that were started ahead for nothing end', async () => {
  await withTier(async ({ tier, settled }) => {
    const before = started();
    tier.warm(2);
    await tier.execute(tablesOf([], []));
    await settled(() => started(before).length === 0);
  });
});

test.run();

/** Several workers at the same time: the limits of members hold at every moment, and no count is lost. */
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Members, type MemberState } from '../../../../appliance/l7/balance/members.js';
import { BalanceMemory, releaseWorker } from '../../../../appliance/l7/balance/memory.js';
import type { L7Algorithm } from '../../../../appliance/l7/tables.js';
import { memberOf, poolOf, takeOver } from '../../../support/balance.js';
import { generator } from '../../../support/random.js';

const limits = [1, 3, 5, 8] as const;
const sizes = { members: limits.length, pools: 1 };
const steps = 400_000;

interface Part {
  readonly shared: SharedArrayBuffer;
  readonly owns: readonly SharedArrayBuffer[];
  readonly index: number;
  readonly algorithm: L7Algorithm;
  /** 1: stop now, whatever is under way. And how many are ready: they begin together. */
  readonly stop: SharedArrayBuffer;
}

function memoryOf({ shared, owns }: Part, index: number): BalanceMemory {
  const own = { buffer: owns[index] as SharedArrayBuffer, offset: 0 };
  return new BalanceMemory(sizes, { buffer: shared, offset: 0 }, own, 0);
}

/** What a thread does: takes and gives back as fast as it can, and looks at every count that it changes. */
function work(part: Part): { over: number; refused: number; picked: number } {
  const memory = memoryOf(part, part.index);
  const pool = poolOf(
    limits.map((maxConnections, i) => memberOf(i, { maxConnections, weight: i + 1 })),
    { algorithm: part.algorithm },
  );
  const { balancer } = takeOver(memory, new Members(memory), pool, part.index + 1);
  const random = generator(part.index + 1);
  const open: MemberState[] = [];
  const stop = new Int32Array(part.stop);
  const result = { over: 0, refused: 0, picked: 0 };
  Atomics.add(stop, 1, 1);
  for (let ready = 0; ready < part.owns.length && Atomics.load(stop, 0) === 0;) {
    ready = Atomics.load(stop, 1);
    if (ready < part.owns.length) Atomics.wait(stop, 1, ready, 20);
    else Atomics.notify(stop, 1);
  }
  for (let step = 0; step < steps && Atomics.load(stop, 0) === 0; step += 1) {
    if (open.length > 0 && random(2) === 0) {
      open.splice(random(open.length), 1)[0]?.end(step, 10, 100, false);
      continue;
    }
    const member = balancer.pick(random(2 ** 32) | 0, step, null);
    if (member === null) {
      result.refused += 1;
      continue;
    }
    result.picked += 1;
    open.push(member);
    if (member.active > member.maxConnections || member.active < 1) result.over += 1;
  }
  // The first one dies with what it has.
  if (part.index > 0) for (const member of open) member.end(0, -1, 0, false);
  return result;
}

if (!isMainThread) {
  parentPort?.postMessage(work(workerData as Part));
} else {
  const test = suite('l7 balance threads');
  for (const algorithm of ['weighted-round-robin', 'weighted-least-connections'] as const) {
    test(`${algorithm}: four threads never exceed a limit, and what the dead one had is taken off`, async () => {
      const buffer = (bytes: number): SharedArrayBuffer => new SharedArrayBuffer(bytes);
      const part: Part = {
        shared: buffer(BalanceMemory.sharedBytes(sizes)),
        owns: Array.from({ length: 4 }, () => buffer(BalanceMemory.ownBytes(sizes))),
        index: 0,
        algorithm,
        stop: buffer(8),
      };
      const threads = part.owns.map(
        (_, index) =>
          new Worker(fileURLToPath(import.meta.url), { workerData: { ...part, index } }),
      );
      try {
        const results = await Promise.all(
          threads.map(async (thread) => {
            const [result] = (await once(thread, 'message')) as [ReturnType<typeof work>];
            return result;
          }),
        );
        for (const [index, { over, picked }] of results.entries()) {
          assert.is(over, 0, `thread ${index} saw a limit exceeded ${over} times`);
          assert.ok(picked > 1000, `thread ${index} picked ${picked} times`);
        }
        assert.ok(
          results.some(({ refused }) => refused > 0),
          'the limits were met',
        );
        const all = part.owns.map((_, index) => memoryOf(part, index));
        const [dead, ...others] = all as [BalanceMemory, ...BalanceMemory[]];
        const left = (): number[] => [...dead.counts.subarray(0, limits.length)];
        assert.equal(left(), [...dead.own.subarray(0, limits.length)]);
        releaseWorker(dead, others);
        assert.equal(left(), [0, 0, 0, 0]);
      } finally {
        Atomics.store(new Int32Array(part.stop), 0, 1);
        await Promise.all(threads.map((thread) => thread.terminate()));
      }
    });
  }
  test.run();
}

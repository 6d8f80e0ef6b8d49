/** The queue of a pool: order, leaving from the middle, one bound for all workers. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { releaseWorker } from '../../../../appliance/l7/balance/memory.js';
import { WaitingLinks, WaitingQueue } from '../../../../appliance/l7/balance/waiting-queue.js';
import { memories } from '../../../support/balance.js';
import { generator } from '../../../support/random.js';

const test = suite('l7 waiting queue');

test('queues of three workers behave as lists with one bound for each pool', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2 ** 31 - 1 }), (seed) => {
      const random = generator(seed);
      const workers = memories(3, { members: 4, pools: 2 }).map((memory) => {
        const links = new WaitingLinks(20);
        return [0, 1].map((row) => ({
          queue: new WaitingQueue(memory, links, row, row === 0 ? 10 : 25),
          list: [] as number[],
        }));
      });
      for (let step = 0; step < 500; step += 1) {
        const worker = workers[random(3)]!;
        const pool = random(2);
        const { queue, list } = worker[pool]!;
        const all = workers.reduce((sum, pools) => sum + pools[pool]!.list.length, 0);
        const exchange = random(20);
        switch (random(4)) {
          case 0:
          case 1: {
            const waits = worker.some((one) => one.list.includes(exchange));
            const due = !waits && all < queue.limit;
            assert.is(queue.push(exchange), due);
            if (due) list.push(exchange);
            break;
          }
          case 2: {
            const at = list.indexOf(exchange);
            assert.is(queue.remove(exchange), at >= 0);
            if (at >= 0) list.splice(at, 1);
            break;
          }
          default:
            assert.is(queue.first(), list[0] ?? -1);
            assert.is(queue.shift(), list.shift() ?? -1);
        }
        assert.is(queue.length, list.length);
      }
      for (const pools of workers) {
        for (const { queue, list } of pools) {
          const left: number[] = [];
          for (let one = queue.shift(); one >= 0; one = queue.shift()) left.push(one);
          assert.equal(left, list);
        }
      }
      assert.ok(workers.every((pools) => pools.every(({ queue }) => queue.all === 0)));
    }),
    { numRuns: 60 },
  );
});

test('those of a dead worker wait no more, and a pool without a queue has none', () => {
  const [dead, other] = memories(2, { members: 1, pools: 1 }) as [
    ReturnType<typeof memories>[0],
    ReturnType<typeof memories>[0],
  ];
  const lost = new WaitingQueue(dead, new WaitingLinks(4), 0, 3);
  const queue = new WaitingQueue(other, new WaitingLinks(4), 0, 3);
  assert.ok(lost.push(0) && lost.push(1) && queue.push(2));
  assert.not(queue.push(3), 'three wait already');
  releaseWorker(dead, [other]);
  assert.is(queue.all, 1);
  assert.ok(queue.push(3));
  queue.limit = 0;
  assert.not(queue.push(0));
});

test.run();

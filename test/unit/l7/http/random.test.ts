/**
 * Clients and members at random, by seeds that are kept: every answer is right or visibly none, and at
 * the end nothing is left. `WEIR_SEEDS=FROM-TO` tries others.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Heads } from '../../../../appliance/l7/http/runtime.js';
import { converse, serve, type Books } from '../../../support/http-chaos.js';
import { withRawMembers } from '../../../support/http-stage.js';
import { needs } from '../../../support/needs.js';
import { generator } from '../../../support/random.js';

const test = suite('HTTP engine at random');
const uring = needs.uring(test);

function seeds(): number[] {
  const [from, to] = (process.env['WEIR_SEEDS'] ?? '1-12').split('-').map(Number);
  const first = from ?? 1;
  return Array.from({ length: (to ?? first) - first + 1 }, (_, i) => first + i);
}

const CLIENTS = 16;

async function round(seed: number): Promise<void> {
  const draw = generator(seed * 7919);
  const books: Books = { posted: new Map(), wrong: [], whole: 0, own: 0, broken: 0 };
  const member = (socket: Parameters<typeof serve>[0]): void => {
    // Some connections are closed as soon as they are there.
    if (draw(20) === 0) socket.resetAndDestroy();
    else void serve(socket, draw, books);
  };
  const few = draw(3) === 0;
  const options = {
    ...(draw(2) === 0 ? { most: 2 } : {}),
    pool: { queue: draw(2) * 8, retries: draw(3), requestsPerConnection: 1 + draw(10) },
    timeouts: {
      head: 150,
      idle: 150,
      keepAlive: 100,
      connect: 300,
      response: 100,
      queue: 60,
      tunnel: 150,
    },
    ring: {
      ...(few ? { receiving: 16, working: 64 } : {}),
      // As on kernels before 6.17.
      ...(seed % 2 === 0 ? { receiveMode: 'single' as const } : {}),
    },
  };
  await withRawMembers([member, member, member], options, async ({ unit, socket }) => {
    const { binding, driver } = unit;
    let over = 0;
    const talks = Array.from({ length: CLIENTS }, async (_, index) => {
      await new Promise((resolve) => setTimeout(resolve, draw(30)));
      await converse(socket(), draw, index * 100 + 1, books);
      over += 1;
      // A new snapshot.
      const { service } = binding;
      binding.service = { ...service, heads: new Heads(service.heads.limits) };
    });
    await Promise.race([Promise.all(talks), driver.settled(() => over === CLIENTS)]);
    await driver.settled(() => unit.open === 0 && unit.engine.core.exchanges === 0);
    await driver.settled(() => unit.members.every(({ active }) => active === 0));
    assert.equal(books.wrong, [], `seed ${seed}`);
    const twice = [...books.posted].filter(([, times]) => times > 1);
    assert.equal(twice, [], `seed ${seed}: requests that were sent twice`);
    assert.ok(books.whole > 0, `seed ${seed}: ${JSON.stringify({ ...books, posted: 0 })}`);
  });
}

for (const seed of seeds()) {
  uring(`seed ${seed}`, () => round(seed));
}

test.run();

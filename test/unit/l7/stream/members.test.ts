/** How the stream engine reaches a member: other ones, queues, limits, persistence, weights. */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ClientAddress } from '../../../../appliance/l7/client-address.js';
import type { StreamMember } from '../../../../appliance/l7/stream/runtime.js';
import { StreamService } from '../../../../appliance/l7/stream/service.js';
import { close } from '../../../../native/ffi/libc.js';
import { listenTcp, localPort } from '../../../../native/ffi/tcp-socket.js';
import { needs } from '../../../support/needs.js';
import { loopback } from '../../../support/ring-driver.js';
import { PlainPool, plainService } from '../../../support/stream-service.js';
import { withStreams } from '../../../support/stream-stage.js';
import { echo, endOf, readAll } from '../../../support/tcp-peers.js';

const test = suite('members of streams');
const uring = needs.uring(test);

const named =
  (text: string) =>
  (socket: Socket): void => {
    socket.end(text);
  };

uring('where nobody listens the next member is tried, with all that the client said', async () => {
  await withStreams([echo], {}, async ({ unit, client, peers }) => {
    const live = Number(unit.pool('main').members[0]?.key);
    unit.serve({ pools: { main: [await peers.deadPort(), await peers.deadPort(), live] } });
    const socket = client();
    socket.end('said before anybody was there');
    assert.is(String(await readAll(socket)), 'said before anybody was there');
    await unit.over(1);
    assert.is(unit.ended[0]?.attempts, 3);
    assert.is(unit.retries, 2);
    assert.equal(unit.connects, [111, 111, 0], 'errno of each attempt');
    assert.equal(
      unit.pool('main').members.map(({ failures }) => failures),
      [1, 1, 0],
    );
  });
});

uring('after so many retries the client is reset', async () => {
  await withStreams([], { pool: { retries: 1 } }, async ({ unit, client, peers }) => {
    const dead = [await peers.deadPort(), await peers.deadPort(), await peers.deadPort()];
    unit.serve({ pools: { main: dead }, pool: { retries: 1 } });
    assert.is(await endOf(client()), 'ECONNRESET');
    await unit.over(1);
    assert.is(unit.ended[0]?.reason, 'connect-failed');
    assert.is(unit.ended[0]?.attempts, 2);
    assert.is(unit.ended[0]?.member, null);
  });
});

uring('a pool without members resets', async () => {
  await withStreams([], {}, async ({ unit, client }) => {
    assert.is(await endOf(client()), 'ECONNRESET');
    await unit.over(1);
    assert.is(unit.ended[0]?.reason, 'no-member');
  });
});

uring('a member that does not answer in time gives way to the next', async () => {
  // Its backlog is full, so the kernel drops what else comes.
  const mute = listenTcp(loopback(0), 0);
  try {
    await withStreams([named('alive')], {}, async ({ unit, client, peers }) => {
      const port = localPort(mute);
      await once(peers.client(port), 'connect');
      const live = Number(unit.pool('main').members[0]?.key);
      unit.serve({ pools: { main: [port, live] }, timeouts: { connect: 50 } });
      const socket = client();
      assert.is(String(await readAll(socket)), 'alive');
      socket.end();
      await unit.over(1);
      assert.equal(unit.connects, [110, 0]);
    });
  } finally {
    close(mute);
  }
});

uring('a client that goes away while it is connected is forgotten at once', async () => {
  const mute = listenTcp(loopback(0), 0);
  try {
    await withStreams([], {}, async ({ unit, client, peers }) => {
      const port = localPort(mute);
      await once(peers.client(port), 'connect');
      unit.serve({ pools: { main: [port] } });
      const socket = client();
      await unit.driver.settled(() => unit.engine.open === 1);
      socket.resetAndDestroy();
      await unit.over(1);
      assert.is(unit.ended[0]?.reason, 'client-gone');
      assert.is(unit.pool('main').members[0]?.failures, 0, 'the member is not to blame');
    });
  } finally {
    close(mute);
  }
});

uring('who finds no room waits in turn, and goes on when there is some', async () => {
  await withStreams([echo], { most: 1, pool: { queue: 2 } }, async ({ unit, client }) => {
    const first = client();
    first.write('1');
    await once(first, 'data');
    const order: number[] = [];
    const later: Socket[] = [];
    for (const number of [2, 3]) {
      const socket = client();
      later.push(socket);
      socket.end(String(number));
      socket.once('data', () => order.push(number));
      await unit.driver.settled(() => unit.pool('main').waiting.length === number - 1);
    }
    assert.is(await endOf(client()), 'ECONNRESET', 'the queue has no further place');
    assert.is(unit.ended[0]?.reason, 'busy');
    first.end();
    await Promise.all(later.map((socket) => once(socket, 'end')));
    await unit.over(4);
    assert.equal(order, [2, 3]);
  });
});

uring('who waits too long is reset, and who goes away leaves the queue', async () => {
  const options = { most: 1, pool: { queue: 2 }, timeouts: { queue: 60 } };
  await withStreams([echo], options, async ({ unit, client }) => {
    const first = client();
    first.write('1');
    await once(first, 'data');
    assert.is(await endOf(client()), 'ECONNRESET');
    assert.is(unit.ended[0]?.reason, 'busy');
    const leaving = client();
    await unit.driver.settled(() => unit.pool('main').waiting.length === 1);
    leaving.resetAndDestroy();
    await unit.over(2);
    assert.is(unit.pool('main').waiting.length, 0);
    first.end();
    await endOf(first);
    await unit.over(3);
  });
});

uring('limits refuse a connection, and get back each one that they let in', async () => {
  let inside = 0;
  const seen: string[] = [];
  const limits = {
    enter: (_client: number, address: ClientAddress): boolean => {
      seen.push(Buffer.from(address.bytes).toString('hex'));
      if (inside >= 1) return false;
      inside += 1;
      return true;
    },
    leave: (): void => {
      inside -= 1;
    },
    allow: (): boolean => true,
  };
  await withStreams([echo], { limits }, async ({ unit, client }) => {
    const first = client();
    first.write('1');
    await once(first, 'data');
    assert.is(await endOf(client()), 'ECONNRESET');
    first.end();
    await endOf(first);
    await unit.over(2);
    assert.is(inside, 0);
    assert.equal(
      unit.ended.map(({ reason }) => reason),
      ['limit', 'complete'],
    );
    assert.equal(new Set(seen), new Set(['00000000000000000000ffff7f000001']));
  });
});

uring('rates refuse a connection after its route is known', async () => {
  const asked: string[] = [];
  const limits = {
    enter: (): boolean => true,
    leave: (): void => {
      asked.push('left');
    },
    allow: ({ name }: { readonly name: string }): boolean => {
      asked.push(`route ${name}`);
      return false;
    },
  };
  await withStreams([echo], { limits }, async ({ unit, client }) => {
    assert.is(await endOf(client()), 'ECONNRESET');
    await unit.over(1);
    assert.is(unit.ended[0]?.reason, 'limit');
    assert.equal(asked, ['route 1', 'left']);
  });
});

uring('a client stays at its member, and moves for good when that fails', async () => {
  let kept: StreamMember | null = null;
  const sticky = {
    find: (_client: ClientAddress, pool: unknown): StreamMember | null => {
      if (!(pool instanceof PlainPool) || kept === null) return null;
      const member = pool.members.find(({ id }) => id === kept?.id);
      return member !== undefined && pool.take(member) ? member : null;
    },
    learn: (_client: ClientAddress, _pool: unknown, member: StreamMember): void => {
      kept = member;
    },
  };
  await withStreams([named('a'), named('b')], { sticky }, async ({ unit, client, peers }) => {
    const ask = async (): Promise<string> => {
      const socket = client();
      const text = String(await readAll(socket));
      socket.end();
      return text;
    };
    const first = await ask();
    for (let i = 0; i < 4; i += 1) assert.is(await ask(), first, 'the member that it had');
    const [one, two] = unit.pool('main').members;
    const other = Number((first === 'a' ? two : one)?.key);
    const dead = await peers.deadPort();
    unit.serve({ pools: { main: [dead, other] }, sticky });
    kept = unit.pool('main').members[0] ?? null;
    const second = await ask();
    assert.is.not(second, first);
    for (let i = 0; i < 4; i += 1) assert.is(await ask(), second, 'the one that it moved to');
    assert.is(unit.retries, 1, 'the dead one was tried once');
    await unit.over(10);
  });
});

test('pools of a route share by weight, and one of weight 0 gets nothing', () => {
  const plain = plainService({ pools: { a: [1], b: [2], c: [3] } });
  const [route] = plain.service.service.routes;
  if (route === undefined || route.action.kind !== 'pools') throw new Error('no route');
  const action = {
    ...route.action,
    pools: [
      { pool: 'a', weight: 3 },
      { pool: 'b', weight: 1 },
      { pool: 'c', weight: 0 },
    ],
  };
  const service = new StreamService(
    { ...plain.service.service, routes: [{ ...route, action }] },
    { pool: (name) => plain.pools.get(name), sticky: null, limits: null, secure: null },
  );
  const counts = new Map<string, number>();
  const numbers = 4096;
  for (let i = 0; i < numbers; i += 1) {
    const name = service.poolFor(0, i * (2 ** 32 / numbers))?.pool.name ?? 'none';
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  assert.equal(
    [...counts],
    [
      ['a', (numbers * 3) / 4],
      ['b', numbers / 4],
    ],
  );
  assert.is(service.poolFor(0, 2 ** 32 - 1)?.pool.name, 'b');
  assert.is(service.poolFor(7, 0), null, 'a route that there is not');
});

test.run();

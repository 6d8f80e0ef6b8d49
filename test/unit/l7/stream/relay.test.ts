/** The stream engine between real clients and real members: bytes, ends, resets, time limits. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { needs } from '../../../support/needs.js';
import { openDescriptors } from '../../../support/stream-engine.js';
import { withStreams } from '../../../support/stream-stage.js';
import { echo, endOf, readAll } from '../../../support/tcp-peers.js';

const test = suite('streams');
const uring = needs.uring(test);

uring('bytes go to the member and back, and are counted', async () => {
  await withStreams([echo], {}, async ({ unit, client }) => {
    const socket = client();
    await once(socket, 'connect');
    const address = `127.0.0.1 ${socket.localPort ?? 0}`;
    const said = randomBytes(3_000_000);
    socket.end(said);
    assert.ok((await readAll(socket)).equals(said), 'what came back is what was sent');
    await unit.over(1);
    const [ended] = unit.ended;
    assert.is(ended?.reason, 'complete');
    assert.is(ended?.fromClient, said.length);
    assert.is(ended?.toClient, said.length);
    assert.is(ended?.client, address);
    assert.is(ended?.member, unit.pool('main').members[0]?.id);
    assert.is(unit.movedFrom, said.length, 'bytes from the client that were told of');
    assert.is(unit.movedTo, said.length, 'bytes to the client that were told of');
    assert.is(unit.pool('main').members[0]?.bytes, 2 * said.length);
  });
});

uring('a member that speaks first is heard', async () => {
  await withStreams([(socket) => socket.end('220 ready\r\n')], {}, async ({ unit, client }) => {
    const socket = client();
    assert.is(String(await readAll(socket)), '220 ready\r\n');
    socket.end();
    await unit.over(1);
    assert.is(unit.ended[0]?.reason, 'complete');
  });
});

uring('each half ends by itself, whoever ends first', async () => {
  const accepted: Socket[] = [];
  const hold = (socket: Socket): void => {
    accepted.push(socket);
  };
  await withStreams([hold], {}, async ({ unit, client }) => {
    for (const first of ['client', 'member'] as const) {
      const near = client();
      await unit.driver.settled(() => accepted.length > 0);
      const far = accepted.pop();
      if (far === undefined) throw new Error('nobody was accepted');
      const [one, two] = first === 'client' ? [near, far] : [far, near];
      one.end('question');
      assert.is(String(await readAll(two)), 'question', `the ${first} ends first`);
      two.write('answer, ');
      two.end('in parts');
      assert.is(String(await readAll(one)), 'answer, in parts');
    }
    await unit.over(2);
    assert.equal(
      unit.ended.map(({ reason }) => reason),
      ['complete', 'complete'],
    );
  });
});

uring('what a client said before it ended waits until its member is connected', async () => {
  await withStreams([echo], {}, async ({ unit, client }) => {
    const socket = client();
    socket.end('at once');
    assert.is(String(await readAll(socket)), 'at once');
    await unit.over(1);
  });
});

uring('a reset goes through, in both directions', async () => {
  const accepted: Socket[] = [];
  await withStreams([(socket) => accepted.push(socket)], {}, async ({ unit, client }) => {
    for (const victim of ['client', 'member'] as const) {
      const near = client();
      near.write('x');
      await unit.driver.settled(() => accepted.length > 0);
      const far = accepted.pop();
      if (far === undefined) throw new Error('nobody was accepted');
      await once(far, 'data');
      const [cut, other] = victim === 'client' ? [near, far] : [far, near];
      const end = endOf(other);
      cut.resetAndDestroy();
      assert.is(await end, 'ECONNRESET', `after a reset by the ${victim}`);
    }
    await unit.over(2);
    assert.equal(
      unit.ended.map(({ reason }) => reason),
      ['client-reset', 'member-reset'],
    );
  });
});

uring('a connection without a byte for too long is cut on both sides', async () => {
  const ends: Promise<string>[] = [];
  const member = (socket: Socket): void => {
    ends.push(endOf(socket));
  };
  await withStreams([member], { timeouts: { tunnel: 60 } }, async ({ unit, client }) => {
    assert.is(await endOf(client()), 'ECONNRESET');
    await unit.over(1);
    assert.is(unit.ended[0]?.reason, 'idle');
    assert.is(await ends[0], 'ECONNRESET', 'the member hears of it, too');
  });
});

uring('bytes put the time limit off', async () => {
  await withStreams([echo], { timeouts: { tunnel: 400 } }, async ({ unit, client }) => {
    const socket = client();
    const begun = performance.now();
    let count = 0;
    // Each byte comes back before the next one goes, so no pause is longer than a trip and the timer's.
    while (performance.now() - begun < 900) {
      socket.write('x');
      await once(socket, 'data');
      count += 1;
    }
    socket.end();
    await endOf(socket);
    await unit.over(1);
    assert.is(unit.ended[0]?.reason, 'complete', `after ${count} bytes`);
  });
});

uring('single bytes arrive whole, and hold no buffer each', async () => {
  const texts: string[] = [];
  const member = (socket: Socket): void => {
    void readAll(socket).then((bytes) => {
      texts.push(String(bytes));
      socket.end();
    });
  };
  await withStreams([member], {}, async ({ unit, client }) => {
    const sockets = Array.from({ length: 20 }, () => client());
    const text = 'a sentence, letter by letter';
    await Promise.all(sockets.map((socket) => once(socket, 'connect')));
    for (const letter of text) {
      for (const socket of sockets) socket.write(letter);
      await new Promise(setImmediate);
    }
    for (const socket of sockets) socket.end();
    await Promise.all(sockets.map((socket) => endOf(socket)));
    await unit.over(20);
    assert.equal(new Set(texts), new Set([text]));
    assert.is(texts.length, 20);
  });
});

uring('thousands of connections at once are all served', async () => {
  const ring = { slots: 8192, receiving: 2048, size: 4096 };
  await withStreams([echo, echo], { ring }, async ({ unit, client }) => {
    const count = 3000;
    const sockets = Array.from({ length: count }, () => client());
    // All have their answer before the first one ends.
    await Promise.all(
      sockets.map(async (socket, index) => {
        socket.write(`number ${index}`);
        const [part] = (await once(socket, 'data')) as [Buffer];
        assert.is(String(part), `number ${index}`);
      }),
    );
    assert.is(unit.engine.open, count);
    const [one, two] = unit.pool('main').members;
    assert.is(one?.active, count / 2);
    assert.is(two?.active, count / 2);
    await Promise.all(
      sockets.map((socket) => {
        socket.end();
        return endOf(socket);
      }),
    );
    await unit.over(count);
    assert.ok(unit.ended.every(({ reason }) => reason === 'complete'));
  });
});

uring('an engine that is closed leaves no buffer and no descriptor', async () => {
  const before = openDescriptors();
  let ends: Promise<string>[] = [];
  await withStreams([echo], {}, async ({ unit, client }) => {
    const sockets = Array.from({ length: 50 }, () => client());
    for (const socket of sockets) socket.write(randomBytes(100_000));
    await unit.driver.settled(() => unit.connects.length === 50);
    ends = sockets.map((socket) => endOf(socket));
    unit.end();
    assert.ok(unit.ended.every(({ reason }) => reason === 'stopped'));
    for (const end of await Promise.all(ends)) assert.match(end, /^(end|ECONNRESET)$/);
  });
  assert.is(openDescriptors(), before, 'descriptors after all is closed');
});

uring(
  'draining waits for the last connection, and then says so; cut() ends what is left',
  async () => {
    await withStreams([echo], {}, async ({ unit, client }) => {
      const sockets = [client(), client()] as const;
      for (const socket of sockets) {
        socket.write('x');
        await once(socket, 'data');
      }
      unit.engine.drain();
      assert.is(unit.drained, 0);
      sockets[0].end('still served');
      assert.is(String(await readAll(sockets[0])), 'still served');
      await unit.over(1);
      assert.is(unit.drained, 0, 'one is left');
      const end = endOf(sockets[1]);
      unit.engine.cut();
      assert.is(unit.drained, 1);
      assert.is(await end, 'ECONNRESET');
      assert.is(unit.ended[1]?.reason, 'stopped');
    });
  },
);

uring('a connection keeps the members of the snapshot that it began with', async () => {
  const name = (text: string) => (socket: Socket) => {
    socket.on('data', () => socket.write(text));
    socket.on('end', () => socket.end());
  };
  await withStreams([name('old')], {}, async ({ unit, client, peers }) => {
    const ask = async (socket: Socket): Promise<string> => {
      socket.write('?');
      const [part] = (await once(socket, 'data')) as [Buffer];
      return String(part);
    };
    const before = client();
    assert.is(await ask(before), 'old');
    unit.serve({ pools: { main: [await peers.serve(name('new'))] } });
    const after = client();
    assert.is(await ask(after), 'new');
    assert.is(await ask(before), 'old');
    before.end();
    after.end();
    await unit.over(2);
  });
});

test.run();

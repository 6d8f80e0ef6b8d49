/** Clients and members that do what they should not, or at the wrong moment. */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { heardOf, withRawMembers } from '../../../support/http-stage.js';
import { needs } from '../../../support/needs.js';

const test = suite('HTTP engine, hostile');
const uring = needs.uring(test);

const get = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

/** Answers whatever comes once its text matches. */
function answersWhen(what: RegExp, answer: string): (socket: Socket) => void {
  return (socket) => {
    let text = '';
    socket.on('data', (piece: Buffer) => {
      text += piece.toString('latin1');
      if (!what.test(text)) return;
      text = '';
      socket.write(answer);
    });
    socket.on('end', () => socket.end());
  };
}

uring('the largest body is that of requests: answers in chunks may be longer', async () => {
  const body = 'x'.repeat(50);
  const answer = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n32\r\n${body}\r\n0\r\n\r\n`;
  await withRawMembers(
    [answersWhen(/\r\n\r\n/, answer)],
    { limits: { body: 10 } },
    async ({ socket }) => {
      const client = socket();
      client.write(get.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'));
      const { text, cut } = await heardOf(client);
      assert.match(text, body);
      assert.not(cut);
    },
  );
});

uring('a client that takes its time with the body is no failure of the member', async () => {
  await withRawMembers(
    [answersWhen(/\r\n\r\n1234567890$/, ok)],
    { timeouts: { response: 500 }, pool: { retries: 0 } },
    async ({ socket, unit }) => {
      const client = socket();
      client.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345');
      await delay(1200);
      client.end('67890');
      assert.match((await heardOf(client)).text, /^HTTP\/1\.1 200 OK\r\n/);
      assert.is(unit.members[0]?.failures, 0);
    },
  );
});

uring('bytes that come before the request are no answer to it', async () => {
  const members: Socket[] = [];
  const serve = (socket: Socket): void => {
    members.push(socket);
    answersWhen(/\r\n\r\n$/, ok)(socket);
  };
  await withRawMembers([serve], {}, async ({ socket, unit }) => {
    const client = socket();
    let text = '';
    client.on('data', (piece: Buffer) => (text += piece.toString()));
    client.write(get);
    await unit.driver.settled(() => text.endsWith('ok') && unit.members[0]?.idleCount === 1);
    text = '';
    // Both are there before the engine's next turn, the request first.
    client.write(get);
    members[0]?.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen');
    await unit.driver.settled(() => /ok$|stolen$/.test(text));
    assert.ok(text.endsWith('\r\n\r\nok'), text);
    assert.is(members.length, 2, 'the request went on a new connection');
    client.end();
  });
});

uring('nobody switches protocols before the request is whole', async () => {
  const answer =
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\nhi';
  await withRawMembers(
    [answersWhen(/\r\n\r\n/, answer)],
    { rules: { upgrade: 'any' } },
    async ({ socket }) => {
      const client = socket();
      client.write(
        'POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: other\r\nContent-Length: 10\r\n\r\n12345',
      );
      assert.match((await heardOf(client)).text, /^HTTP\/1\.1 502 /);
    },
  );
});

uring('a tunnel after a request in chunks is not in chunks', async () => {
  let heard = '';
  const serve = (socket: Socket): void => {
    let open = false;
    socket.on('data', (piece: Buffer) => {
      heard += piece.toString();
      if (open || !heard.endsWith('0\r\n\r\n')) return;
      open = true;
      heard = '';
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\nhi',
      );
    });
    socket.on('end', () => socket.end());
  };
  await withRawMembers([serve], { rules: { upgrade: 'any' } }, async ({ socket }) => {
    const client = socket();
    client.write(
      'POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: other\r\n' +
        'Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
    );
    await once(client, 'data');
    client.end('raw bytes');
    await heardOf(client);
    assert.is(heard, 'raw bytes');
  });
});

uring('a client may end right after its request and still get the answer', async () => {
  await withRawMembers([answersWhen(/12345$/, ok)], {}, async ({ socket }) => {
    const client = socket();
    client.end('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12345');
    assert.match((await heardOf(client)).text, /^HTTP\/1\.1 200 OK\r\n[^]*ok$/);
  });
});

for (const [what, rest] of [
  ['head', 'GET / HTTP/1.1\r\nHo'],
  ['body', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345'],
] as const) {
  uring(`a client that ends in the ${what} of its second request ends at once`, async () => {
    await withRawMembers([answersWhen(/^GET [^]*\r\n\r\n$/, ok)], {}, async ({ socket, unit }) => {
      const client = socket();
      client.end(get + rest);
      const { text } = await heardOf(client);
      assert.ok(text.startsWith('HTTP/1.1 200 OK\r\n'), text);
      assert.not.match(text, / 408 /);
      await unit.driver.settled(() => unit.open === 0);
      assert.is(unit.members[0]?.failures, 0);
    });
  });
}

uring(
  'a worker without a slot for a connection to the member does not blame the member',
  async () => {
    await withRawMembers(
      [answersWhen(/\r\n\r\n$/, ok)],
      { ring: { slots: 4 } },
      async ({ socket, unit }) => {
        const clients = [socket(), socket(), socket(), socket()];
        await unit.driver.settled(() => unit.open === 4);
        const [client] = clients;
        assert.ok(client !== undefined);
        client.write(get.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'));
        assert.match((await heardOf(client)).text, /^HTTP\/1\.1 503 /);
        assert.is(unit.members[0]?.failures, 0);
      },
    );
  },
);

uring('a request that waited for a member has its time for the body', async () => {
  const held: Socket[] = [];
  const serve = (socket: Socket): void => {
    let text = '';
    socket.on('data', (piece: Buffer) => {
      text += piece.toString();
      if (text.startsWith('GET')) held.push(socket);
      else if (text.endsWith('12345')) socket.write(ok);
      if (text.startsWith('GET')) text = '';
    });
  };
  const options = { most: 1, pool: { queue: 2 }, timeouts: { queue: 1000 } };
  await withRawMembers([serve], options, async ({ socket, unit }) => {
    const first = socket();
    first.write(get);
    await unit.driver.settled(() => held.length === 1);
    const second = socket();
    second.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12');
    const list = unit.binding.service.routes[0]?.poolFor(0)?.waiting;
    await unit.driver.settled(() => list?.length === 1);
    held[0]?.write(ok);
    await unit.driver.settled(() => list?.length === 0);
    await delay(1200);
    second.end('345');
    assert.match((await heardOf(second)).text, /^HTTP\/1\.1 200 OK\r\n/);
  });
});

uring('clients that send their heads slowly keep no receive buffer', async () => {
  await withRawMembers(
    [answersWhen(/\r\n\r\n$/, ok)],
    { ring: { receiving: 16, working: 256 } },
    async ({ socket, unit }) => {
      const slow = Array.from({ length: 60 }, socket);
      for (const client of slow) client.write('GET /slow HTTP/1.1\r\nHo');
      await unit.driver.settled(() => unit.open === 60);
      const client = socket();
      client.write(get.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'));
      assert.match((await heardOf(client)).text, /^HTTP\/1\.1 200 OK\r\n/);
      assert.equal(unit.refusals, [], 'nobody had to be refused for it');
      for (const one of slow) one.write('st: a\r\nConnection: close\r\n\r\n');
      for (const one of slow) {
        assert.match((await heardOf(one)).text, /^HTTP\/1\.1 200 OK\r\n[^]*ok$/);
      }
    },
  );
});

for (const from of ['client', 'member'] as const) {
  uring(`a tunnel in which only the ${from} speaks lives on`, async () => {
    const speak = async (socket: Socket): Promise<void> => {
      for (let i = 0; i < 15; i += 1) {
        socket.write('.');
        await delay(100);
      }
    };
    let heard = '';
    const serve = (socket: Socket): void => {
      socket.once('data', () => {
        socket.on('data', (piece: Buffer) => (heard += piece.toString()));
        socket.on('end', () => socket.end('bye'));
        socket.write(
          'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
        );
        if (from === 'member') void speak(socket);
      });
    };
    await withRawMembers([serve], { timeouts: { tunnel: 1000 } }, async ({ socket }) => {
      const client = socket();
      client.write(
        'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
          'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n',
      );
      await once(client, 'data');
      const all = heardOf(client);
      if (from === 'client') await speak(client);
      else await delay(1500);
      client.end();
      const { text, cut } = await all;
      assert.not(cut, 'the tunnel was not cut');
      assert.match(text, /bye$/);
      if (from === 'client') assert.is(heard, '.'.repeat(15));
    });
  });
}

uring(
  'a client that asks and does not read holds a window, and gets all when it reads',
  async () => {
    const count = 60_000;
    const asks = 'OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n'.repeat(count);
    await withRawMembers([answersWhen(/x/, ok)], {}, async ({ socket, unit }) => {
      const client = socket();
      client.pause();
      client.write(asks);
      client.end();
      const { output } = unit.engine.core.connections;
      let most = 0;
      let turns = 0;
      let answered = -1;
      await unit.driver.settled(() => {
        most = Math.max(most, ...output.buffers);
        // Nothing moves any more: the client's window is full.
        turns = unit.ended.length === answered ? turns + 1 : 0;
        answered = unit.ended.length;
        return turns > 100 && answered > 1000;
      });
      assert.ok(answered < count, `all ${answered} were answered while nobody read`);
      assert.ok(most <= 18, `${most} buffers wait for one client`);
      client.resume();
      const { text } = await heardOf(client);
      assert.is(text.split('HTTP/1.1 200 OK').length - 1, count);
    });
  },
);

uring('a flood of interim answers is no answer', async () => {
  const flood = 'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(1000);
  await withRawMembers(
    [answersWhen(/\r\n\r\n$/, flood)],
    { pool: { retries: 0 } },
    async ({ socket }) => {
      const client = socket();
      client.write(get.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'));
      const { text } = await heardOf(client);
      assert.is(text.split(' 103 ').length - 1, 64);
      assert.match(text, /HTTP\/1\.1 502 Bad Gateway\r\n/);
    },
  );
});

uring('a mirror that hangs takes no slots from clients', async () => {
  const copies: Socket[] = [];
  const mirror = createServer((socket) => {
    copies.push(socket);
    socket.on('error', () => socket.destroy());
  });
  mirror.listen(0, '127.0.0.1');
  await once(mirror, 'listening');
  try {
    const options = {
      mirror: (mirror.address() as AddressInfo).port,
      ring: { slots: 32 },
    };
    await withRawMembers([answersWhen(/\r\n\r\n$/, ok)], options, async ({ socket, unit }) => {
      const client = socket();
      let text = '';
      client.on('data', (piece: Buffer) => (text += piece.toString()));
      for (let i = 1; i <= 60; i += 1) {
        client.write(get);
        await unit.driver.settled(() => text.split('HTTP/1.1').length > i && /ok$/.test(text));
      }
      assert.not.match(text, /HTTP\/1\.1 5/);
      assert.is(unit.engine.core.copies, 4, 'copies wait for the mirror');
      client.end();
      for (const copy of copies) copy.destroy();
      mirror.close();
      await unit.driver.settled(() => unit.engine.core.copies === 0);
    });
  } finally {
    for (const copy of copies) copy.destroy();
    mirror.close();
  }
});

test.run();

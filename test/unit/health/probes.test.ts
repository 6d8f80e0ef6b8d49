/** The tcp and http probes against real servers on the loopback interface. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Cancellation } from '../../../appliance/health/cancellation.js';
import { probeHttp, type HttpSettings } from '../../../appliance/health/http.js';
import { probeTcp } from '../../../appliance/health/tcp.js';

const never = new Cancellation();

interface Running {
  readonly port: number;
  readonly requests: string[];
}

/** Runs `work` with a server that handles connections as told; the server is gone afterwards. */
async function withServer(
  handle: (socket: Socket, request: string) => void,
  work: (server: Running) => Promise<void>,
  options: { readonly host?: string; readonly onConnect?: (socket: Socket) => void } = {},
): Promise<void> {
  const sockets = new Set<Socket>();
  const requests: string[] = [];
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    // A probe ends with a reset: that is no error of the test.
    socket.on('error', () => socket.destroy());
    options.onConnect?.(socket);
    socket.once('data', (data) => {
      requests.push(data.toString());
      handle(socket, data.toString());
    });
  });
  await new Promise<void>((resolve) => server.listen(0, options.host ?? '127.0.0.1', resolve));
  try {
    await work({ port: (server.address() as AddressInfo).port, requests });
  } finally {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
}

const settings: HttpSettings = {
  timeout: 300,
  path: '/healthz',
  method: 'GET',
  expect: [[200, 299]],
};

function ask(port: number, more: Partial<HttpSettings> = {}): ReturnType<typeof probeHttp> {
  return probeHttp({ address: '127.0.0.1', port }, { ...settings, ...more }, never);
}

const good = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nalive';

/** What the server writes, what it does then, and what the probe must say. */
const answers: readonly {
  readonly what: string;
  readonly write: string;
  readonly then?: 'end' | 'reset';
  readonly more?: Partial<HttpSettings>;
  readonly outcome: 'pass' | 'fail';
  readonly reason: string;
}[] = [
  { what: 'expected status', write: good, outcome: 'pass', reason: 'status 200' },
  {
    what: 'wrong status',
    write: 'HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n',
    outcome: 'fail',
    reason: 'status 503, expected 200-299',
  },
  {
    what: 'status outside of several ranges',
    write: 'HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n',
    more: {
      expect: [
        [200, 299],
        [404, 404],
      ],
    },
    outcome: 'fail',
    reason: 'status 302, expected 200-299, 404',
  },
  {
    what: 'an interim answer before the final one',
    write: `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${good}`,
    outcome: 'pass',
    reason: 'status 200',
  },
  {
    what: 'chunked body',
    write: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nalive\r\n0\r\n\r\n',
    more: { body: 'alive' },
    outcome: 'pass',
    reason: 'status 200',
  },
  {
    what: 'body lacks the text',
    write: good,
    more: { body: 'well' },
    outcome: 'fail',
    reason: 'status 200, but the body lacks the expected text',
  },
  {
    what: 'body until the connection ends',
    write: 'HTTP/1.0 200 OK\r\n\r\nalive',
    then: 'end',
    outcome: 'pass',
    reason: 'status 200',
  },
  {
    what: 'body beyond the limit',
    write: `HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n${'x'.repeat(70_000)}`,
    outcome: 'pass',
    reason: 'status 200',
  },
  {
    what: 'huge header',
    write: `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`,
    outcome: 'fail',
    reason: 'header larger than 16 KiB',
  },
  {
    what: 'not HTTP',
    write: 'SSH-2.0-OpenSSH_9.2\r\n',
    outcome: 'fail',
    reason: 'the answer is not HTTP/1',
  },
  {
    what: 'closed without an answer',
    write: '',
    then: 'end',
    outcome: 'fail',
    reason: 'connection closed without an answer',
  },
  {
    what: 'reset without an answer',
    write: '',
    then: 'reset',
    outcome: 'fail',
    reason: 'connection reset',
  },
  {
    what: 'reset in the middle',
    write: 'HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf',
    then: 'reset',
    outcome: 'fail',
    reason: 'connection reset',
  },
  {
    what: 'closed in the middle',
    write: 'HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf',
    then: 'end',
    outcome: 'fail',
    reason: 'status 200, but the connection broke in the middle of the answer',
  },
  {
    what: 'no answer',
    write: '',
    outcome: 'fail',
    reason: 'connected, but no answer within 300ms',
  },
  {
    what: 'body that never ends',
    write: 'HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf',
    outcome: 'fail',
    reason: 'status 200, but not the whole answer within 300ms',
  },
];

for (const { what, write, then, more, outcome, reason } of answers) {
  test(`http: ${what}`, async () => {
    await withServer(
      (socket) => {
        const after = (): void => {
          if (then === 'end') socket.end();
          // The bytes written before must not be thrown away with the reset.
          if (then === 'reset') setTimeout(() => socket.resetAndDestroy(), 20);
        };
        if (write === '') after();
        else socket.write(write, after);
      },
      async ({ port }) => {
        const result = await ask(port, more);
        assert.is(`${result.outcome}: ${result.reason}`, `${outcome}: ${reason}`);
        assert.is(result.latencyMs === undefined, outcome === 'fail');
      },
    );
  });
}

test('http: a header that drips in is cut off at the timeout, not later', async () => {
  let timer: NodeJS.Timeout | undefined;
  await withServer(
    (socket) => {
      socket.write('HTTP/1.1 200 OK\r\n');
      timer = setInterval(() => socket.write('X: y\r\n'), 20);
    },
    async ({ port }) => {
      const started = performance.now();
      const result = await ask(port);
      clearInterval(timer);
      assert.is(result.reason, 'connected, but no answer within 300ms');
      assert.ok(performance.now() - started >= 299);
    },
  );
});

test('http: the request is what the settings say', async () => {
  await withServer(
    (socket) => socket.end(good),
    async ({ port, requests }) => {
      await ask(port, { host: 'shop.example', headers: { 'X-Check': 'yes' }, method: 'OPTIONS' });
      await ask(port);
      const [first = '', second = ''] = requests;
      assert.match(first, /^OPTIONS \/healthz HTTP\/1\.1\r\n/);
      assert.match(first, /\r\nHost: shop\.example\r\n/);
      assert.match(first, /\r\nX-Check: yes\r\n/);
      assert.match(first, /\r\nConnection: close\r\n/);
      assert.match(second, new RegExp(`\\r\\nHost: 127\\.0\\.0\\.1:${port}\\r\\n`));
    },
  );
});

test('http: HEAD has no body to wait for', async () => {
  await withServer(
    (socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n'),
    async ({ port }) => assert.is((await ask(port, { method: 'HEAD' })).reason, 'status 200'),
  );
});

test('http: an IPv6 member', async () => {
  await withServer(
    (socket) => socket.end(good),
    async ({ port, requests }) => {
      const result = await probeHttp({ address: '::1', port }, settings, never);
      assert.is(result.reason, 'status 200');
      assert.match(requests[0] ?? '', new RegExp(`\\r\\nHost: \\[::1\\]:${port}\\r\\n`));
    },
    { host: '::1' },
  );
});

/** A port that nothing listens on: one that was just given back. */
async function closedPort(): Promise<number> {
  let port = 0;
  await withServer(
    () => undefined,
    (server) => {
      port = server.port;
      return Promise.resolve();
    },
  );
  return port;
}

test('http: connection refused', async () => {
  const result = await ask(await closedPort());
  assert.equal(result, { outcome: 'fail', reason: 'connection refused' });
});

test('tcp: connected, refused, nobody there', async () => {
  const probe = (port: number): ReturnType<typeof probeTcp> =>
    probeTcp({ address: '127.0.0.1', port }, { timeout: 300 }, never);
  await withServer(
    () => undefined,
    async ({ port }) => {
      const result = await probe(port);
      assert.is(`${result.outcome}: ${result.reason}`, 'pass: connected');
      assert.type(result.latencyMs, 'number');
    },
  );
  assert.equal(await probe(await closedPort()), { outcome: 'fail', reason: 'connection refused' });
});

test('tcp: what is sent and expected', async () => {
  const probe = (port: number, receive?: string): ReturnType<typeof probeTcp> =>
    probeTcp(
      { address: '127.0.0.1', port },
      { timeout: 300, send: 'PING\r\n', ...(receive === undefined ? {} : { receive }) },
      never,
    );
  await withServer(
    (socket) => {
      // In two pieces, so that the text spans them.
      socket.write('+PO');
      setTimeout(() => socket.write('NG\r\n'), 20);
    },
    async ({ port, requests }) => {
      assert.is((await probe(port, '+PONG')).reason, 'expected answer');
      assert.is(
        (await probe(port, 'no')).reason,
        'connected, but not the expected answer within 300ms',
      );
      assert.is(requests[0], 'PING\r\n');
    },
  );
  await withServer(
    (socket) => socket.end('-ERR'),
    async ({ port }) =>
      assert.is(
        (await probe(port, '+PONG')).reason,
        'connection closed without the expected answer',
      ),
  );
  await withServer(
    (socket) => socket.write('x'.repeat(100_000)),
    async ({ port }) =>
      assert.is(
        (await probe(port, '+PONG')).reason,
        'the expected text is not in the first 64 KiB',
      ),
  );
});

test('a cancelled probe ends at once and says nothing', async () => {
  await withServer(
    () => undefined,
    async ({ port }) => {
      const cancellation = new Cancellation();
      const probe = probeHttp(
        { address: '127.0.0.1', port },
        { ...settings, timeout: 60_000 },
        cancellation,
      );
      setImmediate(() => cancellation.cancel());
      assert.is((await probe).outcome, 'inconclusive');
    },
  );
});

/** Of nobody else's connections: other tests run beside this one, and ports come again. */
const APART = '127.0.77.1';

/** Sockets of a port of that address in TIME_WAIT (state 06), from /proc/net/tcp. */
function timeWaits(port: number): number {
  // As the kernel writes it: the address as a number of this machine.
  const place = `014D007F:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, remote, state]) => [local, remote].includes(place) && state === '06').length;
}

test('probes leave no TIME_WAIT behind', async () => {
  await withServer(
    (socket) => socket.write(good),
    async ({ port }) => {
      const target = { address: APART, port };
      for (let round = 0; round < 10; round += 1) {
        assert.is((await probeHttp(target, settings, never)).reason, 'status 200');
        await probeTcp(target, { timeout: 300 }, never);
      }
      assert.is(timeWaits(port), 0);
      const polite = connect(port, APART).resume();
      await once(polite, 'connect');
      polite.end();
      await once(polite, 'close');
      assert.is(timeWaits(port), 1, 'one that closes without a reset is seen');
    },
    { host: APART },
  );
});

test.run();

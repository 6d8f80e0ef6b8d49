/** Where OpenSSL is not as it is expected: what is to be secret fails, what is plain is served. */
import { once } from 'node:events';
import { createServer, get, type IncomingMessage } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { TlsError } from '../../../../native/ffi/tls-error.js';
import { listenTcp, localPort } from '../../../../native/ffi/tcp-socket.js';
import type { L7Pool, L7Service } from '../../../../appliance/l7/tables.js';
import { RowRegistry, rowNames } from '../../../../appliance/l7/telemetry/row-registry.js';
import { ENGINE_TIMERS, type EngineEvent } from '../../../../appliance/l7/worker/engine.js';
import {
  type MemorySizes,
  OwnMemory,
  ownBytes,
  prepareShared,
  SharedMemory,
  sharedBytes,
} from '../../../../appliance/l7/worker/memory.js';
import { Traffic } from '../../../../appliance/l7/worker/traffic.js';
import { heardOf } from '../../../support/http-stage.js';
import { poolWith, routeTo, serviceAt, tablesOf } from '../../../support/l7-tables.js';
import { needs } from '../../../support/needs.js';
import { loopback, RingDriver } from '../../../support/ring-driver.js';
import { memberTls, tls } from '../../../support/tls-workers.js';

const test = suite('workers without TLS');
const uring = needs.uring(test);

const SLOTS = 64;
const sizes: MemorySizes = {
  rows: 64,
  workers: 4,
  sticky: 64,
  sessions: 16,
  clients: 64,
  log: 4096,
};
const WHY = 'this OpenSSL keeps memory BIOs in another way than is expected';

interface Unit {
  readonly ports: ReadonlyMap<string, number>;
  readonly events: EngineEvent[];
}

/** A worker's traffic whose OpenSSL fails, with these services. */
async function serving(
  services: readonly Partial<L7Service>[],
  pools: readonly L7Pool[],
  work: (unit: Unit) => Promise<void>,
): Promise<void> {
  const driver = new RingDriver({ size: 16_384, slots: SLOTS, timers: SLOTS + ENGINE_TIMERS });
  const shared = new ArrayBuffer(sharedBytes(sizes));
  prepareShared(sizes, shared, Int32Array.of(1, 2));
  const events: EngineEvent[] = [];
  const traffic = new Traffic({
    loop: driver.loop,
    own: new OwnMemory(sizes, shared, new ArrayBuffer(ownBytes(sizes))),
    shared: new SharedMemory(sizes, shared, 0),
    worker: 0,
    newTls: () => {
      throw new TlsError(WHY, '');
    },
    tell: (event) => events.push(event),
  });
  try {
    const ports = new Map<string, number>();
    const listening = services.map((facts) => {
      const fd = listenTcp(loopback(0), 16);
      const service = serviceAt(localPort(fd), facts);
      ports.set(service.name, service.port);
      return { fd, service };
    });
    const tables = tablesOf(
      listening.map(({ service }) => service),
      pools,
    );
    const { rows } = new RowRegistry(sizes.rows).assign(rowNames(tables));
    traffic.apply({ ...tables, number: 1, rows, logs: new Map() });
    for (const { fd, service } of listening) {
      traffic.listen(service.name, driver.loop.adopt(fd, 16));
    }
    driver.serve(traffic);
    await work({ ports, events });
  } finally {
    driver.end();
    traffic.close();
  }
}

/** Says this on a connection of its own, and hears until the end. */
async function say(port: number | undefined, text: string): Promise<string> {
  const socket: Socket = connect({ port: port ?? 0, host: '127.0.0.1' });
  socket.write(text);
  return (await heardOf(socket)).text;
}

async function statusOf(port: number | undefined): Promise<number | undefined> {
  const asked = get({ port, host: '127.0.0.1', agent: false });
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  response.resume();
  await once(response, 'end');
  return response.statusCode;
}

uring(
  'plain services are served; those with TLS answer with an alert and nothing else',
  async () => {
    let asked = 0;
    const member = createServer((_asked, response) => {
      asked += 1;
      response.end('member');
    }).listen(0, '127.0.0.1');
    await once(member, 'listening');
    const { port } = member.address() as AddressInfo;
    try {
      const services: Partial<L7Service>[] = [
        { name: 'plain' },
        { name: 'secure', tls },
        { name: 'stream', protocol: 'tcp', tls: { ...tls, alpn: [] } },
        { name: 'behind', tls, proxyProtocol: 'accept' },
        { name: 'onward', routes: [routeTo('secret')] },
      ];
      const pools = [poolWith([port]), poolWith([port], { name: 'secret', tls: memberTls })];
      await serving(services, pools, async ({ ports, events }) => {
        assert.is(await statusOf(ports.get('plain')), 200);
        assert.is(asked, 1);
        const request = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
        const internalError = '\x15\x03\x03\x00\x02\x02\x50';
        assert.is(await say(ports.get('secure'), request), internalError, 'https');
        assert.is(await say(ports.get('stream'), request), internalError, 'tls');
        const proxied = `PROXY TCP4 192.0.2.1 192.0.2.2 1000 443\r\n${request}`;
        assert.is(await say(ports.get('behind'), proxied), internalError, 'behind a PROXY header');
        assert.is(await statusOf(ports.get('onward')), 502, 'a pool with TLS');
        assert.is(asked, 1, 'no member was asked in the clear');
        assert.is(await statusOf(ports.get('plain')), 200, 'plain ones go on');
        const told = events.map((event) => (event.kind === 'trouble' ? event.message : event.kind));
        assert.equal(told.slice(0, 1), [
          `a worker has no TLS, so services and pools with it fail: ${WHY}`,
        ]);
        assert.match(told.slice(1).join('\n'), /^no TLS with the member 127\.0\.0\.1 .*$/);
      });
    } finally {
      member.close();
    }
  },
);

uring('where nothing needs TLS, nobody hears of it', async () => {
  await serving([{ name: 'plain', routes: [] }], [], async ({ ports, events }) => {
    assert.is(await statusOf(ports.get('plain')), 404);
    assert.equal(events, []);
  });
});

test.run();

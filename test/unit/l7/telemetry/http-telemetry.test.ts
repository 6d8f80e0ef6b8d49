/** Counters and the access log of the HTTP engine, between real clients and real members. */
import { once } from 'node:events';
import { Agent, createServer, request, type RequestListener, type Server } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Exchange } from '../../../../appliance/l7/http/exchange.js';
import type { EndReason } from '../../../../appliance/l7/http/observer.js';
import type { HttpMember, HttpService } from '../../../../appliance/l7/http/runtime.js';
import type { Fault } from '../../../../appliance/l7/http1/faults.js';
import {
  counterRegion,
  counterRegionBytes,
} from '../../../../appliance/l7/telemetry/counter-layout.js';
import { CounterReader } from '../../../../appliance/l7/telemetry/counter-reader.js';
import { HttpTelemetry } from '../../../../appliance/l7/telemetry/http-telemetry.js';
import {
  LogRing,
  logRingBytes,
  LogRingReader,
} from '../../../../appliance/l7/telemetry/log-ring.js';
import { rowName, RowRegistry } from '../../../../appliance/l7/telemetry/row-registry.js';
import {
  serviceTraffic,
  trafficOf,
  type L7Traffic,
} from '../../../../appliance/l7/telemetry/views.js';
import { WorkerCounters } from '../../../../appliance/l7/telemetry/worker-counters.js';
import { EngineDriver, type EngineOptions } from '../../../support/http-engine.js';
import { needs } from '../../../support/needs.js';

const test = suite('l7 telemetry: HTTP engine');
const uring = needs.uring(test);
const ROOM = 65_536;
const TARGET = 7;
/** Before anything was counted. */
const NEVER = { time: 0, rows: new Map<string, Float64Array>() };

/** The engine with telemetry behind the test's own observer. */
class Unit extends EngineDriver {
  readonly telemetry: HttpTelemetry;
  readonly #region = counterRegion(new ArrayBuffer(counterRegionBytes(16)), 0, 16);
  readonly #reader = new CounterReader();
  readonly #rows: ReadonlyMap<string, number>;
  readonly #log: LogRingReader;

  constructor(options: EngineOptions) {
    super(options);
    const memory = new ArrayBuffer(logRingBytes(ROOM));
    const ring = new LogRing(memory, 0, ROOM);
    this.#log = new LogRingReader(memory, 0, ROOM);
    this.telemetry = new HttpTelemetry(new WorkerCounters(this.#region), ring, 1);
    this.telemetry.attach(this.engine.core);
    const names = [
      rowName.service('web'),
      rowName.route('web', '1'),
      ...this.members.map(({ id }) => rowName.member(id)),
    ];
    const changes = new RowRegistry(16).assign(names);
    this.#reader.assigned(changes, [this.#region]);
    this.#rows = changes.rows;
    this.adopt();
  }

  adopt(): void {
    this.telemetry.adopt(this.binding.service, this.#rows, TARGET);
    for (const member of this.members) this.telemetry.adoptMember(member, this.#rows);
  }

  of(name: string): L7Traffic {
    return trafficOf(NEVER, this.#reader.read([this.#region], 1000), [name]);
  }
  service(): L7Traffic {
    return serviceTraffic(NEVER, this.#reader.read([this.#region], 1000), 'web');
  }
  lines(): Record<string, unknown>[] {
    const lines: Record<string, unknown>[] = [];
    this.#log.drain({
      line(target, bytes, start, end) {
        assert.is(target, TARGET);
        const text = Buffer.from(bytes.subarray(start, end)).toString();
        lines.push(JSON.parse(text) as Record<string, unknown>);
      },
    });
    return lines;
  }

  override accepted(service?: HttpService): void {
    super.accepted();
    if (service !== undefined) this.telemetry.accepted(service);
  }
  override closed(service?: HttpService): void {
    super.closed();
    if (service !== undefined) this.telemetry.closed(service);
  }
  override refused(service: HttpService, fault: Fault): void {
    super.refused(service, fault);
    this.telemetry.refused(service, fault);
  }
  override finished(exchange: Exchange, reason: EndReason): void {
    super.finished(exchange, reason);
    this.telemetry.finished(exchange, reason);
  }
  override connected(member?: HttpMember, errno = 0): void {
    super.connected();
    if (member !== undefined) this.telemetry.connected(member, errno);
  }
  override reused(member?: HttpMember): void {
    super.reused();
    if (member !== undefined) this.telemetry.reused(member);
  }
  override retried(member?: HttpMember): void {
    super.retried();
    if (member !== undefined) this.telemetry.retried(member);
  }
}

interface Stage {
  readonly unit: Unit;
  readonly ask: (path: string, options?: { body?: string; agent?: string }) => Promise<number>;
  readonly talk: (text: string) => Promise<string>;
}

async function withUnit(
  members: readonly RequestListener[],
  work: (stage: Stage) => Promise<void>,
  options: Partial<EngineOptions> = {},
): Promise<void> {
  const servers: Server[] = [];
  const agent = new Agent({ keepAlive: true });
  const sockets: Socket[] = [];
  let unit: Unit | null = null;
  try {
    for (const member of members) {
      const server = createServer(member).listen(0, '127.0.0.1');
      await once(server, 'listening');
      servers.push(server);
    }
    const made = new Unit({
      ...options,
      ports: servers.map((server) => (server.address() as AddressInfo).port),
      service: {
        accessLog: { format: 'json', to: '/x', sample: 1, rotateSize: 0, rotateKeep: 0 },
      },
    });
    unit = made;
    const ask: Stage['ask'] = (path, options = {}) =>
      new Promise((resolve, reject) => {
        const headers = { 'user-agent': options.agent ?? 'test', cookie: 'secret' };
        const method = options.body === undefined ? 'GET' : 'POST';
        const asked = request(
          { host: '127.0.0.1', port: made.port, path, method, headers, agent },
          (answer) => {
            answer.resume().on('end', () => resolve(answer.statusCode ?? 0));
            answer.on('error', reject);
          },
        );
        asked.on('error', reject);
        asked.end(options.body);
      });
    const talk = async (text: string): Promise<string> => {
      const socket = connect(made.port, '127.0.0.1');
      sockets.push(socket);
      let seen = '';
      socket.setEncoding('utf8').on('data', (part: string) => (seen += part));
      socket.write(text);
      await once(socket, 'close');
      return seen;
    };
    await work({ unit: made, ask, talk });
  } finally {
    agent.destroy();
    for (const socket of sockets) socket.destroy();
    for (const server of servers) {
      server.closeAllConnections();
      server.close();
    }
    unit?.end();
  }
}

uring('requests are counted for service, route and member, and each has its line', async () => {
  const begun = Date.now();
  await withUnit(
    [
      (asked, answer) => {
        asked.resume().on('end', () => {
          answer.statusCode = asked.url === '/bad' ? 503 : 200;
          answer.end('x'.repeat(1000));
        });
      },
    ],
    async ({ unit, ask }) => {
      assert.is(await ask('/a?b=c'), 200);
      assert.is(await ask('/up', { body: 'hello' }), 200);
      assert.is(await ask('/bad', { agent: 'odd "one"\t\u00e9' }), 503);
      const id = unit.members[0]?.id ?? '';
      for (const name of ['service/web', 'route/web/1', `member/${id}`]) {
        const { totals, latency, underWay } = unit.of(name);
        assert.is(totals.requests, 3, name);
        assert.is(totals.responses['2xx'], 2, name);
        assert.is(totals.responses['5xx'], 1, name);
        assert.is(totals.bytesIn, 5, name);
        assert.is(totals.bytesOut, 3000, name);
        assert.is(underWay, 0, name);
        assert.ok(
          latency !== null && latency.p50 > 0 && latency.max < 10_000,
          `${name}: ${JSON.stringify(latency)}`,
        );
      }
      assert.is(unit.service().totals.connections, 1);
      assert.is(unit.service().active, 1);
      const { connects } = unit.of(`member/${id}`).totals;
      assert.equal(connects, { ok: 1, failed: 0, reused: 2 });
      const lines = unit.lines();
      assert.equal(
        lines.map((line) => [line['method'], line['target'], line['status'], line['bytesOut']]),
        [
          ['GET', '/a?b=c', 200, 1000],
          ['POST', '/up', 200, 1000],
          ['GET', '/bad', 503, 1000],
        ],
      );
      for (const line of lines) {
        assert.is(line['service'], 'web');
        assert.is(line['route'], '1');
        assert.is(line['client'], '127.0.0.1');
        assert.is(line['host'], `127.0.0.1:${unit.port}`);
        assert.is(line['member'], unit.members[0]?.key);
        assert.is(line['ended'], 'complete');
        assert.is(line['protocol'], 'HTTP/1.1');
        assert.ok(Number(line['totalUs']) >= Number(line['headUs']), JSON.stringify(line));
        const time = Date.parse(String(line['time']));
        assert.ok(time >= begun - 1000 && time <= Date.now() + 1000, String(line['time']));
        assert.not.match(JSON.stringify(line), 'secret');
      }
      assert.is(lines[2]?.['userAgent'], 'odd "one"\t\ufffd');
    },
  );
});

uring('a member that breaks, and a head that is none, are counted as what they are', async () => {
  await withUnit(
    [
      (asked) => {
        asked.socket.destroy();
      },
    ],
    async ({ unit, ask, talk }) => {
      assert.is(await ask('/', { body: 'once only' }), 502);
      const { totals } = unit.service();
      assert.is(totals.memberFailures, 1);
      assert.is(totals.responses['5xx'], 1);
      const [line] = unit.lines();
      assert.is(line?.['ended'], 'member-failed');
      assert.is(line?.['headUs'], null);
      assert.match(await talk('GET / HTTP/1.1\r\nBad Header: x\r\n\r\n'), /^HTTP\/1.1 400 /);
      assert.is(unit.service().totals.refused.badRequest, 1);
      assert.is(unit.service().totals.responses['4xx'], 1);
      assert.is(unit.service().totals.requests, 1);
    },
  );
});

uring(
  'requests for which there is no room are told apart: no queue place, or no end of it',
  async () => {
    let waiting: (() => void) | null = null;
    await withUnit(
      [
        (_asked, answer) => {
          waiting = () => answer.end('late');
        },
      ],
      async ({ unit, ask }) => {
        const first = ask('/first');
        while (waiting === null) await sleep(1);
        // One may wait, the next one may not.
        const second = ask('/second');
        while (unit.service().totals.connections < 2) await sleep(1);
        let third = 0;
        const asked = ask('/third').then((status) => (third = status));
        await asked;
        assert.is(third, 503);
        assert.is(await second, 503);
        waiting();
        assert.is(await first, 200);
        const { refused } = unit.service().totals;
        assert.is(refused.queueFull, 1);
        assert.is(refused.queueTimeout, 1);
        assert.is(refused.noMember, 0);
        assert.equal(
          unit.lines().map((line) => line['ended']),
          ['queue-full', 'queue-timeout', 'complete'],
        );
      },
      { most: 1, pool: { queue: 1 }, timeouts: { queue: 1000 } },
    );
  },
);

uring('a request that no route takes is logged like any other', async () => {
  await withUnit([], async ({ unit, ask }) => {
    const { binding } = unit;
    binding.service = { ...binding.service, find: () => -1 };
    unit.adopt();
    assert.is(await ask('/nowhere', { body: 'a body' }), 404);
    assert.is(await ask('/again'), 404);
    assert.equal(
      unit.lines().map((line) => [line['method'], line['target'], line['status'], line['route']]),
      [
        ['POST', '/nowhere', 404, null],
        ['GET', '/again', 404, null],
      ],
    );
    assert.is(unit.service().totals.responses['4xx'], 2);
    assert.is(unit.service().totals.connections, 1, 'the connection goes on');
  });
});

test.run();

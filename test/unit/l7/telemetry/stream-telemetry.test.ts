/** Counters and the log of the stream engine, between real clients and real members. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { StreamEnd } from '../../../../appliance/l7/stream/observer.js';
import type { StreamMember } from '../../../../appliance/l7/stream/runtime.js';
import type { StreamService } from '../../../../appliance/l7/stream/service.js';
import type { StreamSession } from '../../../../appliance/l7/stream/session.js';
import {
  counterRegion,
  counterRegionBytes,
} from '../../../../appliance/l7/telemetry/counter-layout.js';
import { CounterReader } from '../../../../appliance/l7/telemetry/counter-reader.js';
import {
  LogRing,
  logRingBytes,
  LogRingReader,
} from '../../../../appliance/l7/telemetry/log-ring.js';
import { rowName, RowRegistry } from '../../../../appliance/l7/telemetry/row-registry.js';
import { StreamTelemetry } from '../../../../appliance/l7/telemetry/stream-telemetry.js';
import { trafficOf, type L7Traffic } from '../../../../appliance/l7/telemetry/views.js';
import { WorkerCounters } from '../../../../appliance/l7/telemetry/worker-counters.js';
import { needs } from '../../../support/needs.js';
import { StreamDriver, type StreamDriverOptions } from '../../../support/stream-engine.js';

const test = suite('l7 telemetry: stream engine');
const uring = needs.uring(test);
const ROOM = 65_536;
const NEVER = { time: 0, rows: new Map<string, Float64Array>() };

/** The engine with telemetry behind the test's own observer. */
class Unit extends StreamDriver {
  readonly telemetry: StreamTelemetry;
  readonly #region = counterRegion(new ArrayBuffer(counterRegionBytes(16)), 0, 16);
  readonly #reader = new CounterReader();
  readonly #log: LogRingReader;

  constructor(options: StreamDriverOptions) {
    super(options);
    const memory = new ArrayBuffer(logRingBytes(ROOM));
    this.#log = new LogRingReader(memory, 0, ROOM);
    const ring = new LogRing(memory, 0, ROOM);
    const { loop } = this.driver;
    const counters = new WorkerCounters(this.#region);
    this.telemetry = new StreamTelemetry(counters, ring, 1, () => loop.now);
    this.telemetry.attach(this.engine);
    const { service, pools } = this.served;
    const members = [...pools.values()].flatMap((pool) => pool.members);
    const { name, routes } = service.service;
    const changes = new RowRegistry(16).assign([
      rowName.service(name),
      ...routes.map((route) => rowName.route(name, route.name)),
      ...members.map(({ id }) => rowName.member(id)),
    ]);
    this.#reader.assigned(changes, [this.#region]);
    this.telemetry.adopt(service, changes.rows, 1);
    for (const member of members) this.telemetry.adoptMember(member, changes.rows);
  }

  of(name: string): L7Traffic {
    return trafficOf(NEVER, this.#reader.read([this.#region], 1000), [name]);
  }

  lines(): Record<string, unknown>[] {
    const lines: Record<string, unknown>[] = [];
    this.#log.drain({
      line(_target, bytes, start, end) {
        const text = Buffer.from(bytes.subarray(start, end)).toString();
        lines.push(JSON.parse(text) as Record<string, unknown>);
      },
    });
    return lines;
  }

  override accepted(service?: StreamService): void {
    super.accepted();
    if (service !== undefined) this.telemetry.accepted(service);
  }
  override connected(member: StreamMember, errno: number, micros: number): void {
    super.connected(member, errno, micros);
    this.telemetry.connected(member, errno, micros);
  }
  override retried(member?: StreamMember): void {
    super.retried();
    if (member !== undefined) this.telemetry.retried(member);
  }
  override moved(session: StreamSession, fromClient: number, toClient: number): void {
    super.moved(session, fromClient, toClient);
    this.telemetry.moved(session, fromClient, toClient);
  }
  override finished(session: StreamSession, reason: StreamEnd): void {
    super.finished(session, reason);
    this.telemetry.finished(session, reason);
  }
}

uring('connections and bytes are counted for service, route and member, and logged', async () => {
  const server: Server = createServer({ allowHalfOpen: true }, (socket: Socket) => {
    socket.on('error', () => {
      // Part of what is tested.
    });
    socket.on('data', (data) => socket.write(Buffer.concat([data, data])));
    socket.on('end', () => socket.end());
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const closed = createServer().listen(0, '127.0.0.1');
  await once(closed, 'listening');
  const gone = (closed.address() as AddressInfo).port;
  closed.close();
  const alive = (server.address() as AddressInfo).port;
  const unit = new Unit({
    pools: { web: [gone, alive] },
    pool: { retries: 1 },
    service: {
      accessLog: { format: 'json', to: '/x', sample: 1, rotateSize: 0, rotateKeep: 0 },
    },
  });
  let client: Socket | null = null;
  try {
    const { service } = unit.served.service;
    const route = rowName.route(service.name, service.routes[0]?.name ?? '');
    client = connect(unit.port, '127.0.0.1');
    await once(client, 'connect');
    const { localPort } = client;
    client.write('12345');
    await once(client, 'data');
    const names = { service: rowName.service(service.name), member: `member/web/${alive}` };
    assert.is(unit.of(names.service).active, 1);
    assert.is(unit.of(names.member).active, 1);
    client.end();
    await unit.over(1);
    for (const name of [names.service, route, names.member]) {
      const { totals, active, underWay, latency } = unit.of(name);
      assert.is(totals.connections, 1, name);
      assert.is(totals.requests, 1, name);
      assert.is(totals.bytesIn, 5, name);
      assert.is(totals.bytesOut, 10, name);
      assert.is(underWay, 0, name);
      assert.is(active, 0, name);
      assert.ok(latency !== null, `${name} has no time to connect`);
    }
    const failed = unit.of(`member/web/${gone}`).totals;
    assert.is(failed.connects.failed, 1);
    assert.is(failed.retries, 1);
    assert.is(failed.requests, 0);
    const [line, ...more] = unit.lines();
    assert.is(more.length, 0);
    assert.is(line?.['service'], service.name);
    assert.is(line?.['client'], '127.0.0.1');
    assert.is(line?.['clientPort'], localPort);
    assert.is(line?.['member'], String(alive));
    assert.is(line?.['ended'], 'complete');
    assert.is(line?.['retries'], 1);
    assert.is(line?.['bytesIn'], 5);
    assert.is(line?.['bytesOut'], 10);
    assert.is(line?.['method'], null);
    assert.ok(Number(line?.['totalUs']) >= 0);
  } finally {
    client?.destroy();
    server.close();
    unit.end();
  }
});

test.run();

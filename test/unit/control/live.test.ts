import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { CounterDeltas, LiveMessage } from '../../../appliance/api/contract.js';
import { LiveTraffic, MOST_VIEWERS } from '../../../appliance/control/live.js';
import type { L4Event } from '../../../appliance/l4/tier.js';
import type { Wanted } from '../../../appliance/telemetry/live/watcher.js';
import { NO_COUNTERS } from '../../../appliance/telemetry/rates.js';

const test = suite('control: live traffic');

type Hear = (bytes: Uint8Array, start: number, end: number) => void;

function stage(): { live: LiveTraffic; tap: () => Hear | null; asked: L4Event[] } {
  let hear: Hear | null = null;
  const asked: L4Event[] = [];
  const live = new LiveTraffic({
    proxy: { watchRequests: (hears) => void (hear = hears) },
    fastPath: {
      flowState: (flow) => {
        asked.push(flow);
        return { state: 'open', idleMs: 7 };
      },
    },
  });
  return { live, tap: () => hear, asked };
}

const looking = (view: Wanted['view']): Wanted => ({ view, order: 'hits', filter: () => true });

/** Of a service that gained so many flows in that second. */
function second(flows: number): CounterDeltas {
  const services = { mail: { ...NO_COUNTERS, flows } };
  const totals = { passed: 0, echoReplies: 0, eventsLost: 0, errorsSent: 0 };
  return { time: 0, intervalMs: 1000, totals, drops: {}, services, members: {} };
}

function flow(port: number): L4Event {
  return {
    ...{ kind: 'flow-new', timeNs: 0n, protocol: 'tcp', clientAddress: '192.0.2.1' },
    ...{ clientPort: port, address: '10.0.0.80', port: 25, previous: undefined, reason: '' },
    // What is asked of it here.
    service: { name: 'mail', forwarding: 'nat' } as L4Event['service'],
    member: { pool: 'web', member: '10.0.1.11:25' },
  };
}

test('workers are asked while somebody looks at requests, and no longer', () => {
  const { live, tap } = stage();
  const flows = live.watch(looking('flows'), () => undefined);
  assert.is(tap(), null, 'flows need no worker');
  const log = live.watch(looking('log'), () => undefined);
  const top = live.watch(looking('urls'), () => undefined);
  assert.ok(tap() !== null);
  log();
  assert.ok(tap() !== null, 'one looks still');
  top();
  assert.is(tap(), null);
  top();
  flows();
  live.watch(looking('log'), () => undefined);
  live.close();
  assert.is(tap(), null);
});

test('what a worker tells reaches those who look, and what makes no sense nobody', () => {
  const { live, tap } = stage();
  const heard: LiveMessage[] = [];
  live.watch(looking('log'), (message) => heard.push(message));
  const line = JSON.stringify({
    ...{ time: '2026-03-01T12:00:00.000Z', service: 'shop', route: null, client: '192.0.2.1' },
    ...{ method: 'GET', target: '/a', host: null, status: 200, bytesIn: 0, bytesOut: 5 },
    ...{ totalUs: 1500, member: null, userAgent: null, ended: 'complete' },
  });
  for (const text of [`xx3 ${line}\n`, 'xx3 {"time":\n', 'xx']) {
    const bytes = Buffer.from(text);
    tap()?.(bytes, 2, bytes.length);
  }
  live.step(second(0));
  const [message] = heard;
  assert.ok(message?.type === 'log');
  assert.equal([message.rows.map(({ target }) => target), message.skipped], [['/a'], 2]);
});

test('flows that began before are shown at once; each that is told stands for those that are not', () => {
  const { live, asked } = stage();
  for (let port = 1; port <= 300; port += 1) live.flow(flow(port), port);
  const heard: LiveMessage[] = [];
  live.watch(looking('flows'), (message) => heard.push(message));
  live.watch(looking('clients'), (message) => heard.push(message));
  live.step(second(0));
  const [flows, nobody] = heard;
  assert.ok(flows?.type === 'flows' && nobody?.type === 'clients');
  assert.is(flows.rows.length, 100);
  assert.equal([flows.rows[0]?.time, flows.rows[0]?.client], [300, '192.0.2.1:300']);
  assert.equal([flows.rows[0]?.state, flows.rows[0]?.idleMs, asked.length], ['open', 7, 100]);
  assert.equal(nobody.rows, []);
  for (let port = 1; port <= 10; port += 1) live.flow(flow(port), 1000 + port);
  live.step(second(5000));
  const clients = heard.at(-1);
  assert.ok(clients?.type === 'clients');
  const rate = clients.rows[0]?.connectionsPerSecond ?? 0;
  // Ten were told; more than a second may have passed on a machine that does something else.
  assert.ok(rate > 50 && rate < 5300, `${rate}/s`);
});

test('too many who look are refused', () => {
  const { live } = stage();
  for (let n = 0; n < MOST_VIEWERS; n += 1) live.watch(looking('flows'), () => undefined);
  assert.throws(
    () => live.watch(looking('flows'), () => undefined),
    /look at live traffic already/,
  );
});

test.run();

/** A document tried: every member is asked once by its monitor's own probe, few at a time. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseText } from '../../../appliance/config/document.js';
import type { MonitorTarget } from '../../../appliance/control/tables.js';
import { tried } from '../../../appliance/control/trial.js';
import { Prober, type Probe } from '../../../appliance/health/probe.js';
import { Poller } from '../../../native/ffi/poller.js';

const test = suite('control: trial of a document');

function settings(path: string): MonitorTarget['settings'] {
  const monitor = `{ type: http, path: ${path}, interval: 2s, timeout: 1s }`;
  const parsed = parseText(
    `version: 1\nunit: { name: weir-a }\npools: { web: { members: [], monitor: ${monitor} } }\n`,
  );
  const found = parsed.ok ? parsed.intent.pools['web']?.monitor : undefined;
  if (found === undefined) throw new Error(JSON.stringify(parsed));
  return found;
}

const healthz = settings('/healthz');
const broken = settings('/broken');

const target = (number: number, port: number, monitor = healthz): MonitorTarget => ({
  ...{ id: String(number), pool: 'web', member: `127.0.0.1:${port}` },
  ...{ address: '127.0.0.1', port, settings: monitor },
});

test('members that answer, refuse and say no are told apart, in the order of the document', async () => {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? '');
    response.writeHead(request.url === '/healthz' ? 200 : 503).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const gone = createServer();
  await new Promise<void>((resolve) => gone.listen(0, '127.0.0.1', resolve));
  const closed = (gone.address() as AddressInfo).port;
  await new Promise((resolve) => gone.close(resolve));
  const poller = new Poller();
  const prober = new Prober(poller);
  try {
    const targets = [target(1, port), target(2, closed), target(3, port, broken)];
    const { rows, warnings } = await tried(prober.probe, targets, ['a warning']);
    assert.equal(
      rows.map(({ pool, member, monitor, outcome }) => [pool, member, monitor, outcome]),
      [
        ['web', `127.0.0.1:${port}`, 'http', 'pass'],
        ['web', `127.0.0.1:${closed}`, 'http', 'fail'],
        ['web', `127.0.0.1:${port}`, 'http', 'fail'],
      ],
    );
    assert.match(rows[1]?.reason ?? '', /refused/);
    assert.match(rows[2]?.reason ?? '', /503/);
    assert.type(rows[0]?.latencyMs, 'number');
    assert.equal(warnings, ['a warning']);
    assert.equal(asked.sort(), ['/broken', '/healthz'], 'each is asked once');
  } finally {
    prober.close();
    poller.close();
    await new Promise((resolve) => server.close(resolve));
  }
});

test('a large document has so many asked at a time, and is told what was left out', async () => {
  let now = 0;
  let most = 0;
  const probe: Probe = async () => {
    now += 1;
    most = Math.max(most, now);
    await new Promise(setImmediate);
    now -= 1;
    return { outcome: 'inconclusive', reason: 'no route' };
  };
  const targets = Array.from({ length: 1030 }, (_, index) => target(index, index + 1));
  const { rows, warnings } = await tried(probe, targets, []);
  assert.equal([rows.length, most], [1024, 64]);
  assert.equal(rows.at(-1), {
    ...{ pool: 'web', member: '127.0.0.1:1024', monitor: 'http' },
    ...{ outcome: 'inconclusive', reason: 'no route', latencyMs: null },
  });
  assert.equal(warnings, ['6 more members were not asked.']);
});

test.run();

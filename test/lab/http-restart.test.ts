/**
 * The daemon ends and comes back, by SIGTERM as for an upgrade or by SIGKILL, while clients ask: every
 * request is answered, members that were down stay out, counters go on. And `weir detach` ends all.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { TrafficHistory } from '../../appliance/api/contract.js';
import { needs } from '../support/needs.js';
import { Load } from '../support/request-load.js';
import { ended } from './commands.js';
import { listenAt, membersOf, ProxyLab, service4 } from './proxy-lab.js';
import { addressOf, labPaths } from './topology.js';

const test = suite('http while the daemon is away');
const lab = needs.lab(test);
const program = fileURLToPath(new URL('../../appliance/cli/weir.js', import.meta.url));
let stage: ProxyLab;

test.before(async () => {
  stage = await ProxyLab.open();
  await stage.apply({
    pools: {
      all: {
        algorithm: 'round-robin',
        members: membersOf(['member-1', 'member-2', 'member-3']),
        monitor: { type: 'tcp', interval: '500ms', timeout: '400ms' },
      },
    },
    services: { web: { listen: listenAt(80), pool: 'all' } },
  });
  await stage.untilWorkers(2);
});

test.after(() => stage.close());

for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
  lab(`a daemon that ends by ${signal} and comes back costs no request`, async () => {
    await stage.untilWorkers(2); // those of before may be finishing their last connections
    const old = new Set(stage.workers());
    const load = new Load(80, service4, /^200 member-[123]\n$/);
    await load.more(300);
    const before = await stage.requests('web');
    await stage.unit.end(signal);
    await load.more(600);
    await stage.unit.start();
    await load.more(600);
    await load.stop();
    assert.equal(load.failures, []);
    const now = stage.workers().filter((pid) => !old.has(pid));
    assert.is(now.length, 2, 'workers of the new daemon');
    const after = await stage.requests('web');
    assert.ok(after >= before + 1000, `${after} requests counted, ${before} before the end`);
  });
}

/** Of a second, in the daemon's history of the last ten minutes. */
async function mostRequests(): Promise<number> {
  const path = '/v1/history?of=unit&span=10m';
  const { values } = await stage.unit.get<TrafficHistory>(path);
  return Math.max(0, ...(values.requests ?? []).filter((value) => value !== null));
}

/** Asks until the daemon, which takes a sample a second, has recorded some of it. */
async function untilHistory(): Promise<number> {
  const load = new Load(80, service4, /^200 member-[12]\n$/);
  let most = 0;
  for (let round = 0; most === 0 && round < 500; round += 1) {
    await load.more(100);
    most = await mostRequests();
  }
  await load.stop();
  assert.equal(load.failures, []);
  return most;
}

lab('a member that was down gets no request after a restart, and history goes on', async () => {
  await stage.killMember('member-3');
  await stage.unit.untilMembers([addressOf('member-3', 4)], ['DOWN']);
  const before = await untilHistory();
  await stage.unit.end('SIGTERM');
  await stage.unit.start();
  const after = await mostRequests();
  // The slot that was open goes on, with what comes now.
  assert.ok(before > 0 && after >= before / 10, `history had ${before}/s, and has ${after}/s`);
  await stage.unit.untilMembers([addressOf('member-3', 4)], ['DOWN'], 0);
  const load = new Load(80, service4, /^200 member-[12]\n$/);
  await load.more(100);
  await load.stop();
  assert.equal(load.failures, []);
});

lab('the unit moves waiting connections to other workers', async () => {
  const reader = stage.startAt('unit-a', ['cat', '/proc/sys/net/ipv4/tcp_migrate_req']);
  let said = '';
  reader.stdout?.on('data', (text: Buffer) => (said += text.toString()));
  await ended(reader);
  assert.is(said, '1\n');
});

lab('detach ends the workers, and nothing listens any more', async () => {
  await stage.unit.end('SIGTERM');
  assert.ok(stage.workers().length >= 2, 'the workers serve without the daemon');
  const { files } = stage.unit;
  const detach = stage.startAt('unit-a', [
    ...[process.execPath, program, 'detach', '--state-dir', join(files, 'state')],
    ...['--run-dir', join(files, 'run')],
    ...['--bpf-dir', join(labPaths(process.pid).pins, 'unit-a')],
  ]);
  let said = '';
  detach.stdout?.on('data', (text: Buffer) => (said += text.toString()));
  await ended(detach);
  assert.match(said, /, ended \d+ workers, removed the addresses 10\.77\.0\.90/);
  assert.equal(stage.workers(), []);
});

test.run();

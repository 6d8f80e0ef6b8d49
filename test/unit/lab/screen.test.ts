/** The lab's screen: it fits, it says when it cannot, and it hides nothing that is wrong. */
import { NO_COUNTERS } from '../../../appliance/telemetry/rates.js';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { EventRow, MemberRow, ServiceRow, Status } from '../../../appliance/api/contract.js';
import { screen, type Scene } from '../../lab/screen.js';

const test = suite('screen');

const totals = NO_COUNTERS;
const rates = { flowsPerSecond: 1234.5, packetsPerSecond: 12_345.6, bitsPerSecond: 1e6 };
const service: ServiceRow = {
  ...{ name: 'web6', address: 'fd77::80', port: 80, protocol: 'tcp', state: 'DEGRADED' },
  ...{
    tier: 'xdp',
    tierReason: '',
    forwarding: 'nat',
    pool: 'web6',
    membersServing: 2,
    servedBy: 'web6',
  },
  ...{ synCookies: null, membersTotal: 3, rates, totals, since: 0, proxy: null },
};
const member: MemberRow = {
  ...{ pool: 'web6', member: '[fd77::11]:8080', address: 'fd77::11', port: 8080, weight: 3 },
  ...{ state: 'DOWN', reason: 'connection refused', since: 0, nextHop: null },
  ...{ nextHopProblem: null, health: null, rates, totals, effectiveWeight: 3, backup: false },
  proxy: null,
};
const status: Status = {
  ...{ unit: 'weir-a', version: '1', revision: 12, startedAt: 0, uptimeMs: 1, services: 1 },
  ...{
    metrics: null,
    pendingConfirm: null,
    role: 'standalone',
    membersServing: 2,
    membersTotal: 3,
  },
  ...{ alarms: [], kernel: '6.1', routers: { master: 0, backup: 0, down: 0 }, replication: null },
};
const event = (sequence: number): EventRow => ({
  ...{ sequence, time: 0, kind: 'member-state', severity: 'info', subject: {} },
  message: `event ${sequence} ${'x'.repeat(200)}`,
});
const scene: Scene = {
  ...{ unit: { status, services: [service], members: [member] }, away: null },
  clients: new Map([['web6', { requestsPerSecond: 250, failed: 17, longestGap: 1234 }]]),
  shares: new Map([['member-1', 0.5]]),
  running: new Set(['member-2', 'member-3']),
  events: Array.from({ length: 100 }, (_, index) => event(index)),
  ...{ said: 'something was done', showHelp: false },
};

test('it fills the terminal exactly, at every size from the smallest on', () => {
  for (const size of [
    { columns: 80, rows: 24 },
    { columns: 120, rows: 40 },
  ]) {
    for (const showHelp of [false, true]) {
      const lines = screen({ ...scene, showHelp }, size);
      assert.is(lines.length, size.rows);
      for (const line of lines) assert.ok([...line].length < size.columns, `too wide: ${line}`);
      assert.match(lines.at(-1) ?? '', /q quit/);
      assert.is(lines.at(-2), 'something was done');
    }
  }
});

test('what is wrong is on it', () => {
  const text = screen(scene, { columns: 80, rows: 24 }).join('\n');
  assert.match(text, /web6 +tcp \[fd77::80\]:80 +xdp nat DEGRADED +12346 +250 +17 +1234/);
  assert.match(text, /member-1 dead +DOWN +3 +12346 +50 % +connection refused/);
  assert.match(text, /event 99/, 'the newest event is shown');
  const away = { ...scene, away: 'the daemon is away' };
  assert.match(screen(away, { columns: 80, rows: 24 })[0] ?? '', /the daemon is away/);
});

test('the whole help fits the smallest terminal', () => {
  const services = Array.from({ length: 5 }, () => service);
  const unit = { status, services, members: [member] };
  const text = screen({ ...scene, unit, showHelp: true }, { columns: 80, rows: 24 }).join('\n');
  assert.match(text, /kill -9 the servers/);
  assert.match(text, /FAILED: since the start/);
});

test('a terminal that is too small says so', () => {
  for (const size of [
    { columns: 79, rows: 24 },
    { columns: 80, rows: 23 },
    { columns: 12, rows: 2 },
  ]) {
    const lines = screen(scene, size);
    assert.ok(lines.length <= size.rows, `${lines.length} lines for ${size.rows} rows`);
    assert.match(lines[0] ?? '', /^The lab/);
    for (const line of lines) assert.ok([...line].length < size.columns, `too wide: ${line}`);
  }
});

test.run();

/**
 * Passive health with real sockets: members whose monitor passes, but that refuse clients'
 * connections or leave them unanswered, are taken out by what the fast path counts, and tried
 * again.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { fileURLToPath } from 'node:url';
import { lacking, needs } from '../support/needs.js';
import { tally, targetOf } from './asks.js';
import { run } from './commands.js';
import type { KnockSettings, Outcome } from './knock-process.js';
import { Lab } from './lab.js';
import { httpPort, tcpPort } from './server-process.js';
import { addressOf, memberNames } from './topology.js';
import { until } from './unit.js';

const test = suite('passive health');
const program = fileURLToPath(new URL('./knock-process.js', import.meta.url));
/** Where no member listens. */
const closedPort = 9999;
/** A client that the bad member has no route to. */
const unreachable = '10.78.0.200';
/** The last one: the lab takes a pool's first for what all are. */
const bad = 'member-3';

function pool(badPort: number): object {
  return {
    algorithm: 'round-robin',
    members: memberNames.map((name) => ({
      address: addressOf(name, 4),
      port: name === bad ? badPort : tcpPort,
    })),
    monitor: {
      ...{ type: 'http', port: httpPort, path: '/healthz' },
      ...{ interval: '500ms', timeout: '400ms', rise: 2, fall: 3 },
    },
    passive: { minimum: 10, within: '30s', hold: '6s' },
  };
}

const service = (name: string, port: number, forwarding: string): object => ({
  listen: { address: '10.77.0.80', port, protocol: 'tcp' },
  ...{ forwarding, pool: name },
});

function document(): string {
  return JSON.stringify({
    version: 1,
    unit: {
      ...{ name: 'weir-a', interfaces: ['eth0', 'eth1'] },
      'nat-addresses': ['10.77.0.101'],
    },
    pools: { refusing: pool(closedPort), silent: pool(tcpPort) },
    services: {
      refusing: service('refusing', 8001, 'full-nat'),
      silent: service('silent', 8002, 'nat'),
    },
  });
}

let lab: Lab | undefined;

test.before(async () => {
  if (lacking('lab') !== null) return;
  lab = await Lab.open(document());
  const { topology } = lab;
  const ip = (namespace: string, ...args: string[]): Promise<unknown> =>
    run('ip', ['-n', namespace, ...args]);
  await ip(topology.namespace('client'), 'address', 'add', `${unreachable}/24`, 'dev', 'eth0');
  await ip(topology.namespace(bad), 'route', 'add', 'blackhole', `${unreachable}/32`);
});

test.after(async () => {
  await lab?.close();
});

function opened(): Lab {
  if (lab === undefined) throw new Error('the lab did not open');
  return lab;
}

async function knock(name: string, count: number, from: string | null): Promise<Outcome[]> {
  const { address, port } = targetOf(opened(), name);
  const settings: KnockSettings = { address, port, count, from, timeout: 500 };
  const { topology } = opened();
  const output = await run('ip', [
    ...['netns', 'exec', topology.namespace('client'), process.execPath, program],
    JSON.stringify(settings),
  ]);
  return JSON.parse(output) as Outcome[];
}

async function untilBad(pool: string, state: string, limit: number): Promise<string> {
  let reason = '';
  await until(`${bad} of ${pool} is ${state}`, limit, async () => {
    const rows = await opened().unit.members();
    const row = rows.find((one) => one.pool === pool && one.address === addressOf(bad, 4));
    reason = row?.reason ?? '';
    return row?.state === state || `${row?.state}: ${reason}`;
  });
  return reason;
}

const cases = [
  {
    name: 'refusing',
    does: 'refuses',
    outcome: 'ECONNREFUSED',
    from: null,
    reason: /^suspect: reset \d+ of \d+ new connections/,
  },
  {
    name: 'silent',
    does: 'does not answer',
    outcome: 'silent',
    from: unreachable,
    reason: /^suspect: left \d+ of \d+ new connections unanswered/,
  },
] as const;

for (const { name, does, outcome, from, reason } of cases) {
  needs.lab(test)(`a member that ${does} is taken out, and tried again`, async () => {
    await untilBad(name, 'UP', 15_000);
    // It may be suspect before the last of them.
    const { open = 0, [outcome]: failed = 0, ...others } = tally(await knock(name, 45, from));
    assert.equal(others, {}, 'other outcomes');
    assert.ok(failed >= 10 && failed <= 15, `expected 10 to 15 of 45 to meet it, seen ${failed}`);
    assert.is(open, 45 - failed);
    assert.match(await untilBad(name, 'DOWN', 10_000), reason);
    const after = await knock(name, 12, from);
    assert.equal(tally(after), { open: 12 }, 'while it is suspect');
    await untilBad(name, 'UP', 15_000);
  });
}

test.run();

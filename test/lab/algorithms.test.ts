/**
 * What the algorithms do, seen from outside: which member answers which connection.
 *
 * Where an algorithm follows what it observes, the test waits until the unit says that it has
 * (the members' effective weights), and then looks at who answers. Where chance decides, shares
 * may be off by six standard deviations. Tests share one lab; each has a service of its own and
 * leaves all members up.
 */
import { existsSync, readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { lacking, needs } from '../support/needs.js';
import { ask, holding, tally, targetOf } from './asks.js';
import { ended, run, start } from './commands.js';
import { addressesOf, Lab } from './lab.js';
import { httpPort, tcpPort } from './server-process.js';
import { addressOf, memberNames, type MemberName } from './topology.js';
import { until } from './unit.js';

const test = suite('algorithms');
/** For weights that are observed: they move by a quarter a second at most. Milliseconds. */
const settling = 90_000;
const clients = Array.from({ length: 60 }, (_, at) => `10.78.0.${101 + at}`);

interface Case {
  readonly algorithm: string;
  readonly port?: number;
  readonly weights?: readonly number[];
  readonly pool?: object;
  readonly service?: object;
}

/** By the name of service and pool. */
const cases: Readonly<Record<string, Case>> = {
  turn: { algorithm: 'round-robin' },
  'weighted-turn': { algorithm: 'weighted-round-robin', weights: [3, 2, 1] },
  random: { algorithm: 'random', weights: [3, 2, 1] },
  maglev: { algorithm: 'maglev', weights: [3, 2, 1] },
  source: { algorithm: 'ip-hash' },
  least: { algorithm: 'least-connections' },
  'weighted-least': { algorithm: 'weighted-least-connections', weights: [3, 2, 1] },
  fast: { algorithm: 'least-response-time', port: httpPort },
  bandwidth: { algorithm: 'least-bandwidth', port: httpPort },
  custom: {
    algorithm: 'custom',
    weights: [3, 1, 1],
    pool: { custom: { expression: "location == 'near' ? weight : 0" } },
  },
  sticky: {
    algorithm: 'round-robin',
    service: { persistence: { type: 'source-address', timeout: '10m' } },
  },
};

function document(): string {
  const locations = ['near', 'near', 'away'];
  const pools = Object.entries(cases).map(([name, { algorithm, port, weights, pool }]) => [
    name,
    {
      algorithm,
      members: memberNames.map((member, at) => ({
        address: addressOf(member, 4),
        port: port ?? tcpPort,
        weight: weights?.[at] ?? 1,
        location: locations[at],
      })),
      monitor: {
        ...{ type: 'http', port: httpPort, path: '/healthz' },
        ...{ interval: '500ms', timeout: '400ms', rise: 2, fall: 3 },
      },
      ...pool,
    },
  ]);
  const services = Object.entries(cases).map(([name, { service }], at) => [
    name,
    {
      listen: { address: '10.77.0.80', port: 8001 + at, protocol: 'tcp' },
      ...{ forwarding: 'nat', pool: name },
      ...service,
    },
  ]);
  return JSON.stringify({
    version: 1,
    unit: { name: 'weir-a', interfaces: ['eth0', 'eth1'] },
    pools: Object.fromEntries(pools) as object,
    services: Object.fromEntries(services) as object,
  });
}

let lab: Lab | undefined;

test.before(async () => {
  if (lacking('lab') !== null) return;
  lab = await Lab.open(document());
  const lines = clients.map((address) => `addr add ${address}/24 dev eth0\n`).join('');
  await run('ip', ['-n', lab.topology.namespace('client'), '-batch', '-'], { input: lines });
});

test.after(async () => {
  await lab?.close();
});

function opened(): Lab {
  if (lab === undefined) throw new Error('the lab did not open');
  return lab;
}

function expectShares(members: readonly string[], weights: readonly number[]): void {
  const sum = weights.reduce((all, one) => all + one, 0);
  const counts = tally(members);
  memberNames.forEach((name, at) => {
    const due = (weights[at] ?? 0) / sum;
    const seen = (counts[name] ?? 0) / members.length;
    const most = 6 * Math.sqrt((due * (1 - due)) / members.length);
    const text = `expected ${due.toFixed(3)} ± ${most.toFixed(3)} for ${name}, seen ${seen.toFixed(3)}`;
    assert.ok(Math.abs(seen - due) <= most, text);
  });
}

/** What the members of a pool count for now, in the order of memberNames. */
async function effectiveWeights(pool: string): Promise<number[]> {
  const rows = (await opened().unit.members()).filter((row) => row.pool === pool);
  return memberNames.map(
    (name) => rows.find((row) => addressesOf(name).includes(row.address))?.effectiveWeight ?? 0,
  );
}

/** Waits until a member counts for less than `part` of every other one. */
async function untilLighter(pool: string, member: MemberName, part: number): Promise<void> {
  await until(`${member} of ${pool} gets lighter`, settling, async () => {
    const weights = await effectiveWeights(pool);
    const own = weights[memberNames.indexOf(member)] ?? 0;
    const others = weights.filter((_, at) => memberNames[at] !== member);
    return others.every((other) => own < other * part) || weights.join(' : ');
  });
}

function isMember(name: string): name is MemberName {
  return (memberNames as readonly string[]).includes(name);
}

/** Lets `use` have the lab without a member; it serves again afterwards. */
async function without(member: string, use: () => Promise<void>): Promise<void> {
  const { members, unit } = opened();
  if (!isMember(member)) throw new Error(`expected a member, seen ${member}`);
  const address = addressOf(member, 4);
  await members.kill(member);
  try {
    await unit.untilMembers([address], ['DOWN']);
    await use();
  } finally {
    await members.revive(member);
    await unit.untilMembers([address], ['UP']);
  }
}

needs.lab(test)('round-robin takes turns exactly', async () => {
  const answers = await ask(opened(), 'turn', { count: 12 });
  assert.is(new Set(answers.slice(0, 3)).size, 3, answers.join(' '));
  assert.equal(answers.slice(3), answers.slice(0, -3), 'expected the same turn again and again');
});

needs.lab(test)('weighted-round-robin takes turns by weight, well mixed', async () => {
  const answers = await ask(opened(), 'weighted-turn', { count: 18 });
  const letters = answers.map((name) => 'abc'[memberNames.findIndex((one) => one === name)]);
  const seen = letters.join('');
  // Where in its turn the schedule was before does not matter.
  assert.ok('abacba'.repeat(4).includes(seen), `expected turns of a b a c b a, seen ${seen}`);
});

for (const name of ['random', 'maglev']) {
  needs.lab(test)(`${name} follows the weights`, async () => {
    expectShares(await ask(opened(), name, { count: 1200 }), [3, 2, 1]);
  });
}

needs.lab(test)('ip-hash keeps a client at its member, and spreads clients', async () => {
  const one = await ask(opened(), 'source', { count: 20 });
  assert.is(new Set(one).size, 1, `expected one member for one client, seen ${one.join(' ')}`);
  const twice = await ask(opened(), 'source', { count: 2 * clients.length, from: clients });
  const first = twice.slice(0, clients.length);
  assert.equal(twice.slice(clients.length), first, 'expected each client where it was before');
  expectShares(first, [1, 1, 1]);
});

needs.lab(test)('least-connections leaves a busy member alone', async () => {
  const { unit } = opened();
  const others = ['member-2', 'member-3'] as const;
  const set = async (state: 'disabled' | 'enabled'): Promise<void> => {
    for (const name of others) {
      await unit.must('set', 'member', 'least', `${addressOf(name, 4)}:${tcpPort}`, state);
    }
    await until(`both are ${state}`, 15_000, async () => {
      const rows = (await unit.members()).filter((row) => row.pool === 'least');
      const up = rows.filter((row) => row.state === 'UP').length;
      return up === (state === 'enabled' ? 3 : 1) || `${up} of ${rows.length} are UP`;
    });
  };
  await set('disabled');
  try {
    await holding(opened(), 'least', 20, async (busy) => {
      assert.equal(tally(busy), { 'member-1': 20 });
      await set('enabled');
      await holding(opened(), 'least', 30, async (fresh) => {
        assert.equal(tally(fresh), { 'member-2': 15, 'member-3': 15 });
        const short = await ask(opened(), 'least', { count: 20 });
        assert.is(tally(short)['member-1'], undefined, short.join(' '));
      });
    });
  } finally {
    await set('enabled');
  }
});

needs.lab(test)('weighted-least-connections holds connections by weight', async () => {
  await holding(opened(), 'weighted-least', 60, async (members) => {
    assert.equal(tally(members), { 'member-1': 30, 'member-2': 20, 'member-3': 10 });
  });
});

needs.lab(test)('least-response-time gives a slow member less, and its share back', async () => {
  const { members, unit } = opened();
  const slow = 'member-3';
  const restart = async (delay: number): Promise<void> => {
    await members.kill(slow);
    await members.revive(slow, { delay });
    await unit.untilMembers([addressOf(slow, 4)], ['UP']);
  };
  await restart(100);
  try {
    await untilLighter('fast', slow, 0.3);
    const answers = await ask(opened(), 'fast', { count: 300 });
    const share = (tally(answers)[slow] ?? 0) / answers.length;
    assert.ok(share < 0.2, `expected less than 20 % for the slow one, seen ${share * 100} %`);
  } finally {
    await restart(0);
  }
  await until('it counts as much as before', settling, async () => {
    const weights = await effectiveWeights('fast');
    const [first = 0, , third = 0] = weights;
    return third > first / 2 || weights.join(' : ');
  });
});

needs.lab(test)('least-bandwidth gives less to a member whose link is busy', async () => {
  const { topology } = opened();
  const { address, port } = targetOf(opened(), 'bandwidth');
  const headers = opened().file('flood', '');
  const flood = start(topology.namespace('client'), [
    ...['curl', '--silent', '--limit-rate', '4M', '--output', '/dev/null'],
    ...['--dump-header', headers, `http://${address}:${port}/flood`],
  ]);
  try {
    let busy: MemberName | undefined;
    await until('the flood begins', 10_000, async () => {
      const name = existsSync(headers)
        ? /^x-member: (\S+)/im.exec(readFileSync(headers, 'utf8'))?.[1]
        : undefined;
      if (name !== undefined && isMember(name)) busy = name;
      return busy !== undefined || 'no answer yet';
    });
    if (busy === undefined) return;
    await untilLighter('bandwidth', busy, 0.4);
    const answers = await ask(opened(), 'bandwidth', { count: 300 });
    const share = (tally(answers)[busy] ?? 0) / answers.length;
    assert.ok(share < 0.25, `expected less than 25 % for the busy one, seen ${share * 100} %`);
  } finally {
    flood.kill('SIGTERM');
    await ended(flood);
  }
});

needs.lab(test)('custom does what its expression says', async () => {
  await until('the one that is away has no weight', settling, async () => {
    const weights = await effectiveWeights('custom');
    const [first = 0, second = 0, third = 0] = weights;
    return (third === 0 && first > second) || weights.join(' : ');
  });
  expectShares(await ask(opened(), 'custom', { count: 600 }), [3, 1, 0]);
});

needs.lab(test)(
  'persistence keeps a client until its member dies, and then at another',
  async () => {
    const first = await ask(opened(), 'sticky', { count: 10 });
    const [member = ''] = first;
    assert.equal(tally(first), { [member]: 10 });
    let next = '';
    await without(member, async () => {
      const moved = await ask(opened(), 'sticky', { count: 10 });
      next = moved[0] ?? '';
      assert.is.not(next, member);
      assert.equal(tally(moved), { [next]: 10 });
    });
    const later = await ask(opened(), 'sticky', { count: 10 });
    assert.equal(tally(later), { [next]: 10 }, 'expected to stay when the dead one returns');
    const others = await ask(opened(), 'sticky', { count: 9, from: clients.slice(0, 9) });
    assert.equal(tally(others), { 'member-1': 3, 'member-2': 3, 'member-3': 3 }, 'other clients');
  },
);

test.run();

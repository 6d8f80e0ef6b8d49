/**
 * `weir test member` in the lab: a probe goes the way of the traffic, so it finds what a monitor
 * does not: a port that is closed for the service, a member without the service address, answers
 * that come by another way. Nothing of it stays, and other flows do not notice.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { MemberTest, MemberTestRow } from '../../appliance/api/contract.js';
import { needs } from '../support/needs.js';
import { run, within } from './commands.js';
import { everyPath } from './configuration.js';
import { Lab } from './lab.js';
import { addressOf, type MemberName } from './topology.js';
import { until } from './unit.js';

const test = suite('member test');

let lab: Lab | null = null;
async function opened(): Promise<Lab> {
  lab ??= await Lab.open(everyPath);
  return lab;
}
test.after(async () => {
  await lab?.close();
});

interface Tried extends MemberTest {
  readonly status: number;
}

async function tryMember(unit: Lab['unit'], pool: string, member: string): Promise<Tried> {
  const { status, stdout, stderr } = await unit.weir('test', 'member', pool, member, '--json');
  if (stdout === '') throw new Error(`expected an answer, seen status ${status}: ${stderr}`);
  return { status, ...(JSON.parse(stdout) as MemberTest) };
}

async function inMember(one: Lab, name: MemberName, ...words: string[]): Promise<void> {
  const [command = '', ...rest] = within(one.topology.namespace(name), words);
  await run(command, rest);
}

function resultsOf({ tests }: MemberTest): MemberTestRow['result'][] {
  return tests.map(({ result }) => result);
}

/** Connections of the member that are half open: each that a probe leaves would be one. */
async function halfOpen(one: Lab, name: MemberName): Promise<string> {
  const [command = '', ...rest] = within(one.topology.namespace(name), [
    ...['sh', '-c', 'cat /proc/net/tcp /proc/net/tcp6 | grep -c " 03 0" || true'],
  ]);
  return (await run(command, rest)).trim();
}

const pools: readonly (readonly [pool: string, family: 4 | 6, port: number | null])[] = [
  ['tcp4', 4, 9000],
  ['tcp6', 6, 9000],
  ['direct4', 4, null],
  ['direct6', 6, null],
  ['udp4', 4, 5353],
  ['udp6', 6, 5353],
];

function keyOf(name: MemberName, family: 4 | 6, port: number | null): string {
  const address = addressOf(name, family);
  if (port === null) return address;
  return family === 6 ? `[${address}]:${port}` : `${address}:${port}`;
}

for (const [pool, family, port] of pools) {
  needs.lab(test)(`each member of ${pool} is found by itself`, async () => {
    const one = await opened();
    for (const name of ['member-1', 'member-2', 'member-3'] as const) {
      const tried = await tryMember(one.unit, pool, keyOf(name, family, port));
      for (const row of tried.tests) {
        assert.is(row.result, 'answered', `${name} ${row.service}: ${row.text}`);
        assert.match(
          row.text,
          /^answered by (SYN-ACK|datagram) after \d+\.\d ms through (nat|dsr)/,
        );
        assert.is(row.left?.interface, 'eth0');
        assert.is(row.from, family === 4 ? '10.78.0.3' : 'fd78::3');
      }
      assert.is(tried.status, 0);
      // Sooner than a SYN-ACK would be given up, which takes a minute; a monitor's may be there just now.
      await until('the reset has ended the connection', 5000, async () => {
        const count = await halfOpen(one, name);
        return count === '0' || `${count} half open`;
      });
    }
  });
}

needs.lab(test)('nothing of a probe stays: no flow, no active connection', async () => {
  const one = await opened();
  await tryMember(one.unit, 'tcp4', keyOf('member-1', 4, 9000));
  const flows = await one.unit.get<{ clientAddress: string }[]>('/v1/flows');
  const left = flows.filter(({ clientAddress }) => clientAddress === '10.78.0.3');
  assert.equal(left, [], 'expected no flow of the unit itself');
});

needs.lab(test)(
  'a dead port is reset, by nat and by dsr, also while the member is down',
  async () => {
    const one = await opened();
    await one.members.kill('member-2');
    try {
      for (const [pool, key, where] of [
        ['tcp4', '10.77.0.12:9000', '10.77.0.12:9000/tcp'],
        ['direct4', '10.77.0.12', '10.77.0.81:9000/tcp'],
        ['direct6', 'fd77::12', '[fd77::81]:9000/tcp'],
      ] as const) {
        const tried = await tryMember(one.unit, pool, key);
        const row = tried.tests.find(({ protocol }) => protocol === 'tcp');
        assert.is(row?.result, 'reset', row?.text);
        assert.ok(row?.text.includes(`nothing listens on ${where}`), row?.text);
        assert.is(tried.status, 1);
      }
      await one.unit.untilMembers(['10.77.0.12'], ['DOWN']);
      const down = await tryMember(one.unit, 'tcp4', '10.77.0.12:9000');
      assert.equal(resultsOf(down), ['reset']);
      assert.match(down.tests[0]?.text ?? '', /The member is down: .+/);
    } finally {
      await one.members.revive('member-2');
    }
    await one.unit.untilMembers(['10.77.0.12'], ['UP']);
  },
);

needs.lab(test)(
  'a member without the service address on lo is silent; its monitor is content',
  async () => {
    const one = await opened();
    await inMember(one, 'member-3', ...'ip address del 10.77.0.81/32 dev lo'.split(' '));
    try {
      const tried = await tryMember(one.unit, 'direct4', '10.77.0.13');
      const row = tried.tests.find(({ service }) => service === 'dsr-tcp4');
      assert.is(row?.result, 'silent', row?.text);
      assert.match(
        row?.text ?? '',
        /no answer within 1 s.*10\.77\.0\.81 \(is the address on its lo\?\)/,
      );
      assert.is(tried.status, 1);
      const rows = await one.rowsOf('member-3');
      assert.is(rows.find(({ pool }) => pool === 'direct4')?.state, 'UP');
    } finally {
      await inMember(one, 'member-3', ...'ip address add 10.77.0.81/32 dev lo'.split(' '));
    }
  },
);

needs.lab(test)(
  'an answer that goes past the unit is told from one that a client would get',
  async () => {
    const one = await opened();
    const way = 'ip route replace 10.78.0.3/32 dev eth1';
    await inMember(one, 'member-1', ...way.split(' '));
    try {
      const tried = await tryMember(one.unit, 'tcp4', '10.77.0.11:9000');
      assert.equal(resultsOf(tried), ['astray'], tried.tests[0]?.text);
      assert.match(tried.tests[0]?.text ?? '', /came by eth1 and not by eth0/);
      assert.is(tried.status, 1);
    } finally {
      await inMember(one, 'member-1', ...way.replace('replace', 'del').split(' '));
    }
  },
);

needs.lab(test)(
  'full nat: answers come back to the address that the unit speaks from',
  async () => {
    const one = await opened();
    await one.change((document) => {
      document.unit = { ...document.unit, 'nat-addresses': ['10.77.0.3'] };
      const service = document.services?.['nat-tcp4'];
      if (service !== undefined) service.forwarding = 'full-nat';
    });
    const tried = await tryMember(one.unit, 'tcp4', '10.77.0.12:9000');
    assert.equal(resultsOf(tried), ['answered'], tried.tests[0]?.text);
    assert.match(tried.tests[0]?.text ?? '', /through full-nat/);
    await one.change((document) => {
      const service = document.services?.['nat-tcp4'];
      if (service !== undefined) service.forwarding = 'nat';
    });
  },
);

needs.lab(test)('a draining member is tested all the same', async () => {
  const one = await opened();
  await one.unit.must('set', 'member', 'tcp4', '10.77.0.11:9000', 'draining');
  await one.unit.must('set', 'member', 'direct4', '10.77.0.11', 'disabled');
  try {
    const nat = await tryMember(one.unit, 'tcp4', '10.77.0.11:9000');
    assert.equal(resultsOf(nat), ['answered'], nat.tests[0]?.text);
    assert.match(nat.tests[0]?.text ?? '', /The member is draining/);
    const dsr = await tryMember(one.unit, 'direct4', '10.77.0.11');
    assert.equal(resultsOf(dsr), ['answered', 'answered'], dsr.tests[0]?.text);
  } finally {
    await one.unit.must('set', 'member', 'tcp4', '10.77.0.11:9000', 'enabled');
    await one.unit.must('set', 'member', 'direct4', '10.77.0.11', 'enabled');
  }
});

test.run();

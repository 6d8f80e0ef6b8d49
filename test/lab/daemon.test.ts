/**
 * What a user may rely on around the daemon: traffic outlives it, a change that is not
 * confirmed goes back even across its restart, a member that cannot be reached says so,
 * and stopping it leaves no process and no address of its own behind.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { MemberRow, RevisionRow, ServiceRow } from '../../appliance/api/contract.js';
import { needs } from '../support/needs.js';
import { run, within } from './commands.js';
import { everyPath } from './configuration.js';
import { addressesOf, Lab } from './lab.js';
import { Stage } from './stage.js';
import { pause, until } from './unit.js';

const test = suite('daemon');
const light = { rate: 50, concurrency: 32, long: 10, heartbeat: 50 };

/** Each test has a lab of its own: they stop daemons and break members. */
async function withLab(use: (lab: Lab) => Promise<void>): Promise<void> {
  const lab = await Lab.open(everyPath);
  try {
    await use(lab);
  } finally {
    await lab.close();
  }
}

async function inClient(lab: Lab, ...args: string[]): Promise<string> {
  const line = within(lab.topology.namespace('client'), args);
  return run(line[0] ?? '', line.slice(1));
}

needs.lab(test)('curl and ping reach the service addresses', () =>
  withLab(async (lab) => {
    await lab.change((document) => {
      const tcp4 = document.pools?.['tcp4'];
      if (tcp4 !== undefined) for (const member of tcp4.members) member.port = 8080;
    });
    for (const url of ['http://10.77.0.80:90/', 'http://10.77.0.80:90/healthz']) {
      const body = await inClient(lab, 'curl', '--silent', '--show-error', '--max-time', '5', url);
      assert.match(body, /^(member-[123]|ok)\n$/);
    }
    for (const address of ['10.77.0.80', 'fd77::80']) {
      const said = await inClient(lab, 'ping', '-c', '3', '-i', '0.2', '-W', '2', address);
      assert.match(said, /3 received/, `expected 3 echo replies of ${address}`);
    }
  }),
);

needs.lab(test)('traffic flows while the daemon is stopped, and the next one adopts it', () =>
  withLab(async (lab) => {
    const stage = await Stage.open(lab, () => light);
    await pause(1000);
    const before = await lab.unit.get<ServiceRow[]>('/v1/services');
    await lab.unit.end('SIGTERM');
    await pause(2000);
    const without = await stage.window('without daemon');
    await lab.unit.start();
    await pause(1000);
    const after = await lab.unit.get<ServiceRow[]>('/v1/services');
    const seen = await stage.close();
    assert.is(seen.troubles.join('\n'), '', 'expected no trouble');
    for (const [service, report] of without) {
      assert.ok(report.connections > 0, `${service}: expected new connections without a daemon`);
    }
    for (const row of after) {
      const old = before.find(({ name }) => name === row.name)?.totals.packets ?? 0;
      assert.ok(
        row.totals.packets > old,
        `${row.name}: expected its counters to go on from ${old}, seen ${row.totals.packets}`,
      );
    }
  }),
);

needs.lab(test)('a dead member stays out while the daemon restarts, and can come back after', () =>
  withLab(async (lab) => {
    await lab.members.kill('member-1');
    await lab.unit.untilMembers(addressesOf('member-1'), ['DOWN']);
    const stage = await Stage.open(lab, () => light);
    await lab.unit.end('SIGKILL');
    await lab.unit.start();
    const rows = await lab.rowsOf('member-1');
    const states = rows.map((row) => `${row.pool} ${row.state} (${row.reason})`);
    assert.ok(
      rows.every(({ state }) => state === 'DOWN'),
      `expected DOWN in every pool from the daemon's first answer on, seen ${states.join(', ')}`,
    );
    await pause(1000);
    const seen = await stage.close();
    assert.is(seen.troubles.join('\n'), '', 'expected that nothing was sent to the dead member');
    await lab.members.revive('member-1');
    await lab.unit.untilMembers(addressesOf('member-1'), ['UP']);
  }),
);

needs.lab(test)('a change that nobody confirms goes back, though the daemon died meanwhile', () =>
  withLab(async (lab) => {
    const state = async (): Promise<string> =>
      [...new Set((await lab.rowsOf('member-3')).map((row) => row.state))].join();
    await lab.change(
      (document) => {
        for (const pool of Object.values(document.pools ?? {})) {
          for (const member of pool.members) {
            if (addressesOf('member-3').includes(member.address)) member.state = 'disabled';
          }
        }
      },
      ...['--confirm', '3s'],
    );
    assert.is(await state(), 'DISABLED');
    await lab.unit.end('SIGKILL');
    // The time to confirm passes while no daemon is there to notice.
    await pause(3500);
    await lab.unit.start();
    await until('member-3 serves again', 5000, async () => {
      const seen = await state();
      return seen === 'UP' ? true : seen;
    });
    const revisions = await lab.unit.get<RevisionRow[]>('/v1/revisions?limit=10');
    assert.equal(
      revisions.map((row) => row.revision),
      [3, 2, 1],
      'expected the way back to be a revision of its own',
    );
    assert.is((await lab.unit.status()).pendingConfirm, null);
  }),
);

needs.lab(test)('a confirmed change stays', () =>
  withLab(async (lab) => {
    await lab.setMember('member-3', '--weight', '5');
    const revision = await lab.unit.revision();
    await lab.change(
      (document) => {
        document.unit = { ...document.unit, name: 'renamed' };
      },
      ...['--confirm', '2s'],
    );
    await lab.unit.must('confirm');
    await pause(2500);
    const status = await lab.unit.status();
    assert.is(status.revision, revision + 1);
    assert.is(status.unit, 'renamed');
  }),
);

needs.lab(test)('a member without a known MAC address is seen, and gets no traffic', () =>
  withLab(async (lab) => {
    await lab.change((document) => {
      document.pools?.['tcp4']?.members.push({ address: '10.77.0.99', port: 9000, weight: 10 });
      if (document.pools?.['tcp4'] !== undefined) delete document.pools['tcp4'].monitor;
    });
    let row: MemberRow | undefined;
    await until('10.77.0.99 is down for want of a MAC address', 5000, async () => {
      row = (await lab.unit.members()).find(({ address }) => address === '10.77.0.99');
      return row?.state === 'DOWN' && row.nextHopProblem !== null
        ? true
        : `${row?.state ?? 'no row'} (${row?.reason ?? ''})`;
    });
    assert.is(row?.nextHop, null);
    const target = lab.targets.find(({ name }) => name === 'nat-tcp4');
    if (target === undefined) throw new Error('the configuration has no service nat-tcp4');
    const load = await lab.load(target, light);
    await pause(1500);
    const report = await load.stop();
    assert.is(report.failed, 0, JSON.stringify(report.failures.slice(0, 3)));
    assert.ok(report.connections > 20, `expected connections, seen ${report.connections}`);
  }),
);

needs.lab(test)('a cut cable takes a member out, a mended one brings it back', () =>
  withLab(async (lab) => {
    await lab.topology.setLink('member-2', 'down');
    await lab.unit.untilMembers(addressesOf('member-2'), ['DOWN']);
    await lab.topology.setLink('member-2', 'up');
    await lab.unit.untilMembers(addressesOf('member-2'), ['UP'], 20_000);
  }),
);

test.run();

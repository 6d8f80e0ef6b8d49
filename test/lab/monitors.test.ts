/**
 * Monitors of a real unit with the fast path on its interfaces: their answers come back through
 * it, and what people see of a member that fails.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { MemberDetail } from '../../appliance/api/contract.js';
import type { Document } from '../../appliance/config/schema.js';
import { needs } from '../support/needs.js';
import { everyPath } from './configuration.js';
import { addressesOf, Lab } from './lab.js';
import { memberNames } from './topology.js';
import { until } from './unit.js';

const test = suite('monitors');
const often = { interval: '300ms', timeout: '250ms', rise: 1, fall: 2 };

type Monitor = NonNullable<NonNullable<Document['pools']>[string]['monitor']>;

/** A monitor of another type for each pool of the lab's configuration. */
const monitors: Readonly<Record<string, Monitor>> = {
  direct4: { type: 'udp', port: 5353, send: 'x', ...often },
  direct6: { type: 'icmp', ...often },
  tcp4: { type: 'icmp', ...often },
  tcp6: { type: 'http', port: 8080, path: '/healthz', body: 'ok', ...often },
  udp4: { type: 'udp', ...often },
  udp6: {
    type: 'external',
    command: ['/bin/sh', '-c', 'exec ping -q -c 1 -W 0.2 "$1"', 'check'],
    ...often,
  },
};

const passed = ['answered', 'no error', 'echo reply', 'status 200', 'exit status 0'];

needs.lab(test)(
  'each type finds members alive through the fast path, and says how one died',
  async () => {
    const lab = await Lab.open(everyPath);
    try {
      await lab.change((document) => {
        for (const [name, monitor] of Object.entries(monitors)) {
          const pool = document.pools?.[name];
          if (pool !== undefined) pool.monitor = monitor;
        }
      });
      const everybody = memberNames.flatMap(addressesOf);
      // A change of settings keeps the state: only a probe since then says that the new ones work.
      await until('every member answers its new monitor', 20_000, async () => {
        const rows = await lab.unit.members();
        const wrong = rows.filter(
          ({ pool, health }) =>
            health?.monitor !== monitors[pool]?.type ||
            health?.state !== 'up' ||
            !passed.some((reason) => health.reason.startsWith(reason)),
        );
        if (wrong.length === 0) return true;
        return wrong.map((row) => `${row.pool}/${row.member} ${row.health?.reason}`).join('; ');
      });

      await lab.members.kill('member-1');
      const [address4 = '', address6 = ''] = addressesOf('member-1');
      await until(
        'the servers of member-1 are found dead, and the host alive',
        15_000,
        async () => {
          const states = (await lab.rowsOf('member-1'))
            .map(({ pool, state }) => `${pool} ${state}`)
            .sort()
            .join(', ');
          const wanted = 'direct4 DOWN, direct6 UP, tcp4 UP, tcp6 DOWN, udp4 DOWN, udp6 UP';
          return states === wanted ? true : states;
        },
      );
      const detail = await lab.unit.get<MemberDetail>(
        `/v1/pools/udp4/members/${encodeURIComponent(`${address4}:5353`)}`,
      );
      assert.is(detail.reason, 'port unreachable');
      assert.is(
        detail.findings.find(({ kind }) => kind === 'change')?.text,
        'went from up to down: port unreachable',
      );
      const text = await lab.unit.must('show', 'member', 'tcp6', `[${address6}]:9000`);
      assert.match(text, /DOWN/);
      assert.match(text, /Monitor +http: connection refused, last probe/);
      assert.match(text, /History\n(.*\n)*.*went from up to down: connection refused/);

      await lab.members.revive('member-1');
      await lab.unit.untilMembers(everybody, ['UP']);
    } finally {
      await lab.close();
    }
  },
);

test.run();

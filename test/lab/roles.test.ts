/**
 * Addresses that move between two units, or a unit and keepalived: each is on one unit, and a client
 * goes on being served, over layer 4 and layer 7, whatever becomes of a unit.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { FailoverResult, RouterRow } from '../../appliance/api/contract.js';
import { needs } from '../support/needs.js';
import { ended, start } from './commands.js';
import { Holding } from './holding.js';
import { PairLab } from './pair-lab.js';
import { httpPort } from './server-process.js';
import { addressOf, memberNames } from './topology.js';
import { until } from './unit.js';

const test = suite('roles');

/** What the members answer through, and their services: by nat, and by the proxy. */
const gateway = '10.77.0.1';
const forwarded = '10.78.0.81';
const proxied = '10.78.0.80';
const addresses = [gateway, forwarded, proxied];
/** Nothing here takes so long; a machine that is busy may. */
const PATIENCE = 20_000;

/** The same for both units. */
function documentOf(pair: object): object {
  const members = memberNames.map((name) => ({ address: addressOf(name, 4), port: httpPort }));
  return {
    pools: { web: { members } },
    services: {
      plain: {
        listen: { address: forwarded, port: 80, protocol: 'tcp' },
        ...{ forwarding: 'nat', pool: 'web' },
      },
      site: { listen: { address: proxied, port: 80, protocol: 'http' }, pool: 'web' },
    },
    pair,
  };
}

// A speaker that the machine holds up for three intervals is ended by its guard.
const twoUnits = documentOf({
  'preempt-delay': '500ms',
  'advertisement-interval': '300ms',
  'virtual-routers': {
    inside: { id: 10, interface: 'eth0', addresses: [gateway], prefer: 'unit-a', group: 'nat' },
    outside: { id: 11, addresses: [forwarded], prefer: 'unit-a', group: 'nat' },
    site: { id: 12, addresses: [proxied], prefer: 'unit-b' },
  },
});

const served = (lab: PairLab): Promise<void> => lab.untilServed([forwarded, proxied], PATIENCE);

needs.lab(test)(
  'each address is on one unit, and moves when a unit dies, is back, or is told to',
  () =>
    PairLab.run({ members: true, gateway: 1, document: () => twoUnits }, async (lab) => {
      const holding = new Holding(lab, addresses);
      await holding.until([gateway, forwarded]);
      await served(lab);
      const status = await lab.a.status();
      assert.equal([status.role, status.routers], ['master', { master: 2, backup: 1, down: 0 }]);
      const rows = await lab.b.get<RouterRow[]>('/v1/routers');
      assert.equal(
        rows.map(({ router, role, priority, master }) => [router, role, priority, master?.address]),
        [
          ['inside', 'backup', 100, addressOf('unit-a', 4)],
          ['outside', 'backup', 100, addressOf('unit-a', 4, 'outside')],
          ['site', 'master', 200, undefined],
        ],
      );

      // What it had stays in its kernel, so only what the other one has says who took over.
      lab.killAll('unit-a');
      await holding.untilAll('unit-b');
      await served(lab);

      await lab.a.end('SIGKILL');
      await lab.a.start();
      await holding.until([gateway, forwarded]);
      await served(lab);

      const given = JSON.parse(
        await lab.a.must('pair', 'failover', '--all', '--json'),
      ) as FailoverResult;
      assert.equal(given.remaining, []);
      await holding.until([]);
      await served(lab);
      assert.match(await lab.a.must('show', 'routers'), /backup +[2-9] .*failover was asked for/);
      await lab.a.must('pair', 'failover', '--all', '--cancel');
      await holding.until([gateway, forwarded]);
      await served(lab);

      const takeovers = async (): Promise<number[]> =>
        (await lab.b.get<RouterRow[]>('/v1/routers')).map((row) => row.takeovers);
      const before = await takeovers();
      await lab.b.end('SIGTERM');
      await lab.b.start();
      await holding.until([gateway, forwarded]);
      const after = await takeovers();
      assert.ok(
        before.every((count, index) => count > 0 && (after[index] ?? 0) >= count),
        `the speaker that the first daemon left counts on: before ${before.join(' ')}, after ${after.join(' ')}`,
      );

      lab.killAll('unit-b');
      await holding.untilAll('unit-a');
      await served(lab);
      const alone = await lab.a.weir('pair', 'failover', 'site');
      assert.is(alone.status, 8, `nobody else is there: ${alone.stdout}`);
      assert.equal(await holding.of('unit-a'), addresses, 'so it goes on');
      const kinds = await lab.a.must('show', 'events', '--kind', 'role-changed');
      assert.match(kinds, /virtual router site is master: no better master was heard/);
    }),
);

needs.lab(test)(
  'without virtual routers the unit holds its addresses itself, and so again after them',
  () =>
    PairLab.run({ members: true, gateway: 3 }, async (lab) => {
      const holding = new Holding(lab, addresses);
      const plain = documentOf({});
      const one = documentOf({
        'virtual-routers': { both: { id: 9, addresses: [forwarded, proxied] } },
      });
      await lab.apply('unit-a', plain);
      await holding.until([forwarded, proxied], []);
      assert.is((await lab.a.status()).role, 'standalone');
      for (const [document, role] of [
        [one, 'master'],
        [plain, 'standalone'],
      ] as const) {
        await lab.apply('unit-a', document);
        await until(`it is ${role}`, PATIENCE, async () => {
          const status = await lab.a.status();
          return status.role === role || status.role;
        });
        await holding.until([forwarded, proxied], []);
        await served(lab);
      }
    }),
);

needs.keepalived(test)('keepalived as the other unit', () =>
  PairLab.run({ members: true, gateway: 3 }, async (lab) => {
    const holding = new Holding(lab, addresses);
    await lab.apply(
      'unit-a',
      documentOf({
        'preempt-delay': '500ms',
        'virtual-routers': {
          site: {
            ...{ id: 52, addresses: [proxied], prefer: 'unit-a', checksum: 'pseudo-header' },
            'advertisement-interval': '100ms',
          },
        },
      }),
    );
    const file = (name: string): string => join(lab.a.files, `keepalived-${name}`);
    writeFileSync(
      file('conf'),
      `vrrp_instance site {\n interface eth1\n state BACKUP\n virtual_router_id 52\n priority 100\n version 3\n advert_int 0.1\n virtual_ipaddress {\n  ${proxied}/32\n }\n}\n`,
    );
    const keepalived = start(lab.topology.namespace('unit-b'), [
      ...['keepalived', '-n', '-l', '-P', '-f', file('conf')],
      ...['-p', file('pid'), '-r', file('vrrp.pid')],
    ]);
    try {
      await holding.until([forwarded, proxied], []);
      await served(lab);
      await lab.a.must('pair', 'failover', '--all');
      await holding.until([forwarded], [proxied]);
      await lab.a.must('pair', 'failover', '--all', '--cancel');
      await holding.until([forwarded, proxied], []);
      await served(lab);
      const [row] = await lab.a.get<RouterRow[]>('/v1/routers');
      assert.equal([row?.role, row?.takeovers], ['master', 2]);
      lab.killAll('unit-a');
      await until('keepalived has it', PATIENCE, async () => {
        const seen = await holding.of('unit-b');
        return seen.includes(proxied) || seen.join(' ');
      });
    } finally {
      keepalived.kill('SIGTERM');
      await ended(keepalived);
    }
  }),
);

test.run();

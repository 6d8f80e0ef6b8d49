/**
 * Long-lived TCP connections through every way of forwarding go on when the unit that carries them
 * dies: the other one knows them, whatever algorithm chose their members.
 *
 * The roles of the two units are played here: the address that client and members route through, and
 * the dead unit's addresses of full nat, move by entries of neighbour tables, as they would by VRRP.
 *
 * WEIR_CONNECTIONS says how many connections there are over all services.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { join } from 'node:path';
import type { TierRow } from '../../appliance/api/contract.js';
import { needIdentity } from '../../appliance/ha/pair/identity.js';
import { PAIR_PORT } from '../../appliance/ha/pair/pair.js';
import { PairStore } from '../../appliance/ha/pair/store.js';
import { MachineKey } from '../../appliance/tls/machine-key.js';
import { needs } from '../support/needs.js';
import { Load, type LoadReport } from './clients.js';
import { run } from './commands.js';
import { cableAddress, PairLab } from './pair-lab.js';
import { addressOf, memberNames, type Segment, type UnitName } from './topology.js';
import { pause, until } from './unit.js';

const test = suite('flows of a pair');
const connections = Number(process.env['WEIR_CONNECTIONS'] ?? 800);
/** Between two requests on each, in milliseconds: a thousand requests a second over all. */
const heartbeat = Math.max(1000, connections);

const modes = ['dsr', 'tunnel', 'nat', 'full-nat'] as const;
const families = [4, 6] as const;
/** The last part of the addresses that client and members route through. */
const gateway = 100;
const hosts = { dsr: 81, tunnel: 82, nat: 80, 'full-nat': 83 } as const;
const prefix = (family: 4 | 6, segment: Segment = 'inside'): string => {
  const digit = segment === 'inside' ? 7 : 8;
  return family === 4 ? `10.7${digit}.0.` : `fd7${digit}::`;
};
const natAddress = (unit: UnitName, family: 4 | 6): string =>
  `${prefix(family)}${unit === 'unit-a' ? 101 : 102}`;

interface Target {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly entries: number;
}
const targets: readonly Target[] = modes.flatMap((mode) =>
  families.map((family) => ({
    name: `${mode}-${family}`,
    address: `${prefix(family)}${hosts[mode]}`,
    port: mode.endsWith('nat') ? 90 : 9000,
    entries: mode.endsWith('nat') ? 2 : 1,
  })),
);

function document(unit: UnitName): object {
  const members = (family: 4 | 6, nat: boolean): object => ({
    // No hash helps: who knows nothing of a connection would send it anywhere.
    algorithm: 'least-connections',
    members: memberNames.map((name) => ({
      address: addressOf(name, family),
      ...(nat ? { port: 9000 } : {}),
    })),
    monitor: { type: 'tcp', port: 8080, interval: '1s', timeout: '900ms', fall: 5 },
  });
  return {
    unit: { 'nat-addresses': families.map((family) => natAddress(unit, family)) },
    pools: Object.fromEntries(
      families.flatMap((family) => [
        [`direct${family}`, members(family, false)],
        [`other${family}`, members(family, true)],
      ]),
    ),
    services: Object.fromEntries(
      targets.map(({ name, address, port }) => {
        const [, mode = '', family = ''] = /^(.*)-(\d)$/.exec(name) ?? [];
        const pool = `${mode.endsWith('nat') ? 'other' : 'direct'}${family}`;
        return [name, { listen: { address, port, protocol: 'tcp' }, forwarding: mode, pool }];
      }),
    ),
  };
}

/** The address that the two units share, and A's own of full nat, are this unit's. */
async function carry(lab: PairLab, unit: UnitName): Promise<void> {
  const mac = async (leg: number): Promise<string> => {
    const name = lab.topology.namespace(unit);
    const shown = await run('ip', ['-n', name, '-json', 'link', 'show', 'dev', `eth${leg}`]);
    return (JSON.parse(shown) as { readonly address: string }[])[0]?.address ?? '';
  };
  const [inside, outside] = [await mac(0), await mac(1)];
  const lines = (leg: number, to: string, addresses: readonly string[]): string =>
    addresses
      .map((address) => `neigh replace ${address} lladdr ${to} dev eth${leg} nud permanent\n`)
      .join('');
  const shared = (segment: Segment): string[] =>
    families.map((family) => `${prefix(family, segment)}${gateway}`);
  const nats = families.map((family) => natAddress('unit-a', family));
  const ip = (host: 'client' | (typeof memberNames)[number], input: string): Promise<string> =>
    run('ip', ['-n', lab.topology.namespace(host), '-batch', '-'], { input });
  await Promise.all([
    ip('client', lines(0, outside, shared('outside'))),
    ...memberNames.map((name) => ip(name, lines(0, inside, [...shared('inside'), ...nats]))),
  ]);
}

/** As two commands at the terminals would. */
async function pairUnits(lab: PairLab): Promise<void> {
  await Promise.all([lab.a.end('SIGTERM'), lab.b.end('SIGTERM')]);
  const opened = [lab.a, lab.b].map((unit) => {
    const folder = join(unit.files, 'state');
    return { unit, folder, store: PairStore.open(folder) };
  });
  try {
    const pins = await Promise.all(
      opened.map(async ({ unit, folder, store }) => {
        return (await needIdentity(store, MachineKey.open(folder, true), unit.name)).pin;
      }),
    );
    opened.forEach(({ store }, index) => {
      store.putPeer({
        ...{ name: opened[1 - index]?.unit.name ?? '', pin: pins[1 - index] ?? Buffer.of() },
        ...{ role: index === 0 ? 'inviter' : 'joiner', port: PAIR_PORT, since: Date.now() },
        addresses: [cableAddress('unit-a', 4), addressOf('unit-a', 4, 'outside')],
      });
    });
  } finally {
    for (const { store } of opened) store.close();
  }
  await Promise.all([lab.a.start(), lab.b.start()]);
}

async function untilKnown(lab: PairLab, unit: 'a' | 'b', entries: number): Promise<void> {
  await until(`${entries} entries at unit ${unit}`, 60_000, async () => {
    const [tier] = await lab[unit].get<TierRow[]>('/v1/tiers');
    const seen = tier?.maps.find(({ name }) => name === 'flows')?.entries ?? 0;
    return seen >= entries ? true : `${seen} entries`;
  });
}

needs.lab(test)(
  `${connections} connections go on when the unit that carries them dies`,
  async () => {
    const options = {
      ...{ document, members: true, tunnels: true, gateway },
      directAddresses: targets.filter(({ entries }) => entries === 1).map(({ address }) => address),
    };
    await PairLab.run(options, async (lab) => {
      await pairUnits(lab);
      await carry(lab, 'unit-a');
      const members = (await lab.a.members()).map((row) => row.address);
      await Promise.all([lab.a.untilMembers(members, ['UP']), lab.b.untilMembers(members, ['UP'])]);
      const each = Math.ceil(connections / targets.length);
      const loads: Load[] = [];
      for (const { name, address, port } of targets) {
        loads.push(
          await Load.start(lab.topology, name, {
            ...{ protocol: 'tcp', address, port, rate: 0, concurrency: 1 },
            ...{ long: each, heartbeat, timeout: 30_000 },
          }),
        );
      }
      const marked = (name: string): Promise<LoadReport[]> =>
        Promise.all(loads.map((load) => load.mark(name)));
      await pause(heartbeat + 500);
      for (const report of await marked('before')) {
        assert.equal(report.failures, [], 'failures before');
        assert.is(report.open, each, 'connections open before');
      }
      await untilKnown(
        lab,
        'b',
        targets.reduce((sum, { entries }) => sum + entries * each, 0),
      );
      await lab.powerOff('unit-a');
      const died = performance.now();
      await carry(lab, 'unit-b');
      const took = performance.now() - died;
      await pause(2 * heartbeat + 2000);
      const reports = await marked('after');
      reports.forEach((report, index) => {
        const name = targets[index]?.name ?? '';
        console.log(
          `${name}: ${report.requests} answers, slowest ${report.slowest.toFixed(0)} ms, longest gap ${report.longestGap.toFixed(0)} ms (the addresses moved within ${took.toFixed(0)} ms)`,
        );
        assert.equal(report.failures.slice(0, 3), [], `${name}: failures (${report.failed}) after`);
        assert.is(report.open, each, `${name}: connections open after`);
        assert.ok(report.requests >= each, `${name}: each was answered after`);
      });
    });
  },
);

test.run();

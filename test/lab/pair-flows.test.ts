/**
 * Long-lived TCP connections through every way of forwarding, IPv4 and IPv6, go on whatever becomes of
 * the unit that carries them: its wires, its processes or its power are gone, and it comes back. The
 * other unit knows them, whatever algorithm chose their members; VRRP and heartbeats say who is to have
 * the addresses. Some clients ask again and again, others only receive.
 *
 * WEIR_CONNECTIONS says how many connections there are over all services.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { TierRow } from '../../appliance/api/contract.js';
import { needs } from '../support/needs.js';
import { Load } from './clients.js';
import { run } from './commands.js';
import { Holding, toldAt } from './holding.js';
import { PairLab, type Wire } from './pair-lab.js';
import { Receivers } from './receivers.js';
import { addressOf, memberNames, type Segment, type UnitName } from './topology.js';
import { pause, until, type Unit } from './unit.js';

const test = suite('flows of a pair');
const connections = Number(process.env['WEIR_CONNECTIONS'] ?? 800);
/** Between two requests on each, in milliseconds: a thousand requests a second over all. */
const heartbeat = Math.max(1000, connections);
/** A speaker that the machine holds up for three intervals is ended by its guard. */
const INTERVAL = 300;
/** Longer than a member takes to be up again at a unit that was cut off. */
const PREEMPT_DELAY = 4000;

/** On top of the failover, in milliseconds: TCP waits ever longer before it sends again. */
const LONGEST_STALL = 5000;

const modes = ['dsr', 'tunnel', 'nat', 'full-nat'] as const;
const families = [4, 6] as const;
const wires: readonly Wire[] = ['inside', 'outside', 'cable'];
/** The last part of the addresses that client and members route through. */
const gateway = 100;
const hosts = { dsr: 81, tunnel: 82, nat: 80, 'full-nat': 83 } as const;
const prefix = (family: 4 | 6, segment: Segment = 'inside'): string => {
  const digit = segment === 'inside' ? 7 : 8;
  return family === 4 ? `10.7${digit}.0.` : `fd7${digit}::`;
};
const natAddress = (unit: UnitName, family: 4 | 6): string =>
  `${prefix(family)}${unit === 'unit-a' ? 101 : 102}`;
const gateways = (segment: Segment): string[] =>
  families.map((family) => `${prefix(family, segment)}${gateway}`);
const natAddresses = (unit: UnitName): string[] =>
  families.map((family) => natAddress(unit, family));
/** What unit-a has while it is well; unit-b has its own of full nat. */
const ofA = [...gateways('inside'), ...gateways('outside'), ...natAddresses('unit-a')];
const moving = [...ofA, ...natAddresses('unit-b')];

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
/** To each target: those that only receive are the fifth part. */
const each = Math.ceil(connections / targets.length);
const receiving = Math.ceil(each / 5);
const asking = each - receiving;

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
  const router = (id: number, segment: Segment): object => ({
    ...{ id, interface: segment === 'inside' ? 'eth0' : 'eth1', addresses: gateways(segment) },
    ...{ prefer: 'unit-a', group: 'gateway' },
  });
  return {
    unit: { 'nat-addresses': natAddresses(unit) },
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
    pair: {
      ...{ 'advertisement-interval': `${INTERVAL}ms`, 'preempt-delay': `${PREEMPT_DELAY}ms` },
      'virtual-routers': { inside: router(10, 'inside'), outside: router(11, 'outside') },
    },
  };
}

async function untilEntries(unit: Unit, entries: number): Promise<void> {
  await until(`${entries} entries at ${unit.name}`, 60_000, async () => {
    const [tier] = await unit.get<TierRow[]>('/v1/tiers');
    const seen = tier?.maps.find(({ name }) => name === 'flows')?.entries ?? 0;
    return seen >= entries ? true : `${seen} entries`;
  });
}

/** Waits until client and members send what the two units share, and unit-a's own, to this one. */
async function untilLed(lab: PairLab, unit: UnitName): Promise<void> {
  const ip = async <T>(host: UnitName | 'client' | (typeof memberNames)[number], words: string[]) =>
    JSON.parse(await run('ip', ['-n', lab.topology.namespace(host), '-json', ...words])) as T[];
  const mac = async (dev: string): Promise<string> =>
    (await ip<{ address: string }>(unit, ['link', 'show', 'dev', dev]))[0]?.address ?? '';
  const macs = { inside: await mac('eth0'), outside: await mac('eth1') };
  for (const host of ['client', ...memberNames] as const) {
    const segment = host === 'client' ? 'outside' : 'inside';
    const watched = new Set([...gateways(segment), ...natAddresses('unit-a')]);
    await until(`${host} sends to ${unit}`, 20_000, async () => {
      const rows = await ip<{ dst: string; lladdr?: string }>(host, [
        'neigh',
        'show',
        'dev',
        'eth0',
      ]);
      const wrong = rows.filter(
        ({ dst, lladdr }) => watched.has(dst) && lladdr !== undefined && lladdr !== macs[segment],
      );
      return wrong.length === 0 || JSON.stringify([macs, wrong]);
    });
  }
}

class Clients {
  private constructor(
    private readonly loads: readonly Load[],
    private readonly receivers: Receivers,
  ) {}

  static async start(lab: PairLab): Promise<Clients> {
    const loads: Load[] = [];
    for (const { name, address, port } of targets) {
      loads.push(
        await Load.start(lab.topology, name, {
          ...{ protocol: 'tcp', address, port, rate: 0, concurrency: 1 },
          ...{ long: asking, heartbeat, timeout: 30_000 },
        }),
      );
    }
    const receivers = await Receivers.start(lab.topology, {
      ...{ targets, connections: receiving, period: heartbeat },
    });
    const clients = new Clients(loads, receivers);
    await clients.mark();
    return clients;
  }

  /** Begins a window. */
  async mark(): Promise<void> {
    await Promise.all([...this.loads.map((load) => load.mark('new')), this.receivers.mark()]);
  }

  /**
   * Each connection is there and was answered in this window, or received in it. Returns the longest
   * that one had to wait, in milliseconds.
   */
  async allWell(after: string): Promise<number> {
    await pause(2 * heartbeat + 2000);
    const reports = await Promise.all(this.loads.map((load) => load.mark(after)));
    const received = await this.receivers.mark();
    reports.forEach((report, index) => {
      const name = `${targets[index]?.name ?? ''} after ${after}`;
      assert.equal(report.failures.slice(0, 3), [], `${name}: ${report.failed} failed`);
      assert.is(report.open, asking, `${name}: connections open`);
      assert.ok(report.requests >= asking, `${name}: ${report.requests} answers`);
    });
    assert.equal(received.failures.slice(0, 3), [], `receiving after ${after}`);
    assert.is(received.open, receiving * targets.length, `receiving after ${after}: open`);
    assert.is(received.silent, 0, `receiving after ${after}: without a line`);
    const slowest = reports.map(({ slowest: most }) => Math.round(most));
    const gap = Math.round(received.longestGap - heartbeat);
    console.log(
      `${after}: slowest answers ${slowest.join(' ')} ms; longest stall of who only receives ${gap} ms`,
    );
    return Math.max(...slowest, gap);
  }
}

needs.lab(test)(
  `${connections} connections go on, whatever becomes of the unit that carries them`,
  async () => {
    const options = {
      ...{ document, members: true, tunnels: true, gateway },
      directAddresses: targets.filter(({ entries }) => entries === 1).map(({ address }) => address),
    };
    await PairLab.run(options, async (lab) => {
      await lab.pair();
      const holding = new Holding(lab, moving);
      const untilShared = (): Promise<number> => holding.until(ofA);
      await untilShared();
      const members = (await lab.a.members()).map((row) => row.address);
      await Promise.all([lab.a.untilMembers(members, ['UP']), lab.b.untilMembers(members, ['UP'])]);
      const clients = await Clients.start(lab);
      await clients.allWell('the beginning');
      const entries = targets.reduce((sum, one) => sum + one.entries * each, 0);
      await untilEntries(lab.b, entries);

      const dies = async (how: string, die: () => Promise<void>): Promise<void> => {
        await untilLed(lab, 'unit-a');
        await clients.mark();
        const died = Date.now();
        await die();
        const taken = [/virtual router inside\/ipv4 is master/, /nat\/unit-a\/.* is master/];
        const at = await Promise.all(taken.map((pattern) => toldAt(lab.b, died, pattern)));
        const took = Math.max(...at) - died;
        console.log(`${how}: taken over after ${took} ms`);
        await untilLed(lab, 'unit-b');
        const longest = await clients.allWell(how);
        assert.ok(longest < took + LONGEST_STALL, `${how}: ${longest} ms without an answer`);
      };
      const returns = async (how: string, comeBack: () => Promise<void>): Promise<void> => {
        await comeBack();
        await untilShared();
        await clients.allWell(how);
        await untilEntries(lab.b, entries);
      };

      await dies('its links are down', async () => {
        for (const wire of wires) await lab.cut(wire, { unit: 'unit-a' });
      });
      await returns('its links are back', async () => {
        for (const wire of wires) await lab.mend(wire, { unit: 'unit-a' });
      });
      await dies('its processes are killed', async () => lab.killAll('unit-a'));
      await returns('its processes are back', async () => {
        await lab.a.end('SIGKILL');
        await lab.a.start();
      });
      await dies('its power failed', () => lab.powerOff('unit-a'));
    });
  },
);

test.run();

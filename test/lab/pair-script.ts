/**
 * The acts of two units as a pair (`npm start` without a terminal plays them last): joined by two
 * commands, one configuration, a hand-over and back, and the end of a unit, each with what the
 * clients saw.
 *
 * Invariant: a connection through layer 4 is lost in no act; one through the proxy only with the unit
 * that served it.
 */
import type { RouterRow } from '../../appliance/api/contract.js';
import { describeReport, Load, type LoadReport, type LoadSettings } from './clients.js';
import { PairLab } from './pair-lab.js';
import { addressOf, memberNames, type UnitName } from './topology.js';
import { pause, until } from './unit.js';

/** Nothing here takes so long; a machine that is busy may. */
const PATIENCE = 20_000;
/** How long a state is watched under load, in milliseconds. */
const watch = 2000;
/** What the members answer through. */
const gateway = '10.77.0.1';

interface Target {
  readonly name: string;
  readonly settings: Pick<LoadSettings, 'protocol' | 'address' | 'port' | 'rate' | 'long'>;
  readonly service: (listen: object) => object;
  readonly pool: object;
}

const members = (port: number): object => ({
  members: memberNames.map((name) => ({ address: addressOf(name, 4), port })),
});

const targets: readonly Target[] = [
  {
    name: 'chat',
    settings: { protocol: 'tcp', address: '10.78.0.82', port: 9000, rate: 0, long: 40 },
    service: (listen) => ({ listen: { ...listen, protocol: 'tcp' }, forwarding: 'nat' }),
    // No hash helps: a unit that was told nothing of a connection would send it anywhere.
    pool: { ...members(9000), algorithm: 'least-connections' },
  },
  {
    name: 'web',
    settings: { protocol: 'http', address: '10.78.0.81', port: 80, rate: 60, long: 0 },
    service: (listen) => ({ listen: { ...listen, protocol: 'tcp' }, forwarding: 'nat' }),
    pool: members(8080),
  },
  {
    name: 'dns',
    settings: { protocol: 'udp', address: '10.78.0.53', port: 53, rate: 60, long: 0 },
    service: (listen) => ({ listen: { ...listen, protocol: 'udp' }, forwarding: 'nat' }),
    pool: { ...members(5353), monitor: { type: 'tcp', port: 8080 } },
  },
  {
    name: 'site',
    settings: { protocol: 'http', address: '10.78.0.80', port: 80, rate: 60, long: 0 },
    service: (listen) => ({ listen: { ...listen, protocol: 'http' } }),
    pool: members(8080),
  },
];
const QUICK = { type: 'tcp', port: 8080, interval: '300ms', timeout: '250ms', fall: 2, rise: 2 };

/** Whose connections end with the unit that serves them. */
const proxied = 'site';

const load = { concurrency: 64, heartbeat: 100, timeout: 10_000 };

/** `watched`: with a monitor that sees a death within a second. */
function sharedPart(watched = false): object {
  const more = watched ? { monitor: QUICK } : {};
  return {
    pools: Object.fromEntries(targets.map(({ name, pool }) => [name, { ...pool, ...more }])),
    services: Object.fromEntries(
      targets.map(({ name, settings: { address, port }, service }) => [
        name,
        { ...service({ address, port }), pool: name },
      ]),
    ),
    pair: {
      'preempt-delay': '1s',
      'virtual-routers': {
        inside: { id: 10, interface: 'eth0', addresses: [gateway], prefer: 'unit-a', group: 'nat' },
        outside: {
          ...{ id: 11, addresses: ['10.78.0.81', '10.78.0.82', '10.78.0.53'] },
          ...{ prefer: 'unit-a', group: 'nat' },
        },
        site: { id: 12, addresses: ['10.78.0.80'], prefer: 'unit-b' },
      },
    },
  };
}

type Report = (name: string, notes: readonly string[], troubles: readonly string[]) => boolean;

/** The lab of these acts. */
export const PAIR_LAB = { members: true, gateway: 1 } as const;

/** The clients of the pair, and the judgement of what they saw. */
export class Clients {
  private constructor(private readonly loads: ReadonlyMap<string, Load>) {}

  static async start(lab: PairLab): Promise<Clients> {
    const started = targets.map(
      async ({ name, settings }) =>
        [name, await Load.start(lab.topology, name, { ...load, ...settings })] as const,
    );
    return new Clients(new Map(await Promise.all(started)));
  }

  /** `moved`: since when (epoch milliseconds) no unit serves any more that did before. */
  async window(name: string, moved: number | null): Promise<[string[], string[]]> {
    return this.judge((one) => one.mark(name), moved);
  }

  async stop(): Promise<[string[], string[]]> {
    return this.judge((one) => one.stop(), null);
  }

  private async judge(
    ask: (one: Load) => Promise<LoadReport>,
    moved: number | null,
  ): Promise<[string[], string[]]> {
    const [notes, troubles]: [string[], string[]] = [[], []];
    for (const [name, one] of this.loads) {
      const report = await ask(one);
      notes.push(`${name}: ${describeReport(report)}`);
      const bad = report.failures.filter(
        ({ began }) => name !== proxied || moved === null || began > moved,
      );
      for (const { kind, reason, member } of bad.slice(0, 3)) {
        troubles.push(`${name}: a ${kind} connection (${member ?? 'no answer yet'}): ${reason}`);
      }
      if (bad.length > 3) troubles.push(`${name}: ${bad.length - 3} more failures`);
      if (report.requests === 0 && report.seconds > 1) {
        troubles.push(`${name}: no request was answered`);
      }
    }
    return [notes, troubles];
  }
}

/** Waits until the units say so of who holds what. */
async function untilMasters(
  lab: PairLab,
  units: readonly UnitName[],
  wanted: Readonly<Record<string, UnitName>>,
): Promise<number> {
  const masters = async (): Promise<string> => {
    const seen: string[] = [];
    for (const unit of units) {
      const rows = await lab.unit(unit).get<RouterRow[]>('/v1/routers');
      for (const { router, role } of rows) if (role === 'master') seen.push(`${router} ${unit}`);
    }
    return seen.sort().join(', ');
  };
  const text = Object.entries(wanted)
    .map(([router, unit]) => `${router} ${unit}`)
    .sort()
    .join(', ');
  return until(text, PATIENCE, async () => {
    const seen = await masters();
    return seen === text || seen;
  });
}

const spread = { inside: 'unit-a', outside: 'unit-a', site: 'unit-b' } as const;
const allOn = (unit: UnitName): Record<string, UnitName> =>
  Object.fromEntries(Object.keys(spread).map((router) => [router, unit]));

/** Gives both units the services; resolves with the document of unit-b once each holds its share. */
async function configureThem(lab: PairLab, watched = false): Promise<string> {
  await lab.apply('unit-a', sharedPart(watched));
  const there = await lab.b.must('export');
  await untilMasters(lab, ['unit-a', 'unit-b'], spread);
  const addresses = memberNames.map((member) => addressOf(member, 4));
  await Promise.all([lab.a, lab.b].map((unit) => unit.untilMembers(addresses, ['UP'])));
  return there;
}

/** Makes two units a pair that serves, and watches its members closely. */
export async function pairThem(lab: PairLab): Promise<void> {
  await lab.pair();
  await configureThem(lab, true);
}

/** Plays all acts; returns whether none had a trouble. */
export function playPair(report: Report): Promise<boolean> {
  let good = true;
  const told: Report = (...of) => (good = report(...of) && good);
  const play = async (lab: PairLab): Promise<boolean> => {
    const begun = performance.now();
    await lab.pair();
    const linked = performance.now() - begun;
    told(
      'two units are paired',
      [`weir pair invite, weir pair join: both links up after ${linked.toFixed(0)} ms`],
      [],
    );

    const there = await configureThem(lab);
    const lacking = targets.filter((one) => !there.includes(`  ${one.name}:`));
    told(
      'one configuration',
      ['applied at unit-a, at unit-b at once; each unit is master of its share'],
      lacking.map((one) => `unit-b lacks the service ${one.name}`),
    );

    const clients = await Clients.start(lab);
    const watched = async (act: string, moved: number | null, note: string): Promise<void> => {
      await pause(watch);
      const [notes, troubles] = await clients.window(act, moved);
      told(act, [...(note === '' ? [] : [note]), ...notes], troubles);
    };
    await watched('both units serve', null, '');

    await lab.a.must('pair', 'failover', '--all');
    await untilMasters(lab, ['unit-a', 'unit-b'], allOn('unit-b'));
    await watched('unit-a hands over', Date.now(), 'weir pair failover --all');

    await lab.a.must('pair', 'failover', '--all', '--cancel');
    await untilMasters(lab, ['unit-a', 'unit-b'], spread);
    await watched('unit-a takes its share back', Date.now(), '');

    const died = Date.now();
    await lab.powerOff('unit-a');
    const took = await untilMasters(lab, ['unit-b'], allOn('unit-b'));
    await watched(
      'unit-a loses its power',
      died,
      `unit-b says that it holds all after ${took.toFixed(0)} ms`,
    );

    told('the clients of the pair finish', ...(await clients.stop()));
    return good;
  };
  let result = false;
  return PairLab.run(PAIR_LAB, async (lab) => {
    try {
      result = await play(lab);
    } catch (error) {
      const last = (['unit-a', 'unit-b'] as const).map(
        (unit) => `the last words of ${unit}:\n${lab.unit(unit).logTail()}`,
      );
      told('the pair', [], [(error as Error).message, ...last]);
      result = false;
    }
  }).then(() => result);
}

/**
 * The acts of the lab: each changes something while clients are at work, waits until the
 * unit has done it, and says what it expected and did not see. `npm start` without a
 * terminal plays them in order; the lab tests play them under more load.
 *
 * Invariant: an act leaves the lab as the next one expects it (all members up and
 * enabled, weights as at the start), or throws.
 */
import type { Counters, TierRow, WorkerRow } from '../../appliance/api/contract.js';
import { arrivedFlows, Capture } from './capture.js';
import { addressesOf } from './lab.js';
import { describeShares, share, unlike, type Act, type Weights } from './stage.js';
import { memberNames } from './topology.js';
import { pause, until } from './unit.js';

/** How long a state is watched under load, in milliseconds. */
const watch = 2000;
/** How long a capture runs before a death: no connection waits longer for its first answer. */
const foreboding = 500;
/** How far shares may be from the weights: the acts see some thousand connections. */
const tolerance = 0.05;
const startWeights: Weights = { 'member-1': 3, 'member-2': 2, 'member-3': 1 };

export const baseline: Act = {
  name: 'baseline',
  async play(stage) {
    const { unit, targets } = stage.lab;
    const before = await unit.get<Counters>('/v1/counters');
    await pause(watch);
    const after = await unit.get<Counters>('/v1/counters');
    const tiers = await unit.get<TierRow[]>('/v1/tiers');
    const idle = targets.filter(
      ({ name }) => after.services[name]?.packets === before.services[name]?.packets,
    );
    const slow = tiers.filter(({ tier, mode }) => tier === 'xdp' && mode !== 'native');
    return {
      notes: [tiers.map((row) => `${row.interface} ${row.tier} ${row.mode ?? 'off'}`).join(', ')],
      troubles: [
        ...idle.map(({ name }) => `${name}: the fast path counted no packet of it`),
        ...slow.map((row) => `XDP is ${row.mode ?? 'off'} on ${row.interface}: ${row.why}`),
        ...(tiers.length === 0 ? ['no tier is active'] : []),
      ],
    };
  },
};

export const distribution: Act = {
  name: 'distribution',
  async play(stage) {
    await stage.window('before');
    await pause(2 * watch);
    const reports = await stage.window('distribution');
    return { notes: ['weights 3:2:1'], troubles: unlike(reports, startWeights, tolerance) };
  },
};

export const death: Act = {
  name: 'member-1 dies',
  async play(stage) {
    const { lab, deaths } = stage;
    const member = 'member-1';
    const capture = await Capture.atMember(lab, member);
    const openings = await Capture.ofOpenings(lab);
    try {
      await pause(foreboding);
      const from = await lab.members.kill(member);
      await lab.unit.untilMembers(addressesOf(member), ['DOWN']);
      const noticed = Date.now() - from;
      await pause(watch);
      const to = capture.lastPacket(from).time ?? from;
      deaths.push({ member, from, to, flows: arrivedFlows(capture, openings) });
      await stage.window('death');
      // What was lost in the last moment shows when its client stops waiting.
      await pause(watch);
      const later = await stage.window('after death');
      const strays = capture.lastPacket(to + 1).packets;
      const late = to - from - noticed;
      const missed = (await capture.stop()) + ((await openings?.stop()) ?? 0);
      return {
        notes: [
          `taken out after ${noticed.toFixed(0)} ms`,
          `last packet sent there ${(to - from).toFixed(0)} ms after its death`,
        ],
        troubles: [
          ...(share(later, member) > 0 ? [`${member} answers though it is dead`] : []),
          ...(strays > 0 ? [`${strays} packets reached ${member} after the last one`] : []),
          ...(missed > 0 ? [`the captures missed ${missed} packets`] : []),
          ...(late > 500
            ? [`packets went there ${late.toFixed(0)} ms after it was taken out`]
            : []),
        ],
      };
    } finally {
      await Promise.all([capture.stop(), openings?.stop()]);
    }
  },
};

export const comeback: Act = {
  name: 'member-1 returns',
  async play(stage) {
    const { members, unit } = stage.lab;
    const member = 'member-1';
    await members.revive(member);
    const took = await unit.untilMembers(addressesOf(member), ['UP']);
    // In the first moments it had up to 56 % instead of 50, probably by what had waited for it.
    await pause(watch);
    await stage.window('return');
    await pause(watch);
    const reports = await stage.window('returned');
    return {
      notes: [`serves again after ${took.toFixed(0)} ms; then ${describeShares(reports)}`],
      troubles: unlike(reports, startWeights, tolerance),
    };
  },
};

export const drain: Act = {
  name: 'member-2 drains',
  async play(stage) {
    const { lab } = stage;
    const member = 'member-2';
    await lab.setMember(member, 'draining');
    await lab.unit.untilMembers(addressesOf(member), ['DRAINING']);
    await stage.window('drain');
    await pause(watch);
    const reports = await stage.window('drained');
    const troubles: string[] = [];
    for (const [service, { byMember }] of reports) {
      const fresh = byMember[member] ?? 0;
      if (fresh > 0) troubles.push(`${service}: ${fresh} new connections though ${member} drains`);
    }
    await lab.setMember(member, 'enabled');
    await lab.unit.untilMembers(addressesOf(member), ['UP']);
    return { notes: [`${member} keeps its connections and takes no new ones`], troubles };
  },
};

export const weights: Act = {
  name: 'weights change',
  async play(stage) {
    const { lab } = stage;
    const before = await lab.unit.revision();
    await lab.setMember('member-1', '--weight', '1');
    await lab.setMember('member-3', '--weight', '3');
    await stage.window('weights');
    await pause(2 * watch);
    const reports = await stage.window('weighed');
    await lab.unit.must('rollback', String(before), '--comment', 'weights as they were');
    const turned = { 'member-1': 1, 'member-2': 2, 'member-3': 3 };
    return {
      notes: [`with weights 1:2:3 ${describeShares(reports)}`],
      troubles: unlike(reports, turned, tolerance),
    };
  },
};

/** A change that nobody confirms goes back by itself. */
export const unconfirmed: Act = {
  name: 'a change is not confirmed',
  async play(stage) {
    const { lab } = stage;
    const seconds = 3;
    const member = 'member-3';
    const before = await lab.unit.revision();
    await lab.change(
      (document) => {
        for (const pool of Object.values(document.pools ?? {})) {
          for (const row of pool.members) {
            if (addressesOf(member).includes(row.address)) row.state = 'draining';
          }
        }
      },
      ...['--confirm', `${seconds}s`, '--comment', `drains ${member}, for a try`],
    );
    await lab.unit.untilMembers(addressesOf(member), ['DRAINING']);
    const pending = (await lab.unit.status()).pendingConfirm;
    const took = await until('the change goes back', (seconds + 3) * 1000, async () => {
      const { revision, pendingConfirm } = await lab.unit.status();
      return (revision ?? 0) > before + 1 && pendingConfirm === null
        ? true
        : `revision ${revision ?? 'none'}`;
    });
    await lab.unit.untilMembers(addressesOf(member), ['UP']);
    const revision = await lab.unit.revision();
    return {
      notes: [`rolled back by itself after ${took.toFixed(0)} ms, as revision ${revision}`],
      troubles: pending === null ? ['the unit does not say that a change waits'] : [],
    };
  },
};

/** Of the proxy: its own connections go with it, and nothing else. */
export const workerDeath: Act = {
  name: 'a worker is killed',
  async play(stage) {
    const { unit } = stage.lab;
    const { shop } = stage;
    if (shop === null) return { troubles: ['there is no service behind the proxy'] };
    const workers = (): Promise<WorkerRow[]> => unit.get<WorkerRow[]>('/v1/workers');
    const before = await workers();
    const connections = await shop.connectionsByProcess();
    const [victim = 0, lost = []] =
      [...connections].sort(([, a], [, b]) => b.length - a.length)[0] ?? [];
    if (!before.some(({ pid }) => pid === victim)) {
      return { troubles: [`process ${victim} has the connections, but is no worker`] };
    }
    process.kill(victim, 'SIGKILL');
    const took = await until('another worker takes its place', 10_000, async () => {
      const now = await workers();
      const serving = now.filter(({ state }) => state === 'serving');
      return serving.length === before.length && now.every(({ pid }) => pid !== victim)
        ? true
        : now.map(({ pid, state }) => `${pid} ${state}`).join(', ');
    });
    await pause(watch);
    const report = await stage.shopWindow('worker killed');
    const kept = lost.filter((port) => report?.lost.includes(port) !== true);
    return {
      notes: [
        `worker ${victim} had ${lost.length} of the connections`,
        `another one serves after ${took.toFixed(0)} ms`,
      ],
      troubles: kept.length > 0 ? [`connections that outlived it: ${kept.join(', ')}`] : [],
      lost,
    };
  },
};

export const restart: Act = {
  name: 'the daemon is killed and restarted',
  async play(stage) {
    const { unit } = stage.lab;
    await unit.end('SIGKILL');
    await pause(watch);
    const without = await stage.window('without daemon');
    const took = await unit.start();
    await pause(watch);
    await unit.untilMembers(memberNames.flatMap(addressesOf), ['UP']);
    // New workers take over; the old ones end the connections that wait, which costs no request.
    const shopped = await stage.shopWindow('restarted');
    return {
      notes: [
        `${watch / 1000} s without a daemon, the next one answers after ${took.toFixed(0)} ms`,
      ],
      troubles: unlike(without, startWeights, tolerance),
      lost: shopped?.lost ?? [],
    };
  },
};

export const rollback: Act = {
  name: 'rollback',
  async play(stage) {
    const { lab } = stage;
    await lab.change(
      (document) => {
        for (const pool of Object.values(document.pools ?? {})) {
          for (const member of pool.members) member.weight = 1;
        }
      },
      ...['--comment', 'all weights alike'],
    );
    await pause(watch / 2);
    await lab.unit.must('rollback', '1', '--comment', 'as it was at the start');
    await stage.window('changed and back');
    await pause(2 * watch);
    const reports = await stage.window('rolled back');
    return {
      notes: [`the document of revision 1 is back, as revision ${await lab.unit.revision()}`],
      troubles: unlike(reports, startWeights, tolerance),
    };
  },
};

/** In the order of the script. */
export const acts: readonly Act[] = [
  baseline,
  distribution,
  death,
  comeback,
  drain,
  weights,
  unconfirmed,
  workerDeath,
  restart,
  rollback,
];

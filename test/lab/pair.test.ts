/** Two units as a pair, with both daemons: what the pairing promises when wires and daemons go. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { EventRow, PairInvited, PairView } from '../../appliance/api/contract.js';
import { needs } from '../support/needs.js';
import { CommandError, run, within } from './commands.js';
import { cableAddress, PairLab, type Wire } from './pair-lab.js';
import { addressOf } from './topology.js';
import { until, type Unit } from './unit.js';

const test = suite('pair');

async function reaches(lab: PairLab, address: string): Promise<boolean> {
  const words = ['ping', '-c', '1', '-W', '1', address];
  try {
    await run('nsenter', within(lab.topology.namespace('unit-a'), words).slice(1));
    return true;
  } catch (error) {
    if (error instanceof CommandError) return false;
    throw error;
  }
}

needs.lab(test)('each wire between the units is cut and mended by itself', () =>
  PairLab.run({}, async (lab) => {
    const ends: Readonly<Record<Wire, string>> = {
      inside: addressOf('unit-b', 4),
      outside: addressOf('unit-b', 6, 'outside'),
      cable: cableAddress('unit-b', 4),
    };
    const open = async (): Promise<string[]> => {
      const asked = Object.entries(ends).map(async ([wire, address]) =>
        (await reaches(lab, address)) ? [wire] : [],
      );
      return (await Promise.all(asked)).flat();
    };
    // Who is where is learnt anew after a wire was mended.
    const untilOpen = async (...wires: readonly Wire[]): Promise<void> => {
      await until(`open: ${wires.join(', ')}`, 30_000, async () => {
        const seen = (await open()).join(', ');
        return seen === wires.join(', ') || seen;
      });
    };
    await untilOpen('inside', 'outside', 'cable');
    await lab.cut('cable');
    await untilOpen('inside', 'outside');
    await lab.cut('inside', { silent: true });
    await untilOpen('outside');
    await lab.mend('cable');
    await lab.mend('inside');
    await untilOpen('inside', 'outside', 'cable');
    for (const unit of [lab.a, lab.b]) assert.is((await unit.status()).unit, unit.name);
  }),
);

/** What a unit's events of the pair say, oldest first. */
async function said(unit: Unit): Promise<string[]> {
  const events = await unit.get<EventRow[]>('/v1/events?kind=pair,peer-lost,peer-back&limit=100');
  return events.map(({ message }) => message);
}

async function untilSaid(unit: Unit, what: RegExp): Promise<void> {
  await until(`an event of ${unit.name}: ${what.source}`, 30_000, async () => {
    const all = await said(unit);
    return all.some((message) => what.test(message)) || all.join('; ');
  });
}

const viewOf = (unit: Unit): Promise<PairView> => unit.get<PairView>('/v1/pair');

needs.lab(test)('two commands make a pair; it lives through cut wires and ended daemons', () =>
  PairLab.run({}, async (lab) => {
    await lab.pair();
    assert.is((await viewOf(lab.a)).peer?.name, 'unit-b');
    assert.is((await viewOf(lab.b)).peer?.name, 'unit-a');
    assert.is((await viewOf(lab.a)).peer?.fingerprint, (await viewOf(lab.b)).fingerprint);
    assert.is((await lab.b.weir('pair', 'status', '--check')).status, 0);

    await lab.cut('cable', { silent: true });
    await lab.untilLinks(1);
    assert.ok((await viewOf(lab.a)).together, 'one link is lost, and nothing more');
    assert.is((await lab.a.weir('pair', 'status', '--check')).status, 8);
    assert.match(await lab.a.must('status'), /pair-link-down/);
    await lab.cut('inside', { silent: true });
    await lab.untilLinks(0);
    assert.match(await lab.a.must('status'), /unit-b, is heard by no link.*peer-lost/);
    await untilSaid(lab.a, /unit-b is not heard by any link/);
    await lab.mend('inside');
    await lab.mend('cable');
    await lab.untilLinks(2);
    assert.match(await lab.a.must('status'), /^Alarms +none$/m);

    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      for (const unit of [lab.a, lab.b]) {
        await unit.end(signal);
        await unit.start();
        await lab.untilLinks(2);
      }
    }

    await lab.b.must('pair', 'leave');
    await untilSaid(lab.a, /unit-b has left the pair/);
    for (const unit of [lab.a, lab.b]) assert.is((await viewOf(unit)).peer, null, unit.name);
    assert.is((await lab.a.weir('pair', 'leave')).status, 5);
  }),
);

needs.lab(test)('whoever does not know the code is not let in, and is told why', () =>
  PairLab.run({}, async (lab) => {
    const invite = async (): Promise<PairInvited> =>
      JSON.parse(await lab.a.must('pair', 'invite', '--json')) as PairInvited;
    const join = (code: string, address = addressOf('unit-a', 4)) =>
      lab.b.weir('pair', 'join', code, address);

    const early = await join('00000-00000-00000-00000');
    assert.is(early.status, 1, `nobody listens there yet: ${early.stderr}`);
    const first = await invite();
    assert.ok(first.addresses.includes(cableAddress('unit-a', 4)), first.addresses.join(' '));
    const mistyped = await join(first.code.replace(/^./, (one) => (one === '2' ? '3' : '2')));
    assert.is(mistyped.status, 4);
    assert.match(mistyped.stderr, /mistyped/);
    // A later invitation voids the code before it, which is a right one in form.
    const second = await invite();
    for (let tries = 0; tries < 4; tries += 1) {
      const wrong = await join(first.code);
      assert.is(wrong.status, 5);
      assert.match(wrong.stderr, /The code is wrong/);
    }
    assert.match((await join(first.code)).stderr, /no longer valid/);
    assert.match((await join(second.code)).stderr, /no invitation open|cannot be reached|refused/i);
    assert.is((await viewOf(lab.a)).invitation, null);
    assert.is((await viewOf(lab.a)).refused['wrongCode'], 5);
    const events = await said(lab.a);
    assert.ok(
      events.some((message) => message.includes('the invitation is void')),
      events.join('; '),
    );
    const log = lab.a.logSince(0).map(({ message }) => message);
    for (const line of [...events, ...log]) assert.not.match(line, new RegExp(second.code));

    await lab.apply('unit-b', { unit: { name: 'unit-a' } });
    const same = await join((await invite()).code);
    assert.is(same.status, 5);
    assert.match(same.stderr, /the same name/);
    await lab.apply('unit-b', {});
    assert.is((await join((await invite()).code)).status, 0);
    await lab.untilLinks((await viewOf(lab.a)).links.length);
  }),
);

test.run();

/** Two units with monitors of their own over a real pair: what each hears, believes, and makes of it. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PeerHealth } from '../../../appliance/control/peer-health.js';
import type { MonitorTarget, Tables } from '../../../appliance/control/tables.js';
import { CHANNEL } from '../../../appliance/ha/health/exchange.js';
import { Monitors, type ProbeResult } from '../../../appliance/health/monitors.js';
import type { NewEvent } from '../../../appliance/telemetry/event-log.js';
import { pairOf, type PairUnit } from '../../support/two-units.js';

const test = suite('health of two units');
const quiet = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

function target(index: number, interval = 10): MonitorTarget {
  const [member, port] = [`10.0.${index >> 8}.${index & 255}:80`, 80];
  const settings = { type: 'tcp', interval, timeout: 10, rise: 1, fall: 1 } as const;
  return { id: `web/${member}`, pool: 'web', member, address: member.slice(0, -3), port, settings };
}

function tablesOf(targets: readonly MonitorTarget[]): Tables {
  const pools = new Map([['web', { name: 'web', members: targets.map(({ id }) => ({ id })) }]]);
  const monitors = new Map(targets.map((one) => [one.id, one]));
  return { pools, l4: { pools }, l7: { pools: new Map() }, monitors } as unknown as Tables;
}

/** A unit whose probes end as the test says. */
class HealthUnit {
  readonly events: NewEvent[] = [];
  readonly health: PeerHealth;
  readonly monitors: Monitors;
  answer: (one: MonitorTarget) => ProbeResult['outcome'] = () => 'pass';
  now = 0;
  readonly #wakes = new Set<() => void>();

  constructor(readonly unit: PairUnit) {
    this.monitors = new Monitors({
      ...{ log: quiet, onChange: () => this.#wake() },
      onVerdict: (key, verdict) => {
        this.health.changed(key, verdict);
        this.#wake();
      },
      probe: async (one) => ({ outcome: this.answer(one), reason: 'so it is' }),
      now: () => this.now,
    });
    this.health = new PeerHealth({
      ...{ pair: unit.pair, monitors: this.monitors, now: () => this.now },
      events: {
        append: (event) => {
          this.events.push(event);
          return { subject: {}, ...event, sequence: this.events.length, time: 0 };
        },
      },
    });
    unit.listener = (news) => {
      this.health.heard(news);
      this.#wake();
    };
  }

  watch(...targets: readonly MonitorTarget[]): void {
    this.monitors.reconcile(new Map(targets.map((one) => [one.id, one])));
  }

  /** Until what is heard of the other unit is this, too: that makes no noise of its own. */
  async until(reached: () => boolean): Promise<void> {
    const deadline = Date.now() + 20_000;
    while (!reached()) {
      if (Date.now() > deadline) throw new Error('it did not come to that in time');
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 10);
        this.#wakes.add(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  peerSees(index: number): string | undefined {
    return this.monitors.bothViews(target(index).id)?.peer?.verdict;
  }

  state(index: number): string | undefined {
    return this.monitors.status(target(index).id)?.state;
  }

  #wake(): void {
    for (const wake of [...this.#wakes]) wake();
    this.#wakes.clear();
  }

  async close(): Promise<void> {
    this.health.close();
    await this.monitors.close();
    this.unit.close();
  }
}

async function withUnits(work: (a: HealthUnit, b: HealthUnit) => Promise<void>): Promise<void> {
  const [one, other] = await pairOf();
  const [a, b] = [new HealthUnit(one), new HealthUnit(other)];
  try {
    await work(a, b);
    assert.equal([...one.errors, ...other.errors], []);
  } finally {
    await a.close();
    await b.close();
  }
}

test('each hears what the other sees, as it changes, until it watches it no longer', () =>
  withUnits(async (a, b) => {
    a.watch(target(1), target(2));
    b.watch(target(1), target(2));
    await a.until(() => a.peerSees(1) === 'up' && a.peerSees(2) === 'up');
    b.answer = (one) => (one.id === target(2).id ? 'fail' : 'pass');
    await a.until(() => a.peerSees(2) === 'down');
    assert.is(a.state(2), 'up', 'what it sees itself counts');
    b.watch(target(1));
    await a.until(() => a.peerSees(2) === undefined);
    b.answer = () => 'inconclusive';
    await a.until(() => a.peerSees(1) === undefined);
  }));

test('a unit whose probes cannot be made takes the other one’s word', () =>
  withUnits(async (a, b) => {
    a.answer = () => 'inconclusive';
    b.answer = (one) => (one.id === target(2).id ? 'fail' : 'pass');
    a.watch(target(1), target(2));
    b.watch(target(1), target(2));
    await a.until(() => a.state(1) === 'up' && a.state(2) === 'down');
    assert.match(
      a.monitors.status(target(2).id)?.reason ?? '',
      /^the other unit sees it down; this one cannot probe it: so it is$/,
    );
    assert.is(b.peerSees(1), undefined, 'and does not tell it as its own');
    b.answer = () => 'pass';
    await a.until(() => a.state(2) === 'up');
  }));

test('many members cross in pages; a new session tells all anew', () =>
  withUnits(async (a, b) => {
    const all = Array.from({ length: 1200 }, (_, index) => target(index, 300));
    b.watch(...all);
    a.watch(target(0, 300), target(1199, 300));
    await a.until(() => a.peerSees(0) === 'up' && a.peerSees(1199) === 'up');
    a.health.heard({ what: 'alone', peer: 'unit-b' });
    assert.is(a.peerSees(0), undefined, 'what is not heard is not known');
    b.health.heard({ what: 'together', peer: 'unit-a' });
    await a.until(() => a.peerSees(0) === 'up' && a.peerSees(1199) === 'up');
  }));

test('members that the other unit alone reaches: told once, and less than half makes unfit, over a cut too', () =>
  withUnits(async (a, b) => {
    const all = [1, 2, 3].map((index) => target(index));
    const tables = tablesOf(all);
    a.watch(...all);
    b.watch(...all);
    a.answer = () => 'fail';
    await a.until(() =>
      [1, 2, 3].every((one) => a.peerSees(one) === 'up' && a.state(one) === 'down'),
    );
    a.health.step(tables);
    assert.ok(a.health.reaches, 'the other one may just not have noticed yet');
    a.now = 60_000;
    a.health.step(tables);
    assert.not.ok(a.health.reaches);
    assert.is(a.events.length, 1);
    assert.match(
      a.events[0]?.message ?? '',
      /^unit-b reaches 3 members that this unit does not.*web\/10\.0\.0\.1:80/,
    );
    a.health.heard({ what: 'alone', peer: 'unit-b' });
    a.health.step(tables);
    assert.not.ok(a.health.reaches, 'that it is not heard mends no way');
    a.now = 120_000;
    a.answer = (one) => (one === all[0] ? 'fail' : 'pass');
    await a.until(() => a.state(2) === 'up' && a.state(3) === 'up');
    a.health.step(tables);
    assert.ok(a.health.reaches, 'two of three');
    assert.is(a.events.length, 1);
    a.answer = () => 'pass';
    await a.until(() => a.state(1) === 'up');
    a.health.step(tables);
    assert.match(a.events[1]?.message ?? '', /reaches every member again/);
  }));

test('a member that both see down is dead, and says nothing of this unit', () =>
  withUnits(async (a, b) => {
    const tables = tablesOf([target(1)]);
    for (const unit of [a, b]) {
      unit.answer = () => 'fail';
      unit.watch(target(1));
    }
    await a.until(() => a.peerSees(1) === 'down' && a.state(1) === 'down');
    a.now = 60_000;
    a.health.step(tables);
    assert.ok(a.health.reaches);
    assert.equal(a.events, []);
  }));

test('what is no message changes nothing, and is told', () =>
  withUnits(async (a, b) => {
    for (const text of [
      '{',
      '{"first":true,"seen":[["short","up"]]}',
      '{"first":false,"seen":[],"x":1}',
    ]) {
      await b.unit.session?.send(CHANNEL, Buffer.from(text));
    }
    assert.is(a.events.length, 3);
    for (const { message } of a.events) assert.match(message, /no message about members/);
  }));

test.run();

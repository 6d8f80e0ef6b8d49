/** Routes and neighbours that two units track, over a real pair: what is lost to both, and to one alone. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PeerWays } from '../../../appliance/control/peer-ways.js';
import type { NewEvent } from '../../../appliance/telemetry/event-log.js';
import { pairOf, type PairUnit } from '../../support/two-units.js';

const test = suite('ways of two units');
const GATEWAY = '10.0.0.1';
/** Longer than two units need to notice the same death. */
const LONG = 2000;

class WayUnit {
  readonly events: NewEvent[] = [];
  readonly ways: PeerWays;
  now = 0;

  constructor(readonly unit: PairUnit) {
    this.ways = new PeerWays({
      ...{ pair: unit.pair, now: () => this.now },
      events: {
        append: (event) => {
          this.events.push(event);
          return { subject: {}, ...event, sequence: this.events.length, time: 0 };
        },
      },
    });
    unit.listener = (news) => this.ways.heard(news);
  }

  /** Whether the gateway counts as well, where it is or is not. */
  judges(well: boolean): boolean | undefined {
    return this.ways.judge(new Map([[GATEWAY, well]])).get(GATEWAY);
  }

  /** Until it judges so; the other unit's word may still be under way. `step`: of its clock, each time. */
  async until(well: boolean, counts: boolean, step = 0): Promise<void> {
    const deadline = Date.now() + 10_000;
    while (this.judges(well) !== counts) {
      assert.ok(Date.now() < deadline, `it never counts as ${counts ? 'well' : 'lost'}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
      this.now += step;
    }
  }
}

async function withUnits(work: (a: WayUnit, b: WayUnit) => Promise<void>): Promise<void> {
  const [one, other] = await pairOf();
  const [a, b] = [new WayUnit(one), new WayUnit(other)];
  try {
    // Each knows that the other one tracks it.
    for (const unit of [a, b]) assert.is(unit.judges(true), true);
    await a.until(false, true);
    await b.until(false, true);
    a.judges(true);
    b.judges(true);
    await work(a, b);
    assert.equal([...one.errors, ...other.errors], []);
  } finally {
    for (const { ways, unit } of [a, b]) {
      ways.close();
      unit.close();
    }
  }
}

test('what this unit alone has lost counts, as soon as the other one would have noticed too', () =>
  withUnits(async (a) => {
    // What the other one said at first is old by then.
    a.now += 10 * LONG;
    assert.is(a.judges(false), true, 'at first');
    a.now += LONG - 1;
    assert.is(a.judges(false), true);
    a.now += 1;
    assert.is(a.judges(false), false, 'the other one still has it');
    assert.is(a.judges(true), true, 'it is back at once');
  }));

test('what is lost to both counts for neither, and is told once', () =>
  withUnits(async (a, b) => {
    b.judges(false);
    a.now += 10 * LONG;
    b.now += 10 * LONG;
    await a.until(false, true);
    await b.until(false, true);
    a.now += LONG;
    b.now += LONG;
    await a.until(false, true);
    assert.is(a.judges(false), true, 'for as long as it lasts');
    const told = a.events.map(({ message }) => message);
    assert.equal(told, [`${GATEWAY} is lost to both units, so neither yields because of it`]);
    // It is back at the other one first: then this one has its time to notice.
    b.judges(true);
    await a.until(false, false, LONG / 10);
  }));

test('while the other unit is not heard, or does not look, what is lost counts at once', () =>
  withUnits(async (a, b) => {
    b.ways.judge(new Map());
    a.now += 10 * LONG;
    await a.until(false, false);
    a.judges(true);
    b.judges(true);
    await a.until(false, true);
    b.unit.stop();
    await a.until(false, false);
  }));

test.run();

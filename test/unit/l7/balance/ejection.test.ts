/** Outlier ejection against a model that remembers every request. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { EjectionListener } from '../../../../appliance/l7/balance/ejection.js';
import type { MemberState } from '../../../../appliance/l7/balance/members.js';
import type { L7Ejection } from '../../../../appliance/l7/tables.js';
import {
  memberOf,
  poolOf,
  takeOver,
  workersOf,
  type PlayedWorker,
} from '../../../support/balance.js';
import { generator } from '../../../support/random.js';

const test = suite('l7 ejection');
const settings: L7Ejection = {
  failures: 3,
  share: 0.5,
  minimum: 10,
  within: 8000,
  hold: 1000,
  most: 0.5,
};

class Log implements EjectionListener {
  readonly lines: string[] = [];
  ejected(member: MemberState, hold: number, reason: string): void {
    this.lines.push(`${member.row} out for ${hold}: ${reason}`);
  }
  returned(member: MemberState): void {
    this.lines.push(`${member.row} back`);
  }
  take(): string[] {
    return this.lines.splice(0);
  }
}

function played(count: number, ejection: L7Ejection): { worker: PlayedWorker; log: Log } {
  const log = new Log();
  const members = Array.from({ length: count }, (_, index) => memberOf(index));
  const [worker] = workersOf(1, poolOf(members, { ejection }), log) as [PlayedWorker];
  return { worker, log };
}

function request(member: MemberState, now: number, failed: boolean, micros = 10): void {
  assert.ok(member.admit());
  member.end(now, failed ? -1 : micros, 0, failed);
}

test('failures in a row eject, a success between them does not, and who goes away says nothing', () => {
  const { worker, log } = played(4, settings);
  const [member] = worker.states as [MemberState];
  for (const failed of [true, true, false, true, true]) request(member, 0, failed);
  request(member, 0, false, -1);
  assert.equal(log.take(), []);
  request(member, 0, true);
  assert.equal(log.take(), ['0 out for 1000: failures']);
  assert.not(worker.balancer.usable(member, 999));
  assert.not(worker.balancer.take(member, 999));
  for (let i = 0; i < 20; i += 1) assert.is.not(worker.balancer.pick(0, 999, null), member);
  assert.equal(log.take(), []);
  assert.ok(worker.balancer.usable(member, 1000));
  assert.equal(log.take(), ['0 back']);
});

test('the hold grows with each time and fades while the member serves well', () => {
  const { worker, log } = played(4, settings);
  const [member] = worker.states as [MemberState];
  const fail = (now: number): void => {
    for (let i = 0; i < 3; i += 1) request(member, now, true);
  };
  let now = 2 ** 31 - 2500; // the word of time wraps on the way
  for (const hold of [1000, 2000, 3000, 4000]) {
    fail(now | 0);
    now += hold;
    worker.balancer.sweep((now - 1) | 0);
    assert.equal(log.take(), [`0 out for ${hold}: failures`]);
    worker.balancer.sweep(now | 0);
    assert.equal(log.take(), ['0 back']);
  }
  now += 2000;
  fail(now | 0);
  assert.equal(log.take(), ['0 out for 3000: failures'], 'two holds well count for two');
});

test('a share of failures ejects once there are enough requests, and old ones are forgotten', () => {
  const { worker, log } = played(4, { ...settings, failures: 1000 });
  const [member] = worker.states as [MemberState];
  for (let i = 0; i < 4; i += 1) request(member, 0, true);
  for (let i = 0; i < 4; i += 1) request(member, 0, false);
  assert.equal(log.take(), []);
  for (let i = 0; i < 9; i += 1) request(member, 9000, i % 2 === 0);
  assert.equal(log.take(), [], 'those of 9 s ago count no more');
  request(member, 9000, true);
  assert.equal(log.take(), ['0 out for 1000: share']);
});

test('never more than the share `most` of those who take', () => {
  const { worker, log } = played(10, { ...settings, most: 0.3 });
  for (const member of worker.states) for (let i = 0; i < 9; i += 1) request(member, 0, true);
  assert.equal(
    log.take(),
    [0, 1, 2].map((row) => `${row} out for 1000: failures`),
  );
  const alone = played(1, { ...settings, most: 0.9 });
  for (let i = 0; i < 9; i += 1) request(alone.worker.states[0]!, 0, true);
  assert.equal(alone.log.take(), [], 'the only one stays');
});

test('a snapshot without ejection brings everybody back, one with it keeps who is out', () => {
  const { worker, log } = played(4, settings);
  const [member] = worker.states as [MemberState];
  for (let i = 0; i < 3; i += 1) request(member, 0, true);
  const members = worker.states.map((_, index) => memberOf(index));
  const next = takeOver(
    worker.memory,
    worker.members,
    poolOf(members, { ejection: settings }),
    1,
    log,
  );
  assert.is(next.states[0], member, 'the same object');
  assert.not(next.balancer.usable(member, 500));
  const none = takeOver(worker.memory, worker.members, poolOf(members), 1, log);
  assert.ok(none.balancer.usable(member, 500));
});

interface Modelled {
  anchor: number;
  events: { part: number; failed: boolean }[];
  row: number;
  until: number | null;
  times: number;
  returned: number;
}

test('random histories go as the model says', () => {
  fc.assert(
    fc.property(
      fc.record({
        failures: fc.integer({ min: 1, max: 6 }),
        share: fc.constantFrom(0.1, 0.3, 0.5, 1),
        minimum: fc.integer({ min: 1, max: 12 }),
        within: fc.constantFrom(80, 400, 1600),
        hold: fc.integer({ min: 1, max: 300 }),
        most: fc.constantFrom(0, 0.2, 0.4, 0.6, 1),
      }),
      fc.integer({ min: 1, max: 2 ** 31 - 1 }),
      (ejection, seed) => {
        const count = 5;
        const { worker, log } = played(count, ejection);
        const random = generator(seed);
        const width = Math.floor(ejection.within / 8);
        const models = Array.from({ length: count }, (): Modelled => ({
          anchor: -1,
          events: [],
          row: 0,
          until: null,
          times: 0,
          returned: 0,
        }));
        const expected: string[] = [];
        let now = random(1000);
        const comeBack = (): void => {
          for (const [row, model] of models.entries()) {
            if (model.until === null || now < model.until) continue;
            Object.assign(model, { until: null, anchor: -1, events: [], row: 0, returned: now });
            expected.push(`${row} back`);
          }
        };
        for (let step = 0; step < 400; step += 1) {
          now += random(8) === 0 ? random(300) : random(5);
          comeBack();
          worker.balancer.sweep(now);
          const row = random(count);
          const failed = random(10) < 4;
          request(worker.states[row]!, now, failed);
          const model = models[row]!;
          if (model.until === null) {
            if (model.anchor < 0) model.anchor = now;
            const part = Math.floor((now - model.anchor) / width);
            model.events.push({ part, failed });
            model.row = failed ? model.row + 1 : 0;
            const inside = model.events.filter((event) => event.part > part - 8);
            const bad = inside.filter((event) => event.failed).length;
            const out = models.filter(({ until }) => until !== null).length;
            const inRow = model.row >= ejection.failures;
            const share =
              inside.length >= ejection.minimum && bad / inside.length >= ejection.share - 1e-9;
            if (failed && (inRow || share) && (out + 1) / count <= ejection.most + 1e-9) {
              const faded = Math.floor((now - model.returned) / ejection.hold);
              model.times = Math.min(
                16,
                Math.max(0, model.times > 0 ? model.times - faded : 0) + 1,
              );
              model.until = now + model.times * ejection.hold;
              const why = inRow ? 'failures' : 'share';
              expected.push(`${row} out for ${model.times * ejection.hold}: ${why}`);
            }
          }
          assert.equal(log.lines, expected, `step ${step}`);
          assert.equal(
            worker.states.map((state) => worker.balancer.usable(state, now)),
            models.map(({ until }) => until === null),
          );
        }
      },
    ),
    { numRuns: 150 },
  );
});

test.run();

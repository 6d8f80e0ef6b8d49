/** What is told, when, how often and to whom, by a clock that is moved by hand. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Alert } from '../../../appliance/alerts/alert.js';
import { AlertStore } from '../../../appliance/alerts/alert-store.js';
import { backOff } from '../../../appliance/alerts/back-off.js';
import { MOST_WAITING } from '../../../appliance/alerts/queue.js';
import type { Alarm } from '../../../appliance/api/contract.js';
import { START, taken, target, withScene, type AlertScene } from '../../support/alert-scene.js';

const test = suite('alerts');

const DOWN: Alarm = {
  ...{ code: 'member-down', severity: 'warning', since: null, object: 'web/10.0.1.11:80' },
  message: 'Member 10.0.1.11:80 of pool web is down: connection refused.',
};

/** A scene whose unit has looked around, with one target. */
async function withTarget(more: object, act: (scene: AlertScene) => Promise<void>): Promise<void> {
  await withScene(async (scene) => {
    scene.targets = { ops: target('ops', more) };
    await scene.pass(10);
    await act(scene);
  });
}

test('an alarm is told when it comes and when it goes', () =>
  withTarget({}, async (scene) => {
    scene.active = [DOWN];
    await scene.pass(10);
    scene.active = [];
    await scene.pass(10);
    assert.equal(scene.said, [
      '16 ops: raised member-down web/10.0.1.11:80 x1',
      '26 ops: cleared member-down web/10.0.1.11:80 x1',
    ]);
    const [raised, cleared] = scene.deliveries.map(({ alerts }) => alerts[0]);
    assert.is(raised?.message, DOWN.message);
    assert.is(raised?.unit, 'weir-a');
    assert.is(raised?.time, START + 11_000);
    assert.is(cleared?.message, `Over after 10 s: ${DOWN.message}`);
    assert.is.not(raised?.id, cleared?.id);
  }));

test('what comes and goes within the window is told as one', () =>
  withTarget({ group: '20s' }, async (scene) => {
    for (const active of [[DOWN], [], [DOWN], []]) {
      scene.active = active;
      await scene.pass(3);
    }
    await scene.pass(30);
    assert.equal(scene.said, ['31 ops: cleared member-down web/10.0.1.11:80 x2']);
    const message = scene.deliveries[0]?.alerts[0]?.message;
    assert.is(message, `${DOWN.message} This is over, it lasted 9 s.`);
  }));

test('the same event within the window is counted, another object is another alert', () =>
  withTarget({}, async (scene) => {
    for (const member of ['a', 'b', 'a', 'a']) {
      scene.happens({ kind: 'repair', subject: { pool: 'web', member } });
      await scene.pass(1);
    }
    await scene.pass(10);
    scene.happens({ kind: 'repair', subject: { pool: 'web', member: 'a' } });
    await scene.pass(10);
    assert.equal(scene.said, [
      '15 ops: event repair web/a x3',
      '16 ops: event repair web/b x1',
      '29 ops: event repair web/a x1',
    ]);
  }));

test('without a window everything is told at once', () =>
  withTarget({ group: '0s' }, async (scene) => {
    scene.happens();
    scene.happens();
    await scene.pass(0);
    assert.equal(scene.said, ['10 ops: event worker  x1', '10 ops: event worker  x1']);
  }));

test('an event and an alarm of one kind about one thing are one', () =>
  withTarget({}, async (scene) => {
    scene.happens({ kind: 'virtual-router' as never, subject: { router: 'v4' } });
    scene.active = [
      { code: 'virtual-router', severity: 'error', message: 'm', since: null, object: 'v4' },
    ];
    await scene.pass(20);
    assert.equal(scene.said, ['15 ops: raised virtual-router v4 x1']);
  }));

test('a target hears of its kinds from its least severity on, and never of single flows', () =>
  withScene(async (scene) => {
    scene.targets = {
      all: target('all', { severity: 'info', group: '0s' }),
      errors: target('errors', { severity: 'error', group: '0s' }),
      roles: target('roles', { severity: 'info', kinds: ['role-changed'], group: '0s' }),
    };
    await scene.pass(1);
    scene.happens({ kind: 'drop' });
    scene.happens({ kind: 'member-state' });
    scene.happens({ kind: 'pair', severity: 'error', subject: { peer: 'b', after: 'down' } });
    scene.happens({ kind: 'revision', severity: 'info', message: 'info' });
    scene.happens({ kind: 'worker', severity: 'error', message: 'error' });
    scene.happens({ kind: 'role-changed', severity: 'info', message: 'role' });
    await scene.pass(1);
    const told = (name: string): string[] =>
      scene.deliveries
        .filter((one) => one.target === name)
        .map(({ alerts }) => alerts[0]?.message ?? '');
    assert.equal(told('all'), ['info', 'error', 'role']);
    assert.equal(told('errors'), ['error']);
    assert.equal(told('roles'), ['role']);
  }));

test('an alarm that lasts is told again, and at once when it becomes worse', () =>
  withTarget({ repeat: '1h' }, async (scene) => {
    const short: Alarm = { ...DOWN, code: 'pool-short', object: 'web' };
    scene.active = [short];
    await scene.pass(3600 + 30);
    assert.equal(
      scene.deliveries.map(({ at, alerts }) => [at / 1000, alerts[0]?.message]),
      [
        [16, DOWN.message],
        [3616, `${DOWN.message} It has been so for 60 min.`],
      ],
    );
    scene.active = [{ ...short, severity: 'error' }];
    await scene.pass(10);
    assert.is(scene.deliveries[2]?.alerts[0]?.severity, 'error');
    assert.is(scene.deliveries[2]?.alerts[0]?.message, DOWN.message);
  }));

test('alarms of the first moments are not told, events are', () =>
  withScene(async (scene) => {
    scene.happens({ kind: 'daemon', message: 'started' });
    scene.active = [DOWN];
    await scene.pass(3);
    scene.targets = { ops: target('ops') };
    await scene.pass(6);
    scene.active = [];
    await scene.pass(20);
    assert.equal(scene.said, ['9 ops: event daemon  x1']);
  }));

for (const [failures, asked, random, expected] of [
  [1, 0, 0, 5000],
  [2, 0, 0, 10_000],
  [3, 0, 0, 20_000],
  [7, 0, 0, 320_000],
  [8, 0, 0, 600_000],
  [1000, 0, 0, 600_000],
  [1, 0, 0.5, 4500],
  [2, 0, 1, 8000],
  [1, 30_000, 0, 30_000],
  [4, 30_000, 0, 40_000],
] as const) {
  test(`after ${failures} failures it waits ${expected} ms (asked for ${asked}, chance ${random})`, () => {
    assert.is(backOff(failures, asked, random), expected);
  });
}

test('what fails is tried again, ever later, until it is taken', () =>
  withTarget({ group: '0s' }, async (scene) => {
    scene.answer = async () => ({ result: 'failed', said: 'busy', after: 0 });
    scene.happens();
    await scene.pass(80);
    assert.equal(
      scene.deliveries.map(({ at }) => at / 1000),
      [10, 15, 25, 45, 85],
    );
    assert.equal(new Set(scene.deliveries.map(({ alerts }) => alerts[0]?.id)).size, 1);
    const [row] = scene.alerts.view();
    assert.equal(
      [row?.state, row?.waiting, row?.lastError?.message, row?.nextTry],
      ['failing', 1, 'busy', START + 165_000],
    );
    scene.answer = async () => taken;
    await scene.pass(80);
    assert.is(scene.deliveries.length, 6);
    const [after] = scene.alerts.view();
    assert.equal([after?.state, after?.waiting, after?.delivered], ['well', 0, 1]);
    assert.equal(after?.lastError, { time: START + 85_000, message: 'busy' });
    assert.equal(scene.warnings, ['alerts: ops cannot be told: busy']);
  }));

test('Retry-After is waited for', () =>
  withTarget({ group: '0s' }, async (scene) => {
    scene.answer = async () => ({ result: 'failed', said: 'slow down', after: 60_000 });
    scene.happens();
    await scene.pass(59);
    assert.is(scene.deliveries.length, 1);
    await scene.pass(1);
    assert.is(scene.deliveries.length, 2);
  }));

test('what cannot succeed is given up, and the next is tried', () =>
  withTarget({ group: '0s' }, async (scene) => {
    scene.answer = async (_target, [alert]) =>
      alert?.object === 'a' ? { result: 'refused', said: 'it answered 410' } : taken;
    scene.happens({ subject: { service: 'a' } });
    await scene.pass(1);
    assert.match(scene.alerts.alarms()[0]?.message ?? '', /^Alerts do not reach ops: .*410\.$/);
    scene.happens({ subject: { service: 'b' } });
    await scene.pass(60);
    assert.equal(scene.said, ['10 ops: event worker a x1', '11 ops: event worker b x1']);
    const [row] = scene.alerts.view();
    assert.equal([row?.dropped, row?.delivered, row?.state], [1, 1, 'well']);
    assert.equal(scene.alerts.alarms(), []);
  }));

test('that a target fails is an alarm, told to the others alone', () =>
  withScene(async (scene) => {
    scene.targets = { ops: target('ops'), chat: target('chat') };
    scene.answer = async (name) =>
      name === 'ops' ? { result: 'failed', said: 'no route', after: 0 } : taken;
    await scene.pass(10);
    scene.happens();
    await scene.pass(60);
    assert.equal(scene.alerts.alarms(), [
      {
        ...{ code: 'alert-target-failing', severity: 'warning', object: 'ops' },
        message: 'Alerts do not reach ops: no route. Waiting: 1.',
        since: START + 15_000,
      },
    ]);
    const chat = scene.said.filter((one) => one.includes('chat'));
    assert.equal(chat, [
      '15 chat: event worker  x1',
      '25 chat: raised alert-target-failing ops x1',
    ]);
    scene.answer = async () => taken;
    await scene.pass(120);
    assert.equal(scene.alerts.alarms(), []);
    assert.ok(scene.said.some((one) => one.endsWith('chat: cleared alert-target-failing ops x1')));
    assert.not.ok(scene.said.some((one) => / ops: .*target-failing/.test(one)));
  }));

test('one failure is no alarm', () =>
  withTarget({ group: '0s' }, async (scene) => {
    scene.answer = async () => {
      scene.answer = async () => taken;
      return { result: 'failed', said: 'busy', after: 0 };
    };
    scene.happens();
    await scene.pass(2);
    assert.equal(scene.alerts.alarms(), []);
    await scene.pass(5);
    assert.is(scene.alerts.view()[0]?.delivered, 1);
  }));

test('what was not delivered outlives the daemon, and so does what was told', () =>
  withTarget({}, async (scene) => {
    scene.active = [DOWN, { ...DOWN, object: 'web/10.0.1.12:80' }];
    await scene.pass(10);
    assert.is(scene.deliveries.length, 2);
    scene.answer = async () => ({ result: 'failed', said: 'no route', after: 0 });
    scene.happens({ severity: 'error' });
    await scene.pass(10);
    // Within its window, too.
    scene.happens({ kind: 'repair' });
    await scene.restart();
    scene.deliveries.length = 0;
    scene.answer = async () => taken;
    // One of the two went well while no daemon was looking.
    scene.active = [DOWN];
    await scene.pass(20);
    assert.equal(
      scene.said.map((one) => one.replace(/^[\d.]+ ops: /, '')),
      ['event worker  x1', 'event repair  x1', 'cleared member-down web/10.0.1.12:80 x1'],
    );
    await scene.restart();
    await scene.pass(20);
    assert.is(scene.deliveries.length, 3, 'nothing is told twice');
  }));

test('with other settings what waits is tried at once; a target that is removed is forgotten', () =>
  withTarget({ group: '0s' }, async (scene) => {
    scene.answer = async (name) =>
      name === 'other' ? taken : { result: 'failed', said: 'busy', after: 3_600_000 };
    scene.happens();
    await scene.pass(5);
    scene.targets = { ops: target('other', { group: '0s' }) };
    await scene.pass(2);
    assert.equal(scene.said, ['10 ops: event worker  x1', '16 other: event worker  x1']);
    scene.targets = { ops: target('ops', { group: '0s' }) };
    await scene.pass(1);
    scene.happens();
    await scene.pass(1);
    scene.targets = {};
    await scene.pass(1);
    assert.equal(scene.alerts.view(), []);
    await scene.restart();
    scene.targets = { ops: target('other', { group: '0s' }) };
    await scene.pass(5);
    assert.is(scene.deliveries.length, 3);
  }));

test('room is bounded: the least severe goes first, and is counted', () =>
  withTarget({ group: '0s' }, async (scene) => {
    scene.answer = async () => ({ result: 'failed', said: 'busy', after: 3_600_000 });
    scene.happens({ severity: 'error', message: 'first' });
    await scene.pass(1);
    for (let index = 1; index < MOST_WAITING + 10; index += 1) {
      scene.happens({ subject: { service: `s${index}` } });
    }
    scene.happens({ severity: 'error', message: 'last' });
    const [row] = scene.alerts.view();
    assert.equal([row?.waiting, row?.dropped], [MOST_WAITING, 11]);
    scene.answer = async () => taken;
    scene.clock.time += 3_600_000;
    await scene.pass(2);
    const told = scene.deliveries.slice(1).map(({ alerts }) => alerts[0]);
    assert.is(told.length, MOST_WAITING);
    assert.is(told[0]?.message, 'first');
    assert.is(told.at(-1)?.message, 'last');
    assert.is(told[1]?.object, 's12');
  }));

test('what nobody took within a day is given up', () =>
  withTarget({ group: '0s' }, async (scene) => {
    scene.answer = async () => ({ result: 'failed', said: 'busy', after: 3_600_000 });
    scene.happens();
    scene.clock.time += 86_390_000;
    await scene.pass(2);
    assert.is(scene.alerts.view()[0]?.waiting, 1);
    await scene.pass(10);
    const [row] = scene.alerts.view();
    assert.equal([row?.waiting, row?.dropped], [0, 1]);
  }));

test('the end waits two seconds for a delivery, then gives it up and keeps it', () =>
  withTarget({ group: '0s' }, async (scene) => {
    scene.answer = (_target, _alerts, signal) =>
      new Promise((resolve) => {
        signal.addEventListener('abort', () => {
          resolve({ result: 'failed', said: 'given up', after: 0 });
        });
      });
    scene.happens();
    await scene.settle();
    let ended = false;
    const restarting = scene.restart().then(() => {
      ended = true;
    });
    await scene.pass(1.9);
    assert.not.ok(ended);
    await scene.pass(0.1);
    await restarting;
    scene.answer = async () => taken;
    await scene.pass(5);
    assert.is(scene.alerts.view()[0]?.delivered, 1);
  }));

test('a clock that is set back holds nothing up', () =>
  withTarget({}, async (scene) => {
    scene.happens();
    scene.clock.time -= 7_200_000;
    await scene.pass(7300);
    assert.is(scene.deliveries.length, 1);
  }));

test('a test goes past what waits, and what waits follows when it is taken', () =>
  withTarget({ group: '0s' }, async (scene) => {
    scene.answer = async () => ({ result: 'failed', said: 'busy', after: 3_600_000 });
    scene.happens();
    await scene.pass(1);
    const alert: Alert = {
      ...{ id: 'x', unit: '', time: 0, kind: 'test', severity: 'info', object: 'ops' },
      ...{ message: 'A test.', state: 'event', count: 1 },
    };
    assert.equal(await scene.alerts.test('ops', alert), { ok: false, message: 'busy' });
    scene.answer = async () => taken;
    assert.equal(await scene.alerts.test('ops', alert), { ok: true, message: 'yes' });
    await scene.pass(0);
    assert.is(scene.said.at(-1), '11 ops: event worker  x1');
    assert.is(scene.deliveries.at(-2)?.alerts[0]?.unit, 'weir-a');
    assert.is(scene.alerts.test('nobody', alert), undefined);
  }));

test('a store that is no store is put aside, and one of another kind of content is left out', () =>
  withScene(async (scene) => {
    const path = join(scene.folder, 'other.db');
    writeFileSync(path, 'this is no database '.repeat(100));
    const errors: unknown[] = [];
    const store = AlertStore.open(path, { onError: (error) => errors.push(error) });
    try {
      assert.is(errors.length, 1);
      assert.is(store.load().size, 0);
      store.putTold('ops', 'k', { surprising: true } as never);
      assert.equal(store.load().get('ops')?.told ?? [], []);
      assert.throws(() => {
        store.together(() => {
          throw new Error('of the work itself');
        });
      }, /of the work itself/);
      assert.is(errors.length, 1);
    } finally {
      store.close();
    }
    store.put('ops', {} as never);
    store.put('ops', {} as never);
    assert.is(errors.length, 2, 'that it cannot be written is told once, and hinders nobody');
  }));

test.run();

/** What people may ask of alerts, and what is refused. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PortError } from '../../../appliance/api/port.js';
import { Alerting } from '../../../appliance/control/alerting.js';
import { target, withScene } from '../../support/alert-scene.js';

const test = suite('asking about alerts');

async function refusal(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    assert.instance(error, PortError);
    return `${(error as PortError).code}: ${(error as PortError).message}`;
  }
  throw new Error('expected a refusal, but it was done');
}

test('a test goes to those who are named, or to all, with what was declared just now', () =>
  withScene(async (scene) => {
    const alerting = new Alerting(scene.alerts);
    scene.targets = { b: target('b'), a: target('a') };
    scene.answer = async (name) =>
      name === 'a'
        ? { result: 'delivered', said: 'yes', trouble: null }
        : { result: 'refused', said: 'it answered 410' };
    const all = await alerting.test({ targets: [], author: 'ada' });
    assert.is(all.ok, false);
    assert.equal(
      all.tests.map(({ target: name, ok, message }) => [name, ok, message]),
      [
        ['a', true, 'yes'],
        ['b', false, 'it answered 410'],
      ],
    );
    const [sent] = scene.deliveries[0]?.alerts ?? [];
    assert.equal([sent?.kind, sent?.unit, sent?.severity], ['test', 'weir-a', 'info']);
    assert.match(sent?.message ?? '', /test of alerts to a, asked for by ada\./);
    const one = await alerting.test({ targets: ['a', 'a'], author: 'ada' });
    assert.equal([one.ok, one.tests.length], [true, 1]);
    assert.equal(
      (await alerting.targets()).map(({ name, type, to, state }) => [name, type, to, state]),
      [
        ['a', 'webhook', 'http://a.example/', 'well'],
        ['b', 'webhook', 'http://b.example/', 'failing'],
      ],
    );
  }));

test('nobody to tell, and names that are not declared, are refused', () =>
  withScene(async (scene) => {
    const alerting = new Alerting(scene.alerts);
    assert.match(await refusal(alerting.test({ targets: [], author: 'a' })), /^conflict: Nobody/);
    scene.targets = { ops: target('ops') };
    assert.is(
      await refusal(alerting.test({ targets: ['ops', 'pager'], author: 'a' })),
      'not-found: There is no target pager under "alerts": there is ops.',
    );
    assert.equal(scene.deliveries, []);
  }));

test.run();

/** `weir alerts`: what it asks of the daemon, prints and ends with. */
import { userInfo } from 'node:os';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PortError } from '../../../appliance/api/port.js';
import { TARGETS, TESTED } from '../api/fake-alerts.js';
import { withApi } from '../api/fixture.js';
import { weir } from './weir.js';

const test = suite('cli: alerts');
const author = userInfo().username;

test('each target has a row, and what went wrong last stands below', () =>
  withApi(async ({ daemon, socket }) => {
    const ran = await weir(['alerts'], { socket });
    assert.equal([ran.code, ran.err], [0, '']);
    assert.match(ran.out, /^TARGET +TYPE +STATE +FROM +DELIVERED/);
    assert.match(ran.out, /^chat +webhook +failing +warning +3 .* 2 +1 /m);
    assert.match(ran.out, /^log +syslog +idle +info +0 +- +0 +0 +- +10\.0\.0\.9:514\/udp$/m);
    assert.match(ran.out, /^ {2}chat, 2026-03-01 14:05:00: it answered 503: \?\[31mbusy$/m);
    const json = await weir(['alerts', '--json'], { socket });
    assert.equal(JSON.parse(json.out), TARGETS);
    daemon.alerts.rows = [];
    const none = await weir(['alerts'], { socket });
    assert.match(none.out, /Nobody is told: declare a target under "alerts"/);
  }));

test('--check judges', () =>
  withApi(async ({ daemon, socket }) => {
    assert.is((await weir(['alerts', '--check'], { socket })).code, 8);
    daemon.alerts.rows = TARGETS.slice(1);
    assert.is((await weir(['alerts', '--check'], { socket })).code, 0);
  }));

test('test says what each target said, and fails when one did', () =>
  withApi(async ({ daemon, socket }) => {
    const ran = await weir(['alerts', 'test'], { socket });
    assert.equal([ran.code, ran.err], [1, '']);
    assert.is(
      ran.out,
      'chat: failed after 12 ms: it answered 503: busy\nlog: ok after 1 ms: sent\n',
    );
    daemon.alerts.answer = { ok: true, tests: TESTED.tests.slice(1) };
    const one = await weir(['alerts', 'test', 'log', '--json'], { socket });
    assert.is(one.code, 0);
    assert.equal(JSON.parse(one.out), daemon.alerts.answer);
    assert.equal(daemon.alerts.asked, [
      { targets: [], author },
      { targets: ['log'], author },
    ]);
  }));

test('a target that is not there is refused, and so is a command', () =>
  withApi(async ({ daemon, socket }) => {
    daemon.alerts.failure = new PortError('not-found', 'There is no target pager.');
    const ran = await weir(['alerts', 'test', 'pager'], { socket });
    assert.is(ran.code, 6);
    assert.match(ran.err, /There is no target pager/);
    const wrong = await weir(['alerts', 'tset'], { socket });
    assert.is(wrong.code, 2);
  }));

test.run();

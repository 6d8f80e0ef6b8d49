/** Interfaces are set as their profiles advise, once, before anything runs on them. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { HardwareCheck } from '../../../appliance/api/contract.js';
import { Tuner, type TuneEvent } from '../../../appliance/offload/tune.js';

const test = suite('tuning');
const LINK = { name: 'eth0', index: 2 };

const check = (
  subject: string,
  command: string | null,
  state: HardwareCheck['state'] = 'change',
) => ({
  ...{ subject, state, now: 'a', wanted: 'b', why: 'Because.', command },
});

function stage(checks: readonly HardwareCheck[] | null, { attached = false, refuses = '' } = {}) {
  const ran: string[] = [];
  const events: TuneEvent[] = [];
  const tuner = new Tuner({
    advise: () => new Map(checks === null ? [] : ['eth0', 'eth1'].map((name) => [name, checks])),
    attached: () => attached,
    run: (program, words) => {
      const line = [program, ...words].join(' ');
      ran.push(line);
      return refuses !== '' && line.includes(refuses)
        ? Promise.reject(new Error('Operation not supported'))
        : Promise.resolve();
    },
    onEvent: (event) => events.push(event),
  });
  return { tuner, ran, events };
}

test('what is not as it should be is set, in order, and nothing else is run', async () => {
  const { tuner, ran, events } = stage([
    check('mtu', 'ip link set dev eth0 mtu 3050'),
    check('queues', 'ethtool -L eth0 combined 4'),
    check('rings', 'ethtool -G eth0 rx 1024', 'ok'),
    check(
      'rss',
      'ethtool -N eth0 rx-flow-hash udp4 sdfn && ethtool -N eth0 rx-flow-hash udp6 sdfn',
    ),
    check('spare queues', null),
    check("peer's tx-checksumming", 'ethtool -K PEER tx off', 'unknown'),
  ]);
  await tuner.before([LINK]);
  assert.equal(ran, [
    'ethtool -L eth0 combined 4',
    'ethtool -N eth0 rx-flow-hash udp4 sdfn',
    'ethtool -N eth0 rx-flow-hash udp6 sdfn',
  ]);
  assert.equal(
    events.map(({ severity, message }) => `${severity} ${message}`),
    ['info eth0: queues set to b. Because.', 'info eth0: rss set to b. Because.'],
  );
  await tuner.before([LINK, { name: 'eth1', index: 3 }]);
  assert.is(ran.length, 6, 'only the new interface');
});

test('a card that refuses is told of and left at that; the rest is set', async () => {
  const { tuner, ran, events } = stage(
    [check('queues', 'ethtool -L eth0 combined 4'), check('rings', 'ethtool -G eth0 rx 1024')],
    { refuses: '-L' },
  );
  await tuner.before([LINK]);
  assert.is(ran.length, 2);
  assert.equal(
    events.map(({ severity }) => severity),
    ['warning', 'info'],
  );
  assert.match(events[0]?.message ?? '', /queues could not be set to b: Operation not supported/);
  await tuner.before([LINK]);
  assert.is(ran.length, 2, 'not tried again');
});

test('an interface that carries traffic, or is gone, is left alone', async () => {
  const running = stage([check('queues', 'ethtool -L eth0 combined 4')], { attached: true });
  await running.tuner.before([LINK]);
  assert.equal(running.ran, []);
  const gone = stage(null);
  await gone.tuner.before([LINK]);
  assert.equal([gone.ran, gone.events], [[], []]);
});

test.run();

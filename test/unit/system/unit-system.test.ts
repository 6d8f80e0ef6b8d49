/** Who may do what to the unit as a machine, and what is refused before anything happens. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PortError } from '../../../appliance/api/port.js';
import { UnitSystem, type UnitSystemOptions } from '../../../appliance/system/unit-system.js';
import { EventLog } from '../../../appliance/telemetry/event-log.js';
import { FakeDaemon } from '../api/fake-daemon.js';
import { PAIRED } from '../api/fake-pair.js';
import { Box } from './boxes.js';

const test = suite<{ box: Box }>('the unit as a machine');
test.before.each((context) => {
  context.box = new Box();
});
test.after.each(({ box }) => box.close());

function unit(box: Box, change: Partial<UnitSystemOptions> = {}) {
  const done: string[] = [];
  const fail = (error: unknown): never => {
    throw error;
  };
  const events = new EventLog({ onListenerError: fail });
  const daemon = new FakeDaemon();
  const system = new UnitSystem({
    ...{ backups: box.backups, events, unit: () => 'weir-a', copies: '/copies' },
    bundle: { version: '0.1.0', network: () => [], logs: () => [] },
    daemon: () => daemon,
    markReset: (keepLogs) => done.push(`marked, logs ${keepLogs ? 'stay' : 'go'}`),
    beginAnew: () => done.push('anew'),
    onError: fail,
    ...change,
  });
  const said = (): string[] => events.latest(100).map(({ message }) => message);
  return { system, daemon, done, said };
}

async function refused(work: Promise<unknown>, code: string, why: RegExp): Promise<void> {
  try {
    await work;
  } catch (error) {
    assert.instance(error, PortError);
    assert.is((error as PortError).code, code);
    assert.match((error as Error).message, why);
    return;
  }
  assert.unreachable('it was not refused');
}

test('a reset of another name, or one that cannot be written down, does nothing', async ({
  box,
}) => {
  const { system, done } = unit(box);
  const request = { name: 'weir-b', keepLogs: false, author: 'ada' };
  await refused(system.factoryReset(request), 'conflict', /This unit is weir-a, not weir-b/);
  assert.equal(done, []);
  const full = unit(box, {
    markReset: () => {
      throw new Error('played: no space left');
    },
  });
  const own = { ...request, name: 'weir-a' };
  await refused(full.system.factoryReset(own), 'unavailable', /no space left/);
  assert.equal(full.done, []);
});

test('a reset is written down first, leaves the pair, and only then begins', async ({ box }) => {
  const { system, daemon, done, said } = unit(box);
  daemon.pair.current = PAIRED;
  await system.factoryReset({ name: 'weir-a', keepLogs: true, author: 'ada' });
  assert.equal(done, ['marked, logs stay', 'anew']);
  assert.equal(
    daemon.pair.asked.map(({ method }) => method),
    ['leave'],
  );
  assert.equal(said(), ['ada resets this unit: everything is erased']);
});

test('a host that does not let Weir reboot it is left alone', async ({ box }) => {
  const { system } = unit(box);
  assert.is((await system.view()).power, false);
  const asked = system.power({ action: 'reboot', author: 'ada' });
  await refused(asked, 'conflict', /--power systemctl/);
});

test('who made a backup or restored one is told', async ({ box }) => {
  const { system, said } = unit(box);
  const passphrase = 'correct horse';
  const bytes = await system.backup({ scope: 'unit', passphrase, author: 'ada' });
  const file = { bytes, passphrase, configurationOnly: false };
  await system.restore({ ...file, author: 'bob', comment: '' });
  assert.equal(said(), [
    'ada made a backup of the whole unit, with all keys',
    'bob restored a backup',
  ]);
  await refused(
    system.backup({ scope: 'unit', passphrase: 'short', author: 'ada' }),
    'invalid',
    /at least 8 characters/,
  );
});

test.run();

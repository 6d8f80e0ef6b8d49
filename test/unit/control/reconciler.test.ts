/** The loop: what starts a run, what a run does, and what happens when a tier refuses. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { intentSchema, type Intent } from '../../../appliance/config/schema.js';
import { Reconciler, type RunReport } from '../../../appliance/control/reconciler.js';
import { FakeFastPath, FakeMonitors, FakeNetwork } from './stand-ins.js';

const test = suite('reconciler');

function intent(port = 80): Intent {
  return intentSchema.parse({
    version: 1,
    unit: { name: 'weir-a' },
    pools: {
      web: {
        algorithm: 'maglev',
        members: [
          { address: '10.0.0.1', port: 8080 },
          { address: '10.0.0.2', port: 8080 },
        ],
        monitor: { type: 'tcp' },
      },
    },
    services: { shop: { listen: { address: '10.0.0.80', port, protocol: 'tcp' }, pool: 'web' } },
  });
}

function setUp(retryMs = 1): {
  fastPath: FakeFastPath;
  network: FakeNetwork;
  monitors: FakeMonitors;
  reconciler: Reconciler;
  runs: RunReport[];
  failures: unknown[];
} {
  const [fastPath, network, monitors] = [new FakeFastPath(), new FakeNetwork(), new FakeMonitors()];
  const runs: RunReport[] = [];
  const failures: unknown[] = [];
  const reconciler = new Reconciler(
    {
      fastPath,
      network,
      monitors,
      inspect: ({ name, index }) => ({ name, index, driver: 'veth', profile: 'veth', modes: [] }),
    },
    { retryMs, onRun: (run) => runs.push(run), onFailure: (error) => failures.push(error) },
  );
  return { fastPath, network, monitors, reconciler, runs, failures };
}

test('an intent reaches the fast path, the monitors and the network', async () => {
  const { fastPath, network, monitors, reconciler, runs } = setUp();
  reconciler.setIntent(intent());
  await reconciler.settle();
  assert.is(fastPath.programmed[0]?.services.get('shop')?.port, 80);
  assert.is(monitors.targets.size, 2);
  assert.equal(network.wanted[0]?.serviceAddresses, ['10.0.0.80']);
  assert.equal(
    runs[0]?.outcomes.map((one) => one.interface.name),
    ['eth0'],
  );
  await reconciler.close();
});

test('requests of one moment become one run', async () => {
  const { fastPath, reconciler } = setUp();
  reconciler.setIntent(intent());
  for (let i = 0; i < 100; i++) reconciler.request();
  await reconciler.settle();
  assert.is(fastPath.programmed.length, 1);
  await reconciler.close();
});

test('what changes during a run is one more run, on the new state', async () => {
  const { fastPath, network, monitors, reconciler } = setUp();
  network.during = () => {
    network.during = () => undefined;
    monitors.states.set('web/10.0.0.1:8080', {
      state: 'down',
      since: 1,
      reason: 'connection refused',
      consecutive: 1,
    });
    for (let i = 0; i < 10; i++) reconciler.request();
  };
  reconciler.setIntent(intent());
  await reconciler.settle();
  assert.is(fastPath.programmed.length, 2);
  assert.is(fastPath.programmed[1]?.pools.get('web')?.members[0]?.state, 'down');
  await reconciler.close();
});

test('a change of health bothers neither the network nor the monitors', async () => {
  const { fastPath, network, monitors, reconciler } = setUp();
  reconciler.setIntent(intent());
  await reconciler.settle();
  monitors.states.set('web/10.0.0.2:8080', {
    state: 'down',
    since: 1,
    reason: 'x',
    consecutive: 1,
  });
  reconciler.request();
  await reconciler.settle();
  assert.is(fastPath.programmed.length, 2);
  assert.is(network.wanted.length, 1);
  assert.is(monitors.reconciled, 1);
  reconciler.networkChanged();
  await reconciler.settle();
  assert.is(network.wanted.length, 2, 'a change of the network asks the network again');
  await reconciler.close();
});

test('a tier that refuses is tried again by itself until it takes the tables', async () => {
  const { fastPath, reconciler, runs, failures } = setUp();
  fastPath.failures = 3;
  const done = new Promise<void>((resolve) => {
    const look = (): void => {
      if (runs.length > 0) resolve();
      else setImmediate(look);
    };
    look();
  });
  reconciler.setIntent(intent());
  await reconciler.settle();
  assert.ok(reconciler.failure instanceof Error, 'the failure is visible meanwhile');
  await done;
  assert.is(failures.length, 3);
  assert.is(reconciler.failure, null);
  assert.is(fastPath.programmed.length, 1);
  await reconciler.close();
});

test('the tables of a failed run are not taken for executed', async () => {
  const { fastPath, reconciler } = setUp(60_000);
  reconciler.setIntent(intent(80));
  await reconciler.settle();
  fastPath.failures = 1;
  reconciler.setIntent(intent(81));
  await reconciler.settle();
  assert.is(reconciler.tables?.l4.services.get('shop')?.port, 80);
  reconciler.request();
  await reconciler.settle();
  assert.is(reconciler.tables?.l4.services.get('shop')?.port, 81);
  await reconciler.close();
});

test('a member behind an interface that the fast path is not on takes no traffic, and it is said why', async () => {
  const { fastPath, network, reconciler } = setUp();
  network.interfaces = [{ name: 'eth9', index: 9, mtu: 1500 }];
  reconciler.setIntent(intent());
  await reconciler.settle();
  const [member] = fastPath.programmed.at(-1)?.pools.get('web')?.members ?? [];
  assert.is(member?.state, 'down');
  assert.match(member?.reason ?? '', /reached by eth0.*unit\.interfaces/);
  network.interfaces = [{ name: 'eth0', index: 2, mtu: 1500 }];
  reconciler.networkChanged();
  await reconciler.settle();
  assert.is(fastPath.programmed.at(-1)?.pools.get('web')?.members[0]?.state, 'serving');
  await reconciler.close();
});

test('nothing runs without an intent or after close', async () => {
  const { fastPath, reconciler } = setUp();
  reconciler.request();
  await reconciler.settle();
  assert.is(fastPath.programmed.length, 0);
  await reconciler.close();
  reconciler.setIntent(intent());
  await reconciler.settle();
  assert.is(fastPath.programmed.length, 0);
});

test.run();

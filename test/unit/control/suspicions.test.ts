/** Passive health in the daemon: counters in, suspects out, and what the compiler makes of them. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { CounterDeltas } from '../../../appliance/api/contract.js';
import { checkDocument } from '../../../appliance/config/document.js';
import type { Intent } from '../../../appliance/config/schema.js';
import { compile } from '../../../appliance/control/compile.js';
import { Suspicions } from '../../../appliance/control/suspicions.js';
import type { Tables } from '../../../appliance/control/tables.js';
import { NO_COUNTERS } from '../../../appliance/telemetry/rates.js';

const test = suite('suspicions');

function intentWith(passive: boolean): Intent {
  const checked = checkDocument({
    version: 1,
    unit: { name: 'a' },
    pools: {
      web: {
        members: [{ address: '10.0.1.1' }, { address: '10.0.1.2' }],
        ...(passive ? { passive: { minimum: 10, within: '5s', hold: '10s' } } : {}),
      },
    },
    services: {
      s: { listen: { address: '10.0.0.1', port: 80, protocol: 'tcp' }, pool: 'web' },
    },
  });
  if (!checked.ok) throw new Error(JSON.stringify(checked.errors));
  return checked.intent;
}

const mac = Uint8Array.of(2, 0, 0, 0, 0, 1);
const nextHop = () => ({ interfaceIndex: 1, interfaceName: 'eth0', mac, sourceMac: mac });

function tablesOf(intent: Intent, suspicions?: Suspicions): Tables {
  const influences = {
    ramp: () => 1,
    weight: () => undefined,
    drained: () => false,
    suspect: (id: string) => suspicions?.reason(id),
  };
  return compile({ intent, health: new Map(), nextHop, influences });
}

function second(counts: Partial<typeof NO_COUNTERS>): CounterDeltas {
  return {
    time: 0,
    intervalMs: 1000,
    totals: { passed: 0, echoReplies: 0, eventsLost: 0, errorsSent: 0 },
    drops: {},
    services: {},
    members: { 'web/10.0.1.1': { ...NO_COUNTERS, ...counts, active: 0 } as typeof NO_COUNTERS },
  };
}

test('a member that resets its connections is down for the hold time, with the reason', () => {
  const intent = intentWith(true);
  const suspicions = new Suspicions();
  const tables = tablesOf(intent);
  assert.not(suspicions.step(second({ flows: 20, answers: 20 }), intent, tables, 1000));
  assert.ok(suspicions.step(second({ flows: 20, resets: 20 }), intent, tables, 2000));
  const pool = tablesOf(intent, suspicions).l4.pools.get('web');
  assert.equal(
    pool?.members.map(({ state }) => state),
    ['down', 'serving'],
  );
  assert.match(pool?.members[0]?.reason ?? '', /^suspect: reset 20 of 40 new connections/);
  assert.not(suspicions.step(second({}), intent, tables, 11_000), 'still held');
  assert.ok(suspicions.step(second({}), intent, tables, 12_500), 'tried again');
  assert.is(suspicions.reason('web/10.0.1.1'), undefined);
});

test('a pool without the rule suspects nobody', () => {
  const intent = intentWith(false);
  const suspicions = new Suspicions();
  assert.not(suspicions.step(second({ flows: 90, resets: 90 }), intent, tablesOf(intent), 1000));
  assert.is(suspicions.reason('web/10.0.1.1'), undefined);
});

test.run();

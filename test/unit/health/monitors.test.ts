/** The monitors as a whole: differences, seeds, changes told, real members that die and return. */
import { createServer, type AddressInfo, type Server } from 'node:net';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { MonitorTarget } from '../../../appliance/control/tables.js';
import { probeTcp } from '../../../appliance/health/tcp.js';
import {
  Monitors,
  type HealthStatus,
  type MonitorsOptions,
  type Probe,
  type ProbeResult,
} from '../../../appliance/health/monitors.js';

const quiet: MonitorsOptions['log'] = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

function target(member: string, port = 80, interval = 100): MonitorTarget {
  return {
    id: `web/${member}`,
    pool: 'web',
    member,
    // a: 127.0.0.1, b: 127.0.0.2 …, so that they share no probe.
    address: `127.0.0.${1 + member.charCodeAt(0) - 'a'.charCodeAt(0)}`,
    port,
    settings: { type: 'tcp', interval, timeout: 100, rise: 2, fall: 2 },
  };
}

function targets(...list: MonitorTarget[]): Map<string, MonitorTarget> {
  return new Map(list.map((item) => [item.id, item]));
}

/** Collects changes and lets a test wait for the next one. */
class Changes {
  readonly seen: string[] = [];
  #waiting: (() => void)[] = [];

  readonly add = (id: string, status: HealthStatus, previous: HealthStatus): void => {
    this.seen.push(`${id} ${previous.state}>${status.state} ${status.reason}`);
    for (const wake of this.#waiting.splice(0)) wake();
  };

  async until(count: number): Promise<void> {
    const deadline = Date.now() + 5000;
    while (this.seen.length < count) {
      if (Date.now() > deadline)
        throw new Error(`expected ${count} changes, seen ${this.seen.join(', ')}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 500);
        this.#waiting.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }
}

const tcp: Probe = (one, cancelled) => {
  if (one.settings.type !== 'tcp') throw new TypeError('these tests have tcp monitors only');
  return probeTcp(one, one.settings, cancelled);
};

async function withMonitors(
  probe: Probe,
  work: (monitors: Monitors, changes: Changes) => Promise<void>,
): Promise<void> {
  const changes = new Changes();
  const monitors = new Monitors({
    onChange: changes.add,
    log: quiet,
    probe,
  });
  try {
    await work(monitors, changes);
  } finally {
    await monitors.close();
  }
}

const pass: ProbeResult = { outcome: 'pass', reason: 'connected', latencyMs: 1 };
const fail: ProbeResult = { outcome: 'fail', reason: 'connection refused' };

function listen(port: number): Promise<Server> {
  const server = createServer((socket) => socket.on('error', () => socket.destroy()).resume());
  return new Promise((resolve) => server.listen(port, '127.0.0.1', () => resolve(server)));
}

const closed = (server: Server): Promise<unknown> =>
  new Promise((resolve) => server.close(resolve));

test('a real member dies and returns', async () => {
  let server = await listen(0);
  const { port } = server.address() as AddressInfo;
  try {
    await withMonitors(tcp, async (monitors, changes) => {
      monitors.reconcile(targets(target('a', port)));
      await changes.until(1);
      await closed(server);
      await changes.until(2);
      server = await listen(port);
      await changes.until(3);
      assert.equal(changes.seen, [
        'web/a unknown>up connected',
        'web/a up>down connection refused',
        'web/a down>up connected',
      ]);
    });
  } finally {
    await closed(server);
  }
});

test('an unchanged target keeps its state and its schedule over a reconcile', async () => {
  let probes = 0;
  const count: Probe = () => {
    probes += 1;
    return Promise.resolve(pass);
  };
  await withMonitors(count, async (monitors, changes) => {
    monitors.reconcile(targets(target('a', 80, 60_000)));
    await changes.until(1);
    const before = monitors.status('web/a');
    // An equal object, not the same one.
    monitors.reconcile(targets(target('a', 80, 60_000), target('b', 80, 60_000)));
    await changes.until(2);
    assert.is(monitors.status('web/a'), before);
    assert.is(probes, 2, 'one probe of each target');
  });
});

test('changed settings keep the state and are probed at once', async () => {
  const ports: number[] = [];
  const probe: Probe = ({ port }) => {
    ports.push(port);
    return Promise.resolve(port === 80 ? pass : fail);
  };
  await withMonitors(probe, async (monitors, changes) => {
    monitors.reconcile(targets(target('a', 80, 100)));
    await changes.until(1);
    monitors.reconcile(targets(target('a', 81, 100)));
    assert.is(monitors.status('web/a')?.state, 'up', 'a change of settings is no reason to fall');
    await changes.until(2);
    assert.is(changes.seen[1], 'web/a up>down connection refused');
    assert.equal(ports.filter((port) => port === 81).length, 2, 'fall was two probes');
  });
});

test('a removed target is forgotten, its probe in flight is cancelled and tells nobody', async () => {
  let cancelled = 0;
  const hang: Probe = (_, cancellation) =>
    new Promise((resolve) =>
      cancellation.onCancel(() => {
        cancelled += 1;
        resolve(fail);
      }),
    );
  await withMonitors(hang, async (monitors, changes) => {
    monitors.reconcile(targets(target('a'), target('b')));
    while (monitors.stats().running < 2) await new Promise((resolve) => setImmediate(resolve));
    monitors.reconcile(targets(target('b')));
    await new Promise((resolve) => setImmediate(resolve));
    assert.is(cancelled, 1);
    assert.equal([...monitors.view().keys()], ['web/b']);
    assert.equal(changes.seen, []);
  });
});

test('a seeded state counts until the probes say otherwise', async () => {
  await withMonitors(
    () => Promise.resolve(fail),
    async (monitors, changes) => {
      monitors.seed('web/a', 'up');
      monitors.reconcile(targets(target('a')));
      assert.is(monitors.status('web/a')?.state, 'up');
      await changes.until(1);
      assert.equal(changes.seen, ['web/a up>down connection refused']);
      assert.is(monitors.status('web/a')?.consecutive, 2, 'fall was counted from the seed');
    },
  );
});

/** The same member in another pool, by equal settings in objects of their own. */
function inPool(pool: string, one: MonitorTarget): MonitorTarget {
  return { ...structuredClone(one), id: `${pool}/${one.member}`, pool };
}

test('members of several pools with one address, port and monitor are probed once', async () => {
  let probes = 0;
  const count: Probe = () => {
    probes += 1;
    return Promise.resolve(fail);
  };
  await withMonitors(count, async (monitors, changes) => {
    const one = target('a', 80, 60_000);
    monitors.reconcile(targets(one, inPool('api', one), inPool('shop', one)));
    await changes.until(3);
    assert.equal([...changes.seen].sort(), [
      'api/a unknown>down connection refused',
      'shop/a unknown>down connection refused',
      'web/a unknown>down connection refused',
    ]);
    assert.is(probes, 1);
    assert.is(monitors.stats().targets, 1);
    assert.equal(monitors.record('api/a')?.sharedWith, ['web/a', 'shop/a']);
  });
});

test('a member that joins a probe under way knows at once, and one that leaves ends nothing', async () => {
  let probes = 0;
  const count: Probe = () => {
    probes += 1;
    return Promise.resolve(fail);
  };
  await withMonitors(count, async (monitors, changes) => {
    const one = target('a', 80, 60_000);
    monitors.reconcile(targets(one));
    await changes.until(1);
    monitors.reconcile(targets(one, inPool('api', one)));
    assert.is(monitors.status('api/a')?.state, 'down');
    assert.is(changes.seen.at(-1), 'api/a unknown>down connection refused');
    monitors.reconcile(targets(inPool('api', one)));
    assert.is(monitors.status('web/a'), undefined);
    assert.is(monitors.status('api/a')?.state, 'down');
    assert.is(probes, 1);
  });
});

test('other settings are another probe', async () => {
  await withMonitors(
    () => Promise.resolve(pass),
    async (monitors, changes) => {
      const one = target('a', 80, 60_000);
      const other = inPool('api', one);
      monitors.reconcile(targets(one, { ...other, settings: { ...other.settings, fall: 7 } }));
      await changes.until(2);
      assert.is(monitors.stats().targets, 2);
      // And back to one: it takes over what the other knows.
      monitors.reconcile(targets(one, other));
      assert.is(monitors.stats().targets, 1);
      assert.is(monitors.status('api/a'), monitors.status('web/a'));
    },
  );
});

test('failures, changes and response times are remembered, equal failures as one', async () => {
  const script: ProbeResult[] = [
    pass,
    { outcome: 'pass', reason: 'connected', latencyMs: 9 },
    fail,
    fail,
    fail,
    { outcome: 'fail', reason: 'no answer within 1s' },
  ];
  let at = 0;
  let told: () => void = () => undefined;
  const done = new Promise<void>((resolve) => (told = resolve));
  const play: Probe = () => {
    const next = script[at];
    at += 1;
    if (next !== undefined) return Promise.resolve(next);
    told();
    return new Promise(() => undefined);
  };
  const monitors = new Monitors({ onChange: () => undefined, log: quiet, probe: play });
  monitors.reconcile(targets(target('a')));
  await done;
  const record = monitors.record('web/a');
  assert.equal(
    record?.findings.map(({ kind, text, count }) => `${kind} ${count} ${text}`),
    [
      'failure 1 no answer within 1s',
      'change 1 went from up to down: connection refused',
      'failure 3 connection refused',
      'change 1 went from unknown to up: connected',
    ],
  );
  assert.equal(record?.latencies, [9, 1]);
  assert.is(
    monitors.status('web/a')?.responseTimeUs,
    2000,
    '1000 and an eighth of the way to 9000',
  );
  assert.is(monitors.record('web/b'), undefined);
});

test("the unit's own trouble is told, remembered, and changes no state", async () => {
  const trouble: ProbeResult = { outcome: 'inconclusive', reason: 'cannot probe from 10.0.0.9' };
  await withMonitors(
    () => Promise.resolve(trouble),
    async (monitors, changes) => {
      monitors.reconcile(targets(target('a', 80, 60_000)));
      await changes.until(1);
      assert.is(
        changes.seen[0],
        'web/a unknown>unknown cannot probe from 10.0.0.9 (the probe says nothing)',
      );
      assert.equal(
        monitors.record('web/a')?.findings.map(({ kind, text }) => `${kind} ${text}`),
        ['trouble cannot probe from 10.0.0.9'],
      );
    },
  );
});

test('what an agent says is told, also when no state changes', async () => {
  const words = [
    { weightPercent: 50 },
    { weightPercent: 50 },
    { administrative: 'drain' as const },
    { maxConnections: 30 },
  ];
  let at = 0;
  const agent: Probe = () => {
    const said = words[Math.min(at, words.length - 1)];
    at += 1;
    return Promise.resolve({
      outcome: 'pass',
      reason: '',
      ...(said === undefined ? {} : { agent: said }),
    });
  };
  await withMonitors(agent, async (monitors, changes) => {
    monitors.reconcile(targets(target('a')));
    await changes.until(3);
    assert.equal(changes.seen, [
      'web/a unknown>up agent says up 50%',
      'web/a up>up agent says drain',
      'web/a up>up agent says drain',
    ]);
    assert.is(monitors.status('web/a')?.agent?.weightPercent, 50);
    assert.is(monitors.status('web/a')?.agent?.maxConnections, 30);
  });
});

test.run();

/** Changes as transactions: what is refused changes nothing, what is committed is executed. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PortError, type ApplyRequest } from '../../../appliance/api/port.js';
import type { Document } from '../../../appliance/config/schema.js';
import { ConfigStore, StoreError } from '../../../appliance/config/store.js';
import { Changes } from '../../../appliance/control/changes.js';
import { Reconciler } from '../../../appliance/control/reconciler.js';
import { EventLog } from '../../../appliance/telemetry/event-log.js';
import { FakeFastPath, FakeMonitors, FakeNetwork } from './stand-ins.js';

interface Bench {
  readonly store: ConfigStore;
  readonly changes: Changes;
  readonly reconciler: Reconciler;
  readonly fastPath: FakeFastPath;
  readonly events: EventLog;
  readonly path: string;
  /** An error that the test brings about; any other fails it. */
  expected: RegExp | null;
  close(): Promise<void>;
}

const test = suite<{ bench: Bench }>('changes');

function open(path: string): Bench {
  const store = ConfigStore.open(path);
  const fastPath = new FakeFastPath();
  const events = new EventLog({
    onListenerError: (error) => {
      throw error;
    },
  });
  const reconciler = new Reconciler(
    { fastPath, network: new FakeNetwork(), monitors: new FakeMonitors(), inspect: () => null },
    { retryMs: 10, onRun: () => undefined, onFailure: () => undefined },
  );
  const bench: { expected: RegExp | null } = { expected: null };
  const changes = new Changes({
    store,
    reconciler,
    fastPath,
    events,
    warnings: async () => [],
    onError: (error) => {
      if (bench.expected?.test(String(error)) !== true) throw error;
    },
  });
  return Object.assign(bench, {
    store,
    changes,
    reconciler,
    fastPath,
    events,
    path,
    close: async () => {
      await changes.close();
      await reconciler.close();
      store.close();
    },
  });
}

test.before.each((context) => {
  context.bench = open(join(mkdtempSync(join(tmpdir(), 'weir-changes-')), 'weir.db'));
});

test.after.each(async ({ bench }) => {
  await bench.close();
  rmSync(join(bench.path, '..'), { recursive: true });
});

function document(port = 80): Document {
  return {
    version: 1,
    unit: { name: 'weir-a' },
    pools: {
      web: {
        algorithm: 'maglev',
        members: [
          { address: '10.0.0.1', port: 8080 },
          { address: '10.0.0.2', port: 8080 },
        ],
      },
    },
    services: { shop: { listen: { address: '10.0.0.80', port, protocol: 'tcp' }, pool: 'web' } },
  };
}

function request(from: Document | string, change: Partial<ApplyRequest> = {}): ApplyRequest {
  const source = typeof from === 'string' ? { text: from } : { document: from };
  return { source, author: 'ada', comment: '', dryRun: false, ...change };
}

async function refused(work: Promise<unknown>, code: string): Promise<PortError> {
  try {
    await work;
  } catch (error) {
    assert.instance(error, PortError);
    assert.is((error as PortError).code, code);
    return error as PortError;
  }
  throw new Error(`expected a refusal with code ${code}, but it was done`);
}

test('a document is committed once and executed', async ({ bench }) => {
  const { changes, store, fastPath } = bench;
  const result = await changes.apply(request(document(), { comment: 'first' }));
  assert.is(result.revision, 1);
  assert.is(store.head()?.comment, 'first');
  assert.is(fastPath.programmed.at(-1)?.services.get('shop')?.port, 80);
  const again = await changes.apply(request(document()));
  assert.equal([again.revision, again.changes], [1, []], 'the same document is no revision');
});

for (const [name, text, code] of [
  ['not YAML', 'pools: [', 'syntax'],
  ['not valid', 'version: 1\nunit: {}\n', 'invalid'],
  [
    'not executable',
    JSON.stringify({
      ...document(),
      telemetry: { history: '1h' },
    }),
    'unsupported',
  ],
] as const) {
  test(`what is ${name} is refused and changes nothing`, async ({ bench }) => {
    await bench.changes.apply(request(document()));
    const programmed = bench.fastPath.programmed.length;
    const error = await refused(bench.changes.apply(request(text)), code);
    assert.ok(error.details.length > 0, 'the refusal says where');
    assert.is(bench.store.head()?.number, 1);
    assert.is(bench.fastPath.programmed.length, programmed);
  });
}

test('a member of a pool that only a route leads to is set like any other', async ({ bench }) => {
  const proxied = document();
  const listen = { address: '10.0.0.80', port: 80, protocol: 'http' } as const;
  const routes = [{ pools: [{ pool: 'web', weight: 1 }], mirror: { pool: 'web' } }];
  proxied.services = { shop: { listen, routes } };
  await bench.changes.apply(request(proxied));
  const member = { pool: 'web', member: '10.0.0.2:8080', state: 'draining' } as const;
  await bench.changes.setMember({ ...member, author: 'ada', comment: '' });
  const [, second] = bench.reconciler.tables?.l7.pools.get('web')?.members ?? [];
  assert.equal([second?.state, second?.takes], ['draining', false]);
});

test('going over to the proxy ends established connections, and is said beforehand', async ({
  bench,
}) => {
  await bench.changes.apply(request(document()));
  const proxied = document();
  for (const service of Object.values(proxied.services ?? {})) {
    service.tier = 'proxy';
    delete service.forwarding;
  }
  const { warnings } = await bench.changes.apply(request(proxied, { dryRun: true }));
  assert.ok(
    warnings.some((one) => one.includes('goes from nat to the proxy: its established')),
    `the warning is there, seen ${warnings.join('; ')}`,
  );
});

test('what does not fit into the fast path is refused before it is committed', async ({
  bench,
}) => {
  bench.fastPath.maxServices = 0;
  await refused(bench.changes.apply(request(document())), 'unsupported');
  assert.is(bench.store.head(), null);
});

test('a dry run says what would change and changes nothing', async ({ bench }) => {
  const result = await bench.changes.apply(request(document(), { dryRun: true }));
  assert.ok(result.changes.length > 0);
  assert.is(bench.store.head(), null);
  assert.is(bench.fastPath.programmed.length, 0);
});

test('If-Match with another revision is refused', async ({ bench }) => {
  await bench.changes.apply(request(document(), { ifMatch: 0 }));
  await refused(bench.changes.apply(request(document(81), { ifMatch: 0 })), 'revision-mismatch');
  assert.is((await bench.changes.apply(request(document(81), { ifMatch: 1 }))).revision, 2);
});

test('changes at one moment happen one after the other', async ({ bench }) => {
  await bench.changes.apply(request(document(80)));
  const results = await Promise.all(
    [81, 82, 83].map((port) => bench.changes.apply(request(document(port)))),
  );
  assert.equal(
    results.map((one) => one.revision),
    [2, 3, 4],
  );
  assert.is(bench.fastPath.programmed.at(-1)?.services.get('shop')?.port, 83);
});

test('one member is set without touching the rest', async ({ bench }) => {
  const { changes, store, reconciler } = bench;
  await changes.apply(request(document()));
  const set = { pool: 'web', member: '10.0.0.2:8080', author: 'ada', comment: '' };
  await changes.setMember({ ...set, state: 'draining' });
  await changes.setMember({ ...set, weight: 7 });
  const member = store.head()?.document.pools?.['web']?.members[1];
  assert.equal(member, { address: '10.0.0.2', port: 8080, state: 'draining', weight: 7 });
  assert.is(reconciler.intent?.pools['web']?.members[1]?.weight, 7);
  assert.is(reconciler.intent?.services['shop']?.listen.port, 80);
  assert.is(store.head()?.comment, 'set member web 10.0.0.2:8080 weight 7');
  await refused(
    changes.setMember({ ...set, member: '10.0.0.9:8080', state: 'enabled' }),
    'not-found',
  );
  await refused(changes.setMember({ ...set, pool: 'nil', state: 'enabled' }), 'not-found');
});

test('a member of a pool with a stand-in, and one of the stand-in, are set by themselves', async ({
  bench,
}) => {
  const { changes, store, reconciler } = bench;
  const { pools, ...rest } = document();
  await changes.apply(
    request({
      ...rest,
      pools: {
        web: { ...pools!['web']!, 'when-down': { pool: 'spare' } },
        spare: { members: [{ address: '10.0.0.9', port: 8080 }], 'when-down': { pool: 'last' } },
        last: { members: [{ address: '10.0.0.8', port: 8080 }] },
      },
    }),
  );
  const set = { author: 'ada', comment: '', state: 'draining' as const };
  await changes.setMember({ ...set, pool: 'web', member: '10.0.0.1:8080' });
  await changes.setMember({ ...set, pool: 'last', member: '10.0.0.8:8080' });
  assert.is(store.head()?.number, 3);
  assert.is(reconciler.intent?.pools['web']?.members[0]?.state, 'draining');
  assert.is(reconciler.intent?.pools['last']?.members[0]?.state, 'draining');
});

test('a member is set where access lists say who may use its service', async ({ bench }) => {
  const { changes, store, reconciler } = bench;
  const { services, ...rest } = document();
  const shop = services!['shop']!;
  await changes.apply(
    request({
      ...rest,
      'access-lists': {
        office: { prefixes: ['192.0.2.0/24'] },
        bad: { prefixes: ['198.51.100.0/24'] },
        unused: { prefixes: ['203.0.113.0/24'] },
      },
      services: { ...services, shop: { ...shop, access: { allow: ['office'], deny: ['bad'] } } },
    }),
  );
  const set = { pool: 'web', member: '10.0.0.2:8080', author: 'ada', comment: '' };
  const { warnings } = await changes.setMember({ ...set, state: 'draining' });
  assert.equal(warnings, [], 'what has nothing to do with the pool is not spoken of');
  assert.equal(Object.keys(store.head()?.document['access-lists'] ?? {}).sort(), [
    ...['bad', 'office', 'unused'],
  ]);
  assert.is(Object.keys(reconciler.intent?.['access-lists'] ?? {}).length, 3);
});

test('a member change that the rules forbid is refused', async ({ bench }) => {
  const { changes, store } = bench;
  await changes.apply(request(document()));
  const set = { pool: 'web', author: 'ada', comment: '', weight: 0 };
  await changes.setMember({ ...set, member: '10.0.0.1:8080' });
  await refused(changes.setMember({ ...set, member: '10.0.0.2:8080' }), 'invalid');
  assert.is(store.head()?.number, 2);
});

test('a rollback brings a document back as a new revision', async ({ bench }) => {
  const { changes, store, fastPath } = bench;
  await changes.apply(request(document(80)));
  await changes.apply(request(document(81)));
  const result = await changes.rollback({ to: 1, author: 'bob', comment: '' });
  assert.is(result.revision, 3);
  assert.is(store.head()?.author, 'bob');
  assert.is(fastPath.programmed.at(-1)?.services.get('shop')?.port, 80);
  await refused(changes.rollback({ to: 9, author: 'bob', comment: '' }), 'not-found');
});

test('what nobody confirms goes back by itself and is executed', async ({ bench }) => {
  const { changes, store, fastPath, events } = bench;
  await changes.apply(request(document(80)));
  const back = new Promise<void>((resolve) => {
    events.subscribe((event) => {
      if (event.kind === 'rolled-back') resolve();
    });
  });
  const result = await changes.apply(request(document(81), { confirm: 30 }));
  assert.is(fastPath.programmed.at(-1)?.services.get('shop')?.port, 81);
  assert.type(result.confirmBy, 'number');
  await back;
  await changes.close();
  assert.is(store.head()?.number, 3);
  assert.is(store.head()?.document.services?.['shop']?.listen.port, 80);
  assert.is(fastPath.programmed.at(-1)?.services.get('shop')?.port, 80);
  assert.is(store.pendingConfirm(), null);
});

test('what is confirmed stays', async ({ bench }) => {
  const { changes, store } = bench;
  await changes.apply(request(document(80)));
  await changes.apply(request(document(81), { confirm: 60_000 }));
  assert.equal(await changes.confirm('ada'), { revision: 2 });
  assert.is(store.pendingConfirm(), null);
  assert.is(store.head()?.number, 2);
  await refused(changes.confirm('ada'), 'conflict');
});

test('while a revision awaits confirmation other changes wait for its fate', async ({ bench }) => {
  const { changes, store } = bench;
  await changes.apply(request(document(80)));
  await changes.apply(request(document(81), { confirm: 60_000 }));
  await refused(changes.apply(request(document(82))), 'conflict');
  const result = await changes.rollback({ to: 1, author: 'ada', comment: '' });
  assert.is(result.revision, 3);
  assert.is(store.pendingConfirm(), null);
  assert.is((await changes.apply(request(document(82)))).revision, 4);
});

test('a deadline that passed while no daemon ran takes effect at the next start', async (context) => {
  const { changes, path } = context.bench;
  await changes.apply(request(document(80)));
  const { confirmBy } = await changes.apply(request(document(81), { confirm: 20 }));
  // As a kill would: the timer is gone, the store is not.
  await context.bench.close();
  while (Date.now() <= confirmBy!) await new Promise((resolve) => setImmediate(resolve));
  context.bench = open(path);
  assert.is(context.bench.changes.restore()?.number, 3);
  assert.is(context.bench.store.head()?.document.services?.['shop']?.listen.port, 80);
});

test('a deadline that is still ahead goes on at the next start', async (context) => {
  await context.bench.changes.apply(request(document(80)));
  await context.bench.changes.apply(request(document(81), { confirm: 60_000 }));
  await context.bench.close();
  context.bench = open(context.bench.path);
  assert.is(context.bench.changes.restore()?.number, 2);
  assert.is(context.bench.store.pendingConfirm()?.revision, 2);
});

test('the same document again says what still awaits confirmation, or extends it', async ({
  bench,
}) => {
  const { changes, store } = bench;
  await changes.apply(request(document(80)));
  await changes.apply(request(document(81), { confirm: 60_000 }));
  const again = await changes.apply(request(document(81)));
  assert.match(again.warnings.join(), /revision 2 still goes back/);
  assert.type(again.confirmBy, 'number');
  const extended = await changes.apply(request(document(81), { confirm: 600_000 }));
  assert.ok((extended.confirmBy ?? 0) > (again.confirmBy ?? 0));
  assert.is(store.pendingConfirm()?.previous, 1, 'it still goes back to the last confirmed one');
});

test('a clock that is set back does not give an unconfirmed revision more time', async ({
  bench,
}) => {
  const { changes, events } = bench;
  await changes.apply(request(document(80)));
  const back = new Promise<void>((resolve) => {
    events.subscribe(({ kind }) => {
      if (kind === 'rolled-back') resolve();
    });
  });
  const clock = Date.now;
  try {
    await changes.apply(request(document(81), { confirm: 30 }));
    Date.now = () => clock() - 3_600_000;
    await back;
  } finally {
    Date.now = clock;
  }
});

test('while the store cannot be written, the revision before is executed, and written down later', async ({
  bench,
}) => {
  const { changes, store, fastPath, events } = bench;
  await changes.apply(request(document(80)));
  const seen: string[] = [];
  const done = new Promise<void>((resolve) => {
    events.subscribe(({ kind, severity }) => {
      if (kind !== 'rolled-back') return;
      seen.push(severity);
      if (severity === 'warning') resolve();
    });
  });
  const rollbackPending = store.rollbackPending.bind(store);
  let refusals = 1;
  store.rollbackPending = (...args) => {
    if (refusals-- > 0) throw new StoreError('disk-full', 'The disk is full.');
    return rollbackPending(...args);
  };
  bench.expected = /disk is full/;
  await changes.apply(request(document(81), { confirm: 20 }));
  await done;
  await changes.close();
  assert.equal(seen, ['error', 'warning']);
  assert.is(fastPath.programmed.at(-1)?.services.get('shop')?.port, 80);
  assert.is(store.head()?.number, 3);
});

test('If-Match holds for the way back too', async ({ bench }) => {
  const { changes } = bench;
  await changes.apply(request(document(80)));
  await changes.apply(request(document(81), { confirm: 60_000 }));
  const back = { to: 1, author: 'ada', comment: 'no good' };
  await refused(changes.rollback({ ...back, ifMatch: 9 }), 'revision-mismatch');
  await changes.rollback({ ...back, ifMatch: 2 });
  assert.is(bench.store.head()?.comment, 'no good');
});

test('a change of forwarding is announced as what it is', async ({ bench }) => {
  await bench.changes.apply(request(document()));
  const changed = document();
  changed.pools!['web']!.members.forEach((member) => delete member.port);
  changed.services!['shop']!.forwarding = 'dsr';
  const result = await bench.changes.apply(request(changed, { dryRun: true }));
  assert.match(
    result.warnings.join(),
    /shop goes from nat to dsr: its established connections end/,
  );
});

test('a change of what flows go by is announced where it can move them', async ({ bench }) => {
  const by = (algorithm: 'maglev' | 'ip-hash' | 'round-robin', persistent = false): Document => {
    const changed = document();
    changed.pools!['web']!.algorithm = algorithm;
    changed.pools!['web']!.members.forEach((member) => delete member.port);
    changed.services!['shop']!.forwarding = 'dsr';
    if (persistent) changed.services!['shop']!.persistence = { type: 'source-address' };
    return changed;
  };
  for (const [from, to, announced] of [
    [by('maglev'), by('round-robin'), true],
    [by('maglev'), by('ip-hash'), true],
    [by('ip-hash'), by('ip-hash', true), true],
    [by('round-robin'), by('maglev'), false],
    [by('maglev', true), by('maglev'), false],
    [by('maglev'), by('maglev'), false],
  ] as const) {
    await bench.changes.apply(request(from));
    const result = await bench.changes.apply(request(to, { dryRun: true }));
    const said = /shop no longer goes by the hash that its established flows went by/;
    const [one, other] = [from, to].map((each) => each.pools?.['web']?.algorithm);
    assert.is(said.test(result.warnings.join()), announced, `from ${one} to ${other}`);
  }
});

test('the first document cannot wait for confirmation: there is nothing to go back to', async ({
  bench,
}) => {
  await refused(bench.changes.apply(request(document(), { confirm: 1000 })), 'conflict');
  assert.is(bench.store.head(), null);
});

test.run();

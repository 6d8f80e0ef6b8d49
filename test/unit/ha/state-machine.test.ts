/**
 * One unit's state machine against RFC 9568 §6 and RFC 3768 §6, step by step on a clock that the
 * test moves.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { VrrpEngine, type RoleChange } from '../../../appliance/ha/vrrp/engine.js';
import {
  decodeAdvertisement,
  encodeAdvertisement,
  vrrpGroups,
  type Advertisement,
} from '../../../appliance/ha/vrrp/packet.js';
import type { GroupSettings, RouterSettings } from '../../../appliance/ha/vrrp/settings.js';
import { standing } from '../../../appliance/ha/vrrp/tracking.js';
import { bytesOf, groupOf, linkOf, routerOf, sourceOf } from '../../support/vrrp-network.js';

const test = suite('VRRP state machine');

/** One unit, 10.0.0.1, and everything that it did. */
class Bench {
  now = 0;
  readonly sent: { at: number; router: string; priority: number; to: string; from?: string }[] = [];
  readonly changes: RoleChange[] = [];
  readonly announced: number[] = [];
  readonly engine = new VrrpEngine(
    {
      transmit: ({ router, ends, message }) => {
        const read = decodeAdvertisement(message, ends);
        if (typeof read === 'string') throw new Error(`sent what is refused for ${read}`);
        const to = ends.destination.join('.');
        const sent = { at: this.now, router: router.name, priority: read.priority, to };
        // Told only where it is not the usual one.
        const usual = sourceOf(0, router.family).join('.');
        const from = ends.source.join('.');
        this.sent.push(from === usual ? sent : { ...sent, from });
      },
      changed: (change) => this.changes.push(change),
      announce: () => this.announced.push(this.now),
    },
    { repeats: [100], refresh: null },
  );

  constructor(readonly groups: readonly GroupSettings[] = [groupOf()]) {
    this.engine.configure(groups, 0);
    for (const { routers } of groups) {
      for (const router of routers) this.engine.link(router.interface, linkOf(0), 0);
    }
  }

  /** Moves the clock, step by step, as a speaker that is never late. */
  pass(until: number): void {
    while (this.engine.deadline <= until) {
      this.now = this.engine.deadline;
      this.engine.turn(this.now, []);
    }
    this.now = until;
  }

  /** Takes a message from the second unit, 10.0.0.2, or another one. */
  hear(
    part: Partial<Advertisement> & { from?: number; hopLimit?: number; to?: Uint8Array },
    router: RouterSettings = this.router,
  ): void {
    this.engine.turn(this.now, [this.arrival(part, router)]);
  }

  arrival(
    part: Partial<Advertisement> & { from?: number; hopLimit?: number; to?: Uint8Array },
    router: RouterSettings = this.router,
  ): Parameters<VrrpEngine['turn']>[1][number] {
    const { family, vrid, version, interval, addresses } = router;
    const ends = {
      source: sourceOf(part.from ?? 1, family),
      destination: part.to ?? vrrpGroups[family],
    };
    const usual = { version, vrid, interval, addresses, priority: 150, password: null };
    const message = encodeAdvertisement({ ...usual, ...part }, ends);
    const hopLimit = part.hopLimit ?? 255;
    return { interface: router.interface, family, ...ends, hopLimit, message };
  }

  get router(): RouterSettings {
    const router = this.groups[0]?.routers[0];
    if (router === undefined) throw new Error('a bench without routers');
    return router;
  }

  role(name = 'web'): string {
    return this.engine.status().find(({ router }) => router === name)?.role ?? 'none';
  }

  rejected(): unknown {
    return { ...this.engine.rejected(), ...this.engine.status()[0]?.rejected };
  }
}

/** 3 × 1000 + (256 − 100) / 256 × 1000. */
const DOWN = 3000 + 609.375;

test('a backup that hears nobody takes over after three intervals and its skew', () => {
  const bench = new Bench();
  assert.is(bench.role(), 'backup');
  assert.is(bench.engine.deadline, DOWN);
  bench.pass(DOWN - 1);
  assert.is(bench.role(), 'backup');
  assert.equal(bench.sent, []);
  bench.pass(DOWN);
  assert.is(bench.role(), 'master');
  assert.equal(bench.sent, [{ at: DOWN, router: 'web', priority: 100, to: '224.0.0.18' }]);
  assert.equal(bench.announced, [DOWN]);
  bench.pass(DOWN + 2000);
  assert.equal(
    bench.sent.map(({ at }) => at - DOWN),
    [0, 1000, 2000],
  );
  assert.equal(bench.announced, [DOWN, DOWN + 100]);
});

test('the time that a backup stood still does not count as silence of the master', () => {
  const bench = new Bench();
  bench.pass(2000);
  // 2 s of its wait had passed when it stood still for 500 ms.
  bench.now = 2500;
  bench.engine.heldUp(500, bench.now);
  assert.is(bench.engine.deadline, DOWN + 500);
  // It never waits longer than for a master that it has just heard.
  bench.engine.heldUp(100_000, bench.now);
  assert.is(bench.engine.deadline, bench.now + DOWN);
});

test('a backup that stood still when its wait was nearly over waits once more, and only once', () => {
  const bench = new Bench();
  bench.now = DOWN + 1500;
  bench.engine.heldUp(1500, bench.now);
  assert.is(bench.engine.deadline, bench.now + DOWN);
  const again = bench.engine.deadline;
  bench.now = again + 1500;
  bench.engine.heldUp(1500, bench.now);
  bench.engine.turn(bench.now, []);
  assert.is(bench.role(), 'master');
});

test('a master that stood still sends at once', () => {
  const bench = new Bench();
  bench.pass(DOWN);
  const { deadline } = bench.engine;
  bench.now = deadline + 700;
  bench.engine.heldUp(700, bench.now);
  assert.is(bench.engine.deadline, deadline);
});

test('the skew of version 2 is a part of a second, whatever the interval', () => {
  const router = routerOf({ version: 2, interval: 5000 });
  const bench = new Bench([groupOf({ routers: [router], priority: 56 })]);
  assert.is(bench.engine.deadline, 15_000 + 781.25);
});

test('the owner is master at once, and hears nobody', () => {
  const bench = new Bench([groupOf({ priority: 255 })]);
  assert.is(bench.role(), 'master');
  assert.is(bench.sent[0]?.priority, 255);
  bench.hear({ priority: 255, from: 8 });
  assert.is(bench.role(), 'master');
  assert.equal(bench.rejected(), { owner: 1 });
});

test('a backup waits anew with each advertisement that is as good or better', () => {
  const bench = new Bench();
  for (const [at, priority] of [
    [1000, 150],
    [2000, 100],
  ] as const) {
    bench.pass(at);
    bench.hear({ priority });
    assert.is(bench.engine.deadline, at + DOWN, `after priority ${priority}`);
  }
});

test('a backup takes the interval of the master', () => {
  const bench = new Bench();
  bench.hear({ interval: 100 });
  assert.is(bench.engine.deadline, 300 + 60.9375);
  assert.is(bench.engine.status()[0]?.interval, 100);
});

test('as master it uses its own interval again', () => {
  const bench = new Bench();
  bench.hear({ interval: 100 });
  bench.pass(1000);
  assert.is(bench.role(), 'master');
  assert.is(bench.engine.deadline, 360.9375 + 1000);
});

test('a weaker master is not waited for; without preemption it is', () => {
  for (const [preempt, deadline] of [
    ['weaker', DOWN],
    ['unfit', 1000 + DOWN],
    ['none', 1000 + DOWN],
  ] as const) {
    const bench = new Bench([groupOf({ preempt })]);
    bench.pass(1000);
    bench.hear({ priority: 50 });
    assert.is(bench.engine.deadline, deadline, `preempt ${preempt}`);
  }
});

test('preemption waits for its delay, silence does not', () => {
  const bench = new Bench([groupOf({ preemptDelay: 10_000 })]);
  for (let at = 1000; at <= 10_000; at += 1000) {
    bench.pass(at);
    bench.hear({ priority: 50 });
    assert.is(bench.engine.deadline, at + DOWN, `at ${at}`);
  }
  // The delay counts from the first that was heard, at 1000.
  for (let at = 11_000; at <= 13_000; at += 1000) {
    bench.pass(at);
    bench.hear({ priority: 50 });
    assert.is(bench.engine.deadline, 10_000 + DOWN, `at ${at}`);
  }
  bench.pass(10_000 + DOWN);
  assert.is(bench.role(), 'master');

  const alone = new Bench([groupOf({ preemptDelay: 60_000 })]);
  alone.hear({ priority: 50 });
  alone.pass(DOWN);
  assert.is(alone.role(), 'master', 'nobody was left to wait for');
});

test('a master that becomes weaker is not waited for, whatever is said of preemption', () => {
  for (const settings of [
    { preemptDelay: 60_000 },
    { preempt: 'unfit' },
    { preempt: 'none' },
  ] as const) {
    const bench = new Bench([groupOf(settings)]);
    for (const [at, priority, deadline] of [
      [1000, 200, 1000 + DOWN],
      [2000, 50, 1000 + DOWN],
      [3000, 50, 1000 + DOWN],
      // It is well again.
      [4000, 200, 4000 + DOWN],
      // The farewell of one that yielded says nothing of a master.
      [5000, 1, 5000 + DOWN],
    ] as const) {
      bench.pass(at);
      bench.hear({ priority });
      assert.is(bench.engine.deadline, deadline, `${JSON.stringify(settings)} at ${at}`);
    }
  }
});

test('a master that is unfit is replaced without preemption too, by one that is fit', () => {
  const tracked = [{ name: 'workers', weight: 253 }] as const;
  for (const [preempt, own, master, replaced] of [
    ['unfit', 'fit', 8, true],
    ['unfit', 'fit', 9, true],
    ['unfit', 'fit', 10, false],
    // As if neither were.
    ['unfit', 'unfit', 2, false],
    ['none', 'fit', 8, false],
    ['weaker', 'fit', 10, true],
  ] as const) {
    // It was so when this one began: nobody saw it sink.
    const bench = new Bench([groupOf({ preempt, preemptDelay: 2000, tracked })]);
    bench.engine.track('workers', own === 'fit', 0);
    for (let at = 1000; at <= 10_000; at += 1000) {
      bench.pass(at);
      if (bench.role() === 'backup') bench.hear({ priority: master });
    }
    const why = `preempt ${preempt}, own ${own}, master ${master}`;
    assert.is(bench.role(), replaced ? 'master' : 'backup', why);
    // The delay counts from the first that was heard, at 1000.
    if (replaced) assert.is(bench.sent[0]?.at, 2000 + DOWN, why);
  }
});

test('a backup that becomes fit replaces a master that is not, without preemption too', () => {
  const tracked = [{ name: 'workers', weight: 253 }] as const;
  const bench = new Bench([groupOf({ preempt: 'unfit', tracked })]);
  bench.engine.track('workers', false, 0);
  for (let at = 1000; at <= 5000; at += 1000) {
    bench.pass(at);
    bench.hear({ priority: 2 });
  }
  assert.is(bench.role(), 'backup');
  bench.engine.track('workers', true, bench.now);
  bench.hear({ priority: 2 });
  bench.pass(5000 + 4000);
  assert.is(bench.role(), 'master');
});

test('a master that gives up is followed after the skew', () => {
  const bench = new Bench();
  bench.pass(1000);
  bench.hear({ priority: 0 });
  assert.is(bench.engine.deadline, 1000 + 609.375);
});

test('a master answers one that gives up, and counts its interval anew', () => {
  const bench = new Bench();
  bench.pass(DOWN + 400);
  bench.hear({ priority: 0 });
  assert.equal(
    bench.sent.map(({ at }) => at - DOWN),
    [0, 400],
  );
  bench.pass(DOWN + 1400);
  assert.is(bench.sent.at(-1)?.at, DOWN + 1400);
  assert.is(bench.sent.length, 3);
});

test('a master yields to a higher priority, or to a higher address of its own priority', () => {
  const cases = [
    { priority: 101, from: 1, yields: true },
    { priority: 99, from: 1, yields: false },
    { priority: 100, from: 1, yields: true },
  ];
  for (const { priority, from, yields } of cases) {
    const bench = new Bench();
    bench.pass(DOWN);
    bench.hear({ priority, from, interval: 500 });
    assert.is(bench.role(), yields ? 'backup' : 'master', `priority ${priority}`);
    assert.is(bench.sent.length, 2);
    assert.is(bench.sent.at(-1)?.priority, yields ? 1 : 100);
    if (!yields) continue;
    // 3 × 500 + 156 / 256 × 500
    bench.pass(DOWN + 1804);
    assert.is(bench.role(), 'backup', 'it waits for the interval of the other');
    bench.pass(DOWN + 1805);
    assert.is(bench.role(), 'master');
  }
});

test('a lower address of the same priority does not make a master yield', () => {
  const bench = new Bench();
  bench.engine.link('eth0', linkOf(6), 0);
  bench.pass(DOWN);
  bench.hear({ priority: 100, from: 1 });
  assert.is(bench.role(), 'master');
});

test('of what has come from one sender the newest alone counts', () => {
  const bench = new Bench();
  bench.pass(DOWN + 1);
  bench.engine.turn(bench.now, [
    bench.arrival({ priority: 200 }),
    bench.arrival({ priority: 50 }),
    bench.arrival({ priority: 60, from: 2 }),
  ]);
  assert.is(bench.role(), 'master');
});

test('who yields says so once more an interval later, and then is quiet', () => {
  const bench = new Bench();
  bench.pass(DOWN);
  for (let at = 0; at < 5000; at += 500) {
    bench.pass(DOWN + at);
    bench.hear({ priority: 200 });
  }
  assert.equal(
    bench.sent.map(({ at }) => at - DOWN),
    [0, 0, 1000],
  );
  assert.equal(bench.announced, [DOWN], 'who has yielded announces nothing more');
});

test('a master that hears a weaker one says so at once and announces again', () => {
  const bench = new Bench();
  bench.pass(DOWN + 500);
  assert.equal(bench.announced, [DOWN, DOWN + 100]);
  bench.hear({ priority: 50 });
  assert.is(bench.sent.at(-1)?.at, DOWN + 500);
  assert.is(bench.announced.at(-1), DOWN + 500);
});

test('a hundred weaker advertisements that come at once are one answer and one announcement', () => {
  const bench = new Bench();
  bench.pass(DOWN + 500);
  const before = [bench.sent.length, bench.announced.length];
  bench.engine.turn(
    bench.now,
    Array.from({ length: 100 }, () => bench.arrival({ priority: 50 })),
  );
  assert.equal(
    [bench.sent.length, bench.announced.length],
    before.map((n) => n + 1),
  );
});

test('when it is stopped a master gives up with priority 0, a backup without a word', () => {
  const backup = new Bench();
  backup.engine.stop(0, 'the end');
  assert.equal(backup.sent, []);
  const master = new Bench();
  master.pass(DOWN);
  master.engine.stop(DOWN, 'the end');
  assert.is(master.sent.at(-1)?.priority, 0);
  assert.equal(master.changes.map(({ role, why }) => [role, why]).at(-1), ['down', 'the end']);
  assert.is(master.engine.deadline, Infinity);
});

test('what has come is heard before a timer that is late is acted on', () => {
  const bench = new Bench();
  bench.now = DOWN + 50;
  bench.hear({ priority: 150 });
  assert.is(bench.role(), 'backup');
  assert.is(bench.engine.deadline, 2 * DOWN + 50);
});

test('a backup that was held up for an interval and more waits once more, and only once', () => {
  const bench = new Bench();
  bench.now = DOWN + 5000;
  bench.engine.turn(bench.now, []);
  assert.is(bench.role(), 'backup');
  assert.is(bench.engine.deadline, bench.now + DOWN);
  bench.now += DOWN + 5000;
  bench.engine.turn(bench.now, []);
  assert.is(bench.role(), 'master', 'held up again: somebody must be master');
});

test('a master that was held up for as long as others wait announces again', () => {
  const bench = new Bench();
  bench.pass(DOWN + 500);
  const rounds = bench.announced.length;
  bench.now = DOWN + 10_000;
  bench.engine.turn(bench.now, []);
  assert.is(bench.sent.at(-1)?.at, bench.now);
  assert.is(bench.sent.length, 2, 'one advertisement, not all that were due');
  assert.is(bench.announced.length, rounds + 1);
});

test('refused, counted and without effect', () => {
  const two = routerOf({ version: 2, password: Buffer.from('secret') });
  const peers = [sourceOf(1, 4)];
  const cases: readonly [string, RouterSettings, Parameters<Bench['hear']>[0]][] = [
    ['hop-limit', routerOf(), { hopLimit: 254 }],
    ['vrid-unknown', routerOf(), { vrid: 52 }],
    ['version', routerOf(), { version: 2 }],
    ['own-address', routerOf(), { from: 0 }],
    ['not-a-peer', routerOf(), { to: sourceOf(0, 4) }],
    ['not-a-peer', routerOf({ peers }), {}],
    ['not-a-peer', routerOf({ peers }), { to: sourceOf(0, 4), from: 2 }],
    ['authentication', two, {}],
    ['authentication', two, { password: Buffer.from('other') }],
    ['authentication', routerOf({ version: 2 }), { password: Buffer.from('secret') }],
    ['interval', routerOf({ version: 2 }), { interval: 2000 }],
    ['addresses', routerOf({ otherAddresses: 'refuse' }), { addresses: [bytesOf('10.0.0.81')] }],
  ];
  for (const [reason, router, part] of cases) {
    const bench = new Bench([groupOf({ routers: [router] })]);
    const { deadline } = bench.engine;
    bench.pass(100);
    bench.hear(part, router);
    assert.equal(bench.rejected(), { [reason]: 1 });
    assert.is(bench.engine.deadline, deadline, reason);
  }
});

test('accepted: other addresses where they are, the right password, a peer from far away', () => {
  const peers = [sourceOf(1, 4)];
  const two = routerOf({ version: 2, password: Buffer.from('secret') });
  const cases: readonly [RouterSettings, Parameters<Bench['hear']>[0]][] = [
    [routerOf(), { addresses: [bytesOf('10.0.0.81')] }],
    [two, { password: Buffer.from('secret') }],
    [routerOf({ peers }), { to: sourceOf(0, 4), hopLimit: 60 }],
  ];
  for (const [router, part] of cases) {
    const bench = new Bench([groupOf({ routers: [router] })]);
    bench.pass(100);
    bench.hear(part, router);
    assert.equal(bench.rejected(), {});
    assert.is(bench.engine.status()[0]?.received, 1);
  }
});

test('what is tracked lowers the priority, or ends it all, and comes back', () => {
  const tracked = [
    { name: 'uplink', weight: 30 },
    { name: 'worker', weight: 200 },
    { name: 'disk', weight: 'fault' as const },
  ];
  const bench = new Bench([groupOf({ tracked })]);
  bench.pass(DOWN);
  const priority = (): number | undefined => {
    bench.pass(bench.now + 1000);
    return bench.sent.at(-1)?.priority;
  };
  assert.is(priority(), 100);
  bench.engine.track('uplink', false, bench.now);
  assert.is(priority(), 70);
  bench.engine.track('worker', false, bench.now);
  assert.is(priority(), 5, 'neither 0, which gives up, nor 1, which says farewell');
  bench.engine.track('disk', false, bench.now);
  assert.is(bench.role(), 'down');
  assert.is(bench.sent.at(-1)?.priority, 0);
  for (const { name } of tracked) bench.engine.track(name, true, bench.now);
  assert.is(bench.role(), 'backup');
  bench.pass(bench.now + DOWN);
  assert.is(priority(), 100);
});

test('of two units that are unfit the stronger one still is, and any that is well is stronger', () => {
  const tracked = [{ name: 'neighbour', weight: 253 }];
  const unfit = new Map([['neighbour', false]]);
  const left = (priority: number): number => {
    const stand = standing(priority, tracked, unfit);
    return stand.kind === 'fit' ? stand.priority : 0;
  };
  assert.ok(left(200) > left(100), `${left(200)} and ${left(100)}`);
  for (let priority = 1; priority < 255; priority += 1) {
    assert.ok(left(priority) <= Math.min(priority, 9), `${priority}: ${left(priority)}`);
    assert.ok(priority === 1 || left(priority) >= 2, 'no farewell');
  }
  assert.is(left(255), 255, 'the owner of the addresses');
});

test('an interface without link or address is a fault of its routers', () => {
  const bench = new Bench();
  bench.pass(DOWN);
  bench.engine.link('eth0', linkOf(0, false), bench.now);
  assert.is(bench.role(), 'down');
  bench.engine.link('eth0', { running: true, sources: { 4: null, 6: null } }, bench.now);
  assert.is(bench.role(), 'down');
  assert.is(bench.changes.at(-1)?.why, 'interface eth0 has no link');
  bench.engine.link('eth0', linkOf(0), bench.now);
  assert.is(bench.role(), 'backup');
});

const inside = routerOf({ name: 'inside', interface: 'eth1', vrid: 60 });
const outside = routerOf({ name: 'outside', interface: 'eth0', vrid: 61 });

test('a group takes over together, when all its routers hear nobody', () => {
  const bench = new Bench([groupOf({ routers: [inside, outside] })]);
  bench.pass(2000);
  bench.hear({ priority: 150 }, outside);
  bench.pass(DOWN + 1000);
  assert.equal([bench.role('inside'), bench.role('outside')], ['backup', 'backup']);
  bench.pass(2000 + DOWN);
  assert.equal([bench.role('inside'), bench.role('outside')], ['master', 'master']);
});

test('a group yields together, and falls together', () => {
  const bench = new Bench([groupOf({ routers: [inside, outside] })]);
  bench.pass(DOWN);
  bench.hear({ priority: 150 }, outside);
  assert.equal([bench.role('inside'), bench.role('outside')], ['backup', 'backup']);
  bench.pass(DOWN * 3);
  assert.equal([bench.role('inside'), bench.role('outside')], ['master', 'master']);
  bench.engine.link('eth1', linkOf(0, false), bench.now);
  assert.equal([bench.role('inside'), bench.role('outside')], ['down', 'down']);
  assert.is(bench.sent.at(-1)?.priority, 0);
});

test('other settings change what is different and nothing else', () => {
  const bench = new Bench();
  bench.pass(DOWN);
  const changes = bench.changes.length;
  const addresses = [bytesOf('10.0.0.80'), bytesOf('10.0.0.81')];
  const router = routerOf({ addresses, interval: 500 });
  const rounds = bench.announced.length;
  bench.engine.configure([groupOf({ routers: [router], priority: 120 })], bench.now);
  assert.is(bench.role(), 'master');
  assert.is(bench.changes.length, changes, 'no change of roles');
  assert.is(bench.announced.length, rounds + 1, 'the new address is announced');
  bench.pass(bench.now + 500);
  assert.is(bench.sent.at(-1)?.priority, 120);
  bench.engine.configure([groupOf({ routers: [routerOf({ vrid: 9 })] })], bench.now);
  assert.is(bench.sent.at(-1)?.priority, 0, 'another router: the old one gives up');
  assert.is(bench.role(), 'backup');
});

test('unicast goes to each peer', () => {
  const router = routerOf({ peers: [sourceOf(1, 4), sourceOf(2, 4)] });
  const bench = new Bench([groupOf({ routers: [router] })]);
  bench.pass(DOWN);
  assert.equal(
    bench.sent.map(({ to }) => to),
    ['10.0.0.2', '10.0.0.3'],
  );
});

test('unicast to global addresses of IPv6 leaves from one of their network', () => {
  const peers = [bytesOf('fd02::2')];
  const bench = new Bench([
    groupOf({ routers: [routerOf({ family: 6, addresses: [bytesOf('fd02::80')], peers })] }),
  ]);
  assert.is(bench.role(), 'down');
  const globals = ['fd01::1', 'fd02::1'].map((text) => ({
    bytes: bytesOf(text),
    prefixLength: 64,
  }));
  bench.engine.link('eth0', { ...linkOf(0), globals }, bench.now);
  bench.pass(bench.now + DOWN);
  assert.is(bench.role(), 'master');
  assert.equal(bench.sent.at(-1)?.from, bytesOf('fd02::1').join('.'));
  const [router] = bench.groups[0]?.routers ?? [];
  if (router === undefined) throw new Error('no router');
  const message = {
    ...bench.arrival({ to: bytesOf('fd02::1') }, router),
    source: bytesOf('fd02::2'),
  };
  const heard = encodeAdvertisement(
    {
      version: 3,
      vrid: 51,
      priority: 200,
      interval: 1000,
      addresses: router.addresses,
      password: null,
    },
    { source: message.source, destination: message.destination },
  );
  bench.engine.turn(bench.now, [{ ...message, message: heard }]);
  assert.is(bench.role(), 'backup', 'and the other one is heard there');
});

test.run();

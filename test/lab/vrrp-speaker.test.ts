/** Two speakers on one link: roles, addresses and what the hosts of the link believe. */
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { needs } from '../support/needs.js';
import { groupText, macs, VrrpStage, type UnitName, type WeirUnit } from './vrrp-stage.js';

const test = suite('VRRP speaker');
const lab = needs.lab(test);

const IPV4 = '0a090050';
/** All addresses of a unit move within this, in milliseconds. */
const TOGETHER = 50;
const cases = [
  { name: 'IPv4', router: {}, address: '10.9.0.80', bytes: IPV4 },
  {
    name: 'IPv6',
    router: { family: 6, addresses: ['fd09::80'] },
    address: 'fd09::80',
    bytes: 'fd090000000000000000000000000080',
  },
] as const;

/** `a` is master, `b` backup. */
async function pair(
  stage: VrrpStage,
  router: Parameters<typeof groupText>[0],
): Promise<Record<UnitName, WeirUnit>> {
  const [a, b] = [stage.weir('a'), stage.weir('b')];
  await a.configure([groupText(router, { priority: 200 })]);
  await a.becomes('master');
  await b.configure([groupText(router, { priority: 100 })]);
  await b.becomes('backup');
  return { a, b };
}

for (const { name, router, address, bytes } of cases) {
  lab(`${name}: a master that ends in order, or is killed, is followed, and hosts are told`, () =>
    VrrpStage.run(async (stage) => {
      const { a, b } = await pair(stage, router);
      // Not only when the kernel comes to make its own.
      const routes = (): unknown => [stage.hostRoutes('a'), stage.hostRoutes('b')];
      const one = address.includes(':') ? [address] : [];
      await stage.claim('a', bytes);
      assert.equal(routes(), [one, []]);
      assert.is(stage.reached(address), macs.a);
      assert.not(stage.addresses('b').includes(address), 'a backup has no address');

      let seen = stage.frames.length;
      assert.is(await a.stop(), 'ended with status 0');
      await b.becomes('master');
      assert.not(stage.addresses('a').includes(address), 'the address is given up');
      await stage.claim('b', bytes, seen);
      assert.is(stage.reached(address), macs.b);
      assert.equal(routes(), [[], one]);

      seen = stage.frames.length;
      const next = stage.weir('a');
      await next.configure([groupText(router, { priority: 200 })]);
      await next.becomes('master');
      await b.becomes(
        'backup',
        b.messages.findIndex((m) => m.kind === 'role' && m.role === 'master'),
      );
      await stage.claim('a', bytes, seen);
      assert.is(stage.reached(address), macs.a);

      seen = stage.frames.length;
      const told = b.messages.length;
      await next.signal('SIGKILL');
      assert.is((await next.hears('exit')).how, 'was ended by SIGKILL');
      assert.not(stage.addresses('a').includes(address));
      await b.becomes('master', told);
      await stage.claim('b', bytes, seen);
      assert.is(stage.reached(address), macs.b);
      assert.equal(routes(), [[], one], 'who was killed leaves none');
    }),
  );
}

for (const { name, router, peers, group, address } of [
  {
    ...{ name: 'IPv4', router: {}, peers: ['10.9.0.1', '10.9.0.2'] },
    ...{ group: '0a090002', address: '10.9.0.80' },
  },
  {
    name: 'IPv6, at global addresses',
    router: { family: 6, addresses: ['fd09::80'] },
    peers: ['fd09::1', 'fd09::2'],
    ...{ group: 'fd090000000000000000000000000002', address: 'fd09::80' },
  },
] as const) {
  lab(`unicast: two units that are told each other need no multicast, ${name}`, () =>
    VrrpStage.run(async (stage) => {
      const [a, b] = [stage.weir('a'), stage.weir('b')];
      await a.configure([groupText({ ...router, peers: [peers[1]] }, { priority: 200 })]);
      await a.becomes('master');
      await b.configure([groupText({ ...router, peers: [peers[0]] })]);
      await b.becomes('backup');
      const seen = await stage.advertisement('a');
      assert.is(seen.fields['group'], group);
      assert.is(seen.fields['hops'], 255);
      for (let count = 0; count < 5; count += 1) {
        await stage.advertisement('a', stage.frames.length);
      }
      assert.is((await b.status()).routers[0]?.role, 'backup');
      await a.signal('SIGKILL');
      await b.becomes('master');
      assert.is(stage.reached(address), macs.b);
    }),
  );
}

lab('a cut that nobody can see heals: one master, and hosts are told again', () =>
  VrrpStage.run(async (stage) => {
    const { a, b } = await pair(stage, {});
    await stage.claim('a', IPV4);
    stage.isolate('a', true);
    await b.becomes('master');
    await stage.claim('b', IPV4);
    assert.is(stage.reached('10.9.0.80'), macs.b);
    const [told, seen] = [b.messages.length, stage.frames.length];
    stage.isolate('a', false);
    await b.becomes('backup', told);
    await stage.claim('a', IPV4, seen);
    assert.is(stage.reached('10.9.0.80'), macs.a);
    const { routers } = await a.status();
    assert.is(routers[0]?.role, 'master');
    assert.is(routers[0]?.takeovers, 1, 'it never yielded');
  }),
);

lab('an interface without link ends it, and what is tracked decides who is the better one', () =>
  VrrpStage.run(async (stage) => {
    const { a, b } = await pair(stage, {});
    let told = { a: a.messages.length, b: b.messages.length };
    stage.port('a', 'down');
    await a.becomes('down', told.a);
    await b.becomes('master', told.b);
    told = { a: a.messages.length, b: b.messages.length };
    stage.port('a', 'up');
    await a.becomes('master', told.a);
    await b.becomes('backup', told.b);

    told = { a: a.messages.length, b: b.messages.length };
    const tracked = [{ name: 'uplink', weight: 150 }];
    await a.configure([groupText({}, { priority: 200, tracked })]);
    a.tell({ kind: 'track', name: 'uplink', well: false });
    await b.becomes('master', told.b);
    await a.becomes('backup', told.a);
    told = { a: a.messages.length, b: b.messages.length };
    a.tell({ kind: 'track', name: 'uplink', well: true });
    await a.becomes('master', told.a);
  }),
);

lab('it runs in real time, or says that it may not', () =>
  VrrpStage.run(async (stage) => {
    const a = stage.weir('a');
    const { wishes } = await a.hears('loaded');
    await a.configure([groupText({})]);
    const fields = readFileSync(`/proc/${await a.pid()}/stat`, 'utf8')
      .split(') ')[1]
      ?.split(' ');
    // Fields 40 and 41 of proc_pid_stat(5), of which the first two are cut off: priority, policy.
    const seen = [fields?.[37], fields?.[38]];
    const complains = wishes.some((wish) => wish.includes('real-time'));
    assert.equal(seen, complains ? ['0', '0'] : ['40', '1'], JSON.stringify(wishes));
  }),
);

lab('250 addresses move together, and each is announced', () =>
  VrrpStage.run(async (stage) => {
    const addresses = Array.from({ length: 250 }, (_, index) => `10.9.1.${index + 1}`);
    const { a, b } = await pair(stage, { addresses });
    const held = (unit: UnitName): number =>
      stage.addresses(unit).filter((address) => addresses.includes(address)).length;
    await stage.claim('a', '0a0901fa');
    assert.equal([held('a'), held('b')], [250, 0]);
    const seen = stage.frames.length;
    await a.stop();
    await b.becomes('master');
    const wanted = new Set<string>();
    for (let index = 1; index <= 250; index += 1) {
      const bytes = `0a0901${index.toString(16).padStart(2, '0')}`;
      await stage.claim('b', bytes, seen);
      wanted.add(bytes);
    }
    const moments = stage.frames.flatMap((frame, index) => {
      if (index < seen || frame.kind !== 'claim' || frame.from !== macs.b) return [];
      // Each is announced more than once.
      return wanted.delete(frame.address) ? [stage.frameTimes[index] ?? 0] : [];
    });
    const spread = Math.max(...moments) - Math.min(...moments);
    console.log(`announced within ${spread.toFixed(1)} ms from the first to the last`);
    assert.ok(spread < TOGETHER, `${spread} ms from the first to the last`);
    assert.equal([held('a'), held('b')], [0, 250]);
  }),
);

lab('an address that somebody takes off comes back', () =>
  VrrpStage.run(async (stage) => {
    const a = stage.weir('a');
    await a.configure([groupText({})]);
    await a.becomes('master');
    await stage.claim('a', IPV4);
    assert.is(stage.reached('10.9.0.80'), macs.a);
    stage.removeAddress('a', '10.9.0.80');
    assert.is(stage.reached('10.9.0.80', 15), macs.a);
    assert.ok(stage.addresses('a').includes('10.9.0.80'));
  }),
);

lab('settings that cannot be are refused, and the former ones hold', () =>
  VrrpStage.run(async (stage) => {
    const a = stage.weir('a');
    await a.configure([groupText({})]);
    await a.becomes('master');
    const wrong = [
      groupText({ interval: 15 }),
      groupText({ addresses: ['fd09::80'] }),
      groupText({ version: 2, interval: 1000, password: 'nine byte' }),
      groupText({ addresses: ['10.9.0.80', '10.9.0.80'] }),
    ];
    for (const group of wrong) {
      const refused = await a.configure([group]).then(
        () => 'accepted',
        (error: unknown) => String(error),
      );
      assert.match(refused, /^Error: ./, JSON.stringify(group));
    }
    assert.is((await a.status()).routers[0]?.role, 'master');
    assert.ok(stage.addresses('a').includes('10.9.0.80'));
  }),
);

test.run();

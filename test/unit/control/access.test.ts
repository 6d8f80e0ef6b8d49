/**
 * Access lists outside of the kernel: files line by line, what expires, files that change or
 * break, temporary entries, and what the compiler makes of all of it.
 */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PortError } from '../../../appliance/api/port.js';
import { AccessEntries } from '../../../appliance/config/access-entries.js';
import { readAddress } from '../../../appliance/config/address-codec.js';
import { checkDocument } from '../../../appliance/config/document.js';
import { parsePrefixKey, prefixText } from '../../../appliance/config/prefix-key.js';
import type { Intent } from '../../../appliance/config/schema.js';
import { parseTime } from '../../../appliance/config/time.js';
import { readFeed, type FeedResult } from '../../../appliance/control/access-feed.js';
import { AccessFiles } from '../../../appliance/control/access-files.js';
import { Access } from '../../../appliance/control/access.js';
import { decide } from '../../../appliance/control/access-sets.js';
import { compile } from '../../../appliance/control/compile.js';
import type { Tables } from '../../../appliance/control/tables.js';

const test = suite('access');
const NOW = Date.UTC(2026, 0, 1);

function feedOf(text: string | Uint8Array): FeedResult {
  const steps = readFeed(typeof text === 'string' ? Buffer.from(text) : text);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

async function withFolder(use: (folder: string) => Promise<void> | void): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'weir-access-'));
  try {
    await use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function intentOf(lists: object, access: object | null, limits: object = {}): Intent {
  const checked = checkDocument({
    version: 1,
    unit: { name: 'a' },
    'access-lists': lists,
    pools: { web: { members: [{ address: '10.0.1.11', port: 80, 'max-connections': 5 }] } },
    services: {
      shop: {
        listen: { address: '10.0.0.80', port: 80, protocol: 'tcp' },
        pool: 'web',
        ...(access === null ? {} : { access }),
        limits,
      },
      other: { listen: { address: '10.0.0.80', port: 81, protocol: 'tcp' }, pool: 'web' },
    },
  });
  if (!checked.ok) throw new Error(JSON.stringify(checked.errors));
  return checked.intent;
}

function compiled(intent: Intent, access?: Access, previous?: Tables): Tables {
  return compile(
    {
      intent,
      health: { get: () => undefined },
      nextHop: () => ({ unresolved: 'nobody knows' }),
      ...(access === undefined ? {} : { access: access.view() }),
    },
    previous,
  );
}

function verdict(tables: Tables, service: string, address: string): string {
  const set = tables.l4.protection?.services.get(service)?.access ?? null;
  const parsed = readAddress(address);
  if (parsed === null) throw new Error(`${address} is no address`);
  if (set === null) return 'no lists';
  const { verdict: said, key } = decide(set, parsed);
  return `${said} by ${prefixText(key)}`;
}

test('a file: comments, blank lines, addresses alone, host bits, expiry, Windows line ends', () => {
  const result = feedOf(
    '\ufeff# a feed\r\n\r\n192.0.2.7\n  198.51.100.9/24 ; an office\n2001:DB8::1/32\texpires=2026-12-31T00:00:00Z # later',
  );
  assert.ok(result.ok);
  assert.equal(result.feed.keys.map(prefixText), [
    '192.0.2.7/32',
    '198.51.100.0/24',
    '2001:db8::/32',
  ]);
  assert.equal([...result.feed.expires], [[2, Date.UTC(2026, 11, 31)]]);
});

for (const [text, line, message] of [
  ['10.0.0.0/8\nnonsense', 2, /"nonsense" is no IP address/],
  ['10.0.0.0/33', 1, /at most 32/],
  ['10.0.0.0/8 until=tomorrow', 1, /"until=tomorrow" is not known/],
  ['\n\n10.0.0.0/8 expires=2026-02-30T00:00:00Z', 3, /is no time/],
  ['::ffff:10.0.0.1', 1, /IPv4-mapped/],
  [Uint8Array.of(0xff, 0xfe), 0, /UTF-8/],
] as const) {
  test(`a file is refused whole: ${JSON.stringify(typeof text === 'string' ? text : [...text])}`, () => {
    const result = feedOf(text);
    assert.ok(!result.ok);
    assert.is(result.line, line);
    assert.match(result.message, message);
  });
}

test('times: offsets are read, days that do not exist are not', () => {
  const time = (text: string): number | null => {
    const result = parseTime(text);
    return result.ok ? result.value : null;
  };
  assert.is(time('2026-01-01T02:00:00+02:00'), NOW);
  assert.is(time('2026-01-01T00:00:00.500Z'), NOW + 500);
  for (const text of ['2026-01-01', '2026-13-01T00:00:00Z', '2026-01-01T24:00:00Z', '1', '']) {
    assert.is(time(text), null, text);
  }
});

test('100,000 prefixes of a file are read and compiled in well under a second', () => {
  const lines = Array.from(
    { length: 100_000 },
    (_, at) => `${20 + (at >> 16)}.${(at >> 8) & 255}.${at & 255}.0/24`,
  );
  const begun = performance.now();
  const result = feedOf(lines.join('\n'));
  const took = performance.now() - begun;
  assert.ok(result.ok && result.feed.keys.length === 100_000);
  console.log(`      100,000 lines read in ${took.toFixed(0)} ms`);
});

test('the longest prefix wins, whichever list it is on; IPv6 never decides about IPv4', () => {
  const tables = compiled(
    intentOf(
      {
        good: { prefixes: ['192.0.2.7', '10.0.0.0/8'] },
        bad: { prefixes: ['192.0.2.0/24', '10.0.0.0/8', '::/0'] },
      },
      { allow: ['good'], deny: ['bad'] },
    ),
  );
  assert.is(verdict(tables, 'shop', '192.0.2.7'), 'allow by 192.0.2.7/32');
  assert.is(verdict(tables, 'shop', '192.0.2.8'), 'deny by 192.0.2.0/24');
  assert.is(verdict(tables, 'shop', '10.1.1.1'), 'deny by 10.0.0.0/8');
  assert.is(verdict(tables, 'shop', '203.0.113.1'), 'deny by 0.0.0.0/0');
  assert.is(verdict(tables, 'other', '203.0.113.1'), 'no lists');
  const open = compiled(intentOf({ bad: { prefixes: ['::/0'] } }, { deny: ['bad'] }));
  assert.is(verdict(open, 'shop', '203.0.113.1'), 'allow by 0.0.0.0/0');
  assert.is(verdict(open, 'shop', '2001:db8::1'), 'deny by ::/0');
});

test('what did not change keeps its identity, though the document was read again', () => {
  const lists = { bad: { prefixes: ['192.0.2.0/24'] } };
  return withFolder((folder) => {
    const entries = AccessEntries.open(join(folder, 'access.db'));
    const files = new AccessFiles({ directory: join(folder, 'kept'), onChange: () => undefined });
    const access = new Access({ files, entries, onChange: () => undefined });
    try {
      const first = compiled(intentOf(lists, { deny: ['bad'] }), access);
      const second = compiled(intentOf(lists, { deny: ['bad'] }), access, first);
      assert.is(second.l4.protection, first.l4.protection);
      const third = compiled(
        intentOf({ bad: { prefixes: ['192.0.2.9'] } }, { deny: ['bad'] }),
        access,
        second,
      );
      assert.is.not(third.l4.protection, second.l4.protection);
      assert.is(verdict(third, 'shop', '192.0.2.7'), 'allow by 0.0.0.0/0');
    } finally {
      access.close();
    }
  });
});

test('limits: rates in nanoseconds, the flood guard unless it is off, members', () => {
  const tables = (limits: object): Tables => compiled(intentOf({}, null, limits));
  const of = (limits: object) => tables(limits).l4.protection?.services.get('shop');
  assert.equal(of({}), { access: null, rate: 'auto', connections: 0, client: null, members: true });
  assert.is(of({ 'flood-guard': 'off' })?.rate, null);
  assert.equal(of({ 'new-connections': { rate: '100/s', burst: 5, per: 'service' } })?.rate, {
    costNs: 10_000_000n,
    burstNs: 40_000_000n,
  });
  assert.equal(of({ 'new-connections': { rate: '60/m', prefix: 24 } })?.client, {
    rate: { costNs: 1_000_000_000n, burstNs: 59_000_000_000n },
    connections: 0,
    prefix: 24,
    prefix6: 64,
  });
  assert.equal(
    [...(tables({}).l4.protection?.members ?? [])],
    [['web/10.0.1.11:80', { rate: null, connections: 5 }]],
  );
});

test('lists, lines and temporary entries end at their time', () =>
  withFolder((folder) => {
    const file = join(folder, 'feed');
    writeFileSync(file, '192.0.2.1 expires=2026-01-01T00:00:10Z\n192.0.2.2\n');
    let now = NOW;
    const entries = AccessEntries.open(join(folder, 'access.db'));
    const files = new AccessFiles({ directory: join(folder, 'kept'), onChange: () => undefined });
    const access = new Access({ files, entries, onChange: () => undefined, now: () => now });
    try {
      const intent = intentOf(
        { bad: { file, expires: '2026-01-01T00:01:00Z' } },
        { deny: ['bad'] },
      );
      access.put(
        {
          prefix: '192.0.2.3',
          verdict: 'deny',
          service: 'shop',
          forMs: 5000,
          author: 'a',
          comment: '',
        },
        intent,
      );
      const denied = (): string[] => {
        const tables = compiled(intent, access);
        return ['192.0.2.1', '192.0.2.2', '192.0.2.3'].filter((one) =>
          verdict(tables, 'shop', one).startsWith('deny'),
        );
      };
      assert.equal(denied(), ['192.0.2.1', '192.0.2.2', '192.0.2.3']);
      now = NOW + 5000;
      assert.equal(denied(), ['192.0.2.1', '192.0.2.2'], 'the entry ended');
      assert.equal(entries.list(), [], 'and is gone from the store');
      now = NOW + 10_000;
      assert.equal(denied(), ['192.0.2.2'], 'the line ended');
      now = NOW + 60_000;
      assert.equal(denied(), [], 'the list ended');
    } finally {
      access.close();
    }
  }));

test('temporary entries: the own service over all, over lists of the same prefix', () =>
  withFolder((folder) => {
    const entries = AccessEntries.open(join(folder, 'access.db'));
    const files = new AccessFiles({ directory: join(folder, 'kept'), onChange: () => undefined });
    let changes = 0;
    const access = new Access({ files, entries, onChange: () => changes++ });
    try {
      const intent = intentOf({ bad: { prefixes: ['192.0.2.0/24'] } }, { deny: ['bad'] });
      const put = (prefix: string, said: 'allow' | 'deny', service: string | null): void => {
        access.put(
          { prefix, verdict: said, service, forMs: 60_000, author: 'root', comment: '' },
          intent,
        );
      };
      put('192.0.2.9/24', 'allow', null);
      assert.is(verdict(compiled(intent, access), 'shop', '192.0.2.1'), 'allow by 192.0.2.0/24');
      put('192.0.2.0/24', 'deny', 'other');
      const tables = compiled(intent, access);
      assert.is(verdict(tables, 'other', '192.0.2.1'), 'deny by 192.0.2.0/24');
      assert.is(verdict(tables, 'shop', '192.0.2.1'), 'allow by 192.0.2.0/24');
      assert.is(verdict(tables, 'other', '198.51.100.1'), 'allow by 0.0.0.0/0', 'nobody else');
      const [row] = access.test(intent, tables, '192.0.2.1', 'shop');
      assert.is(row?.because, 'a temporary entry');
      access.remove('192.0.2.0/24', null);
      assert.is(changes, 3);
      const refused = (act: () => unknown, code: string): void => {
        assert.throws(act, (error: unknown) => error instanceof PortError && error.code === code);
      };
      refused(() => access.remove('192.0.2.0/24', null), 'not-found');
      refused(() => put('nonsense', 'deny', null), 'bad-request');
      refused(() => put('192.0.2.1', 'deny', 'nobody'), 'not-found');
      const { shop } = intent.services;
      assert.ok(shop);
      const proxied: Intent = { ...intent, services: { shop: { ...shop, tier: 'proxy' } } };
      const request = { prefix: '192.0.2.1', verdict: 'deny', service: 'shop' } as const;
      const rest = { forMs: 60_000, author: 'root', comment: '' };
      refused(() => access.put({ ...request, ...rest }, proxied), 'bad-request');
    } finally {
      access.close();
    }
  }));

test('a file that changes is read; a broken one keeps the last good content, over a restart too', () =>
  withFolder(async (folder) => {
    const path = join(folder, 'feed');
    const kept = join(folder, 'kept');
    const replace = (text: string): void => {
      writeFileSync(`${path}.new`, text);
      renameSync(`${path}.new`, path);
    };
    let wake: () => void = () => undefined;
    const open = (): AccessFiles =>
      new AccessFiles({
        directory: kept,
        pollMs: 200,
        onChange: () => {
          wake();
        },
      });
    let files = open();
    const texts = (): string[] => files.state(path).feed.keys.map(prefixText);
    const change = async (text: string): Promise<void> => {
      const changed = new Promise<void>((resolve) => {
        wake = resolve;
      });
      replace(text);
      // The watch must not keep a process alive, so something here has to.
      const alive = setInterval(() => undefined, 1000);
      await changed;
      clearInterval(alive);
    };
    try {
      assert.match(files.state(path).problem ?? '', /feed: there is no such file/);
      await change('192.0.2.1\n');
      assert.equal([texts(), files.state(path).problem], [['192.0.2.1/32'], null]);
      await change('192.0.2.1\n192.0.2.2\n192.0.2.\n');
      assert.equal(texts(), ['192.0.2.1/32']);
      assert.match(files.state(path).problem ?? '', /feed, line 3: "192\.0\.2\." is no IP address/);
      files.close();
      files = open();
      assert.equal(texts(), ['192.0.2.1/32'], 'after a restart');
      assert.match(files.state(path).problem ?? '', /line 3/);
      replace('192.0.2.4\n');
      await files.reload();
      assert.equal([texts(), files.state(path).problem], [['192.0.2.4/32'], null]);
    } finally {
      files.close();
    }
  }));

test('prefixes as keys and back', () => {
  for (const [text, expected] of [
    ['10.1.2.3/8', '10.0.0.0/8'],
    ['0.0.0.0/0', '0.0.0.0/0'],
    ['::/0', '::/0'],
    ['2001:db8::1', '2001:db8::1/128'],
    ['2001:db8:ffff::/33', '2001:db8:8000::/33'],
    ['255.255.255.255', '255.255.255.255/32'],
  ] as const) {
    const key = parsePrefixKey(text);
    assert.is(key.ok ? prefixText(key.value) : key.message, expected);
  }
});

test('what an agent allows at most and what the document says: the lower one limits', () => {
  const limits = (own: number | null, maxConnections: number | undefined): unknown => {
    const checked = checkDocument({
      version: 1,
      unit: { name: 'a' },
      pools: {
        web: {
          members: [
            { address: '10.0.1.11', port: 80, ...(own === null ? {} : { 'max-connections': own }) },
          ],
          monitor: { type: 'agent', port: 7000 },
        },
      },
      services: {
        shop: { listen: { address: '10.0.0.80', port: 80, protocol: 'tcp' }, pool: 'web' },
      },
    });
    if (!checked.ok) throw new Error(JSON.stringify(checked.errors));
    const { protection } = compile({
      intent: checked.intent,
      health: { get: () => ({ state: 'up', reason: '', agent: { maxConnections } }) },
      nextHop: () => ({ unresolved: 'nobody knows' }),
    }).l4;
    const set = protection?.services.get('shop')?.members;
    return [set, protection?.members.get('web/10.0.1.11:80')?.connections];
  };
  assert.equal(limits(null, undefined), [false, undefined], 'nobody limits');
  assert.equal(limits(null, 30), [true, 30], 'the agent alone');
  assert.equal(limits(5, 30), [true, 5], 'the document, lower');
  assert.equal(limits(50, 30), [true, 30], 'the agent, lower');
  assert.equal(limits(50, 0), [true, 50], '0 of an agent is no limit, as in HAProxy');
});

test.run();

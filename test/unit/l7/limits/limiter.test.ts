/** What a request counts for, all limits or none, and what a refused client gets. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  retrySeconds,
  writeTooMany,
  writeUnavailable,
} from '../../../../appliance/l7/limits/answers.js';
import { TokenBuckets } from '../../../../appliance/l7/limits/buckets.js';
import {
  Limiter,
  type LimitedService,
  type RequestCondition,
} from '../../../../appliance/l7/limits/limiter.js';
import { progress } from '../../../../appliance/l7/http1/faults.js';
import { RequestHead } from '../../../../appliance/l7/http1/request-head.js';
import { Writer } from '../../../../appliance/l7/http1/writer.js';
import type { L7Conditions, L7RateLimit } from '../../../../appliance/l7/tables.js';
import { judge } from '../../../support/http1-judge.js';
import { clientAt } from '../../../support/l7-client.js';

const test = suite('limits of a service');
const sizes = { keyed: 64, single: 4 };

function memory(): ArrayBuffer {
  const buffer = new ArrayBuffer(TokenBuckets.bytes(sizes));
  TokenBuckets.prepare(buffer, 0, Int32Array.of(3, 4));
  return buffer;
}

function buckets(workers = 1, buffer = memory()): TokenBuckets[] {
  return Array.from({ length: workers }, (_, i) => new TokenBuckets(buffer, 0, sizes, i));
}

function limit(per: L7RateLimit['per'], more: Partial<L7RateLimit> = {}): L7RateLimit {
  return { name: per.kind, perSecond: 1, burst: 1, per, when: null, ...more };
}

function serviceOf(
  limits: readonly L7RateLimit[],
  routes: LimitedService['routes'] = [],
): LimitedService {
  return { name: 'shop', limits, routes, clientPrefix: 24, clientPrefix6: 56 };
}

const arena = new Uint8Array(4096);
const head = new RequestHead();
function request(text: string): void {
  head.reset(100);
  const end = 100 + Buffer.from(text, 'latin1').copy(arena, 100);
  assert.is(head.parse(arena, end), progress.done, text);
}
const get = (target: string, ...fields: string[]): void =>
  request([`GET ${target} HTTP/1.1`, ...fields, '', ''].join('\r\n'));

const methods = (conditions: L7Conditions): RequestCondition => ({
  hold: (of, bytes) =>
    conditions.methods?.includes(
      Buffer.from(bytes.subarray(of.methodStart, of.methodEnd)).toString(),
    ) ?? true,
});
const anyone = clientAt('192.0.2.1');

function limiter(service: LimitedService, table = buckets()[0] as TokenBuckets): Limiter {
  return new Limiter(table, service, methods);
}

/** Whether the second of two requests is refused: whether they count for the same bucket. */
function shared(per: L7RateLimit['per'], one: () => void, two: () => void): boolean {
  const of = limiter(serviceOf([limit(per)]));
  one();
  assert.is(of.take(-1, head, arena, anyone, 0), 0);
  two();
  return of.take(-1, head, arena, anyone, 0) > 0;
}

test('by client address, cut to the prefix', () => {
  const of = limiter(serviceOf([limit({ kind: 'client-address' })]));
  const take = (text: string): number => {
    get('/', 'Host: a');
    return of.take(-1, head, arena, clientAt(text), 0);
  };
  assert.is(take('192.0.2.1'), 0);
  assert.is(take('192.0.2.200'), 1000);
  assert.is(of.refusedBy, 'client-address');
  assert.is(take('192.0.3.1'), 0);
  assert.is(take('2001:db8:0:0011::1'), 0);
  assert.is(take('2001:db8:0:00ff::1'), 1000);
  assert.is(take('2001:db8:0:0100::1'), 0);
  assert.is(of.takeConnection(clientAt('192.0.3.9'), 0), 1000);
  assert.is(of.takeConnection(clientAt('192.0.4.9'), 0), 0);
});

test('by host, without case and port', () => {
  const host = { kind: 'host' } as const;
  const at = (name: string) => (): void => get('/', `Host: ${name}`);
  assert.is(shared(host, at('a.example'), at('A.Example:8080')), true);
  assert.is(shared(host, at('a.example'), at('b.example')), false);
  assert.is(
    shared(host, at('a.example'), () => get('http://a.example/x', 'Host: b')),
    true,
  );
});

test('by path, without the query', () => {
  const path = { kind: 'path' } as const;
  const at = (target: string) => (): void => get(target, 'Host: a');
  assert.is(shared(path, at('/x?a=1'), at('/x?a=2')), true);
  assert.is(shared(path, at('/x'), at('/X')), false);
  assert.is(shared(path, at('/'), at('http://a')), true);
  assert.is(shared(path, at('/'), at('http://a?x')), true);
});

test('by a field: its value, none at all, or too many', () => {
  const key = { kind: 'header', name: 'X-Key' } as const;
  const at =
    (...fields: string[]) =>
    (): void =>
      get('/', 'Host: a', ...fields);
  assert.is(shared(key, at('x-key: 1'), at('X-KEY:  1 ')), true);
  assert.is(shared(key, at('X-Key: 1'), at('X-Key: 2')), false);
  assert.is(shared(key, at('X-Key: 1'), at()), false);
  assert.is(shared(key, at(), at('X-Other: 1')), true);
  assert.is(shared(key, at(), at('X-Key:')), false);
  assert.is(shared(key, at('X-Key: 1', 'X-Key: 2'), at('X-Key: 3', 'X-Key: 4')), true);
  assert.is(shared(key, at('X-Key: 1', 'X-Key: 2'), at()), false);
});

test('a limit counts only where its conditions hold', () => {
  const when: L7Conditions = {
    hosts: null,
    paths: null,
    methods: ['POST'],
    headers: [],
    query: [],
    cookies: [],
    sources: null,
  };
  const of = limiter(serviceOf([limit({ kind: 'service' }, { when })]));
  const take = (name: string): number => {
    request(`${name} / HTTP/1.1\r\nHost: a\r\n\r\n`);
    return of.take(-1, head, arena, anyone, 0);
  };
  assert.equal(['GET', 'POST', 'GET', 'POST', 'GET'].map(take), [0, 0, 0, 1000, 0]);
});

test('a request that one limit refuses takes from none', () => {
  const service = serviceOf(
    [limit({ kind: 'service' }, { burst: 3 })],
    [
      { name: '1', limits: [limit({ kind: 'client-address' }, { perSecond: 0.1 })] },
      { name: '2', limits: [] },
    ],
  );
  const of = limiter(service);
  get('/', 'Host: a');
  const take = (route: number): number => of.take(route, head, arena, anyone, 0);
  assert.is(take(0), 0);
  for (let i = 0; i < 10; i += 1) assert.is(take(0), 10_000);
  // The service's bucket still has two.
  assert.equal([take(1), take(1), take(1)], [0, 0, 1000]);
  assert.is(of.refusedBy, 'service');
  assert.is(take(0), 10_000, 'the longest wait of all');
  assert.is(of.refusedBy, 'client-address');
});

test('what another worker took in between is given back', () => {
  const buffer = memory();
  const [, two] = buckets(2, buffer) as [TokenBuckets, TokenBuckets];
  const service = serviceOf([
    limit({ kind: 'service' }, { burst: 5 }),
    limit({ kind: 'client-address' }),
  ]);
  const other = limiter(service, two);
  get('/', 'Host: a');
  // The worker looks, and before it takes, the other one takes the client's last.
  let between = true;
  const racing = new (class extends TokenBuckets {
    override take(...to: Parameters<TokenBuckets['take']>): number {
      if (between) {
        between = false;
        assert.is(other.take(-1, head, arena, anyone, 0), 0);
      }
      return super.take(...to);
    }
  })(buffer, 0, sizes, 0);
  const of = limiter(service, racing);
  assert.is(of.take(-1, head, arena, anyone, 0), 1000);
  assert.is(of.refusedBy, 'client-address');
  let left = 0;
  for (let i = 1; of.take(-1, head, arena, clientAt(`198.51.${i}.1`), 0) === 0; i += 1) left += 1;
  assert.is(left, 4, 'only the other worker took of the service');
});

test('a limit keeps its state over snapshots, and begins anew when its numbers change', () => {
  const [table] = buckets() as [TokenBuckets];
  get('/', 'Host: a');
  const take = (perSecond: number): number =>
    limiter(serviceOf([limit({ kind: 'service' }, { perSecond })]), table).take(
      -1,
      head,
      arena,
      anyone,
      0,
    );
  assert.equal([take(1), take(1), take(2), take(2), take(1)], [0, 1000, 0, 500, 1000]);
});

test('asking allocates nothing', () => {
  const per: L7RateLimit['per'][] = [
    { kind: 'service' },
    { kind: 'client-address' },
    { kind: 'host' },
    { kind: 'path' },
    { kind: 'header', name: 'X-Key' },
  ];
  const free = per.map((one) => limit(one, { perSecond: 1e6, burst: 1e6 }));
  const of = limiter(serviceOf(free, [{ name: '1', limits: [limit({ kind: 'path' })] }]));
  const writer = new Writer();
  get('/some/path?with=query', 'Host: shop.example', 'X-Key: 123456789');
  let now = 0x7fff_0000 | 0;
  const round = (): number => {
    now = (now + 1) | 0;
    const wait = of.take(-1, head, arena, anyone, now);
    const held = of.take(0, head, arena, anyone, now);
    writer.reset(arena, 2048, arena.length);
    writeTooMany(writer, held, head, false, true);
    return wait;
  };
  const rounds = 50_000;
  // Before the compiler knows the code it makes numbers on the heap: the least of some runs counts.
  let least = Number.POSITIVE_INFINITY;
  for (let run = 0; run < 8; run += 1) {
    const before = process.memoryUsage().heapUsed;
    let refused = 0;
    for (let i = 0; i < rounds; i += 1) refused += round();
    assert.is(refused, 0);
    least = Math.min(least, Math.abs(process.memoryUsage().heapUsed - before));
  }
  assert.ok(least / rounds < 2, `${(least / rounds).toFixed(1)} bytes of heap a request`);
});

const answer = (write: (writer: Writer) => void): string => {
  const writer = new Writer();
  writer.reset(arena, 2048, arena.length);
  write(writer);
  return Buffer.from(arena.subarray(2048, writer.end)).toString('latin1');
};

test('429 and 503 say when to try again', () => {
  const minor = (value: number): { minor: number } => ({ minor: value });
  const seen = answer((writer) => writeTooMany(writer, 1001, minor(1), false, true));
  assert.match(seen, /^HTTP\/1\.1 429 Too Many Requests\r\n/);
  assert.match(seen, '\r\nRetry-After: 2\r\n');
  assert.not.match(seen, 'Connection');
  const sentence = 'Too many requests: try again later.\n';
  assert.is(
    judge(Buffer.from(seen), { side: 'response', to: 'GET', upgrade: 'none', tunnels: false })
      .verdict,
    `429 length:${sentence.length}="${sentence}"`,
  );
  const bare = answer((writer) => writeUnavailable(writer, 30_000, minor(1), true, false));
  assert.match(bare, /^HTTP\/1\.1 503 Service Unavailable\r\n/);
  assert.match(bare, /\r\nRetry-After: 30\r\nConnection: close\r\n\r\n$/);
  const old = answer((writer) => writeTooMany(writer, 1, minor(0), true, true));
  assert.match(old, /\r\nRetry-After: 1\r\nConnection: keep-alive\r\n\r\n$/);
});

test('seconds are rounded up', () => {
  assert.equal([0, 1, 999, 1000, 1001, 60_000].map(retrySeconds), [1, 1, 1, 1, 2, 60]);
});

test('an answer that does not fit says so', () => {
  const writer = new Writer();
  writer.reset(arena, 0, 150);
  writeTooMany(writer, 1000, { minor: 1 }, false, true);
  assert.is(writer.end, -1);
});

test.run();

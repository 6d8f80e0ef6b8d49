/** The first route whose conditions hold takes a request, whatever the index does to find it. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { pathFaults } from '../../../../appliance/l7/http1/path.js';
import { Conditions } from '../../../../appliance/l7/routing/conditions.js';
import { NO_ROUTE, PATH_REFUSED, Router } from '../../../../appliance/l7/routing/router.js';
import type { L7Conditions, L7FieldTest, L7Route } from '../../../../appliance/l7/tables.js';
import {
  clientOf,
  noConditions,
  pattern,
  plainlyFirst,
  plainlyHolds,
  regex,
  requestOf,
  routeOf,
  type Parsed,
  type PlainRequest,
} from '../../../support/l7-routes.js';

const test = suite('l7 router');
const client = clientOf('192.0.2.1');

function find(routes: readonly L7Route[], request: Parsed, from = client): number {
  return new Router({ routes }).find(request.head, request.bytes, from);
}
const holds = (when: Partial<L7Conditions>, request: Parsed, from = client): boolean =>
  find([routeOf(when)], request, from) === 0;

test('without routes none is found, and a route without conditions takes everything', () => {
  assert.is(find([], requestOf('GET /')), NO_ROUTE);
  assert.is(find([routeOf(null)], requestOf('OPTIONS *')), 0);
  assert.is(find([routeOf(null)], requestOf('GET / HTTP/1.0', null)), 0);
});

test('the first that holds decides, more exact or not', () => {
  const routes = [
    routeOf({ paths: [pattern('/a/**')], methods: ['POST'] }),
    routeOf({ hosts: ['*.example'] }),
    routeOf({ hosts: ['a.example'], paths: [pattern('/a/b')] }),
    routeOf(null),
  ];
  assert.is(find(routes, requestOf('POST /a/b')), 0);
  assert.is(find(routes, requestOf('GET /a/b')), 1);
  assert.is(find(routes, requestOf('GET /a/b', 'other')), 3);
});

const hosts: readonly (readonly [string, string | null, boolean])[] = [
  ['a.example', 'a.example', true],
  ['a.example', 'A.Example:8080', true],
  ['a.example', 'a.example.', true],
  ['a.example', 'xa.example', false],
  ['a.example', null, false],
  ['*.example', 'a.example', true],
  ['*.example', 'a.b.EXAMPLE', true],
  ['*.example', 'example', false],
  ['*.example', '.example', false],
  ['*.example', 'aexample', false],
  ['*.b.example', 'b.example', false],
  ['192.0.2.7', '192.0.2.7:80', true],
  ['[::1]', '[::1]:80', true],
];
for (const [text, host, wanted] of hosts) {
  test(`host ${text} ${wanted ? 'takes' : 'leaves'} ${host ?? 'a request without one'}`, () => {
    const line = host === null ? 'GET / HTTP/1.0' : 'GET /';
    assert.is(holds({ hosts: [text] }, requestOf(line, host)), wanted);
  });
}

test('the host of an absolute target stands above the Host field', () => {
  assert.ok(holds({ hosts: ['b.example'] }, requestOf('GET http://B.example:80/')));
});

const paths: readonly (readonly [string, string, boolean])[] = [
  ['/v1/users', '/v1/users', true],
  ['/v1/users', '/v1/users?a=b', true],
  ['/v1/users', '/v1/users/', false],
  ['/v1/users', '/v1//users', true],
  ['/v1/users', '/x/../v1/./users', true],
  ['/v1/users', '/v1/%75sers', true],
  ['/v1/users', '/V1/users', false],
  ['/v1/*', '/v1/a', true],
  ['/v1/*', '/v1/', false],
  ['/v1/*', '/v1', false],
  ['/v1/*', '/v1/a/b', false],
  ['/v1/*', '/v1/a/', false],
  ['/v1/**', '/v1', true],
  ['/v1/**', '/v1/', true],
  ['/v1/**', '/v1/a/b/c', true],
  ['/v1/**', '/v10', false],
  ['/*/b', '/a/b', true],
  ['/*/b', '/a/c', false],
  ['/**', '/', true],
  ['/', '/', true],
  ['/', '/a', false],
  ['/', 'http://a.example', true],
  ['/', 'http://a.example?x', true],
  ['/a%20b', '/a%20b', true],
  ['/a%2Ab', '/a*b', true],
  ['/%c3%a4', '/%C3%A4', true],
];
for (const [text, target, wanted] of paths) {
  test(`path ${text} ${wanted ? 'takes' : 'leaves'} ${target}`, () => {
    assert.is(holds({ paths: [pattern(text)] }, requestOf(`GET ${target}`)), wanted);
  });
}

test('expressions are looked for in the path in its one form', () => {
  const when = { paths: [regex('^/item/[0-9]+$')] };
  assert.ok(holds(when, requestOf('GET /x/..//item/%34%32?a')));
  assert.not(holds(when, requestOf('GET /item/x')));
  assert.ok(holds({ paths: [pattern('/other'), regex('ä$')] }, requestOf('GET /%c3%a4')));
});

test('a path that a member may read otherwise is refused', () => {
  const router = new Router({ routes: [routeOf(null)] });
  const { head, bytes } = requestOf('GET /a/%2e%2e/../b');
  assert.is(router.find(head, bytes, client), PATH_REFUSED);
  assert.is(router.fault, pathFaults.climbs);
  const good = requestOf('GET /b');
  assert.is(router.find(good.head, good.bytes, client), 0);
  assert.is(router.fault, null);
});

test('OPTIONS for the whole server has no path that a pattern takes', () => {
  assert.not(holds({ paths: [pattern('/**')] }, requestOf('OPTIONS *')));
});

test('methods are compared with case, known and unknown ones', () => {
  assert.ok(holds({ methods: ['GET', 'PURGE'] }, requestOf('PURGE /')));
  assert.ok(holds({ methods: ['GET', 'PURGE'] }, requestOf('GET /')));
  assert.not(holds({ methods: ['GET', 'PURGE'] }, requestOf('BAN /')));
  assert.not(holds({ methods: ['GET', 'PURGE'] }, requestOf('get /')));
  assert.not(holds({ methods: ['GET'] }, requestOf('HEAD /')));
});

const field = (name: string, kind: 'exact' | 'prefix' | 'regex', value: string): L7FieldTest => ({
  name,
  kind,
  value,
});

test('header fields are found by name without case; each line counts by itself', () => {
  const request = requestOf('GET /', 'a', ['X-A: one', 'x-a: two', 'X_B: three', 'X-C:']);
  const head = (one: L7FieldTest): boolean => holds({ headers: [one] }, request);
  assert.ok(head(field('X-A', 'exact', 'two')));
  assert.not(head(field('x-a', 'exact', 'one, two')));
  assert.not(head(field('x-a', 'exact', 'on')));
  assert.ok(head(field('x-a', 'prefix', 'on')));
  assert.ok(head(field('x-a', 'regex', '^t.o$')));
  assert.ok(head({ name: 'x-c', kind: 'present' }));
  assert.ok(head(field('x-c', 'exact', '')));
  assert.not(head({ name: 'x-b', kind: 'present' }));
  assert.ok(head({ name: 'x-b', kind: 'absent' }));
  assert.not(head({ name: 'x-a', kind: 'absent' }));
});

test('query parameters are compared decoded', () => {
  const request = requestOf('GET /x?a=1&b=%20x+y&a=2&%61b=c&flag&e=&=z&&p=100%&q=%zz');
  const query = (one: L7FieldTest): boolean => holds({ query: [one] }, request);
  assert.ok(query(field('a', 'exact', '2')));
  assert.ok(query(field('b', 'exact', ' x y')));
  assert.ok(query(field('ab', 'exact', 'c')));
  assert.ok(query({ name: 'flag', kind: 'present' }));
  assert.ok(query(field('flag', 'exact', '')));
  assert.ok(query(field('e', 'exact', '')));
  assert.ok(query(field('p', 'exact', '100%')));
  assert.ok(query(field('q', 'exact', '%zz')));
  assert.ok(query({ name: 'A', kind: 'absent' }));
  assert.ok(holds({ query: [{ name: 'a', kind: 'absent' }] }, requestOf('GET /x')));
  assert.ok(holds({ query: [field('a', 'exact', 'b')] }, requestOf('GET http://h?a=b')));
});

test('cookies are read from every Cookie field', () => {
  const request = requestOf('GET /', 'a', ['Cookie: a=1;b = x y ; c', 'Cookie: d="q"; a=2']);
  const cookie = (one: L7FieldTest): boolean => holds({ cookies: [one] }, request);
  assert.ok(cookie(field('a', 'exact', '1')));
  assert.ok(cookie(field('a', 'exact', '2')));
  assert.ok(cookie(field('b', 'exact', 'x y')));
  assert.ok(cookie(field('d', 'exact', '"q"')));
  assert.ok(cookie({ name: 'c', kind: 'absent' }));
  assert.ok(cookie({ name: 'A', kind: 'absent' }));
});

test('thousands of parameters are all looked at', () => {
  const many = Array.from({ length: 1500 }, (_, i) => `n${i}=${i}`).join('&');
  const request = requestOf(`GET /?${many.slice(0, 8000)}`);
  assert.ok(holds({ query: [field('n700', 'exact', '700')] }, request));
  assert.ok(holds({ query: [{ name: 'x', kind: 'absent' }] }, request));
});

test('sources are prefixes of both families', () => {
  const from = (sources: readonly string[], address: string): boolean =>
    holds({ sources }, requestOf('GET /'), clientOf(address));
  assert.ok(from(['10.0.0.0/8'], '10.1.2.3'));
  assert.not(from(['10.0.0.0/8'], '11.0.0.1'));
  assert.ok(from(['0.0.0.0/0'], '203.0.113.9'));
  assert.not(from(['0.0.0.0/0'], '2001:db8::1'));
  assert.ok(from(['2001:db8::/32', '10.0.0.0/8'], '2001:db8:1::1'));
  assert.ok(from(['::/0'], '10.0.0.1'));
  assert.ok(from(['192.0.2.7/32', '192.0.2.0/24'], '192.0.2.8'));
});

test('connections without a request are routed by name and source', () => {
  const router = new Router({
    routes: [
      routeOf({ hosts: ['a.example'], paths: [pattern('/**')] }),
      routeOf({ hosts: ['a.example'], sources: ['10.0.0.0/8'] }),
      routeOf({ hosts: ['*.example'] }),
      routeOf({ sources: ['10.0.0.0/8'] }),
    ],
  });
  const name = (text: string, address: string): number =>
    router.findName(Buffer.from(text), 0, text.length, clientOf(address));
  assert.is(name('a.example', '10.0.0.1'), 1);
  assert.is(name('a.example', '192.0.2.1'), 2);
  assert.is(name('', '10.0.0.1'), 3);
  assert.is(name('other', '192.0.2.1'), NO_ROUTE);
});

const names = ['a', 'b', 'ab', 'x-y'];
const values = ['', '1', 'one', 'on', 'a b', 'ä'];
const pair = fc.tuple(fc.constantFrom(...names), fc.constantFrom(...values));
const fieldTest: fc.Arbitrary<L7FieldTest> = fc.oneof(
  fc.record({
    name: fc.constantFrom(...names),
    kind: fc.constantFrom('exact' as const, 'prefix' as const),
    value: fc.constantFrom(...values),
  }),
  fc.record({
    name: fc.constantFrom(...names),
    kind: fc.constant('regex' as const),
    value: fc.constantFrom('^o', 'n', '^$', '[0-9ä]'),
  }),
  fc.record({
    name: fc.constantFrom(...names),
    kind: fc.constantFrom('present' as const, 'absent' as const),
  }),
);
const some = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T[] | null> =>
  fc.option(fc.array(value, { minLength: 1, maxLength: 3 }), { freq: 2 });
const few = fc.oneof(
  { weight: 3, arbitrary: fc.constant([]) },
  { weight: 1, arbitrary: fc.array(fieldTest, { maxLength: 2 }) },
);
const segment = fc.constantFrom('a', 'b', 'v1', '*', 'a.b', '');
const pathTest = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .tuple(fc.array(segment, { minLength: 1, maxLength: 3 }), fc.boolean())
      .map(([parts, deep]) => pattern(`/${[...parts, ...(deep ? ['**'] : [])].join('/')}`)),
  },
  { weight: 1, arbitrary: fc.constantFrom(...['^/a', 'b$', '/v[0-9]/', 'x'].map(regex)) },
);
const conditions: fc.Arbitrary<L7Conditions> = fc.record({
  hosts: some(fc.constantFrom('a.example', 'b.a.example', '*.example', '*.a.example', 'x')),
  paths: some(pathTest),
  methods: fc.option(fc.subarray(['GET', 'POST', 'PURGE', 'HEAD'], { minLength: 1 }), { freq: 1 }),
  headers: few,
  query: few,
  cookies: few,
  sources: fc.option(
    fc.subarray(['10.0.0.0/8', '10.1.0.0/16', '2001:db8::/32', '0.0.0.0/0', '::/0'], {
      minLength: 1,
    }),
    { freq: 1 },
  ),
});
const plainRequest: fc.Arbitrary<PlainRequest> = fc.record({
  method: fc.constantFrom('GET', 'POST', 'PURGE', 'BAN'),
  host: fc.constantFrom('a.example', 'b.a.example', 'c.b.a.example', 'example', 'x', 'y'),
  path: fc
    .array(fc.constantFrom('a', 'b', 'v1', 'a.b', 'x'), { maxLength: 4 })
    .chain((parts) => fc.constantFrom(`/${parts.join('/')}`, `/${parts.join('/')}/`))
    .map((path) => path.replace('//', '/')),
  headers: fc.array(pair, { maxLength: 4 }),
  query: fc.array(pair, { maxLength: 4 }),
  cookies: fc.array(pair, { maxLength: 4 }),
  client: fc.constantFrom('10.0.0.1', '10.1.0.1', '192.0.2.1', '2001:db8::1', '2001:db9::1'),
});

function written(plain: PlainRequest): Parsed {
  const raw = (text: string): string => Buffer.from(text, 'utf8').toString('latin1');
  const query = plain.query.map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
  return requestOf(
    `${plain.method} ${plain.path}${query.length > 0 ? '?' : ''}${query.join('&')}`,
    plain.host,
    [
      ...plain.headers.map(([name, value]) => `${name}: ${raw(value)}`),
      ...plain.cookies.map(([name, value]) => `Cookie: ${name}=${raw(value)}`),
    ],
  );
}

test('finds what the first of all routes in order is', () => {
  const route = fc.option(conditions, { freq: 8 }).map((when) => routeOf(when));
  fc.assert(
    fc.property(
      fc.array(route, { maxLength: 12 }),
      fc.array(plainRequest, { minLength: 1, maxLength: 8 }),
      (routes, requests) => {
        const router = new Router({ routes });
        for (const plain of requests) {
          const { head, bytes } = written(plain);
          const wanted = plainlyFirst(routes, plain);
          assert.is(
            router.find(head, bytes, clientOf(plain.client)),
            wanted,
            JSON.stringify(plain),
          );
        }
      },
    ),
    { numRuns: 800 },
  );
});

test('conditions alone say the same', () => {
  fc.assert(
    fc.property(conditions, plainRequest, (when, plain) => {
      const router = new Router({ routes: [] });
      const bound = router.conditionOf(when);
      const { head, bytes } = written(plain);
      router.find(head, bytes, clientOf(plain.client));
      const wanted = plainlyHolds(when, plain);
      assert.is(bound.hold(head, bytes, clientOf(plain.client)), wanted);
      const alone = new Conditions(when);
      assert.is(alone.hold(head, bytes, clientOf(plain.client), router.parts), wanted);
    }),
    { numRuns: 800 },
  );
});

test('conditions that are all empty hold for every request', () => {
  assert.ok(holds(noConditions, requestOf('GET /')));
});

test('a request moved after it was routed is read where it is now', () => {
  const router = new Router({ routes: [routeOf(null)] });
  const bound = router.conditionOf({ ...noConditions, query: [field('a', 'exact', 'b')] });
  const { head, bytes } = requestOf('GET /x?a=b');
  const larger = new Uint8Array(bytes.length + 50);
  router.find(head, bytes, client);
  larger.set(bytes, 50);
  head.move(50);
  assert.ok(bound.hold(head, larger, client));
});

test('finding a route allocates nothing', () => {
  const routes = Array.from({ length: 50 }, (_, i) =>
    routeOf({
      hosts: [`h${i}.example`, '*.wild.example'],
      paths: [pattern('/v1/*/x/**'), regex(`^/r${i}/`)],
      methods: ['GET', 'PURGE'],
      headers: [field('x-a', 'prefix', 'on')],
      query: [field('q', 'exact', `a b${i}`)],
      cookies: [field('c', 'regex', '^[a-z]+$')],
      sources: ['192.0.2.0/24'],
    }),
  );
  const router = new Router({ routes });
  const fields = ['X-A: one', 'Cookie: b=1; c=abc'];
  const hit = requestOf('GET /v1/abc/x/y/z?q=a+b40&z', 'H40.example:80', fields);
  const other = requestOf('GET /r7/abc?q=a%20b7', 'a.b.wild.example', fields);
  const none = requestOf('PURGE /r7/abc', 'a.b.wild.example', fields);
  const rounds = 10_000;
  let least = Number.POSITIVE_INFINITY;
  for (let run = 0; run < 8; run += 1) {
    const before = process.memoryUsage().heapUsed;
    let good = true;
    for (let i = 0; i < rounds; i += 1) {
      good = router.find(hit.head, hit.bytes, client) === 40 && good;
      good = router.find(other.head, other.bytes, client) === 7 && good;
      good = router.find(none.head, none.bytes, client) === NO_ROUTE && good;
    }
    assert.ok(good, 'another route was found');
    least = Math.min(least, Math.abs(process.memoryUsage().heapUsed - before));
  }
  assert.ok(least / rounds < 2, `${(least / rounds).toFixed(1)} bytes of heap a round`);
});

test.run();

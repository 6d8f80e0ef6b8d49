/**
 * HTTP through the whole unit, seen from outside: curl in the client's namespace, Node's servers as
 * members. Where requests go, and what becomes of their fields.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { LiveMessage, TrafficHistory } from '../../appliance/api/contract.js';
import { Client } from '../../appliance/cli/client.js';
import { needs } from '../support/needs.js';
import type { Echo } from './http-member-process.js';
import { listenAt, loud, membersOf, ProxyLab, service4, service6 } from './proxy-lab.js';
import { addressOf } from './topology.js';
import { until } from './unit.js';

const test = suite('http through the unit');
const lab = needs.lab(test);
let stage: ProxyLab;

const routed = 'http://10.77.0.90';

test.before(
  loud(async () => {
    stage = await ProxyLab.open();
    await stage.apply({
      pools: {
        one: { members: membersOf(['member-1']) },
        two: { members: membersOf(['member-2']) },
        three: { members: membersOf(['member-3']) },
        all: { algorithm: 'round-robin', members: membersOf(['member-1', 'member-2', 'member-3']) },
        six: { members: membersOf(['member-2'], {}, 8080, 6) },
      },
      services: {
        routed: {
          listen: listenAt(80),
          pool: 'one',
          routes: [
            { when: { host: 'shop.example' }, pool: 'two' },
            { when: { host: '*.shop.example' }, pool: 'three' },
            { when: { path: '/two/**' }, pool: 'two', rewrite: { path: '/echo/**' } },
            { when: { 'path-regex': '^/v[0-9]+/three$' }, pool: 'three' },
            { when: { method: ['PUT', 'DELETE'] }, pool: 'two' },
            { when: { headers: { 'X-Beta': { present: true } } }, pool: 'two' },
            { when: { query: { version: '3' } }, pool: 'three' },
            { when: { cookies: { group: { prefix: 'beta-' } } }, pool: 'three' },
            {
              when: { path: '/old/**' },
              redirect: { to: 'https://new.example/{path}', status: 301 },
            },
            { when: { path: '/teapot' }, respond: { status: 418, body: 'short and stout\n' } },
            { when: { path: '/away' }, maintenance: { 'retry-after': '2m' } },
            {
              when: { path: '/fields' },
              pool: 'one',
              'response-headers': { set: { 'X-Set': 'here' }, remove: ['X-Secret'] },
            },
            {
              when: { path: '/echo' },
              pool: 'one',
              'request-headers': { set: { 'X-Set': 'here' }, remove: ['X-Gone'] },
            },
          ],
        },
        canary: {
          listen: listenAt(81),
          routes: [
            {
              pools: [
                { pool: 'one', weight: 90 },
                { pool: 'two', weight: 10 },
              ],
            },
          ],
        },
        sources: {
          listen: listenAt(82),
          pool: 'one',
          routes: [{ when: { 'client-address': '10.78.0.0/24' }, pool: 'two' }],
        },
        all: { listen: listenAt(83), pool: 'all' },
        six: { listen: { address: service6, port: 80, protocol: 'http' }, pool: 'six' },
        'six-to-four': { listen: { address: service6, port: 81, protocol: 'http' }, pool: 'one' },
        'four-to-six': { listen: listenAt(84), pool: 'six' },
      },
    });
  }),
);

test.after(() => stage.close());

async function echo(...args: string[]): Promise<Echo> {
  return JSON.parse(await stage.curl(...args)) as Echo;
}

const goes: readonly [string, string, string[]][] = [
  ['the pool that is left', 'member-1', ['/']],
  ['a host', 'member-2', ['-H', 'Host: shop.example', '/']],
  ['a host with port and capitals', 'member-2', ['-H', 'Host: SHOP.example:80', '/']],
  ['a host below', 'member-3', ['-H', 'Host: a.shop.example', '/']],
  ['a path', 'member-2', ['/two/a/b']],
  ['a regular expression', 'member-3', ['/v12/three']],
  ['a method', 'member-2', ['-X', 'DELETE', '/']],
  ['a header', 'member-2', ['-H', 'X-Beta: whatever', '/']],
  ['a query parameter', 'member-3', ['/?a=b&version=3']],
  ['a cookie', 'member-3', ['-b', 'a=b; group=beta-2', '/']],
];

for (const [what, member, args] of goes) {
  lab(`requests are routed by ${what}`, async () => {
    const url = `${routed}${args.at(-1) ?? ''}`;
    const answer = await stage.curl('-D', '-', ...args.slice(0, -1), url);
    assert.match(answer, new RegExp(`^HTTP/1.1 200 OK\r\n[^]*x-member: ${member}\r\n`, 'i'));
  });
}

lab('requests are routed by the address of the client', async () => {
  assert.is(await stage.curl(`http://${service4}:82/`), 'member-2\n');
});

lab('a path is rewritten for the member, the query stays', async () => {
  const { url, member } = await echo(`${routed}/two/a/b?c=d`);
  assert.is(`${member} ${url}`, 'member-2 /echo/a/b?c=d');
});

lab('redirects, fixed answers and maintenance come from the unit itself', async () => {
  const redirect = await stage.curl('-D', '-', `${routed}/old/a?b=c`);
  assert.match(redirect, /^HTTP\/1.1 301 /);
  assert.match(redirect, /\r\nlocation: https:\/\/new\.example\//i);
  assert.match(
    await stage.curl('-D', '-', `${routed}/teapot`),
    /^HTTP\/1.1 418 [^]*short and stout\n$/,
  );
  const away = await stage.curl('-D', '-', `${routed}/away`);
  assert.match(away, /^HTTP\/1.1 503 [^]*\r\nretry-after: 120\r\n/i);
});

lab('fields are set and removed in both directions, and the client is told of', async () => {
  const { headers } = await echo('-H', 'X-Gone: a', '-H', 'X-Set: b', `${routed}/echo`);
  assert.is(headers['x-set'], 'here');
  assert.is(headers['x-gone'], undefined);
  assert.is(headers['x-forwarded-for'], addressOf('client', 4, 'outside'));
  assert.is(headers['x-forwarded-proto'], 'http');
  const answer = await stage.curl('-D', '-', '-o', '/dev/null', `${routed}/fields`);
  assert.match(answer, /\r\nx-set: here\r\n/i);
  assert.match(answer, /\r\nx-kept: kept\r\n/i);
  assert.not.match(answer, /x-secret/i);
});

lab('a canary gets its share of requests', async () => {
  const url = `http://${service4}:81/?[1-500]`;
  const answers = await Promise.all(Array.from({ length: 4 }, () => stage.curl(url)));
  const members = answers.join('').trim().split('\n');
  assert.is(members.length, 2000);
  const second = members.filter((name) => name === 'member-2').length;
  // 200 with a standard deviation of 13.4.
  assert.ok(second > 130 && second < 270, `expected about 200 of 2000, seen ${second}`);
});

lab('round robin is exact over connections and workers', async () => {
  const counts = new Map<string, number>();
  await Promise.all(
    Array.from({ length: 6 }, async () => {
      for (const name of (await stage.curl(`http://${service4}:83/?[1-50]`)).trim().split('\n')) {
        counts.set(name, (counts.get(name) ?? 0) + 1);
      }
    }),
  );
  assert.equal(Object.fromEntries(counts), { 'member-1': 100, 'member-2': 100, 'member-3': 100 });
});

lab('IPv6 serves, on either side', async () => {
  const six = await echo('-g', `http://[${service6}]/echo`);
  assert.is(`${six.member} ${six.peer}`, `member-2 ${addressOf('unit-a', 6)}`);
  assert.is(six.headers['x-forwarded-for'], addressOf('client', 6, 'outside'));
  const sixToFour = await echo('-g', `http://[${service6}]:81/echo`);
  assert.is(sixToFour.peer, `::ffff:${addressOf('unit-a', 4)}`);
  const fourToSix = await echo(`http://${service4}:84/echo`);
  assert.is(fourToSix.peer, addressOf('unit-a', 6));
  assert.is(fourToSix.headers['x-forwarded-for'], addressOf('client', 4, 'outside'));
});

lab('who looks live sees clients, URLs and requests, and history has them afterwards', async () => {
  const client = new Client(stage.unit.socket);
  const from = addressOf('client', 4, 'outside');
  const stop = new AbortController();
  const heard: LiveMessage[] = [];
  const views = ['view=clients', 'view=urls', 'view=log&filter=path:/two%20!status:5xx'];
  const streams = views.map((query) =>
    client.stream<LiveMessage>(
      { path: `/v1/live?${query}` },
      (message) => heard.push(message),
      stop.signal,
    ),
  );
  // Control characters of one octet are refused; this one, for the same orders, has two.
  const evil = 'curl\u009b2J';
  try {
    await until(
      'all look',
      10_000,
      async () => heard.length >= views.length || String(heard.length),
    );
    // Workers hear of it with the next look at their memory.
    await until('all is told', 20_000, async () => {
      await stage.curl('-A', evil, `${routed}/two/a?q=[1-5]`, `${routed}/away`);
      const clients = heard.findLast(({ type }) => type === 'clients');
      const urls = heard.findLast(({ type }) => type === 'urls');
      const lines = heard.flatMap((one) => (one.type === 'log' ? one.rows : []));
      return (
        (clients?.type === 'clients' &&
          urls?.type === 'urls' &&
          urls.rows.length > 0 &&
          lines.length > 0 &&
          (clients.rows[0]?.errorsPerSecond ?? 0) > 0) ||
        `${heard.length} messages`
      );
    });
  } finally {
    stop.abort();
    await Promise.all(streams);
  }
  const clients = heard.findLast(({ type }) => type === 'clients');
  const urls = heard.findLast(({ type }) => type === 'urls');
  const lines = heard.flatMap((one) => (one.type === 'log' ? one.rows : []));
  assert.ok(clients?.type === 'clients' && urls?.type === 'urls');
  const [first] = clients.rows;
  assert.equal([first?.client, first?.service], [from, 'routed']);
  assert.ok((first?.requestsPerSecond ?? 0) > 0 && (first?.errorsPerSecond ?? 0) > 0);
  const [url] = urls.rows;
  assert.equal([url?.path, url?.host, url?.status], ['/two/a', service4, 200]);
  for (const { client: address, target, status, member, userAgent } of lines) {
    assert.match(target ?? '', /^\/two\/a\?q=[1-5]$/);
    assert.equal([address, status, userAgent], [from, 200, evil]);
    assert.is(member, `${addressOf('member-2', 4)}:8080`);
  }
  const known = (row: readonly (number | null)[] = []): number[] =>
    row.filter((value) => value !== null);
  const past = async (of: string): Promise<TrafficHistory['values']> =>
    (await stage.unit.get<TrafficHistory>(`/v1/history?of=${of}&span=10m`)).values;
  await until('history has it', 10_000, async () => {
    const { requests, errors } = await past('service:routed');
    return (
      Math.min(Math.max(0, ...known(requests)), Math.max(0, ...known(errors))) > 0 || 'nothing'
    );
  });
  assert.is(known((await past('service:routed')).membersUp).at(-1), 3);
  const { cpu = [], bitsOut } = await past('unit');
  assert.ok(Math.max(...known(bitsOut)) > 0);
  assert.ok(known(cpu).length > 0 && known(cpu).every((value) => value >= 0 && value <= 1));
  assert.ok(
    cpu.slice(0, 300).every((value) => value === null),
    'nothing is known of the time before',
  );
});

test.run();

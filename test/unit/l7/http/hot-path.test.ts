/** What happens for a request and its answer in a whole worker allocates nothing. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { needs } from '../../../support/needs.js';
import { routeTo } from '../../../support/l7-tables.js';
import { TrafficScene, type TrafficOptions } from '../../../support/traffic-scene.js';

const test = suite('hot path of HTTP');
const uring = needs.uring(test);

const request = (more = ''): string =>
  `GET /shop/item?id=7 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: test\r\nAccept: */*\r\n` +
  `X-Remove: 1\r\n${more}\r\n`;
const answer =
  'HTTP/1.1 200 OK\r\nServer: member\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world\n';
const rate = { name: 'all', perSecond: 1e6, burst: 1e6, when: null } as const;

const plain: TrafficOptions = { first: request(), next: () => request(), answer, clients: 32 };

const cookie = {
  kind: 'cookie',
  name: 'weir',
  protection: 'signed',
  key: Buffer.alloc(32, 7).toString('base64'),
  maxAge: null,
  path: '/',
  domain: null,
  secure: false,
  httpOnly: true,
  sameSite: 'lax',
} as const;

const none = {
  hosts: null,
  paths: null,
  methods: null,
  headers: [],
  query: [],
  cookies: [],
  sources: null,
} as const;

const everything: TrafficOptions = {
  ...plain,
  next: (value) => request(`Cookie: a=b; ${value}; c=d\r\n`),
  service: {
    persistence: cookie,
    limits: [
      { ...rate, per: { kind: 'service' } },
      { ...rate, name: 'client', per: { kind: 'client-address' } },
      { ...rate, name: 'path', per: { kind: 'path' } },
      { ...rate, name: 'header', per: { kind: 'header', name: 'User-Agent' } },
    ],
    connections: 1000,
    connectionsPerClient: 1000,
    serverTiming: true,
    accessLog: { format: 'json', to: '/log', sample: 1, rotateSize: 1e6, rotateKeep: 1 },
    forward: {
      forwardedFor: 'append',
      forwardedOthers: 'set',
      forwarded: 'append',
      via: 'weir',
      certificate: 'remove',
      requestId: { name: 'X-Request-Id', client: 'keep', format: '{uuid}' },
      upgrade: 'websocket',
    },
    routes: [
      routeTo('web', {
        name: 'other',
        when: { ...none, hosts: ['other.example', '*.example.net'] },
      }),
      routeTo('web', {
        name: 'shop',
        when: {
          ...none,
          hosts: ['shop.example'],
          paths: [
            { kind: 'regex', value: '^/never$' },
            { kind: 'pattern', value: '/shop/**' },
          ],
          methods: ['GET'],
          query: [{ name: 'id', kind: 'regex', value: '^[0-9]+$' }],
        },
        action: {
          kind: 'pools',
          pools: [
            { pool: 'web', weight: 3 },
            { pool: 'web', weight: 1 },
          ],
          rewrite: '/inner/**',
          host: 'inner.example',
          mirror: null,
        },
        requestEdits: [
          { action: 'remove', name: 'X-Remove' },
          { action: 'set', name: 'X-Set', value: 'yes' },
        ],
        responseEdits: [
          { action: 'remove', name: 'Server' },
          { action: 'set', name: 'X-Frame-Options', value: 'DENY' },
        ],
      }),
    ],
  },
  pool: {
    algorithm: 'least-response-time',
    ejection: { failures: 5, share: 0.5, minimum: 20, within: 10_000, hold: 1000, most: 0.5 },
  },
};

for (const [what, options] of [
  ['with nothing switched on', plain],
  ['with routes, edits, cookies, limits, counters and the log', everything],
] as const) {
  uring(`a hundred thousand requests ${what} allocate nothing each`, () => {
    const scene = new TrafficScene(options);
    try {
      scene.upTo(60_000); // compiled by now
      const each = scene.heapOf(100_000);
      // The smallest object takes 16; turns of the loop take a few for many requests.
      assert.ok(each < 16, `${each.toFixed(1)} bytes a request`);
    } finally {
      scene.end();
    }
  });
}

test.run();

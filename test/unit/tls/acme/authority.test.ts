/** Authorities that are down, broken, silent or unwilling, and names that none may issue. */
import { createServer, type Server } from 'node:https';
import type { RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Clock } from '../../../../appliance/tls/acme/clock.js';
import { AcmeFailure } from '../../../../appliance/tls/acme/failure.js';
import { AcmeIssuer, orderedNames } from '../../../../appliance/tls/acme/issuer.js';
import { Certificates } from '../../../support/certificates.js';
import { Accounts } from '../../../support/pebble.js';

async function failure(
  listener: RequestListener | null,
  signal?: AbortSignal,
  clock?: Clock,
): Promise<Error> {
  const certificates = new Certificates();
  let server: Server | null = null;
  try {
    const own = certificates.make('localhost');
    server = createServer({ key: own.key, cert: own.cert }, listener ?? undefined);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    if (listener === null) {
      server.close();
      await once(server, 'close');
    }
    const issuer = new AcmeIssuer({
      accounts: new Accounts(),
      responder: { present: () => Promise.resolve(), withdraw: () => Promise.resolve() },
      requestTimeoutMs: signal === undefined ? 1000 : 60_000,
      warn: () => undefined,
      ...(clock === undefined ? {} : { clock }),
    });
    await issuer.issue(
      {
        directory: `https://localhost:${port}/dir`,
        ca: own.cert,
        names: ['shop.example.com'],
        key: 'ecdsa-p256',
        challenge: 'http-01',
        termsAgreed: true,
      },
      signal ?? new AbortController().signal,
    );
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  } finally {
    server?.closeAllConnections();
    server?.close();
    certificates.end();
  }
  throw new Error('it issued');
}

const rateLimited = JSON.stringify({
  type: 'urn:ietf:params:acme:error:rateLimited',
  detail: 'too many\u001b[31m orders',
});
const cases: readonly [string, RequestListener | null, RegExp, number | null][] = [
  ['is down', null, /cannot be reached: .*ECONNREFUSED/, null],
  ['answers 500', (_, to) => to.writeHead(500).end('oh'), /answered with status 500/, null],
  ['sends garbage', (_, to) => to.end('<html>'), /something else than JSON/, null],
  ['sends another JSON', (_, to) => to.end('{}'), /at newNonce.*is an ACME directory/, null],
  ['is silent', () => undefined, /did not answer within 1 s/, null],
  ['stops amidst its answer', (_, to) => to.write('{'), /did not answer within 1 s/, null],
  ['sends without end', (_, to) => to.end(Buffer.alloc(2 << 20)), /longer than 1 MiB/, null],
  [
    'asks for patience',
    (_, to) => to.writeHead(429, { 'retry-after': '90' }).end(rateLimited),
    /did not show its directory: too many \[31m orders \(rateLimited\)/,
    90_000,
  ],
];
for (const [what, listener, expected, retryAfterMs] of cases) {
  test(`an authority that ${what} is a failure that says so`, async () => {
    const error = await failure(listener);
    assert.match(error.message, expected);
    if (!(error instanceof AcmeFailure)) throw error;
    assert.is(error.retryAfterMs, retryAfterMs);
  });
}

test('an order that is cancelled ends at once, with the reason of who cancelled it', async () => {
  const cancel = new AbortController();
  const error = await failure(() => cancel.abort(new Error('the daemon ends')), cancel.signal);
  assert.is(error.message, 'the daemon ends');
});

test('an authority whose time to ask again is over already is asked more and more rarely', async () => {
  const cancel = new AbortController();
  const pauses: number[] = [];
  const clock: Clock = {
    now: Date.now,
    wait: async (ms) => {
      pauses.push(ms);
      if (pauses.length === 12) cancel.abort(new Error('seen enough'));
    },
  };
  const pending: RequestListener = ({ url = '', headers }, to) => {
    const base = `https://${headers.host ?? ''}`;
    to.setHeader('replay-nonce', 'nonce');
    to.setHeader('location', `${base}${url}/1`);
    // As from an authority whose clock is behind: a moment that is past.
    to.setHeader('retry-after', 'Thu, 01 Jan 2026 00:00:00 GMT');
    const answer: Record<string, object> = {
      '/dir': Object.fromEntries(
        ['newNonce', 'newAccount', 'newOrder'].map((name) => [name, `${base}/${name}`]),
      ),
      '/newOrder': { status: 'pending', authorizations: [`${base}/proof`], finalize: `${base}/f` },
      '/proof': {
        ...{ status: 'pending', identifier: { type: 'dns', value: 'shop.example.com' } },
        challenges: [{ type: 'http-01', url: `${base}/challenge`, token: 'token' }],
      },
    };
    to.end(JSON.stringify(answer[url] ?? {}));
  };
  const error = await failure(pending, cancel.signal, clock);
  assert.is(error.message, 'seen enough');
  const [first = 0] = pauses;
  assert.ok(first >= 500, `the first pause is of ${first} ms`);
  assert.is(pauses.at(-1), 30_000, 'the pause that it comes to');
});

test('wildcards and what is no host name are refused with the reason', () => {
  assert.throws(() => orderedNames(['*.example.com']), /by dns-01 only/);
  assert.throws(() => orderedNames(['192.0.2.1']), /no host name/);
  assert.throws(() => orderedNames([]), /at least one name/);
  assert.equal(orderedNames(['A.example.', 'a.example']), ['a.example']);
});

test.run();

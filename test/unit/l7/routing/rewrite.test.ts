/** What routes change of targets and hosts, and what they answer themselves. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Edits } from '../../../../appliance/l7/http1/edits.js';
import { peerOf } from '../../../../appliance/l7/http1/peer.js';
import {
  defaultRequestRules,
  RequestPlan,
  writeRequest,
} from '../../../../appliance/l7/http1/rewrite-request.js';
import { Writer } from '../../../../appliance/l7/http1/writer.js';
import {
  FixedAnswer,
  HttpDate,
  RedirectTemplate,
  type FixedText,
} from '../../../../appliance/l7/routing/answers.js';
import { reasonOf } from '../../../../appliance/l7/routing/reasons.js';
import { RequestParts } from '../../../../appliance/l7/routing/request-parts.js';
import { Rewrite, RouteChange } from '../../../../appliance/l7/routing/rewrite.js';
import { WeightedChoice } from '../../../../appliance/l7/routing/weighted-choice.js';
import type { L7PathTest, L7Route } from '../../../../appliance/l7/tables.js';
import { judge } from '../../../support/http1-judge.js';
import { pattern, regex, requestOf, routeOf, type Parsed } from '../../../support/l7-routes.js';

const test = suite('l7 rewrites and answers');

function rewriting(
  paths: readonly L7PathTest[] | null,
  rewrite: string | null,
  host: string | null = null,
): L7Route {
  return {
    ...routeOf(paths === null ? null : { paths }),
    action: { kind: 'pools', pools: [{ pool: 'p', weight: 1 }], rewrite, host, mirror: null },
  };
}

const plan = new RequestPlan({
  ...defaultRequestRules,
  forwardedFor: 'remove',
  forwardedOthers: 'remove',
});
const out = new Uint8Array(100_000);
const change = new RouteChange();

function forwarded(route: L7Route, { head, bytes }: Parsed, which = plan): string[] {
  const rewrite = Rewrite.of(route);
  rewrite?.fill(change, head, bytes);
  const writer = new Writer();
  writer.reset(out, 0, out.length);
  const peer = peerOf('192.0.2.1', 'http', 80);
  writeRequest(writer, head, bytes, which, peer, null, rewrite === null ? null : change);
  const text = Buffer.from(out.subarray(0, writer.end)).toString('latin1');
  return text.slice(0, -4).split('\r\n');
}
const target = (line: string | undefined): string => line?.split(' ')[1] ?? '';
const rewritten = (paths: readonly string[] | null, to: string, from: string): string =>
  target(forwarded(rewriting(paths?.map(pattern) ?? null, to), requestOf(`GET ${from}`))[0]);

const rewrites: readonly (readonly [readonly string[] | null, string, string, string])[] = [
  [['/v1/**'], '/api/**', '/v1/a/b?x=1', '/api/a/b?x=1'],
  [['/v1/**'], '/api/**', '/v1', '/api'],
  [['/v1/**'], '/api/**', '/v1/', '/api/'],
  [['/v1/**'], '/**', '/v1', '/'],
  [['/v1/**'], '/**', '/v1/a/', '/a/'],
  [['/v1/**'], '/fixed', '/v1/a?q', '/fixed?q'],
  [['/v1/**'], '/fixed?a=b', '/v1/a?q', '/fixed?a=b&q'],
  [['/v1/**'], '/fixed?a=b', '/v1/a', '/fixed?a=b'],
  [['/a/**', '/v1/*/**'], '/x/**', '/v1/b/c/d', '/x/c/d'],
  [null, '/x/**', '/a/b?q', '/x/a/b?q'],
  [null, '/x/**', '/', '/x/'],
  [null, '/x/**', 'http://a.example/b', '/x/b'],
  [null, '/x/**', 'http://a.example?q', '/x/?q'],
  // As the client wrote it, where nothing had to be put straight.
  [['/v1/**'], '/api/**', '/v1/a%2Bb;c=%3B|{}?d[]=%20|', '/api/a%2Bb;c=%3B|{}?d[]=%20|'],
  [['/v1/**'], '/api/**', '/%761/a%c3%a4', '/api/a%c3%a4'],
  // In its one form, encoded anew, where it had.
  [['/v1/**'], '/api/**', '/x/../v1//a%2Bb/./%20%3f%25', '/api/a+b/%20%3F%25'],
  [['/v1/**'], '/api/**', '//v1/a', '/api/a'],
  [['/v1/**'], '/**', '/v1//a.example/', '/a.example/'],
  [['/v1/**'], '/a b"é#/**', '/v1/x', '/a%20b%22%C3%A9%23/x'],
];
for (const [paths, to, from, wanted] of rewrites) {
  test(`${paths?.join(' ') ?? 'any path'} to ${to}: ${from} becomes ${wanted}`, () => {
    assert.is(rewritten(paths, to, from), wanted);
  });
}

test('a new host goes to the member, and edits of Host stand above it', () => {
  const request = requestOf('GET /a', 'shop.example');
  const route = rewriting(null, null, 'b.example:8080');
  assert.equal(forwarded(route, request), ['GET /a HTTP/1.1', 'Host: b.example:8080']);
  const edits = new Edits([{ action: 'set', name: 'Host', value: 'c.example' }]);
  const edited = new RequestPlan({ ...plan.rules, edits });
  assert.equal(forwarded(route, request, edited), ['GET /a HTTP/1.1', 'Host: c.example']);
  const absolute = requestOf('GET http://x.example/a', 'shop.example');
  assert.equal(forwarded(route, absolute), ['GET /a HTTP/1.1', 'Host: b.example:8080']);
});

test('X-Forwarded-Host keeps what the client asked for', () => {
  const told = new RequestPlan({ ...plan.rules, forwardedOthers: 'set' });
  const lines = forwarded(
    rewriting(null, null, 'b.example'),
    requestOf('GET /', 'a.example'),
    told,
  );
  assert.ok(lines.includes('X-Forwarded-Host: a.example'), lines.join('\n'));
});

test('what has no path keeps its target', () => {
  const route = rewriting(null, '/x/**');
  assert.is(target(forwarded(route, requestOf('OPTIONS *'))[0]), '*');
  assert.is(target(forwarded(route, requestOf('OPTIONS http://a.example'))[0]), '/x/');
});

test('routes that change nothing have no rewrite, and nonsense is refused', () => {
  assert.is(Rewrite.of(routeOf(null)), null);
  assert.is(Rewrite.of(rewriting(null, null)), null);
  assert.throws(() => Rewrite.of(rewriting(null, 'x')), /begins without/);
  assert.throws(() => Rewrite.of(rewriting(null, null, 'a\r\nX: y')), /not a host/);
  assert.throws(() => Rewrite.of(rewriting(null, null, '')), /not a host/);
  assert.is(target(forwarded(rewriting([regex('^/a')], '/x'), requestOf('GET /a'))[0]), '/x');
});

const parts = new RequestParts();
function redirect(
  to: string,
  { head, bytes }: Parsed,
  status = 308,
  persistent = true,
  date: HttpDate | null = null,
  edits?: Edits,
): string {
  assert.ok(parts.begin(head, bytes), 'the path was refused');
  const writer = new Writer();
  writer.reset(out, 0, out.length);
  const template = new RedirectTemplate(to, status, '192.0.2.80', edits);
  template.write(writer, head, bytes, parts, persistent, date);
  return Buffer.from(out.subarray(0, writer.end)).toString('latin1');
}
const location = (to: string, request: Parsed): string =>
  /\r\nLocation: ([^\r\n]*)\r\n/.exec(redirect(to, request))?.[1] ?? 'no Location';

const redirects: readonly (readonly [string, string, string | null, string])[] = [
  ['https://{host}{path}{query}', '/a?b=c', 'Shop.example:80', 'https://shop.example/a?b=c'],
  ['https://{host}{path}{query}', '/a', 'shop.example', 'https://shop.example/a'],
  ['https://{host}:8443/x/{path}', '/a/b?c', 'a', 'https://a:8443/x/a/b'],
  ['/new?from={path}', '/a', 'a', '/new?from=/a'],
  ['/new?x=1&{query}', '/a?b', 'a', '/new?x=1&b'],
  ['/fixed', '/a?b', 'a', '/fixed'],
  ['https://{host}/', '/', null, 'https://192.0.2.80/'],
  ['https://{host}{path}', '/a', '[2001:db8::1]:80', 'https://[2001:db8::1]/a'],
  // Never another authority than that of the template.
  ['{path}', '//evil.example/x', 'a', '/evil.example/x'],
  ['{path}', '/.//x', 'a', '/x'],
  ['{path}', '/%20/../%2e//evil', 'a', '/evil'],
  // What is no URI is encoded, what was encoded stays.
  ['{path}{query}', '/a%c3%a4b|{}?x=%0d%0a|^`', 'a', '/a%c3%a4b%7C%7B%7D?x=%0d%0a%7C%5E%60'],
  ['/ä"<>', '/', 'a', '/%C3%A4%22%3C%3E'],
];
for (const [to, from, host, wanted] of redirects) {
  test(`a redirect to ${to} of ${from} goes to ${wanted}`, () => {
    const line = host === null ? `GET ${from} HTTP/1.0` : `GET ${from}`;
    assert.is(location(to, requestOf(line, host)), wanted);
  });
}

test('a redirect is a whole answer', () => {
  const date = new HttpDate();
  date.set(784_111_777_000);
  assert.is(
    redirect('/x', requestOf('GET /'), 301, false, date),
    'HTTP/1.1 301 Moved Permanently\r\nLocation: /x\r\nContent-Length: 0\r\n' +
      'Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: close\r\n\r\n',
  );
  const old = requestOf('GET / HTTP/1.0', null, ['Connection: keep-alive']);
  assert.match(redirect('/x', old), 'Connection: keep-alive\r\n');
  const edits = new Edits([{ action: 'set', name: 'X-A', value: 'b' }]);
  assert.match(redirect('/x', requestOf('GET /'), 302, true, null, edits), '\r\nX-A: b\r\n\r\n');
  assert.throws(() => new RedirectTemplate('/{x}', 301, ''), /there is no "\{x\}"/);
});

test('whatever the target is, a redirect has one Location of visible ASCII', () => {
  const octet = fc.integer({ min: 0, max: 255 }).map((c) => String.fromCharCode(c));
  const piece = fc.oneof(
    octet.map((c) => `%${c.charCodeAt(0).toString(16).padStart(2, '0')}`),
    octet.filter((c) => /[!-~]/.test(c) && !'"#<>'.includes(c)),
    fc.constantFrom('/', '.', '..', '/../', '//', '?'),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), (list) => {
      const request = requestOf(`GET /${list.join('')}`);
      if (!parts.begin(request.head, request.bytes)) return;
      const answer = redirect('{path}{query}', request);
      const verdict = judge(Uint8Array.from(Buffer.from(answer, 'latin1')), {
        side: 'response',
        to: 'GET',
        upgrade: 'none',
        tunnels: false,
      });
      assert.is(verdict.verdict, '308');
      const seen = location('{path}{query}', request);
      assert.match(seen, /^\/(?!\/)[!-~]*$/);
      assert.is(new URL(seen, 'http://a.example').host, 'a.example', seen);
      // The same path again, for whoever follows.
      const again = requestOf(`GET ${seen}`);
      const first = Buffer.from(parts.path.subarray(0, parts.pathEnd));
      assert.ok(parts.begin(again.head, again.bytes));
      assert.is(Buffer.from(parts.path.subarray(0, parts.pathEnd)).compare(first), 0, seen);
    }),
    { numRuns: 1500 },
  );
});

function fixed(answer: Partial<FixedText>, request: Parsed, persistent = true): string {
  const whole = new FixedAnswer({
    status: 200,
    contentType: 'text/plain',
    body: 'hällo',
    retryAfter: null,
    ...answer,
  });
  const writer = new Writer();
  writer.reset(out, 0, out.length);
  whole.writeHead(writer, request.head, persistent, null);
  writer.all(whole.bodyFor(request.head));
  return Buffer.from(out.subarray(0, writer.end)).toString('utf8');
}

test('fixed responses have the framing that their status allows', () => {
  const get = requestOf('GET /');
  assert.is(
    fixed({ status: 503, retryAfter: 300 }, get, false),
    'HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nRetry-After: 300\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhällo',
  );
  assert.is(
    fixed({}, requestOf('HEAD /')),
    'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\n',
  );
  assert.is(fixed({ status: 204 }, get), 'HTTP/1.1 204 No Content\r\n\r\n');
  assert.is(fixed({ status: 304 }, get), 'HTTP/1.1 304 Not Modified\r\n\r\n');
  assert.is(fixed({ status: 205 }, get), 'HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n');
  assert.is(fixed({ body: '' }, get), 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
  assert.is(fixed({ status: 599, body: '' }, get), 'HTTP/1.1 599 \r\nContent-Length: 0\r\n\r\n');
  assert.throws(() => fixed({ contentType: 'a\r\nX: y' }, get), /control character/);
});

test('fields that the route sets stand in place of those of the answer', () => {
  const edits = new Edits([{ action: 'set', name: 'content-type', value: 'text/html' }]);
  const answer = new FixedAnswer(
    { status: 200, contentType: 'text/plain', body: 'x', retryAfter: null },
    edits,
  );
  const writer = new Writer();
  writer.reset(out, 0, out.length);
  answer.writeHead(writer, requestOf('GET /').head, true, null);
  const text = Buffer.from(out.subarray(0, writer.end)).toString();
  assert.is(text.match(/content-type/gi)?.length, 1, text);
});

test('answers that do not fit say so', () => {
  const { head } = requestOf('GET /');
  const writer = new Writer();
  writer.reset(out, 0, 20);
  const answer = { status: 200, contentType: 'text/plain', body: 'x', retryAfter: null };
  new FixedAnswer(answer).writeHead(writer, head, true, null);
  assert.is(writer.end, -1);
});

test('status codes have their names', () => {
  assert.is(reasonOf(429), 'Too Many Requests');
  assert.is(reasonOf(299), '');
});

test('weights share the numbers exactly', () => {
  const choice = new WeightedChoice([1, 0, 3]);
  const seen = [0, 0, 0];
  for (let i = 0; i < 4000; i += 1) {
    const place = choice.pick(Math.floor((i / 4000) * 2 ** 32));
    seen[place] = (seen[place] ?? 0) + 1;
  }
  assert.equal(seen, [1000, 0, 3000]);
  assert.is(choice.pick(0), 0);
  assert.is(choice.pick(-1), 2);
  assert.is(new WeightedChoice([0, 5]).pick(0), 1);
  assert.is(new WeightedChoice([0, 0]).pick(1), -1);
  assert.is(new WeightedChoice([7]).pick(0xffff_ffff), 0);
});

test('rewriting and redirecting allocate nothing', () => {
  const { head, bytes } = requestOf('GET /x/../v1/a%2Bb?c=d', 'shop.example');
  const rewrite = Rewrite.of(rewriting([pattern('/v1/**')], '/api/**', 'b.example'));
  const template = new RedirectTemplate('https://{host}{path}{query}', 308, '192.0.2.1');
  const choice = new WeightedChoice([9, 1]);
  const writer = new Writer();
  const peer = peerOf('192.0.2.1', 'http', 80);
  const rounds = 30_000;
  let least = Number.POSITIVE_INFINITY;
  for (let run = 0; run < 8; run += 1) {
    const before = process.memoryUsage().heapUsed;
    let good = true;
    for (let i = 0; i < rounds; i += 1) {
      writer.reset(out, 0, out.length);
      rewrite?.fill(change, head, bytes);
      writeRequest(writer, head, bytes, plan, peer, null, change);
      parts.begin(head, bytes);
      template.write(writer, head, bytes, parts, true, null);
      good = good && writer.end > 0 && choice.pick(i * 77_777) >= 0;
    }
    assert.ok(good);
    least = Math.min(least, Math.abs(process.memoryUsage().heapUsed - before));
  }
  assert.ok(least / rounds < 2, `${(least / rounds).toFixed(1)} bytes of heap a round`);
});

test.run();

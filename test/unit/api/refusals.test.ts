/** What clients get wrong, and that nothing of it reaches the daemon. */
import { connect } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { BODY_LIMIT_BYTES, type ErrorBody } from '../../../appliance/api/contract.js';
import { type Answer, call, JSON_TYPE, type Sent, withApi, YAML } from './fixture.js';

const test = suite('api: refusals');

function errorOf(answer: Answer): ErrorBody['error'] {
  return (answer.json() as ErrorBody).error;
}

const put = { method: 'PUT', path: '/v1/config' } as const;
const member = {
  method: 'PATCH',
  path: '/v1/pools/web/members/10.0.1.11:8080',
  headers: JSON_TYPE,
} as const;
const rollback = { method: 'POST', path: '/v1/config/rollback', headers: JSON_TYPE } as const;

const cases: readonly (readonly [
  what: string,
  sent: Sent,
  status: number,
  code: string,
  says: RegExp,
])[] = [
  ['no such path', { path: '/v1/nothing' }, 404, 'not-found', /GET \/v1\/nothing/],
  ['no such version', { path: '/v2/status' }, 404, 'not-found', /v2/],
  [
    'a wrong method',
    { method: 'DELETE', path: '/v1/config' },
    405,
    'method-not-allowed',
    /GET or PUT/,
  ],
  [
    'a wrong method with a name in the path',
    { method: 'DELETE', path: '/v1/pools/web/members/x' },
    405,
    'method-not-allowed',
    /PATCH/,
  ],
  [
    'a name that is an option of some program',
    {
      ...{ method: 'POST', path: '/v1/network/resolve', headers: JSON_TYPE },
      body: '{"name":"-x; reboot"}',
    },
    400,
    'bad-request',
    /expected a name such as/,
  ],
  [
    'too many echo requests',
    {
      ...{ method: 'POST', path: '/v1/network/ping', headers: JSON_TYPE },
      body: '{"address":"10.0.0.1","count":1000}',
    },
    400,
    'bad-request',
    /count/,
  ],
  [
    'a misspelt option',
    { ...put, path: '/v1/config?dry_run=true', headers: YAML, body: 'a' },
    400,
    'bad-request',
    /dry_run/,
  ],
  [
    'an option twice',
    { ...put, path: '/v1/config?comment=a&comment=b', headers: YAML, body: 'a' },
    400,
    'bad-request',
    /comment/,
  ],
  [
    'a dry run of maybe',
    { ...put, path: '/v1/config?dry-run=maybe', headers: YAML, body: 'a' },
    400,
    'bad-request',
    /dry-run/,
  ],
  [
    'a confirm time of nothing',
    { ...put, path: '/v1/config?confirm-ms=0', headers: YAML, body: 'a' },
    400,
    'bad-request',
    /confirm-ms/,
  ],
  ['a query where none is', { path: '/v1/status?x=1' }, 400, 'bad-request', /x/],
  ['a limit that is no number', { path: '/v1/flows?limit=1e3' }, 400, 'bad-request', /limit/],
  ['a limit of 0', { path: '/v1/events?limit=0' }, 400, 'bad-request', /limit/],
  ['a topic that is none', { path: '/v1/stream?topics=events,news' }, 400, 'bad-request', /topics/],
  ['no body', { ...put }, 400, 'syntax', /empty/],
  ['an empty body', { ...put, headers: YAML, body: ' \n' }, 400, 'syntax', /empty/],
  [
    'malformed JSON',
    { ...put, headers: JSON_TYPE, body: '{\n  "version": 1,\n  "unit" 5 }' },
    400,
    'syntax',
    /line 3, column 10/,
  ],
  [
    'JSON that ends early',
    { ...put, headers: JSON_TYPE, body: '{"version":' },
    400,
    'syntax',
    /no JSON/,
  ],
  ['JSON that is no object', { ...put, headers: JSON_TYPE, body: '[1]' }, 422, 'invalid', /object/],
  [
    'a key that would poison',
    { ...put, headers: JSON_TYPE, body: '{"__proto__": {"a": 1}}' },
    400,
    'syntax',
    /__proto__/,
  ],
  [
    'bytes that are no UTF-8',
    { ...put, headers: YAML, body: Uint8Array.of(0x61, 0xff, 0xfe) },
    400,
    'syntax',
    /UTF-8/,
  ],
  [
    'an unknown media type',
    { ...put, headers: { 'content-type': 'text/csv' }, body: 'a' },
    415,
    'unsupported-media-type',
    /application\/yaml/,
  ],
  ['no media type', { ...put, body: 'a' }, 415, 'unsupported-media-type', /Content-Type/],
  [
    'YAML where JSON belongs',
    { ...member, headers: YAML, body: 'state: enabled' },
    415,
    'unsupported-media-type',
    /json/,
  ],
  [
    'an If-Match of words',
    { ...put, headers: { ...YAML, 'if-match': '"latest"' }, body: 'a' },
    400,
    'bad-request',
    /If-Match/,
  ],
  [
    'a weak If-Match',
    { ...put, headers: { ...YAML, 'if-match': 'W/"7"' }, body: 'a' },
    400,
    'bad-request',
    /If-Match/,
  ],
  ['a revision that is no number', { path: '/v1/revisions/latest' }, 404, 'not-found', /latest/],
  ['a revision that is not there', { path: '/v1/revisions/99' }, 404, 'not-found', /99/],
  [
    'a member state that is none',
    { ...member, body: '{"state":"dead"}' },
    400,
    'bad-request',
    /state/,
  ],
  ['a member change of nothing', { ...member, body: '{}' }, 400, 'bad-request', /state, weight/],
  ['a weight out of range', { ...member, body: '{"weight":257}' }, 400, 'bad-request', /weight/],
  ['a weight that is text', { ...member, body: '{"weight":"2"}' }, 400, 'bad-request', /weight/],
  ['an unknown key', { ...member, body: '{"weight":2,"wieght":3}' }, 400, 'bad-request', /wieght/],
  ['a rollback to nowhere', { ...rollback, body: '{}' }, 400, 'bad-request', /to/],
  ['a rollback to revision 0', { ...rollback, body: '{"to":0}' }, 400, 'bad-request', /to/],
  ['a name without end', { path: `/v1/revisions/${'9'.repeat(600)}` }, 404, 'not-found', /./],
  [
    'a path that is not percent-encoded',
    { path: '/v1/revisions/%zz' },
    400,
    'bad-request',
    /percent/,
  ],
];

for (const [what, sent, status, code, says] of cases) {
  test(what, () =>
    withApi(async ({ daemon, socket }) => {
      const answer = await call(socket, sent);
      assert.equal([answer.status, errorOf(answer).code], [status, code], answer.text);
      assert.match(errorOf(answer).message, says);
      const asked = daemon.asked.filter(({ method }) => method !== 'revision');
      assert.equal(asked, [], 'the daemon was asked');
    }),
  );
}

test('a wrong method names the right ones', () =>
  withApi(async ({ socket }) => {
    const answer = await call(socket, { method: 'DELETE', path: '/v1/config' });
    assert.is(answer.headers['allow'], 'GET, PUT');
  }));

test('a syntax error in JSON says where, as a detail too', () =>
  withApi(async ({ socket }) => {
    const answer = await call(socket, { ...put, headers: JSON_TYPE, body: '{\n"a": 1 "b": 2 }' });
    const [detail] = errorOf(answer).details ?? [];
    assert.equal([detail?.code, detail?.line, detail?.column], ['syntax', 2, 8], answer.text);
  }));

test('a body over the limit is refused whether or not it says its length; one at the limit is not', () =>
  withApi(async ({ daemon, socket }) => {
    const over = Buffer.alloc(BODY_LIMIT_BYTES + 1, 0x61);
    const declared = await call(socket, {
      ...put,
      headers: { ...YAML, 'content-length': String(over.length) },
      body: over,
    });
    assert.equal([declared.status, errorOf(declared).code], [413, 'too-large']);
    const chunked = await call(socket, {
      ...put,
      headers: { ...YAML, 'transfer-encoding': 'chunked' },
      body: over,
    });
    assert.equal([chunked.status, errorOf(chunked).code], [413, 'too-large']);
    const octets = await call(socket, {
      ...{ method: 'PUT', path: '/v1/certificates/shop' },
      headers: { 'content-type': 'application/octet-stream', 'transfer-encoding': 'chunked' },
      body: over,
    });
    assert.equal([octets.status, errorOf(octets).code], [413, 'too-large']);
    assert.equal(daemon.asked, []);

    const at = await call(socket, { ...put, headers: YAML, body: over.subarray(1) });
    assert.is(at.status, 200);
    assert.is(
      (daemon.last('apply') as { source: { text: string } }).source.text.length,
      BODY_LIMIT_BYTES,
    );
  }));

test('what is no HTTP gets a proper 400, and others are still served', () =>
  withApi(async ({ socket }) => {
    const text = await new Promise<string>((resolve, reject) => {
      const raw = connect(socket, () => raw.write('\x16\x03\x01 hello there\r\n\r\n'));
      let seen = '';
      raw.setEncoding('utf8');
      raw.on('data', (chunk: string) => (seen += chunk));
      raw.on('end', () => resolve(seen));
      raw.on('error', reject);
    });
    assert.match(text, /^HTTP\/1\.1 400 Bad Request\r\n/);
    const body: unknown = JSON.parse(text.slice(text.indexOf('\r\n\r\n') + 4));
    assert.is((body as ErrorBody).error.code, 'bad-request');
    assert.is((await call(socket, { path: '/v1/status' })).status, 200);
  }));

test.run();

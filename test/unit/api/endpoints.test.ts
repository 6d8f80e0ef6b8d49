/** Every path: what it asks of the daemon and what it answers. */
import { userInfo } from 'node:os';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PortError } from '../../../appliance/api/port.js';
import { jsonSchema } from '../../../appliance/config/reference.js';
import {
  CHANGES,
  COUNTERS,
  DETAIL,
  DOCUMENT,
  FLOWS,
  HARDWARE,
  MEMBER,
  MEMBERS,
  POOLS,
  REVISIONS,
  SERVICES,
  SETUP,
  STATUS,
  TEST,
  TIERS,
} from './fake-daemon.js';
import { NETWORK } from './fake-network.js';
import { RESTART, ROUTES, SERVICE, WORKERS } from './proxy-rows.js';
import { call, JSON_TYPE, withApi, YAML } from './fixture.js';

const test = suite('api: endpoints');
const me = userInfo().username;

for (const [path, expected] of [
  ['/v1/status', STATUS],
  ['/v1/services', SERVICES],
  ['/v1/pools', POOLS],
  ['/v1/services/site', SERVICE],
  ['/v1/routes', ROUTES],
  ['/v1/routes?service=site', ROUTES],
  ['/v1/workers', WORKERS],
  ['/v1/pools/web', DETAIL],
  ['/v1/tiers', TIERS],
  ['/v1/network', NETWORK],
  ['/v1/hardware', HARDWARE],
  ['/v1/counters', COUNTERS],
  ['/v1/members', MEMBERS],
  ['/v1/members?pool=web', MEMBERS],
  ['/v1/members?pool=none', []],
  ['/v1/pools/web/members/10.0.1.12:8080', MEMBER],
  ['/v1/pools/web/members/10.0.1.12:8080/setup', SETUP],
  ['/v1/flows', FLOWS],
  ['/v1/revisions', REVISIONS],
  ['/v1/revisions/6', { ...REVISIONS[1], document: DOCUMENT }],
  ['/v1/config', { revision: 7, document: DOCUMENT }],
] as const) {
  test(`GET ${path}`, () =>
    withApi(async ({ socket }) => {
      const answer = await call(socket, { path });
      assert.is(answer.status, 200);
      assert.match(answer.headers['content-type'] ?? '', /^application\/json/);
      assert.equal(answer.json(), JSON.parse(JSON.stringify(expected)));
    }));
}

test('GET /v1/schema is the language as weir schema prints it', () =>
  withApi(async ({ socket }) => {
    const answer = await call(socket, { path: '/v1/schema' });
    assert.is(answer.status, 200);
    assert.is(answer.headers['content-type'], 'application/schema+json; charset=utf-8');
    assert.equal(answer.json(), jsonSchema());
  }));

test('queries reach the daemon as numbers and names, with defaults', () =>
  withApi(async ({ daemon, socket }) => {
    for (const path of [
      '/v1/flows?limit=5&service=shop&member=%5B2001%3Adb8%3A%3A14%5D%3A8080',
      '/v1/flows',
      '/v1/events?limit=1',
      '/v1/revisions?limit=3&before=9',
      '/v1/revisions',
    ]) {
      assert.is((await call(socket, { path })).status, 200, path);
    }
    assert.equal(
      daemon.asked.map(({ argument }) => argument),
      [
        { limit: 5, service: 'shop', member: '[2001:db8::14]:8080' },
        { limit: 1000 },
        { limit: 1 },
        { limit: 3, before: 9 },
        { limit: 50 },
      ],
    );
  }));

test('the configuration as YAML, with its revision as entity tag', () =>
  withApi(async ({ daemon, socket }) => {
    const answer = await call(socket, {
      path: '/v1/config',
      headers: { accept: 'application/yaml' },
    });
    assert.is(answer.status, 200);
    assert.match(answer.headers['content-type'] ?? '', /^application\/yaml/);
    assert.is(answer.headers.etag, '"7"');
    assert.match(answer.text, /^version: 1\n/);
    assert.match(answer.text, /address: 10\.0\.1\.11/);

    daemon.view = { revision: null, document: null };
    const empty = await call(socket, {
      path: '/v1/config',
      headers: { accept: 'application/yaml' },
    });
    assert.is(empty.text, '');
    assert.is(empty.headers.etag, '"0"');
  }));

test('apply: YAML stays text; comment, confirm and If-Match arrive; the author is the peer', () =>
  withApi(async ({ daemon, socket }) => {
    const text = 'version: 1 # é\n';
    const answer = await call(socket, {
      method: 'PUT',
      path: '/v1/config?comment=zwei%20mehr%20%C3%A9&confirm-ms=60000',
      headers: { ...YAML, 'if-match': '"7"' },
      body: text,
    });
    assert.is(answer.status, 200);
    assert.is(answer.headers.etag, '"8"');
    assert.equal(daemon.last('apply'), {
      source: { text },
      dryRun: false,
      author: me,
      comment: 'zwei mehr é',
      confirm: 60_000,
      ifMatch: 7,
    });
    const result = answer.json() as { revision: number; changes: unknown; confirmBy: number };
    assert.is(result.revision, 8);
    assert.equal(result.changes, CHANGES);
    assert.type(result.confirmBy, 'number');
  }));

test('apply: JSON arrives as a document, dry run as such', () =>
  withApi(async ({ daemon, socket }) => {
    const answer = await call(socket, {
      method: 'PUT',
      path: '/v1/config?dry-run=true',
      headers: JSON_TYPE,
      body: JSON.stringify(DOCUMENT),
    });
    assert.is(answer.status, 200);
    assert.equal(daemon.last('apply'), {
      source: { document: DOCUMENT },
      dryRun: true,
      author: me,
      comment: '',
    });
    assert.is((answer.json() as { dryRun: boolean }).dryRun, true);
  }));

test('diff, confirm, rollback', () =>
  withApi(async ({ daemon, socket }) => {
    const diff = await call(socket, {
      method: 'POST',
      path: '/v1/config/diff',
      headers: YAML,
      body: 'a: 1',
    });
    assert.equal(diff.json(), { revision: 7, changes: CHANGES, warnings: [] });
    assert.equal(daemon.last('diff'), { text: 'a: 1' });

    const confirm = await call(socket, { method: 'POST', path: '/v1/config/confirm' });
    assert.equal([confirm.status, confirm.json()], [200, { revision: 7 }]);
    assert.equal(daemon.last('confirm'), { author: me });

    const rollback = await call(socket, {
      method: 'POST',
      path: '/v1/config/rollback',
      headers: { ...JSON_TYPE, 'if-match': '7' },
      body: '{"to": 6, "comment": "back", "confirm-ms": 5000}',
    });
    assert.is(rollback.status, 200);
    assert.equal(daemon.last('rollback'), {
      to: 6,
      author: me,
      comment: 'back',
      confirm: 5000,
      ifMatch: 7,
    });
  }));

test('a test of a member: POST, the service in the body, other keys refused', () =>
  withApi(async ({ daemon, socket }) => {
    const path = '/v1/pools/web/members/10.0.1.12:8080/test';
    const post = (body: string) => call(socket, { method: 'POST', path, headers: JSON_TYPE, body });
    const answer = await post('{"service":"shop"}');
    assert.is(answer.status, 200);
    assert.equal(answer.json(), JSON.parse(JSON.stringify(TEST)));
    assert.equal(daemon.last('testMember'), {
      ...{ pool: 'web', member: '10.0.1.12:8080', service: 'shop' },
    });
    assert.is((await post('{"servce":"shop"}')).status, 400);
  }));

test('workers are replaced by POST without a body, by whoever asks', () =>
  withApi(async ({ daemon, socket }) => {
    const path = '/v1/workers/restart';
    const answer = await call(socket, { method: 'POST', path });
    assert.equal([answer.status, answer.json()], [200, JSON.parse(JSON.stringify(RESTART))]);
    assert.equal(daemon.last('restartWorkers'), { author: me });
    const body = '{"workers":[1]}';
    const refused = await call(socket, { method: 'POST', path, headers: JSON_TYPE, body });
    assert.is(refused.status, 400);
    assert.is((await call(socket, { path: '/v1/services/nil' })).status, 404);
  }));

test('a member is named in the path, IPv6 and all', () =>
  withApi(async ({ daemon, socket }) => {
    const path = `/v1/pools/web/members/${encodeURIComponent('[2001:db8::14]:8080')}`;
    const state = await call(socket, {
      method: 'PATCH',
      path,
      headers: JSON_TYPE,
      body: '{"state":"draining"}',
    });
    assert.is(state.status, 200);
    assert.equal(daemon.last('setMember'), {
      pool: 'web',
      member: '[2001:db8::14]:8080',
      state: 'draining',
      author: me,
      comment: '',
    });
    await call(socket, {
      method: 'PATCH',
      path,
      headers: JSON_TYPE,
      body: '{"weight":0,"comment":"c"}',
    });
    assert.equal(daemon.last('setMember'), {
      pool: 'web',
      member: '[2001:db8::14]:8080',
      weight: 0,
      author: me,
      comment: 'c',
    });
  }));

test('If-Match of another revision is 412 and changes nothing', () =>
  withApi(async ({ daemon, socket }) => {
    for (const [method, path, body] of [
      ['PUT', '/v1/config', '{}'],
      ['POST', '/v1/config/rollback', '{"to":1}'],
      ['PATCH', '/v1/pools/web/members/10.0.1.11:8080', '{"weight":2}'],
    ] as const) {
      const headers = { ...JSON_TYPE, 'if-match': '"6"' };
      const answer = await call(socket, { method, path, headers, body });
      assert.is(answer.status, 412, `${method} ${path}`);
      assert.is((answer.json() as { error: { code: string } }).error.code, 'revision-mismatch');
    }
    assert.equal(daemon.asked, []);
    // `*` and no header at all ask for nothing.
    const any = await call(socket, {
      method: 'PUT',
      path: '/v1/config',
      headers: { ...JSON_TYPE, 'if-match': '*' },
      body: '{}',
    });
    assert.is(any.status, 200);
  }));

test('a refusal keeps its code, its sentence and its details', () =>
  withApi(async ({ daemon, socket }) => {
    const details = [
      {
        code: 'value',
        line: 3,
        column: 5,
        path: 'pools.web.algorithm',
        message: 'unknown',
        suggestion: 'maglev',
      },
    ] as const;
    for (const [code, status] of [
      ['syntax', 400],
      ['not-found', 404],
      ['conflict', 409],
      ['revision-mismatch', 412],
      ['invalid', 422],
      ['unsupported', 422],
      ['unavailable', 503],
    ] as const) {
      daemon.failures.set('apply', new PortError(code, `Because of ${code}.`, { details }));
      const answer = await call(socket, {
        method: 'PUT',
        path: '/v1/config',
        headers: YAML,
        body: 'x',
      });
      assert.is(answer.status, status, code);
      assert.equal(answer.json(), { error: { code, message: `Because of ${code}.`, details } });
    }
  }));

test('a defect is answered without detail and logged with it', () =>
  withApi(async ({ daemon, log, socket }) => {
    daemon.failures.set('services', new TypeError('secret of the inside'));
    const answer = await call(socket, { path: '/v1/services' });
    assert.is(answer.status, 500);
    assert.not.match(answer.text, /secret/);
    assert.is((answer.json() as { error: { code: string } }).error.code, 'internal');
    const logged = log.lines.find(({ level }) => level === 'error');
    assert.match(String((logged?.fields as { err?: unknown }).err), /secret of the inside/);
  }));

test.run();

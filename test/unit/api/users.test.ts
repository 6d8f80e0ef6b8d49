/** Who is asking, by which rules, and which role each route needs. */
import { chmodSync } from 'node:fs';
import Fastify from 'fastify';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type {
  AuditRow,
  ErrorBody,
  LoggedIn,
  Me,
  TokenCreated,
} from '../../../appliance/api/contract.js';
import { mayAs, ROUTE_RULES, ruleOf } from '../../../appliance/api/roles.js';
import { addRoutes, type RouteContext } from '../../../appliance/api/routes.js';
import { ROLES, type Role } from '../../../appliance/api/user-contract.js';
import { askAs, NOBODY } from '../../support/other-user.js';
import { PASSWORD } from '../../support/user-scene.js';
import { FakeDaemon } from './fake-daemon.js';
import {
  type Answer,
  call,
  eventually,
  type Fixture,
  JSON_TYPE,
  open,
  type Sent,
  withApi,
} from './fixture.js';

const test = suite('api: users and roles');

/** Of every route that the API has. */
function routes(): { readonly method: string; readonly pattern: string }[] {
  const app = Fastify();
  const found: { method: string; pattern: string }[] = [];
  app.addHook('onRoute', ({ method, url }) => {
    for (const one of [method].flat()) found.push({ method: one, pattern: url });
  });
  const nobody = (): never => assert.unreachable('nothing is asked') as never;
  const context = { daemon: new FakeDaemon(), authorOf: nobody, isProven: nobody };
  addRoutes(app, context as unknown as RouteContext);
  return found;
}

test('every route has a rule, and every rule a route', () => {
  const found = routes();
  assert.ok(found.length > 50);
  for (const { method, pattern } of found) {
    assert.ok(ruleOf(method, pattern) !== null, `${method} ${pattern} is in no table`);
  }
  const there = new Set(found.map(({ method, pattern }) => `${method} ${pattern}`));
  assert.equal(
    Object.keys(ROUTE_RULES).filter((key) => !there.has(key)),
    [],
  );
  assert.is(ruleOf('GET', '/v1/unheard-of'), null);
});

test('what changes something is written down, and needs more than looking', () => {
  // What asks in a body, or is about oneself.
  const harmless = [
    'POST /v1/config/diff',
    'POST /v1/login',
    'POST /v1/logout',
    'POST /v1/me/password',
  ];
  for (const [key, { role, act }] of Object.entries(ROUTE_RULES)) {
    if (key.startsWith('GET ') || harmless.includes(key)) continue;
    assert.ok(act !== null, `${key} is not written down`);
    assert.ok(role !== 'anyone' && mayAs(role, 'operator'), `${key} is open to ${role}`);
  }
});

test('roles hold each other', () => {
  const may = ROLES.map((role) => ROLES.filter((needed) => mayAs(role, needed)).length);
  assert.equal(may, [1, 2, 3]);
});

interface People extends Fixture {
  readonly as: (secret: string | null, sent: Sent) => Promise<Answer>;
  readonly login: (name: string, password?: string) => Promise<Answer>;
}

/** The peer of the tests is the console, so that it logs in whoever runs them. */
async function withPeople(act: (people: People) => Promise<void>): Promise<void> {
  const me = process.getuid?.() === 0 ? 'root' : (process.env['USER'] ?? '');
  await withApi(
    async (fixture) => {
      const { users } = fixture.daemon;
      for (const role of [...ROLES].reverse()) {
        await users.add({ name: role.slice(0, 4), role, password: PASSWORD, author: 'root' });
      }
      const as: People['as'] = (secret, sent) => {
        const headers = {
          ...(sent.body === undefined ? {} : JSON_TYPE),
          ...(secret === null ? {} : { authorization: `Bearer ${secret}` }),
        };
        return call(fixture.socket, { ...sent, headers });
      };
      await act({
        ...{ ...fixture, as },
        login: (name, password = PASSWORD) =>
          as(null, { method: 'POST', path: '/v1/login', body: JSON.stringify({ name, password }) }),
      });
    },
    { heartbeatMs: 20, consoleUser: me },
  );
}

async function session({ login }: People, role: Role): Promise<string> {
  return ((await login(role.slice(0, 4))).json() as LoggedIn).token;
}

const sentence = (answer: Answer): string => (answer.json() as ErrorBody).error.message;
const set = {
  method: 'PATCH',
  path: '/v1/pools/web/members/10.0.1.11:8080',
  body: '{"state":"draining"}',
} as const;

test('nothing but login and version is answered to who has not logged in', () =>
  withPeople(async ({ as, daemon }) => {
    for (const [key, { role }] of Object.entries(ROUTE_RULES)) {
      if (role === 'anyone') continue;
      const [method = '', pattern = ''] = key.split(' ');
      const answer = await as(null, { method, path: pattern.replace(/:[a-z]+/g, 'x') });
      assert.is(answer.status, 401, key);
      assert.is(answer.headers['www-authenticate'], 'Bearer');
      assert.match(sentence(answer), /Log in first/);
    }
    assert.equal(daemon.asked, []);
    const version = (await as(null, { path: '/v1/version' })).json() as { users: boolean };
    assert.is(version.users, true);
    assert.is((await as('weir_session_made-up', { path: '/v1/status' })).status, 401);
    assert.is((await as(null, { path: '/v1/nothing' })).status, 404);
  }));

test('each role is let through where the table says, and refused with both roles named', () =>
  withPeople(async (people) => {
    for (const role of ROLES) {
      const secret = await session(people, role);
      for (const [key, rule] of Object.entries(ROUTE_RULES)) {
        if (rule.role === 'anyone' || key === 'POST /v1/logout' || key === 'GET /v1/stream')
          continue;
        const [method = '', pattern = ''] = key.split(' ');
        const path = pattern.replace(/:[a-z]+/g, 'x');
        // A query that no route knows: whoever is let through hears of that.
        const answer = await people.as(secret, { method, path: `${path}?x-y=z` });
        if (mayAs(role, rule.role)) assert.is.not(answer.status, 403, `${role}: ${key}`);
        else {
          assert.is(answer.status, 403, `${role}: ${key}`);
          assert.is(
            sentence(answer),
            `This needs the role ${rule.role}, and ${role.slice(0, 4)} (console) has the role ${role}.`,
          );
        }
      }
    }
    assert.equal(people.daemon.asked, []);
  }));

test('changes have the author that logged in, with where from; of tokens, the token', () =>
  withPeople(async (people) => {
    const operator = await session(people, 'operator');
    assert.is((await people.as(operator, set)).status, 200);
    assert.is((people.daemon.last('setMember') as { author: string }).author, 'oper (console)');
    const administrator = await session(people, 'administrator');
    const body = JSON.stringify({ name: 'ci', role: 'operator', 'lifetime-ms': 86_400_000 });
    const made = await people.as(administrator, { method: 'POST', path: '/v1/tokens', body });
    assert.is(made.status, 201);
    const { token } = made.json() as TokenCreated;
    await people.as(token, set);
    assert.is((people.daemon.last('setMember') as { author: string }).author, 'token ci');
    const me = (await people.as(token, { path: '/v1/me' })).json() as Me;
    assert.equal([me.name, me.role, me.via, me.from], ['ci', 'operator', 'token', 'console']);
  }));

test('an operator confirms what it changed, and nobody else’s change', () =>
  withPeople(async (people) => {
    const operator = await session(people, 'operator');
    const answer = await people.as(operator, { method: 'POST', path: '/v1/config/confirm' });
    assert.is(answer.status, 403);
    assert.match(sentence(answer), /a change of .*: only they or an administrator/);
    const administrator = await session(people, 'administrator');
    const path = '/v1/config/confirm';
    assert.is((await people.as(administrator, { method: 'POST', path })).status, 200);
  }));

test('acts are written down, done and refused, with no body; looking and dry runs are not', () =>
  withPeople(async (people) => {
    const viewer = await session(people, 'viewer');
    await people.as(viewer, { path: '/v1/status' });
    await people.as(viewer, set);
    const administrator = await session(people, 'administrator');
    await people.as(administrator, set);
    for (const dry of [
      { method: 'PUT', path: '/v1/config?dry-run=true', body: '{}' },
      {
        ...{ method: 'POST', path: '/v1/routers/prefer' },
        body: JSON.stringify({ unit: null, share: null, 'dry-run': true }),
      },
    ]) {
      assert.is((await people.as(administrator, dry)).status, 200, dry.path);
      assert.is((await people.as(viewer, dry)).status, 403, dry.path);
    }
    const name = 'new-one';
    await people.as(administrator, {
      ...{ method: 'POST', path: '/v1/users' },
      body: JSON.stringify({ name, role: 'viewer', password: 'a password of one' }),
    });
    const rows = (await people.as(administrator, { path: '/v1/audit' })).json() as AuditRow[];
    assert.equal(
      rows.map(({ author, act, object, status }) => `${author}: ${act} ${object} ${status}`),
      [
        'admi (console): add a user users 201',
        'view (console): prefer a unit routers/prefer 403',
        'view (console): apply a document config?dry-run=true 403',
        'admi (console): set a member pools/web/members/10.0.1.11:8080 200',
        'admi: log in  200',
        'view (console): set a member pools/web/members/10.0.1.11:8080 403',
        'view: log in  200',
      ],
    );
    assert.match(rows[5]?.reason ?? '', /needs the role operator/);
    assert.not.match(JSON.stringify(rows), /a password of one/);
  }));

test('a login that fails says nothing of why; a locked one says for how long', () =>
  withPeople(async (people) => {
    const first = await people.login('oper', 'wrong password');
    assert.is(first.status, 401);
    assert.is(sentence(first), sentence(await people.login('nobody', 'wrong password')));
    for (let failure = 0; failure < 4; failure++) await people.login('oper', 'wrong password');
    const locked = await people.login('oper');
    assert.is(locked.status, 429);
    assert.match(sentence(locked), /not tried for another \d+ s/);
    assert.ok(Number(locked.headers['retry-after']) > 0);
    const administrator = await session(people, 'administrator');
    await people.as(administrator, { method: 'POST', path: '/v1/users/oper/unlock' });
    assert.is((await people.login('oper')).status, 200);
  }));

test('a body with a password in it is never repeated, however broken', () =>
  withPeople(async (people) => {
    const bodies = [
      `{"name":"oper","password":"s3cret-thing`,
      `{"name":1,"password":["s3cret-thing"]}`,
    ];
    for (const body of bodies) {
      const answer = await people.as(null, { method: 'POST', path: '/v1/login', body });
      assert.is(answer.status, 400);
      assert.not.match(answer.text, 's3cret');
    }
    assert.not.match(JSON.stringify(people.log.lines), 's3cret');
  }));

test('a stream ends with the session that it began with', () =>
  withPeople(async (people) => {
    const secret = await session(people, 'viewer');
    const headers = { authorization: `Bearer ${secret}` };
    const stream = await open(people.socket, { path: '/v1/stream', headers });
    let ended = false;
    stream.on('end', () => (ended = true)).resume();
    const logout = await people.as(secret, { method: 'POST', path: '/v1/logout' });
    assert.is(logout.status, 200);
    await eventually('the end of the stream', () => ended);
    assert.is((await people.as(secret, { path: '/v1/me' })).status, 401);
  }));

/** Status and body, as another user of the system gets them. */
async function asNobody(socketPath: string, path: string): Promise<string> {
  const { status, text } = await askAs(NOBODY, { socketPath, path });
  return `${status} ${text}`;
}

if (process.getuid?.() === 0) {
  test('other local peers are administrators while there are no users, and log in afterwards', () =>
    withApi(async ({ socket, daemon, folder }) => {
      chmodSync(folder, 0o755);
      chmodSync(socket, 0o666);
      const before = await asNobody(socket, '/v1/me');
      assert.match(before, /^200 /, before);
      const me = JSON.parse(before.slice(4)) as Me;
      assert.equal([me.role, me.via], ['administrator', 'local']);
      await daemon.users.add({
        ...{ name: 'anna', role: 'administrator', password: PASSWORD, author: 'root' },
      });
      assert.match(await asNobody(socket, '/v1/me'), /^401 .*Log in first/);
      const own = (await call(socket, { path: '/v1/me' })).json() as Me;
      assert.equal([own.name, own.role, own.via], ['root', 'administrator', 'root']);
    }));
}

test.run();

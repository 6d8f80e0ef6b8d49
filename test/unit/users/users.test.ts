/** Users, logins and tokens as the daemon keeps them. */
import { readFileSync, readdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PortError } from '../../../appliance/api/port.js';
import { AuditLog } from '../../../appliance/users/audit-log.js';
import { UserStore } from '../../../appliance/users/user-store.js';
import { PASSWORD, userScene, type UserScene } from '../../support/user-scene.js';

const test = suite<{ scene: UserScene; clock: { now: number } }>('users');
const by = { author: 'root' } as const;
const here = { source: 'uid 7', from: 'alice' } as const;
const DAY = 86_400_000;

test.before.each((context) => {
  const clock = { now: Date.UTC(2026, 0, 1) };
  context.clock = clock;
  context.scene = userScene({
    now: () => clock.now,
    sessions: { idleMs: 60_000, longestMs: 600_000 },
  });
});
test.after.each(({ scene }) => {
  scene.close();
});

async function refused(act: () => unknown, code: string, says: RegExp): Promise<void> {
  try {
    await act();
  } catch (error) {
    assert.instance(error, PortError);
    assert.is((error as PortError).code, code);
    assert.match((error as PortError).message, says);
    return;
  }
  assert.unreachable(`nothing was refused: ${String(says)}`);
}

const anna = { name: 'anna', role: 'administrator', password: PASSWORD, ...by } as const;
const otto = { name: 'otto', role: 'operator', password: PASSWORD, ...by } as const;

test('there is always an administrator who can log in, once there was a user', async ({
  scene,
}) => {
  const { users } = scene;
  assert.is(users.any, false);
  await refused(() => users.add(otto), 'conflict', /first user must be an administrator/);
  await users.add(anna);
  await users.add(otto);
  assert.is(users.any, true);
  const last = /anna is the last administrator/;
  await refused(() => users.remove({ name: 'anna', ...by }), 'conflict', last);
  await refused(() => users.set({ name: 'anna', role: 'viewer', ...by }), 'conflict', last);
  await refused(() => users.set({ name: 'anna', disabled: true, ...by }), 'conflict', last);
  await users.set({ name: 'otto', role: 'administrator', ...by });
  users.remove({ name: 'anna', ...by });
  assert.equal(
    users.list().map(({ name, role }) => `${name} ${role}`),
    ['otto administrator'],
  );
});

test('names and passwords that are none are refused with what is wrong', async ({ scene }) => {
  const { users } = scene;
  for (const name of ['', 'Anna', 'root', 'token', 'a b', 'x'.repeat(33), '../a']) {
    await refused(() => users.add({ ...anna, name }), 'bad-request', /cannot be a user/);
  }
  await refused(() => users.add({ ...anna, password: 'short' }), 'bad-request', /too short/);
  await users.add(anna);
  await refused(() => users.add(anna), 'conflict', /a user anna already/);
  await refused(() => users.set({ name: 'eve', disabled: true, ...by }), 'not-found', /eve/);
});

test('a login gives a session with the role that the user has at each moment', async ({
  scene,
}) => {
  const { users, events } = scene;
  await users.add(anna);
  await users.add(otto);
  const { token, role } = await users.login({ name: 'otto', password: PASSWORD, ...here });
  assert.is(role, 'operator');
  assert.is(users.holder(token, true)?.role, 'operator');
  await users.set({ name: 'otto', role: 'viewer', ...by });
  assert.is(users.holder(token, true)?.role, 'viewer');
  assert.is(users.list()[1]?.sessions, 1);
  users.logout({ secret: token, author: 'otto (alice)' });
  assert.is(users.holder(token, true), null);
  const said = events.latest(10).map(({ message }) => message);
  assert.ok(said.includes('otto (alice) logged in') && said.includes('otto (alice) logged out'));
});

for (const [what, act] of [
  ['disabled', ({ users }: UserScene) => users.set({ name: 'otto', disabled: true, ...by })],
  ['removed', ({ users }: UserScene) => users.remove({ name: 'otto', ...by })],
  [
    'given a new password',
    ({ users }: UserScene) => users.set({ name: 'otto', password: `${PASSWORD} 2`, ...by }),
  ],
] as const) {
  test(`sessions of a user end when it is ${what}`, async ({ scene }) => {
    const { users } = scene;
    await users.add(anna);
    await users.add(otto);
    const { token } = await users.login({ name: 'otto', password: PASSWORD, ...here });
    await act(scene);
    assert.is(users.holder(token, true), null);
    const again = () => users.login({ name: 'otto', password: PASSWORD, ...here });
    await refused(again, 'unauthenticated', /name or the password/);
  });
}

test('sessions end when idle and at their longest', async ({ scene, clock }) => {
  const { users } = scene;
  await users.add(anna);
  const login = () => users.login({ name: 'anna', password: PASSWORD, ...here });
  const { token } = await login();
  clock.now += 59_999;
  assert.ok(users.holder(token, true));
  clock.now += 60_000;
  assert.is(users.holder(token, true), null);
  const { token: busy, expires } = await login();
  while (clock.now + 50_000 < expires) {
    clock.now += 50_000;
    assert.ok(users.holder(busy, true));
  }
  clock.now = expires;
  assert.is(users.holder(busy, true), null);
});

test('known and unknown names are told apart by nothing that is answered', async ({ scene }) => {
  const { users } = scene;
  await users.add(anna);
  const answers: string[][] = [];
  for (const name of ['anna', 'nobody']) {
    const said: string[] = [];
    for (let failure = 0; failure < 7; failure++) {
      try {
        await users.login({ name, password: 'wrong password', source: name, from: 'alice' });
      } catch (error) {
        said.push(String((error as Error).message).replace(name, 'NAME'));
      }
    }
    answers.push(said);
  }
  assert.equal(answers[0], answers[1]);
  assert.match(answers[0]?.at(-1) ?? '', /not tried for another 15 s/);
});

test('a locked name is not tried even with the right password, until it ends or is unlocked', async ({
  scene,
  clock,
}) => {
  const { users, events, acts } = scene;
  await users.add(anna);
  const login = (password: string) => users.login({ name: 'anna', password, ...here });
  for (let failure = 0; failure < 5; failure++) {
    await refused(() => login('wrong password'), 'unauthenticated', /wrong/);
  }
  await refused(() => login(PASSWORD), 'locked', /as anna are not tried/);
  assert.is(users.list()[0]?.lockedUntil, clock.now + 15_000);
  assert.ok(events.latest(20).some(({ message }) => /logins as anna are not tried/.test(message)));
  assert.equal(
    acts.map(({ author, status }) => `${author} ${status}`),
    [...Array<string>(5).fill('anna 401'), 'anna 429'],
  );
  users.unlock({ name: 'anna', ...by });
  assert.is((await login(PASSWORD)).name, 'anna');
  for (let failure = 0; failure < 5; failure++) {
    await refused(() => login('wrong password'), 'unauthenticated', /wrong/);
  }
  clock.now += 15_000;
  assert.is((await login(PASSWORD)).name, 'anna');
});

test('a source that fails with ever other names is locked as well', async ({ scene }) => {
  const { users } = scene;
  await users.add(anna);
  for (let failure = 0; failure < 20; failure++) {
    const name = `guess${failure}`;
    await refused(
      () => users.login({ name, password: 'wrong password', ...here }),
      'unauthenticated',
      /wrong/,
    );
  }
  const from = (source: string) =>
    users.login({ name: 'anna', password: PASSWORD, source, from: source });
  await refused(() => from(here.source), 'locked', /from here/);
  assert.is((await from('console')).name, 'anna');
});

test('what was typed for a name and is none is in no event and no audit', async ({ scene }) => {
  const { users, events, acts } = scene;
  await users.add(anna);
  const slip = 'hunter2hunter2';
  await refused(
    () => users.login({ name: slip, password: 'anna', ...here }),
    'unauthenticated',
    /./,
  );
  assert.not.match(JSON.stringify([events.latest(50), acts]), slip);
  assert.is(acts[0]?.author, '(unknown name)');
});

test('the own password takes the old one, and a wrong one counts', async ({ scene }) => {
  const { users } = scene;
  await users.add(anna);
  const change = { name: 'anna', password: `${PASSWORD} 2`, source: 'x', author: 'anna (x)' };
  await refused(() => users.changePassword({ ...change, old: 'no' }), 'forbidden', /old password/);
  await users.changePassword({ ...change, old: PASSWORD });
  await users.login({ name: 'anna', password: `${PASSWORD} 2`, ...here });
});

test('a token is told once, ends in time, and is gone when it is revoked', async ({
  scene,
  clock,
}) => {
  const { users, store } = scene;
  const made = users.createToken({ name: 'ci', role: 'operator', lifetimeMs: 90 * DAY, ...by });
  assert.match(made.token, /^weir_token_[\w-]{43}$/);
  assert.not.match(JSON.stringify([users.tokens(), store.list('token')]), made.token);
  const about = { name: 'ci', role: 'operator', via: 'token' } as const;
  assert.equal(users.holder(made.token, true), { ...about, expires: clock.now + 90 * DAY });
  assert.is(users.tokens()[0]?.lastUsed, clock.now);
  assert.is(users.holder(`${made.token}x`, true), null);
  await refused(
    () => users.createToken({ name: 'ci', role: 'viewer', lifetimeMs: null, ...by }),
    'conflict',
    /revoke it first/,
  );
  clock.now += 90 * DAY;
  assert.is(users.holder(made.token, true), null);
  users.revokeToken({ name: 'ci', ...by });
  const next = users.createToken({ name: 'ci', role: 'viewer', lifetimeMs: null, ...by });
  assert.is(users.holder(next.token, true)?.role, 'viewer');
  users.revokeToken({ name: 'ci', ...by });
  assert.is(users.holder(next.token, true), null);
  await refused(() => users.revokeToken({ name: 'ci', ...by }), 'not-found', /ci/);
});

test('files hold no password and no secret, are private, and are read again', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-users-'));
  try {
    const path = join(folder, 'users.db');
    const store = UserStore.open(path);
    const first = userScene({ store });
    await first.users.add(anna);
    const { token } = first.users.createToken({
      name: 'ci',
      role: 'viewer',
      lifetimeMs: null,
      ...by,
    });
    first.users.createToken({ name: 'old', role: 'viewer', lifetimeMs: null, ...by });
    first.users.revokeToken({ name: 'old', ...by });
    first.close();
    store.close();
    for (const file of readdirSync(folder)) {
      assert.is(statSync(join(folder, file)).mode & 0o077, 0, file);
      const bytes = readFileSync(join(folder, file)).toString('latin1');
      assert.ok(!bytes.includes(PASSWORD) && !bytes.includes(token), file);
    }
    const again = UserStore.open(path);
    const second = userScene({ store: again });
    assert.is(
      (await second.users.login({ name: 'anna', password: PASSWORD, ...here })).name,
      'anna',
    );
    assert.is(second.users.holder(token, false)?.name, 'ci');
    assert.equal(second.users.tokens().length, 1);
    second.close();
    again.close();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('the audit is read page by page, newest first, after a restart too', () => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-audit-'));
  try {
    const path = join(folder, 'audit.db');
    const act = { author: 'anna (console)', role: 'viewer', from: 'console', status: 403 } as const;
    const first = AuditLog.open(path);
    for (const object of ['a', 'b', 'c']) {
      first.append({ ...act, act: 'set a member', object, reason: 'no' }, 5);
    }
    first.close();
    const second = AuditLog.open(path);
    const page = second.latest({ limit: 2 });
    assert.equal(
      page.map(({ object }) => object),
      ['c', 'b'],
    );
    const [rest] = second.latest({ limit: 2, before: page[1]!.number });
    assert.equal(rest, {
      ...act,
      number: 1,
      time: 5,
      act: 'set a member',
      object: 'a',
      reason: 'no',
    });
    second.close();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test.run();

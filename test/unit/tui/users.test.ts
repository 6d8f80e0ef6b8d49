/** Logging in and out, what roles do not allow, and what the screen of users orders. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { IDLE_MS } from '../../../tui/login.js';
import { type Effect, type Model, type Place } from '../../../tui/model.js';
import { wanted } from '../../../tui/topics.js';
import { step, type Action } from '../../../tui/step.js';
import { textOf } from '../../../tui/frame.js';
import { view } from '../../../tui/view.js';
import { event } from '../api/fake-daemon.js';
import { after, answer, keys, LARGE, me, THEN, world } from './world.js';

const test = suite('tui: users');
const at = (screen: Place['screen'], name = '', pool = ''): Place => ({ screen, name, pool });
const seen = (model: Model): string => textOf(view(model));
const unknown: Action = { type: 'unknown', why: null };

function ordered(model: Model, ...typed: readonly string[]): Effect | undefined {
  const actions = keys(...typed);
  const last = actions.at(-1);
  assert.ok(last);
  return step(after(model, ...actions.slice(0, -1)), last).effects[0];
}

test('who is not known sees the login box and nothing else, and cannot leave it', () => {
  const model = after(world({ answers: { me: me('anna', 'viewer') } }), unknown);
  assert.match(seen(model), /Your session is over[^]*Name +anna/);
  assert.not.match(seen(model), /shop/);
  const later = after(model, ...keys('Esc', ':q'), answer('me', me('anna', 'viewer')));
  assert.is(later.overlay?.kind, 'ask');
  assert.equal(later.data, {}, 'answers that come late are not kept');
  assert.equal(ordered(model, 'C-c'), { type: 'quit' });
});

test('a password is sent, never drawn, and gone from the box', () => {
  const model = after(world(), unknown);
  const typed = after(model, ...keys('anna', 'Enter', 'sesame words'));
  assert.not.match(seen(typed), 'sesame');
  assert.match(seen(typed), /\*{12}/);
  const { effects, model: sent } = step(typed, keys('Enter')[0]!);
  assert.equal(effects, [{ type: 'login', name: 'anna', password: 'sesame words' }]);
  assert.not.match(JSON.stringify(sent.overlay), 'sesame');
  const why = 'Logins as anna are not tried for another 15 s';
  assert.match(seen(after(sent, { type: 'login-failed', why })), why);
});

test('a candidate waits for the one who began it, and is dropped for another', () => {
  const place = at('config');
  const mine = world({ place, answers: { me: me('anna', 'administrator') } });
  const drafted = after(mine, ...keys('/spare', 'Enter', 'x', 'y'));
  assert.ok(drafted.draft);
  const out = after(drafted, unknown);
  const session = { token: 't', role: 'administrator', expires: THEN, idleMs: 1 } as const;
  const back = (name: string): Model =>
    after(out, { type: 'logged-in', session: { ...session, name } });
  assert.ok(back('anna').draft);
  assert.is(back('otto').draft, null);
});

test('after a login nothing is said of events before they have come', () => {
  // All else has come again.
  const back = { ...world(), events: after(world(), unknown).events };
  assert.match(seen(back), /Newest events[^]*Looking/);
  const none = after(back, { type: 'events', rows: [], past: true });
  assert.match(seen(none), /Newest events[^]*Nothing happened since the daemon started/);
});

test('without a key for long enough a session ends; without a session nothing does', () => {
  const late: Action = { type: 'tick', now: THEN + IDLE_MS };
  const logged = world({ answers: { me: me('anna', 'viewer') } });
  assert.equal(step(logged, { type: 'tick', now: THEN + IDLE_MS - 1 }).effects, []);
  assert.is(step(logged, late).effects[0]?.type, 'logout');
  const pressed = after(logged, { type: 'tick', now: THEN + 5000 }, ...keys('j'));
  assert.equal(step(pressed, late).effects, []);
  assert.equal(step(world(), late).effects, []);
});

for (const [role, place, typed, needed] of [
  ['viewer', at('members'), ['d'], 'operator'],
  ['viewer', at('members'), ['w'], 'operator'],
  ['viewer', at('pool', 'web'), ['x'], 'operator'],
  ['viewer', at('overview'), ['K'], 'operator'],
  ['viewer', at('members'), [':drain web/10.0.1.11:8080', 'Enter'], 'operator'],
  ['operator', at('config'), ['n'], 'administrator'],
  ['operator', at('config'), ['/spare', 'Enter', 'x'], 'administrator'],
  ['operator', at('object', 'pools.web'), ['y'], 'administrator'],
  ['operator', at('revision', '7'), ['b'], 'administrator'],
  ['operator', at('pair'), ['i'], 'administrator'],
  ['operator', at('pair'), ['F'], 'administrator'],
  ['operator', at('certificates'), ['x'], 'administrator'],
  ['operator', at('users'), ['n'], 'administrator'],
] as const) {
  test(`${role}: ${typed.join(' ')} on ${place.screen} says what it needs, and asks nothing`, () => {
    const model = after(world({ place, answers: { me: me('vera', role) } }), ...keys(...typed));
    assert.is(model.notice?.text, `This needs the role ${needed}, and vera has the role ${role}.`);
    assert.is(model.overlay, null);
    assert.is(model.draft, null);
  });
}

test('what users did is asked for by administrators alone; others are told so', () => {
  const place = at('audit');
  const asks = (role: 'administrator' | 'viewer'): boolean =>
    wanted(world({ place, answers: { me: me('anna', role) } })).includes('audit');
  assert.equal([asks('administrator'), asks('viewer')], [true, false]);
  const viewer = world({ place, answers: { me: me('vera', 'viewer') } });
  assert.match(seen(viewer), /Revisions and events only: what users did is for administrators/);
});

test('an act is one row, however many ways it is told in', () => {
  const told: Action = {
    type: 'events',
    rows: [
      {
        ...event(9, 'anna (console) made the certificate shop'),
        ...{ kind: 'certificate', subject: { author: 'anna (console)' } },
      },
    ],
    past: false,
  };
  const place = at('audit');
  const lines = (model: Model): string[] => seen(after(model, told)).split('\n');
  const anna = world({ place, size: LARGE, answers: { me: me('anna', 'administrator') } });
  const may = {
    path: '/v1/audit?limit=500',
    value: null,
    problem: 'This needs another role.',
    at: THEN,
  };
  const vera = after(anna, { type: 'answer', topic: 'audit', answer: may });
  const administrator = lines(anna);
  const revision = administrator.filter((line) => line.includes('revision 7: two more members'));
  assert.is(revision.length, 1);
  assert.match(revision[0] ?? '', /root +root +revision 7.*done/, 'it has what the audit knows');
  assert.not.ok(administrator.some((line) => /apply a document config +done/.test(line)));
  assert.not.ok(administrator.some((line) => line.includes('made the certificate')));
  assert.ok(
    lines(vera).some((line) => line.includes('made the certificate')),
    'events stand in for an audit that may not be seen',
  );
});

test('an operator drains, and an administrator does everything', () => {
  const operator = world({ place: at('members'), answers: { me: me('otto', 'operator') } });
  assert.is(ordered(operator, 'd', 'y')?.type, 'act');
  const anna = world({ place: at('pair'), answers: { me: me('anna', 'administrator') } });
  assert.is(ordered(anna, 'F', 'y')?.type, 'act');
});

for (const [what, typed, call] of [
  [
    'add a user',
    ['nnew', 'Enter', 'Enter', 'pass words 1', 'Enter', 'pass words 1', 'Enter'],
    {
      ...{ method: 'POST', path: '/v1/users' },
      json: { name: 'new', role: 'operator', password: 'pass words 1' },
    },
  ],
  [
    'change a role',
    ['j', 'o', 'Left', 'Enter'],
    { method: 'PUT', path: '/v1/users/otto', json: { role: 'viewer' } },
  ],
  [
    'enable',
    ['jj', 'x', 'y'],
    { method: 'PUT', path: '/v1/users/vera', json: { disabled: false } },
  ],
  ['unlock', ['j', 'u', 'y'], { method: 'POST', path: '/v1/users/otto/unlock' }],
  ['remove', ['j', 'D', 'y'], { method: 'DELETE', path: '/v1/users/otto' }],
  ['revoke', ['G', 'D', 'y'], { method: 'DELETE', path: '/v1/tokens/ci' }],
  [
    'make a token',
    ['tbackup', 'Enter', 'Enter', 'Enter'],
    {
      ...{ method: 'POST', path: '/v1/tokens' },
      json: { name: 'backup', role: 'operator', 'lifetime-ms': 90 * 86_400_000 },
    },
  ],
] as const) {
  test(`the screen of users: ${what}`, () => {
    const effect = ordered(world({ place: at('users') }), ...typed);
    assert.is(effect?.type, 'act');
    assert.equal(effect?.type === 'act' ? effect.call : null, call);
  });
}

test('two passwords that differ change nothing', () => {
  const typed = ['p', 'pass words 1', 'Enter', 'pass words 2', 'Enter'];
  const model = after(world({ place: at('users') }), ...keys(...typed));
  assert.match(seen(model), /The two passwords differ/);
});

test.run();

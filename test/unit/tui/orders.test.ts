/** What the screens of the pair and the certificates order of the daemon, and what they ask before. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { BackupEffect, Effect, Model, Place } from '../../../tui/model.js';
import { step } from '../../../tui/step.js';
import { textOf } from '../../../tui/frame.js';
import { askRestore } from '../../../tui/system-keys.js';
import { view } from '../../../tui/view.js';
import { BACKUP } from '../api/fake-system.js';
import { ALONE, INVITED } from '../api/fake-pair.js';
import { CERTIFICATE } from '../api/fake-certificates.js';
import { after, keys, world } from './world.js';

const test = suite('tui: orders');
const at = (screen: Place['screen'], name = ''): Place => ({ screen, name, pool: '' });

function ordered(model: Model, ...typed: readonly string[]): Effect | undefined {
  const actions = keys(...typed);
  const last = actions.at(-1);
  assert.ok(last);
  return step(after(model, ...actions.slice(0, -1)), last).effects[0];
}

function call(effect: Effect | undefined): object | null {
  return effect !== undefined && 'call' in effect ? effect.call : null;
}

const question = ({ overlay }: Model): string =>
  overlay?.kind === 'confirm' ? overlay.question : '';

for (const [what, place, typed, expected] of [
  [
    'invite',
    'pair',
    ['i10.0.0.1, 10.0.0.2', 'Enter'],
    { method: 'POST', path: '/v1/pair/invite', json: { addresses: ['10.0.0.1', '10.0.0.2'] } },
  ],
  [
    'join',
    'pair',
    ['p10.0.0.1', 'Enter', ' CODE ', 'Enter'],
    { method: 'POST', path: '/v1/pair/join', json: { code: 'CODE', address: '10.0.0.1' } },
  ],
  [
    'ping',
    'network',
    ['p10.0.0.254', 'Enter'],
    { method: 'POST', path: '/v1/network/ping', json: { address: '10.0.0.254' } },
  ],
  [
    'trace the way',
    'network',
    ['t10.0.0.254', 'Enter'],
    { method: 'POST', path: '/v1/network/traceroute', json: { address: '10.0.0.254' } },
  ],
  [
    'look up a name',
    'network',
    ['nwww.example.org', 'Enter', '10.0.0.53', 'Enter'],
    {
      method: 'POST',
      path: '/v1/network/resolve',
      json: { name: 'www.example.org', server: '10.0.0.53' },
    },
  ],
  [
    'try a member',
    'members',
    ['t'],
    { method: 'POST', path: '/v1/pools/web/members/10.0.1.11%3A8080/try', json: {} },
  ],
  [
    'back up',
    'system',
    ['b/root/a', 'Enter', 'Enter', 'correct horse', 'Enter', 'correct horse', 'Enter'],
    {
      method: 'POST',
      path: '/v1/system/backup',
      json: { scope: 'unit' },
      passphrase: 'correct horse',
    },
  ],
  [
    'take a support bundle',
    'system',
    ['B/tmp/a.tar.gz', 'Enter', 'Right', 'Enter'],
    { method: 'POST', path: '/v1/system/support-bundle', json: { 'mask-addresses': true } },
  ],
  [
    'erase',
    'system',
    ['Eweir-a', 'Enter', 'Enter'],
    {
      method: 'POST',
      path: '/v1/system/factory-reset',
      json: { name: 'weir-a', 'keep-logs': false },
    },
  ],
  [
    'reboot',
    'system',
    ['P', 'Right', 'Enter'],
    { method: 'POST', path: '/v1/system/power', json: { action: 'reboot' } },
  ],
  [
    'upgrade',
    'system',
    ['u/data/next', 'Enter', 'Right', 'Enter', 'Enter'],
    {
      method: 'POST',
      path: '/v1/upgrade',
      json: { file: '/data/next', pair: true, 'allow-older': false },
    },
  ],
  ['go back a slot', 'system', ['O', 'y'], { method: 'POST', path: '/v1/upgrade/back', json: {} }],
  ['leave', 'pair', ['L', 'y'], { method: 'DELETE', path: '/v1/pair' }],
  [
    'fail one over',
    'pair',
    ['j', 'f', 'y'],
    {
      method: 'POST',
      path: '/v1/routers/failover',
      json: { router: 'odd/eth0/ipv4', cancel: false },
    },
  ],
  [
    'fail all over',
    'pair',
    ['F', 'y'],
    { method: 'POST', path: '/v1/routers/failover', json: { router: null, cancel: false } },
  ],
  [
    'take them back',
    'pair',
    ['u', 'y'],
    { method: 'POST', path: '/v1/routers/failover', json: { router: null, cancel: true } },
  ],
  [
    'remove a certificate',
    'certificates',
    ['j', 'x', 'y'],
    { method: 'DELETE', path: '/v1/certificates/shop.example', query: { request: undefined } },
  ],
  [
    'request one',
    'certificates',
    ['cnew', 'Enter', 'a.example b.example', 'Enter', 'Right', 'Enter', 'CN=a', 'Enter', 'Enter'],
    {
      method: 'POST',
      path: '/v1/certificates/new/request',
      json: {
        names: ['a.example', 'b.example'],
        key: 'ecdsa-p384',
        replace: false,
        subject: 'CN=a',
      },
    },
  ],
  [
    'make one by an authority',
    'certificates',
    [
      'mnew',
      'Enter',
      'a.example',
      'Enter',
      'Enter',
      'Enter',
      'Enter',
      'la',
      'Tab',
      'Enter',
      'Enter',
    ],
    {
      method: 'POST',
      path: '/v1/certificates/new/self-signed',
      json: {
        names: ['a.example'],
        key: 'ecdsa-p256',
        replace: false,
        'lifetime-ms': 90 * 86_400_000,
        ca: 'lab',
      },
    },
  ],
] as const) {
  test(`keys order: ${what}`, () => {
    assert.equal(call(ordered(world({ place: at(place) }), ...typed)), expected);
  });
}

test('only what the unit obtains by itself is obtained anew', () => {
  assert.is(after(world({ place: at('certificate', 'shop.example') }), ...keys('n')).overlay, null);
  const certificate = { ...CERTIFICATE, declared: 'acme' as const };
  const acme = world({ place: at('certificate', 'shop.example'), answers: { certificate } });
  const path = '/v1/certificates/shop.example/renew';
  assert.equal(call(ordered(acme, 'n', 'y')), { method: 'POST', path });
});

test('without an answer nothing is ordered', () => {
  for (const typed of [
    ['L', 'n'],
    ['F', 'Esc'],
    ['f', 'Enter'],
    ['p10.0.0.1', 'Esc'],
    ['i', 'Esc'],
  ]) {
    assert.is(call(ordered(world({ place: at('pair') }), ...typed)), null, typed.join(' '));
  }
  assert.is(call(ordered(world({ place: at('certificates') }), 'x', 'n')), null);
});

test('what is missing is said, and what was typed stays', () => {
  const asked = after(world({ place: at('pair') }), ...keys('p', 'Tab', 'CODE', 'Enter'));
  const { overlay } = asked;
  assert.is(overlay?.kind === 'ask' ? overlay.problem : '', 'Give an address of the other unit.');
  assert.is(overlay?.kind === 'ask' ? overlay.fields[1]?.text : '', 'CODE');
});

test('the warning of a failover names addresses and services that move, and those only', () => {
  const asked = question(after(world({ place: at('pair') }), ...keys('f')));
  assert.match(asked, /10\.0\.0\.80, 10\.0\.0\.82 move .* shop/);
  assert.not.match(asked, /10\.0\.0\.81/);
  const backup = question(after(world({ place: at('pair') }), ...keys('j', 'f')));
  assert.match(backup, /holds none of their addresses/);
});

test('a unit that is alone has nothing to leave or to fail over', () => {
  const alone = world({ place: at('pair'), answers: { pair: ALONE, routers: [] } });
  for (const key of ['L', 'f', 'F', 'u']) assert.is(after(alone, ...keys(key)).overlay, null, key);
});

test('the code of an invitation is shown when it comes, and nowhere once that is closed', () => {
  const shown = after(world({ place: at('pair') }), {
    type: 'done',
    text: '',
    about: 'invited',
    value: INVITED,
  });
  assert.match(textOf(view(shown)), new RegExp(INVITED.code));
  const closed = after(shown, ...keys('Esc'));
  assert.not.match(textOf(view(closed)), new RegExp(INVITED.code));
  assert.not.match(JSON.stringify({ ...closed, history: null }), new RegExp(INVITED.code));
});

test('a failover that nobody took is said', () => {
  const value = { routers: [], remaining: ['even/eth0/ipv4'] };
  const { overlay } = after(world({ place: at('pair') }), {
    type: 'done',
    text: '',
    about: 'failover',
    value,
  });
  assert.match(overlay?.kind === 'message' ? overlay.text : '', /still holds even\/eth0\/ipv4/);
});

test('a request is shown to be sent, on the screen of its certificate', () => {
  const made = after(world({ place: at('certificates') }), {
    type: 'done',
    text: '',
    about: 'request',
    value: CERTIFICATE,
  });
  assert.equal(made.place, at('certificate', 'shop.example'));
  assert.match(textOf(view(made)), /BEGIN CERTIFICATE REQUEST/);
});

test('pasted PEM is sent as octets, and forgotten once it is imported', () => {
  const pasted = after(
    world({ place: at('certificates') }),
    ...keys('pnew', 'Enter', 'Enter', 'Enter', '-KEY-'),
  );
  assert.is(pasted.place.screen, 'editor');
  const effect = step(pasted, keys('C-s')[0]!).effects[0];
  const sent = effect?.type === 'act' ? effect.call : null;
  assert.is(sent?.path, '/v1/certificates/new');
  assert.is(sent?.octets?.toString(), '-KEY-\n');
  const done = after(pasted, { type: 'done', text: 'Imported.', about: 'certificates', value: {} });
  assert.is(done.place.screen, 'certificates');
  assert.not.match(JSON.stringify({ ...done, history: null }), /-KEY-/);
});

test('a unit is erased only when its name was typed', () => {
  const model = after(world({ place: at('system') }), ...keys('Eweir-b', 'Enter', 'Enter'));
  assert.is(
    model.overlay?.kind === 'ask' && model.overlay.problem,
    'Type weir-a to erase it; Esc leaves everything as it is.',
  );
});

test('where the host does not let Weir, nothing is rebooted', () => {
  const there = world({ place: at('system') });
  const system = { ...there.data.system!, value: { unit: 'weir-a', power: false, copies: '/' } };
  const model = after({ ...there, data: { ...there.data, system } }, ...keys('P'));
  assert.match(model.overlay?.kind === 'message' ? model.overlay.text : '', /--power systemctl/);
});

test('a backup is looked into, and restored after yes alone; a passphrase is never drawn', () => {
  const system = world({ place: at('system') });
  const typed = ['t/root/a', 'Enter', 'correct horse', 'Enter'];
  const shown = textOf(view(after(system, ...keys(...typed))));
  assert.not.match(shown, /correct/);
  const from: BackupEffect = {
    type: 'inspect',
    file: '/root/a',
    passphrase: 'correct horse',
    configurationOnly: false,
  };
  assert.equal(ordered(system, ...typed, 'Enter'), from);
  const asked = after(system, { type: 'asks', overlay: askRestore(BACKUP, from) });
  assert.match(
    question(asked),
    /1 change of the configuration[\s\S]*adds the certificate shop.example/,
  );
  assert.not.match(textOf(view(asked)), /correct/);
  assert.equal(ordered(asked, 'y'), { ...from, type: 'restore' });
  assert.is(ordered(asked, 'n'), undefined);
  const refusal = 'There is no room.';
  const not = askRestore({ ...BACKUP, restore: { ...BACKUP.restore, refusal } }, from);
  assert.is(not.kind === 'message' && not.text, refusal);
});

test.run();

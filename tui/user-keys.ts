/** The keys of the screen of users and tokens, what is asked before, and what answers mean. */
import { ROLES, type Role } from '../appliance/api/user-contract.js';
import { asking } from './acted.js';
import { answersOf, ask, askField, type Ask, type AskField } from './ask.js';
import type { Key } from './keys.js';
import type { Effect, Model, Overlay } from './model.js';
import { accountAt, type AccountRow } from './screens/users.js';
import type { Step } from './step.js';

const DAY_MS = 86_400_000;

const pathOf = ({ kind, name }: Pick<AccountRow, 'kind' | 'name'>): string =>
  `/v1/${kind}s/${encodeURIComponent(name)}`;

const passwords = (): AskField[] => [
  askField('password', 'Password', { secret: true }),
  askField('again', 'Again', { secret: true }),
];
const roleField = (text: Role): AskField => askField('role', 'Role', { text, choices: ROLES });

export function userKey(model: Model, key: Key): Step | null {
  if (model.place.screen !== 'users' || key.ctrl) return null;
  const open = (overlay: Overlay): Step => ({ model: { ...model, overlay }, effects: [] });
  const row = accountAt(model);
  const first = model.data.users?.value?.length === 0;
  switch (key.character) {
    case 'n':
      return open(
        ask(
          'New user',
          first
            ? 'The first user is an administrator. Then all but root log in.'
            : 'viewer: looks. operator: also drains and weighs members. administrator: everything.',
          { type: 'new-user' },
          [
            askField('name', 'Name'),
            roleField(first ? 'administrator' : 'operator'),
            ...passwords(),
          ],
        ),
      );
    case 't':
      return open(
        ask('New token', 'For scripts. Its secret is shown once.', { type: 'new-token' }, [
          askField('name', 'Name'),
          roleField('operator'),
          askField('days', 'Days', { text: '90' }),
        ]),
      );
    default:
      return row === null ? null : rowKey(row, key, open);
  }
}

function rowKey(row: AccountRow, key: Key, open: (overlay: Overlay) => Step): Step | null {
  const { kind, name } = row;
  const sure = (question: string, call: Extract<Effect, { type: 'act' }>['call'], done: string) =>
    open({ kind: 'confirm', question, effects: [{ type: 'act', call, done }] });
  if (key.character === 'D') {
    const what = kind === 'user' ? 'Its sessions end.' : 'It opens nothing any more.';
    const call = { method: 'DELETE', path: pathOf(row) } as const;
    return sure(`Remove the ${kind} ${name}?\n${what}`, call, `Removed ${name}.`);
  }
  if (kind === 'token') return null;
  const path = pathOf(row);
  switch (key.character) {
    case 'o':
      return open(
        ask(`Role of ${name}`, 'It holds at once.', { type: 'role', name }, [roleField(row.role)]),
      );
    case 'p':
      return open(
        ask(`Password of ${name}`, 'Its sessions end.', { type: 'password', name }, passwords()),
      );
    case 'x': {
      const disabled = !row.disabled;
      const question = disabled
        ? `Disable ${name}?\nIts sessions end, and it cannot log in.`
        : `Enable ${name}?\nIt can log in again.`;
      const done = `${name} is ${disabled ? 'disabled' : 'enabled'}.`;
      return sure(question, { method: 'PUT', path, json: { disabled } }, done);
    }
    case 'u': {
      const call = { method: 'POST', path: `${path}/unlock` } as const;
      return sure(`Try logins as ${name} again now?`, call, `Logins as ${name} are tried.`);
    }
    default:
      return null;
  }
}

export function ownPassword(): Ask {
  return ask(
    'Your password',
    'Your sessions end: log in again with it.',
    { type: 'own-password' },
    [askField('old', 'Old', { secret: true }), ...passwords()],
  );
}

/** Null: the answer is for something else. A sentence: what is wrong with it. */
export function answerUser(model: Model, now: Ask): Step | string | null {
  const { name = '', role = '', days = '', old = '', password = '', again = '' } = answersOf(now);
  const differ = password === again ? null : 'The two passwords differ.';
  const acting = (call: Extract<Effect, { type: 'act' }>['call'], done: string): Step =>
    asking(model, { type: 'act', call, done });
  switch (now.purpose.type) {
    case 'new-user': {
      if (name === '') return 'Give a name.';
      const json = { name, role, password };
      return differ ?? acting({ method: 'POST', path: '/v1/users', json }, `Added ${name}.`);
    }
    case 'role': {
      const call = {
        method: 'PUT',
        path: pathOf({ kind: 'user', name: now.purpose.name }),
      } as const;
      return acting({ ...call, json: { role } }, `${now.purpose.name} is ${role}.`);
    }
    case 'password': {
      const path = pathOf({ kind: 'user', name: now.purpose.name });
      const done = `${now.purpose.name} has a new password.`;
      return differ ?? acting({ method: 'PUT', path, json: { password } }, done);
    }
    case 'own-password': {
      const json = { old, password };
      const call = { method: 'POST', path: '/v1/me/password', json } as const;
      return differ ?? acting(call, 'You have a new password.');
    }
    case 'new-token': {
      if (name === '') return 'Give a name.';
      if (!/^\d{1,4}$/.test(days) || Number(days) < 1) return 'Give the days as a whole number.';
      const json = { name, role, 'lifetime-ms': Number(days) * DAY_MS };
      const call = { method: 'POST', path: '/v1/tokens', json } as const;
      return asking(model, { type: 'act', call, done: `Made ${name}.`, about: 'token' });
    }
    default:
      return null;
  }
}

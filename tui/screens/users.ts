/** Users and tokens in one table. */
import type { Role, TokenRow, UserRow } from '../../appliance/api/contract.js';
import { duration, timestamp } from '../../appliance/cli/format.js';
import { span } from '../frame.js';
import { type Model } from '../model.js';
import { answerOf } from '../topics.js';
import type { Column } from '../table.js';
import { selectedKey } from './tables.js';
import { sheet, type Sheet } from './sheet.js';

export interface AccountRow {
  readonly kind: 'user' | 'token';
  readonly name: string;
  readonly role: Role;
  readonly state: string;
  readonly well: boolean;
  readonly last: number | null;
  readonly disabled: boolean;
}

function ofUser(
  { name, role, disabled, lockedUntil, lastLogin }: UserRow,
  now: number,
): AccountRow {
  const locked = lockedUntil !== null && lockedUntil > now;
  const state = disabled
    ? 'disabled'
    : locked
      ? `locked for ${duration(lockedUntil - now)}`
      : 'enabled';
  return { kind: 'user', name, role, disabled, state, well: !disabled && !locked, last: lastLogin };
}

function ofToken({ name, role, expires, lastUsed }: TokenRow, now: number): AccountRow {
  const well = expires === null || expires > now;
  const until = expires === null ? 'without end' : `until ${timestamp(expires)}`;
  const state = well ? until : 'expired';
  return { kind: 'token', name, role, disabled: false, state, well, last: lastUsed };
}

export function accountRows(model: Model): AccountRow[] | null {
  const users = answerOf(model, 'users').value;
  const tokens = answerOf(model, 'tokens').value;
  if (users === null || tokens === null) return null;
  return [
    ...users.map((row) => ofUser(row, model.now)),
    ...tokens.map((row) => ofToken(row, model.now)),
  ];
}

const keyOf = ({ kind, name }: AccountRow): string => `${kind} ${name}`;

const COLUMNS: readonly Column<AccountRow>[] = [
  { title: 'NAME', value: ({ name }) => name, shrinkTo: 10 },
  { title: 'KIND', value: ({ kind }) => kind },
  { title: 'ROLE', value: ({ role }) => role },
  { title: 'STATE', value: ({ state }) => state, style: ({ well }) => (well ? 'plain' : 'bad') },
  {
    title: 'LAST SEEN',
    value: ({ last }) => (last === null ? '-' : timestamp(last)),
    order: ({ last }) => last ?? 0,
  },
];

export function userSheet(model: Model): Sheet {
  return sheet<AccountRow>(model, {
    rows: accountRows(model),
    problem: answerOf(model, 'users').problem,
    columns: COLUMNS,
    keyOf,
    head: [
      [
        span(
          model.look,
          'n new user  t new token  o role  p password  x disable  u unlock  D remove',
          'dim',
        ),
      ],
    ],
    empty: [
      'No users: everybody who may use the socket is administrator.',
      'n adds the first one, an administrator; then all but root log in.',
    ],
  });
}

export function accountAt(model: Model): AccountRow | null {
  const key = selectedKey(model);
  return accountRows(model)?.find((row) => keyOf(row) === key) ?? null;
}

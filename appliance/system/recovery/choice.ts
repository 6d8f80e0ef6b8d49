/** What the console says and understands when a password is to be changed. Pure. */
import type { UserRow } from '../../api/contract.js';

type Row = Pick<UserRow, 'name' | 'role' | 'disabled'>;

export type Answer<R extends Row> =
  | { readonly kind: 'nobody' }
  | { readonly kind: 'unknown'; readonly why: string }
  | { readonly kind: 'user'; readonly user: R };

/** Who there is, and what to type. */
export function offer(rows: readonly Row[]): string {
  if (rows.length === 0) {
    return 'This unit has no users, so no password: the dashboard comes up and asks nobody.';
  }
  const lines = rows.map(
    ({ name, role, disabled }) => `  ${name}, ${role}${disabled ? ', disabled' : ''}`,
  );
  return [
    'Users of this unit:',
    ...lines,
    'Type a name to give it a new password; a disabled user is enabled by that. Nothing: the dashboard.',
  ].join('\n');
}

export function nameToChange<R extends Row>(typed: string, rows: readonly R[]): Answer<R> {
  const name = typed.trim();
  if (name === '') return { kind: 'nobody' };
  const user = rows.find((row) => row.name === name);
  if (user !== undefined) return { kind: 'user', user };
  return { kind: 'unknown', why: `There is no user "${name}": type one of the list.` };
}

/** `user`, `token`, `audit`: who may do what on this unit, and who did. */
import { InvalidArgumentError, Option, type Command } from 'commander';
import type { AuditRow, Role, TokenCreated, TokenRow, UserRow } from '../api/contract.js';
import { ROLES } from '../api/user-contract.js';
import { parseSpan } from './access.js';
import { examples, wholeNumber } from './arguments.js';
import { answer, clientOf, type Context } from './context.js';
import { CliError, EXIT } from './exit-codes.js';
import { duration, timestamp } from './format.js';
import {
  again,
  PASSWORD_OPTION,
  type PasswordOptions,
  readNewPassword,
  readPasswords,
} from './password-input.js';
import { table, type Column } from './table.js';

const roleOption = (): Option => new Option('--role <role>', 'what they may do').choices(ROLES);
const pathOf = (name: string): string => `/v1/users/${encodeURIComponent(name)}`;

export function addUserCommands(program: Command, context: Context): void {
  const user = program
    .command('user')
    .helpCommand(false)
    .summary('users of the unit and their roles')
    .description(
      'Shows and changes who may use this unit. A viewer looks; an operator also drains, enables,\n' +
        'disables and weighs members; an administrator does everything. Once there is a user, all but\n' +
        'root log in.',
    )
    .addHelpText(
      'after',
      examples(
        ['weir user list', 'who there is'],
        ['weir user add anna --role administrator', 'asks for a password'],
      ),
    );
  user
    .command('list')
    .summary('who there is')
    .description('Shows the users, their roles, last logins, and logins that are not tried now.')
    .addHelpText('after', examples(['weir user list', 'who there is']))
    .action(async (_options: object, command: Command) => {
      const rows = await clientOf(command, context).json<UserRow[]>({ path: '/v1/users' });
      await answer(command, context, rows, () => usersText(context, rows));
    });
  user
    .command('add')
    .summary('add a user')
    .description('Adds a user. The first one must be an administrator.')
    .argument('<name>', 'a-z 0-9 . _ -')
    .addOption(roleOption().makeOptionMandatory())
    .option(...PASSWORD_OPTION)
    .addHelpText('after', examples(['weir user add otto --role operator', 'asks for a password']))
    .action(async (name: string, options: PasswordOptions & { role: Role }, command: Command) => {
      const password = await readNewPassword(context, options);
      const row = await clientOf(command, context).json<UserRow>({
        ...{ method: 'POST', path: '/v1/users', json: { name, role: options.role, password } },
      });
      await answer(command, context, row, () => `Added ${row.name}, ${row.role}.\n`);
    });
  user
    .command('set')
    .summary('change the role of a user, or disable it')
    .description(
      'Changes the role of a user, or whether it may log in. It holds at once, also for open sessions.',
    )
    .argument('<name>', 'the user')
    .addOption(roleOption())
    .option('--disable', 'no login, and open sessions end')
    .option('--enable', 'logins again')
    .addHelpText('after', examples(['weir user set otto --role viewer', 'looks only']))
    .action(async (name: string, options: SetOptions, command: Command) => {
      const { role, disable, enable } = options;
      if (disable === true && enable === true) {
        throw new CliError(EXIT.usage, 'Give --disable or --enable, not both.');
      }
      const disabled = disable === true ? true : enable === true ? false : undefined;
      if (role === undefined && disabled === undefined) {
        throw new CliError(EXIT.usage, 'Give --role, --disable or --enable.');
      }
      const row = await clientOf(command, context).json<UserRow>({
        ...{ method: 'PUT', path: pathOf(name), json: { role, disabled } },
      });
      await answer(
        command,
        context,
        row,
        () => `${row.name} is ${row.role}${row.disabled ? ', disabled' : ''}.\n`,
      );
    });
  user
    .command('password')
    .summary('change a password')
    .description(
      'Gives a user a new password, or without a name changes your own. Its sessions end.\n' +
        'With --password-stdin your own takes two lines: the old one and the new one.',
    )
    .argument('[name]', 'the user; left out: yourself')
    .option(...PASSWORD_OPTION)
    .addHelpText('after', examples(['weir user password', 'your own']))
    .action(async (name: string | undefined, options: PasswordOptions, command: Command) => {
      const client = clientOf(command, context);
      let row: UserRow;
      if (name === undefined) {
        const asked = await readPasswords(context, options, ['Old password', 'New password']);
        const [old = '', password = ''] = asked;
        await again(context, options, password);
        const json = { old, password };
        row = await client.json({ method: 'POST', path: '/v1/me/password', json });
      } else {
        const password = await readNewPassword(context, options);
        row = await client.json({ method: 'PUT', path: pathOf(name), json: { password } });
      }
      const said = `${row.name} has a new password, and logs in again with it.\n`;
      await answer(command, context, row, () => said);
    });
  user
    .command('remove')
    .summary('remove a user')
    .description('Removes a user; its sessions end. The last administrator stays.')
    .argument('<name>', 'the user')
    .addHelpText('after', examples(['weir user remove otto', 'no login any more']))
    .action(async (name: string, _options: object, command: Command) => {
      const rows = await clientOf(command, context).json<UserRow[]>({
        ...{ method: 'DELETE', path: pathOf(name) },
      });
      await answer(command, context, rows, () => `Removed ${name}.\n`);
    });
  user
    .command('unlock')
    .summary('end a lock-out')
    .description('Has logins of a user tried again before its lock-out ends by itself.')
    .argument('<name>', 'the user')
    .addHelpText('after', examples(['weir user unlock anna', 'try again now']))
    .action(async (name: string, _options: object, command: Command) => {
      const row = await clientOf(command, context).json<UserRow>({
        ...{ method: 'POST', path: `${pathOf(name)}/unlock` },
      });
      await answer(command, context, row, () => `Logins as ${row.name} are tried.\n`);
    });
  addTokenCommands(program, context);
  addAuditCommand(program, context);
}

interface SetOptions {
  readonly role?: Role;
  readonly disable?: boolean;
  readonly enable?: boolean;
}

function addTokenCommands(program: Command, context: Context): void {
  const token = program
    .command('token')
    .helpCommand(false)
    .summary('tokens for scripts')
    .description(
      'Shows, makes and revokes tokens, by which scripts use this unit: WEIR_TOKEN=… weir status.',
    )
    .addHelpText('after', examples(['weir token list', 'which there are']));
  token
    .command('list')
    .summary('which there are')
    .description('Shows the tokens, their roles, their ends and when they were used last.')
    .addHelpText('after', examples(['weir token list', 'which there are']))
    .action(async (_options: object, command: Command) => {
      const rows = await clientOf(command, context).json<TokenRow[]>({ path: '/v1/tokens' });
      await answer(command, context, rows, () =>
        table(
          rows,
          tokenColumns(context.now()),
          context.look,
          { width: context.width },
          'No tokens.',
        ),
      );
    });
  token
    .command('create')
    .summary('make a token')
    .description('Makes a token and prints its secret, which nobody can ask for again.')
    .argument('<name>', 'a-z 0-9 . _ -: what for')
    .addOption(roleOption().makeOptionMandatory())
    .requiredOption('--expires <time>', "how long it is good, such as 90d, or 'never'", parseEnd)
    .addHelpText(
      'after',
      examples(['weir token create ci --role operator --expires 90d', 'for a pipeline']),
    )
    .action(
      async (name: string, options: { role: Role; expires: number | null }, command: Command) => {
        const { role, expires } = options;
        const end = expires === null ? {} : { 'lifetime-ms': expires };
        const made = await clientOf(command, context).json<TokenCreated>({
          ...{ method: 'POST', path: '/v1/tokens', json: { name, role, ...end } },
        });
        const until = made.expires === null ? 'without end' : `until ${timestamp(made.expires)}`;
        await answer(command, context, made, () => {
          context.err(
            `Token ${made.name}, ${made.role}, ${until}. Keep it: it is not shown again.\n`,
          );
          return `${made.token}\n`;
        });
      },
    );
  token
    .command('revoke')
    .summary('end a token')
    .description('Ends a token at once.')
    .argument('<name>', 'the token')
    .addHelpText('after', examples(['weir token revoke ci', 'it opens nothing any more']))
    .action(async (name: string, _options: object, command: Command) => {
      const rows = await clientOf(command, context).json<TokenRow[]>({
        ...{ method: 'DELETE', path: `/v1/tokens/${encodeURIComponent(name)}` },
      });
      await answer(command, context, rows, () => `Revoked ${name}.\n`);
    });
}

function addAuditCommand(program: Command, context: Context): void {
  program
    .command('audit')
    .summary('who did what, and from where')
    .description(
      'Shows who did what, from where, and what came of it: changes, logins, and what was refused.',
    )
    .option('-n, --limit <number>', 'how many', wholeNumber(1, 10_000), 50)
    .option(
      '--before <number>',
      'only older ones than this',
      wholeNumber(1, Number.MAX_SAFE_INTEGER),
    )
    .addHelpText('after', examples(['weir audit', 'the newest 50']))
    .action(
      async (query: { readonly limit: number; readonly before?: number }, command: Command) => {
        const rows = await clientOf(command, context).json<AuditRow[]>({
          ...{ path: '/v1/audit', query: { ...query } },
        });
        await answer(command, context, rows, () =>
          table(rows, auditColumns, context.look, { width: context.width }, 'Nothing yet.'),
        );
      },
    );
}

function parseEnd(text: string): number | null {
  if (text === 'never') return null;
  const span = parseSpan(text);
  if (span < 60_000) throw new InvalidArgumentError("Give a time from 1m to 365d, or 'never'.");
  return span;
}

function usersText(context: Context, rows: readonly UserRow[]): string {
  const none = 'No users: everybody who may use the socket is administrator.';
  return table(rows, userColumns(context.now()), context.look, { width: context.width }, none);
}

function userColumns(now: number): readonly Column<UserRow>[] {
  return [
    { title: 'USER', value: ({ name }) => name },
    { title: 'ROLE', value: ({ role }) => role },
    {
      title: 'STATE',
      value: ({ disabled, lockedUntil }) =>
        disabled
          ? 'disabled'
          : lockedUntil === null
            ? 'enabled'
            : `locked for ${duration(Math.max(0, lockedUntil - now))}`,
      colour: ({ disabled, lockedUntil }) => (disabled || lockedUntil !== null ? 'red' : null),
    },
    { title: 'SESSIONS', align: 'right', value: ({ sessions }) => String(sessions) },
    {
      title: 'LAST LOGIN',
      value: ({ lastLogin }) => (lastLogin === null ? '-' : timestamp(lastLogin)),
    },
  ];
}

function tokenColumns(now: number): readonly Column<TokenRow>[] {
  return [
    { title: 'TOKEN', value: ({ name }) => name },
    { title: 'ROLE', value: ({ role }) => role },
    {
      title: 'EXPIRES',
      value: ({ expires }) => (expires === null ? 'never' : timestamp(expires)),
      colour: ({ expires }) => (expires !== null && expires <= now ? 'red' : null),
    },
    {
      title: 'LAST USED',
      value: ({ lastUsed }) => (lastUsed === null ? '-' : timestamp(lastUsed)),
    },
    { title: 'AUTHOR', value: ({ author }) => author, shrinkTo: 6, dispensable: 1 },
  ];
}

const auditColumns: readonly Column<AuditRow>[] = [
  { title: 'NUMBER', align: 'right', value: ({ number }) => String(number), dispensable: 1 },
  { title: 'TIME', value: ({ time }) => timestamp(time) },
  { title: 'WHO', value: ({ author }) => author, shrinkTo: 10 },
  { title: 'FROM', value: ({ from }) => from, dispensable: 2 },
  { title: 'ACT', value: ({ act }) => act, shrinkTo: 10 },
  { title: 'OBJECT', value: ({ object }) => object || '-', shrinkTo: 10 },
  {
    title: 'RESULT',
    value: ({ status, reason }) => (status < 400 ? 'done' : `${status} ${reason}`.trim()),
    colour: ({ status }) => (status < 400 ? null : 'red'),
    shrinkTo: 12,
  },
];

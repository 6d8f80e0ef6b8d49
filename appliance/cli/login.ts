/** `login`, `logout`, `whoami`: who the command is to the daemon. */
import type { Command } from 'commander';
import type { LoggedIn, Me } from '../api/contract.js';
import { askLine, terminalThere } from './ask.js';
import { examples } from './arguments.js';
import { Client } from './client.js';
import { answer, clientOf, type Context, socketFor } from './context.js';
import { CliError, EXIT } from './exit-codes.js';
import { timestamp } from './format.js';
import { PASSWORD_OPTION, type PasswordOptions, readPasswords } from './password-input.js';
import { keepSession, sessionFor } from './session-file.js';

export function addLoginCommands(program: Command, context: Context): void {
  program
    .command('login')
    .summary('log in as a user of the unit')
    .description(
      'Logs in as a user of the unit. The session is kept for this user of the system, under\n' +
        'XDG_RUNTIME_DIR, until it is over or you log out. Scripts use a token in WEIR_TOKEN instead.',
    )
    .argument('[name]', 'the user; asked for when left out')
    .option(...PASSWORD_OPTION)
    .addHelpText('after', examples(['weir login anna', 'asks for the password']))
    .action(async (given: string | undefined, options: PasswordOptions, command: Command) => {
      if (given === undefined && !terminalThere()) {
        throw new CliError(EXIT.usage, 'Name the user: weir login NAME.');
      }
      const name = given ?? (await askLine(context, 'User: ')).trim();
      const [password = ''] = await readPasswords(context, options, [`Password of ${name}`]);
      const socket = socketFor(command, context);
      // Whatever session there was is of no use for this.
      const session = await new Client(socket).json<LoggedIn>({
        ...{ method: 'POST', path: '/v1/login', json: { name, password } },
      });
      const { token, ...told } = session;
      keepSession(context, socket, { token, expires: told.expires });
      await answer(
        command,
        context,
        told,
        () => `Logged in as ${told.name} (${told.role}) until ${timestamp(told.expires)}.\n`,
      );
    });

  program
    .command('logout')
    .summary('end the session')
    .description('Ends the session of this user of the system, here and at the daemon.')
    .addHelpText('after', examples(['weir logout', 'end the session']))
    .action(async (_options: object, command: Command) => {
      const socket = socketFor(command, context);
      const token = sessionFor(context, socket);
      keepSession(context, socket, null);
      let ended = false;
      if (token !== null) {
        const client = new Client(socket);
        client.secret = token;
        try {
          await client.json({ method: 'POST', path: '/v1/logout' });
          ended = true;
        } catch (error) {
          // It was over already.
          if (!(error instanceof CliError) || error.code !== EXIT.login) throw error;
        }
      }
      await answer(command, context, { ended }, () =>
        ended ? 'Logged out.\n' : 'There was no session.\n',
      );
    });

  program
    .command('whoami')
    .summary('who this command is to the daemon')
    .description('Shows as whom the daemon sees this command, and with which role.')
    .addHelpText('after', examples(['weir whoami', 'name, role, and why']))
    .action(async (_options: object, command: Command) => {
      const me = await clientOf(command, context).json<Me>({ path: '/v1/me' });
      await answer(command, context, me, () => `${meText(me)}\n`);
    });
}

const VIA: Readonly<Record<Me['via'], string>> = {
  root: 'as root of this system',
  local: 'as a user of this system, while the unit has no users',
  session: 'by a session',
  token: 'by a token',
};

function meText({ author, role, via, expires }: Me): string {
  const until = expires === null ? '' : ` until ${timestamp(expires)}`;
  return `${author}: ${role}, ${VIA[via]}${until}`;
}

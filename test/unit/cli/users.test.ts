/** `weir user`, `token`, `login` and the like: what is asked, kept and printed; no password is an argument. */
import { chmodSync, existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PASSWORD } from '../../support/user-scene.js';
import { needs } from '../../support/needs.js';
import { withTerminal } from '../../support/terminal.js';
import { withApi, withFolder, type Fixture } from '../api/fixture.js';
import { program, type Ran, weir } from './weir.js';

const test = suite('cli: users');

type Run = (words: string, input?: string, environment?: Record<string, string>) => Promise<Ran>;

function withRun(
  act: (run: Run, fixture: Fixture, runtime: string) => Promise<void>,
): Promise<void> {
  return withApi((fixture) =>
    withFolder((runtime) =>
      act(
        (words, input = '', environment = {}) =>
          weir(words.split(' '), {
            ...{ socket: fixture.socket, input },
            environment: { XDG_RUNTIME_DIR: runtime, ...environment },
          }),
        fixture,
        runtime,
      ),
    ),
  );
}

async function done(ran: Promise<Ran>): Promise<string> {
  const { code, out, err } = await ran;
  assert.equal([code, err], [0, '']);
  return out;
}

needs.root(test)('users are added, changed, listed and removed', () =>
  withRun(async (run) => {
    assert.match(await done(run('user list')), /^No users: everybody/);
    const stdin = '--password-stdin';
    const first = await run(`user add otto --role operator ${stdin}`, `${PASSWORD}\n`);
    assert.equal([first.code, first.err.includes('must be an administrator')], [5, true]);
    await done(run(`user add anna --role administrator ${stdin}`, `${PASSWORD}\n`));
    await done(run(`user add otto --role operator ${stdin}`, `${PASSWORD}\n`));
    assert.match(
      await done(run('user set otto --role viewer --disable')),
      /otto is viewer, disabled/,
    );
    assert.match(
      await done(run('user list')),
      /anna +administrator +enabled[^]*otto +viewer +disabled/,
    );
    const last = await run('user remove anna');
    assert.match(last.err, /anna is the last administrator/);
    assert.match(await done(run('user remove otto')), /Removed otto/);
    const rows = JSON.parse(await done(run('user list --json'))) as { name: string }[];
    assert.equal(
      rows.map(({ name }) => name),
      ['anna'],
    );
  }),
);

needs.root(test)('a login is kept for its owner alone, until the logout', () =>
  withRun(async (run, { daemon }, runtime) => {
    await daemon.users.add({
      name: 'anna',
      role: 'administrator',
      password: PASSWORD,
      author: 'x',
    });
    assert.match(await done(run('whoami')), /^root: administrator, as root of this system/);
    const wrong = await run('login anna --password-stdin', 'wrong password');
    assert.equal([wrong.code, /name or the password is wrong/.test(wrong.err)], [9, true]);
    const said = await done(run('login anna --password-stdin', PASSWORD));
    assert.match(said, /^Logged in as anna \(administrator\) until /);
    const file = join(runtime, 'weir', 'sessions.json');
    assert.is(statSync(file).mode & 0o777, 0o600);
    assert.match(readFileSync(file, 'utf8'), 'weir_session_');
    assert.match(await done(run('whoami')), /^anna \(root\): administrator, by a session/);
    await done(run('set member web 10.0.1.11:8080 draining'));
    assert.is((daemon.last('setMember') as { author: string }).author, 'anna (root)');
    chmodSync(file, 0o644);
    assert.match((await run('whoami')).err, /is not yours alone/);
    chmodSync(file, 0o600);
    assert.match(await done(run('logout')), /^Logged out/);
    assert.is(existsSync(file), false);
    assert.is(daemon.users.list()[0]?.sessions, 0);
    assert.match(await done(run('logout')), /^There was no session/);
    const audit = await done(run('audit'));
    assert.match(audit, /anna \(root\) +root +set a member +pools\/web\/members\S+ +done/);
    assert.match(audit, /anna +root +log in +- +401 The name or the password is wrong/);
  }),
);

needs.root(test)('one changes one’s own password with the old one, and is out', () =>
  withRun(async (run, { daemon }) => {
    await daemon.users.add({
      name: 'anna',
      role: 'administrator',
      password: PASSWORD,
      author: 'x',
    });
    await done(run('login anna --password-stdin', PASSWORD));
    const two = `${PASSWORD}\nanother password\n`;
    assert.match(await done(run('user password --password-stdin', two)), /anna has a new password/);
    const over = await run('whoami');
    assert.equal([over.code, /log in again/.test(over.err)], [9, true]);
    await done(run('login anna --password-stdin', 'another password'));
  }),
);

needs.root(test)('a token is printed alone, once, and used by WEIR_TOKEN', () =>
  withRun(async (run, { daemon }) => {
    const made = await run('token create ci --role viewer --expires 90d');
    assert.match(made.out, /^weir_token_[\w-]{43}\n$/);
    assert.match(made.err, /^Token ci, viewer, until .*not shown again/);
    const environment = { WEIR_TOKEN: made.out.trim() };
    assert.match(await done(run('whoami', '', environment)), /^token ci: viewer, by a token until/);
    const refused = await run('set member web 10.0.1.11:8080 draining', '', environment);
    assert.equal(
      [refused.code, refused.err],
      [1, 'weir: This needs the role operator, and token ci has the role viewer.\n'],
    );
    assert.is(daemon.last('setMember'), undefined);
    assert.match(await done(run('token list')), /ci +viewer +\d{4}-.* root/);
    await done(run('token revoke ci'));
    assert.is((await run('whoami', '', environment)).code, 9);
    const never = await run('token create old --role viewer');
    assert.equal([never.code, /--expires/.test(never.err)], [2, true]);
  }),
);

test('without a terminal a password comes by stdin, and says so', () =>
  withRun(async (run) => {
    const ran = await run('user add anna --role administrator');
    assert.equal([ran.code, /--password-stdin/.test(ran.err)], [2, true]);
  }));

needs.root(test)('at a terminal a password is asked for twice and not shown', () =>
  withRun(async (_run, { daemon, socket }) => {
    const command = [process.execPath, program, 'user', 'add', 'anna', '--role', 'administrator'];
    const environment = { WEIR_SOCKET: socket, TERM: 'xterm', LC_ALL: 'C.UTF-8' };
    await withTerminal({ command, environment, columns: 80, rows: 24 }, async (screen) => {
      await screen.until('the question', (text) => text.includes('New password:'));
      screen.send(`${PASSWORD}\r`);
      await screen.until('the second one', (text) => text.includes('The same again:'));
      screen.send(`${PASSWORD}\r`);
      await screen.until('the end', (text) => text.includes('Added anna'));
      assert.not.match(screen.sent(), /horse/);
    });
    assert.is(daemon.users.list()[0]?.name, 'anna');
  }),
);

test.run();

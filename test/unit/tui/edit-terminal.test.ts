/**
 * The configuration edited on a terminal, the mouse, suspending, signals, and what is sent: the built
 * command on a pseudoterminal, against the fake daemon.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ApplyRequest } from '../../../appliance/api/port.js';
import { PortError } from '../../../appliance/api/port.js';
import { withTerminal, type Screen } from '../../support/terminal.js';
import { type FakeDaemon, STATUS } from '../api/fake-daemon.js';
import { INVITED } from '../api/fake-pair.js';
import { withApi } from '../api/fixture.js';
import { CONFIG } from './world.js';

const test = suite('tui: editing on a terminal');
const program = fileURLToPath(new URL('../../../appliance/cli/weir.js', import.meta.url));

const shows =
  (...words: readonly string[]) =>
  (text: string): boolean =>
    words.every((word) => text.includes(word));

async function edited(
  act: (screen: Screen, daemon: FakeDaemon) => Promise<void>,
  command: readonly string[] = [process.execPath, program, 'tui'],
): Promise<void> {
  await withApi(async ({ socket, daemon }) => {
    daemon.current = { ...STATUS, pendingConfirm: null };
    daemon.view = CONFIG;
    const environment = {
      ...{ TERM: 'xterm-256color', LC_ALL: 'C.UTF-8', WEIR_SOCKET: socket },
      PS1: 'shell> ',
    };
    await withTerminal({ command, environment, columns: 80, rows: 24 }, (screen) =>
      act(screen, daemon),
    );
  });
}

const applied = (daemon: FakeDaemon): ApplyRequest => daemon.last('apply') as ApplyRequest;

test('a weight is edited in its form, looked at, committed with a time, and kept by K', () =>
  edited(async (screen, daemon) => {
    await screen.until('the overview', shows('connected'));
    screen.send('7');
    await screen.until('the objects', shows('[7 Config]', 'web/10.0.1.11:8080'));
    screen.send('/web/10.0.1.11\r\r');
    await screen.until('the form', shows('pools.web.members[0]', 'weight'));
    const row = screen.text().findIndex((line) => / weight /.test(line));
    while (!screen.cell(4, row).inverse) {
      const before = screen.text().join();
      screen.send('j');
      await screen.until('another row', (text) => text.split('\n').join() !== before);
    }
    screen.send('\r\u00157\r');
    await screen.until('the check', shows('Candidate: 3 changes'));
    const looked = applied(daemon);
    assert.is(looked.dryRun, true);
    assert.match(JSON.stringify(looked.source), /"weight":7/);
    screen.send('D');
    await screen.until('the diff', shows('+ pools.web.members[10.0.1.12:8080]', '- services.old'));
    screen.send('C');
    await screen.until('the question', shows('Commit', 'Goes back', '< 60s >'));
    screen.send('heavier\r');
    daemon.applied = { ...daemon.applied, confirmBy: Date.now() + 60_000 };
    const pendingConfirm = {
      revision: 8,
      previous: 7,
      deadline: Date.now() + 60_000,
      secondsLeft: 60,
    };
    daemon.current = { ...STATUS, revision: 8, pendingConfirm };
    screen.send('\r');
    await screen.until('what came of it', shows('Revision 8: 3 changes'));
    const { comment, confirm, ifMatch, dryRun } = applied(daemon);
    assert.equal(
      { comment, confirm, ifMatch, dryRun },
      { comment: 'heavier', confirm: 60_000, ifMatch: 7, dryRun: false },
    );
    screen.send('1');
    await screen.until('the countdown', shows('revision 8 goes back in', 'K keeps it'));
    screen.send('Ky');
    await screen.until('that it stays', shows('Revision 8 stays.'));
    assert.ok(daemon.last('confirm'));
  }));

test('what the daemon refuses is said at the field, in its words', () =>
  edited(async (screen, daemon) => {
    await screen.until('the overview', shows('connected'));
    daemon.failures.set(
      'apply',
      new PortError('invalid', 'The document is not valid.', {
        details: [{ code: 'value', path: 'unit.name', message: 'is no name: begin with a letter' }],
      }),
    );
    screen.send('7');
    await screen.until('the objects', shows('[7 Config]', 'in all'));
    screen.send('\r');
    await screen.until('the form', shows('nat-addresses'));
    screen.send('\r!\r');
    await screen.until(
      'the refusal',
      shows('Candidate: 1 error', '✖ name*', 'is no name: begin with a letter'),
    );
    screen.send('U');
    await screen.until('the current revision', shows('As in revision 7'));
  }));

test('the code of an invitation is shown once, a code that is typed never', () =>
  edited(async (screen) => {
    await screen.until('the overview', shows('connected'));
    screen.send('8');
    await screen.until('the pair', shows('[8 Pair]', 'none: see weir pair invite'));
    screen.send('p10.0.0.2\rSECRET-CODE');
    await screen.until('the question', shows('Join another unit', '***********'));
    assert.not.ok(screen.sent().includes('SECRET-CODE'));
    screen.send('\u001b');
    await screen.until('it is closed', (text) => !text.includes('Join another'));
    screen.send('i\r');
    await screen.until('the code or the refusal', (text) => /Refused|Invited/.test(text));
    if (process.getuid?.() === 0) assert.ok(screen.text().join('\n').includes(INVITED.code));
  }));

test('a certificate is imported from a file that is named', () =>
  edited(async (screen, daemon) => {
    const folder = await mkdtemp(join(tmpdir(), 'weir-tui-'));
    try {
      const file = join(folder, 'shop.pem');
      await writeFile(file, 'PEM of shop\n');
      await screen.until('the overview', shows('connected'));
      screen.send('9');
      await screen.until('the certificates', shows('[9 Certs]', 'shop.example'));
      screen.send('i');
      await screen.until('the question', shows('Import', 'Files'));
      screen.send(`new\r\r\r${join(folder, 'none.pem')}\r\r`);
      await screen.until('that it is not there', shows('Refused', 'none.pem'));
      screen.send('\u001b');
      await screen.until('it is closed', (text) => !text.includes('Refused'));
      screen.send(`inew\r\r\r${file}\r\r`);
      await screen.until('that it was imported', shows('Imported new.'));
      const { name, replace } = daemon.certificates.last('import') as Record<string, unknown>;
      assert.equal({ name, replace }, { name: 'new', replace: false });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }));

test('M switches the mouse on and off, and a click leads to the screen', () =>
  edited(async (screen) => {
    await screen.until('the overview', shows('connected'));
    assert.not.ok(screen.sent().includes('\u001b[?1006h'));
    screen.send('M');
    await screen.until('that it is on', shows('The mouse is on'));
    assert.ok(screen.sent().includes('\u001b[?1000h\u001b[?1006h'));
    const column = (screen.text()[0] ?? '').indexOf('4 Memb');
    screen.send(`\u001b[<0;${column + 1};1M\u001b[<0;${column + 1};1m`);
    await screen.until('members', shows('[4 Members]', '4 in all'));
    // Keys go on, Esc among them.
    screen.send('j\r');
    await screen.until('a member', shows('Member 10.0.1.12:8080'));
    screen.send('\u001b');
    await screen.until('members', shows('4 in all'));
    screen.send('M');
    await screen.until('that it is off', shows('The mouse is off'));
    assert.ok(screen.sent().includes('\u001b[?1006l\u001b[?1000l'));
  }));

test('Ctrl-Z gives the terminal to the shell, fg brings the dashboard back, whole', () =>
  edited(
    async (screen) => {
      await screen.until('the shell', shows('shell> '));
      // By a program that waits for it: the shell is given the terminal all the same.
      screen.send(`sh -c '${process.execPath} ${program} tui; true'\r`);
      await screen.until('the overview', shows('connected', 'shop'));
      assert.is(screen.alternate(), true);
      screen.send('\u001a');
      await screen.until('the shell again', (text) => /Stopped|suspended/i.test(text));
      assert.is(screen.alternate(), false);
      screen.send('echo typed-$((40 + 2))\r');
      await screen.until('the shell reads', shows('typed-42'));
      screen.send('fg\r');
      await screen.until('the overview', shows('[1 Overview]', 'connected', 'shop'));
      assert.is(screen.alternate(), true);
      screen.send('4');
      await screen.until('keys work', shows('[4 Members]', '4 in all'));
      screen.send('q');
      // What is typed before its prompt may still be read by the dashboard.
      await screen.until('the prompt of the shell', (text) => /fg\n[^]*shell>\s*$/.test(text));
      screen.send('exit\r');
      await screen.ended;
    },
    ['/bin/sh', '-i'],
  ));

test('Ctrl-Z is refused where nobody could say fg', () =>
  edited(
    async (screen) => {
      await screen.until('the overview', shows('connected', 'shop'));
      screen.send('\u001a');
      await screen.until('that it is not', shows('Not suspended', 'shop'));
      screen.send('4');
      await screen.until('keys work', shows('[4 Members]', '4 in all'));
    },
    ['env', 'WEIR_NO_SUSPEND=1', process.execPath, program, 'tui'],
  ));

for (const [signal, status] of [
  ['SIGTERM', 143],
  ['SIGHUP', 129],
  ['SIGINT', 130],
] as const) {
  test(`${signal} ends it with exit status ${status}`, () =>
    edited(
      async (screen) => {
        await screen.until('the shell', shows('shell> '));
        screen.send(`${process.execPath} ${program} tui & echo "pid $!"; fg; echo "status $?"\r`);
        await screen.until('the overview', shows('connected', 'shop'));
        const pid = Number(/pid (\d+)/.exec(screen.sent())?.[1]);
        process.kill(pid, signal);
        await screen.until('its status', shows(`status ${status}`));
        assert.is(screen.alternate(), false);
        const sent = screen.sent();
        const [shown, hidden] = [sent.lastIndexOf('\u001b[?25h'), sent.lastIndexOf('\u001b[?25l')];
        assert.ok(shown > hidden, 'the cursor is shown again');
        screen.send('exit\r');
        await screen.ended;
      },
      ['/bin/sh', '-i'],
    ));
}

test.run();

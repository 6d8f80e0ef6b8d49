/**
 * The dashboard as a person sees and drives it: the built command on a pseudoterminal, against the
 * fake daemon, and the screen of a terminal emulator.
 */
import { userInfo } from 'node:os';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type ApplyRequest, PortError } from '../../../appliance/api/port.js';
import { createApi } from '../../../appliance/api/server.js';
import { withTerminal, type Screen } from '../../support/terminal.js';
import { PASSWORD } from '../../support/user-scene.js';
import { DELTAS, event, FakeDaemon, MEMBERS, STATUS } from '../api/fake-daemon.js';
import { MemoryLog, withApi, withFolder } from '../api/fixture.js';
import { weir } from '../cli/weir.js';

const test = suite('tui: on a terminal');
const program = fileURLToPath(new URL('../../../appliance/cli/weir.js', import.meta.url));

interface Setting {
  readonly terminal?: string;
  readonly locale?: string;
  readonly columns?: number;
  readonly rows?: number;
  readonly words?: readonly string[];
  readonly tells?: 'asked' | 'never';
}

function dashboard(
  socket: string,
  setting: Setting,
  act: (screen: Screen) => Promise<void>,
): Promise<void> {
  const { terminal = 'xterm-256color', locale = 'C.UTF-8', columns = 80, rows = 24 } = setting;
  return withTerminal(
    {
      command: [process.execPath, program, 'tui', ...(setting.words ?? [])],
      environment: { TERM: terminal, LC_ALL: locale, WEIR_SOCKET: socket },
      ...{ columns, rows },
      ...(setting.tells === undefined ? {} : { tells: setting.tells }),
    },
    act,
  );
}

const shows =
  (...words: readonly string[]) =>
  (text: string): boolean =>
    words.every((word) => text.includes(word));

/** DECTCEM set after it was reset. */
function showsCursor(screen: Screen): boolean {
  const sent = screen.sent();
  return sent.lastIndexOf('\u001b[?25h') > sent.lastIndexOf('\u001b[?25l');
}

function beat(daemon: FakeDaemon): void {
  daemon.publish({ type: 'counters', counters: DELTAS });
}

test('what happened before is there, however many flows came since', () =>
  withApi(({ socket, daemon }) => {
    const flows = Array.from({ length: 600 }, (_, index) => ({
      ...event(index + 3),
      kind: 'flow-new' as const,
    }));
    daemon.log = [event(1), event(2), ...flows];
    return dashboard(socket, {}, (screen) =>
      screen.until('events of before', shows('connected', 'event 1', 'event 2')),
    );
  }));

for (const [terminal, locale, colour] of [
  ['xterm-256color', 'C.UTF-8', true],
  ['xterm', 'C.UTF-8', true],
  ['screen', 'C.UTF-8', true],
  ['tmux-256color', 'C.UTF-8', true],
  ['linux', 'C.UTF-8', true],
  ['vt220', 'C', false],
] as const) {
  test(`${terminal}: the overview, keys, and the screen of before at the end`, () =>
    withApi(({ socket }) =>
      dashboard(socket, { terminal, locale }, async (screen) => {
        await screen.until('the overview', shows('1 error', 'shop', 'connected', 'event 2'));
        const line = screen.text().findIndex((text) => text.includes('1 error'));
        const cell = screen.cell(0, line);
        assert.is(cell.colour !== null, colour, `colours on ${terminal}: seen ${cell.colour}`);
        assert.is(cell.bold, true, 'what is wrong is bold, whatever the colours');
        screen.send('4');
        await screen.until('members', shows('[4 Members]', '10.0.1.12:8080', 'DOWN'));
        screen.send('q');
        await screen.until(
          'the question about the pending revision',
          shows('Revision 7 goes back'),
        );
        screen.send('y');
        await screen.ended;
        assert.is(screen.alternate(), false, 'the alternate screen is left');
        assert.ok(showsCursor(screen), 'the cursor is shown again');
      }),
    ));
}

test('no byte beyond ASCII is sent with --ascii, and no colour with --colour none', () =>
  withApi(({ socket }) =>
    dashboard(socket, { words: ['--ascii', '--colour', 'none'] }, async (screen) => {
      await screen.until('the overview', shows('1 error', 'shop', 'connected'));
      screen.send('4');
      await screen.until('members', shows('x DOWN'));
      const beyond = [...screen.sent()].filter((sign) => sign > '~');
      assert.equal(beyond, []);
      // eslint's no-control-regex forbids the escape character in a literal.
      const parameters = screen
        .sent()
        .split('\u001b[')
        .map((part) => /^([\d;]*)m/.exec(part)?.[1]?.split(';') ?? []);
      const colours = parameters.flat().filter((one) => /^(3|4|9|10)\d$/.test(one));
      assert.equal(colours, []);
    }),
  ));

test('arrows, Enter and Esc: down to a member and back', () =>
  withApi(({ socket }) =>
    dashboard(socket, {}, async (screen) => {
      await screen.until('the overview', shows('connected'));
      screen.send('4');
      await screen.until('members', shows('[4 Members]', '4 in all'));
      const row = screen.text().findIndex((text) => text.includes('10.0.1.12:8080'));
      screen.send('\u001b[B');
      await screen.until('the second row selected', () => screen.cell(0, row).inverse);
      // In two pieces, as a serial line may bring it.
      screen.send('\u001b');
      screen.send('[B');
      await screen.until('the third row selected', () => screen.cell(0, row + 1).inverse);
      screen.send('k\r');
      await screen.until(
        'the member',
        shows('Member 10.0.1.12:8080 of pool web', 'went from up to down: connection refused'),
      );
      screen.send('\u001b');
      await screen.until('members again', shows('4 in all'));
    }),
  ));

test('d and y drain the member that the question names; n does not', () =>
  withApi(({ socket, daemon }) =>
    dashboard(socket, {}, async (screen) => {
      await screen.until('the overview', shows('connected'));
      screen.send('4');
      await screen.until('members', shows('4 in all'));
      screen.send('jd');
      await screen.until('the question', shows('Drain member 10.0.1.12:8080 of pool web?'));
      screen.send('n');
      await screen.until('no question', (text) => !text.includes('Drain member'));
      assert.is(daemon.last('setMember'), undefined);
      screen.send('d');
      await screen.until('the question', shows('Drain member 10.0.1.12:8080 of pool web?'));
      screen.send('y');
      await screen.until('what came of it', shows('is set to draining'));
      const { pool, member, state } = daemon.last('setMember') as Record<string, unknown>;
      assert.equal(
        { pool, member, state },
        { pool: 'web', member: '10.0.1.12:8080', state: 'draining' },
      );
    }),
  ));

test('a refusal of the daemon is shown in full', () =>
  withApi(({ socket, daemon }) =>
    dashboard(socket, {}, async (screen) => {
      await screen.until('the overview', shows('connected'));
      screen.send(':weight web/10.0.1.13:8080');
      await screen.until('the command', shows('its share of new flows'));
      screen.send('\r');
      await screen.until(
        'the prompt',
        shows('Weight of member 10.0.1.13:8080 of pool web', 'It is 3 now'),
      );
      screen.send('300\r');
      await screen.until('what is wrong', shows('Give a whole number from 0 to 256.'));
      screen.send('\u007f\u007f7\r');
      await screen.until('the question', shows('Set the weight', 'to 37?'));
      daemon.failures.set(
        'setMember',
        new PortError('invalid', 'The document would not be valid, and this is why.', {
          details: [
            { code: 'value', path: 'pools.web', message: 'The sum of all weights is too high.' },
          ],
        }),
      );
      screen.send('y');
      await screen.until(
        'the refusal',
        shows('Refused', 'would not be valid', 'pools.web: The sum of all weights is too high.'),
      );
      screen.send('\u001b');
      await screen.until('it is closed', (text) => !text.includes('Refused'));
    }),
  ));

test('an event is on the screen without a beat, and the state it brings', () =>
  withApi(({ socket, daemon }) =>
    dashboard(socket, {}, async (screen) => {
      await screen.until('the overview', shows('connected', 'event 2'));
      daemon.current = {
        ...STATUS,
        alarms: [
          {
            code: 'member-down',
            severity: 'error',
            message: 'web: another one is down',
            since: null,
          },
        ],
      };
      daemon.publish({ type: 'event', event: event(3, 'web: another one went') });
      await screen.until('event and alarm', shows('another one went', 'another one is down'));
    }),
  ));

test('what is not there any more is said, and a filter finds rows', () =>
  withApi(({ socket, daemon }) =>
    dashboard(socket, {}, async (screen) => {
      await screen.until('the overview', shows('connected'));
      screen.send('4/drain');
      await screen.until('one row', shows("1 of 4 match 'drain'"));
      screen.send('\r\u001b');
      await screen.until('all rows', shows('4 in all'));
      daemon.rows = { ...daemon.rows, members: MEMBERS.slice(0, 2) };
      beat(daemon);
      await screen.until('two rows', shows('2 in all'));
    }),
  ));

test('another size: larger, smaller, too small', () =>
  withApi(({ socket }) =>
    dashboard(socket, {}, async (screen) => {
      await screen.until('the overview', shows('connected'));
      screen.resize(160, 48);
      await screen.until('the wide overview', (text) =>
        text
          .split('\n')
          .some((line) => line.includes('Services') && line.includes('Tiers') && line.length > 140),
      );
      screen.resize(40, 10);
      await screen.until('that it is too small', shows('40x10 is too small'));
      screen.resize(80, 24);
      await screen.until('the overview', shows('connected', 'shop'));
    }),
  ));

test('a terminal whose size the kernel does not know is asked for it', () =>
  withApi(({ socket }) =>
    dashboard(socket, { columns: 132, rows: 30, tells: 'asked' }, async (screen) => {
      await screen.until('the wide overview, down to the last line', (text) => {
        const [last = '', ...above] = text.split('\n').reverse();
        const wide = above.some((line) => /^Services .* Tiers [^ ]{20,}$/.test(line));
        return wide && above.length === 29 && /connected.{60,}K keeps it$/.test(last);
      });
      screen.send('4');
      await screen.until('keys after it', shows('[4 Members]'));
      assert.not.match(screen.text().join(), /tells no size/);
    }),
  ));

test('one that does not answer is taken for 80x24, which is said', () =>
  withApi(({ socket }) =>
    dashboard(socket, { columns: 132, rows: 30, tells: 'never' }, async (screen) => {
      await screen.until('the overview', shows('connected', 'shop'));
      screen.send('4\u001b');
      await screen.until('members', shows('[4 Members]'));
      await screen.until('what is assumed', shows('tells no size: 80x24 is assumed'));
      await screen.until('the key that was typed meanwhile', shows('[1 Overview]'));
      screen.resize(100, 30);
      await screen.until('the size that it has then', (text) =>
        text.split('\n').some((line) => /^Services .{80,} up$/.test(line)),
      );
    }),
  ));

test('the daemon goes and comes back: said, and seen again, without a key', () =>
  withFolder(async (folder) => {
    const socket = `${folder}/weir.sock`;
    const daemon = new FakeDaemon();
    const first = createApi(daemon, { log: new MemoryLog() });
    await first.listen(socket);
    await dashboard(socket, {}, async (screen) => {
      await screen.until('the overview', shows('connected', 'event 2'));
      await first.close();
      await screen.until('that it is gone', shows('NOT CONNECTED', 'shop'));
      screen.send('4');
      await screen.until('keys work all the same', shows('[4 Members]'));
      screen.send('1');
      daemon.current = { ...STATUS, revision: 8 };
      const second = createApi(daemon, { log: new MemoryLog() });
      try {
        await second.listen(socket);
        await screen.until('the daemon again', shows('revision 8', '● connected'));
      } finally {
        await second.close();
      }
    });
  }));

test('a daemon that does not answer is called silent, and keys work meanwhile', () =>
  withApi(({ socket, daemon }) =>
    dashboard(socket, {}, async (screen) => {
      await screen.until('the overview', shows('connected', 'shop'));
      let open: () => void = () => undefined;
      daemon.gate = new Promise((resolve) => (open = resolve));
      await screen.until('its silence', shows('SILENT for'));
      screen.send('5');
      await screen.until('another screen', shows('[5 Events]'));
      open();
      daemon.gate = null;
      beat(daemon);
      await screen.until('that it speaks', shows('● connected'));
    }),
  ));

test('who is not known logs in, sees who they are, and leaves nothing behind when they log out', () =>
  withApi(
    async ({ socket, daemon }) => {
      const of = { password: PASSWORD, author: 'root' };
      await daemon.users.add({ name: 'anna', role: 'administrator', ...of });
      await daemon.users.add({ name: 'vera', role: 'viewer', ...of });
      await dashboard(socket, {}, async (screen) => {
        await screen.until('the login box', shows('Log in', 'Name', 'not logged in'));
        screen.send('vera\rwrong password\r');
        await screen.until('the refusal', shows('name or the password is wrong'));
        assert.not.match(screen.text().join('\n'), /shop/);
        screen.send(`${PASSWORD}\r`);
        await screen.until('the overview', shows('vera viewer', 'connected', 'shop', 'event 2'));
        assert.not.match(screen.sent(), /horse|wrong password/);
        screen.send('4');
        await screen.until('the members', shows('[4 Members]', '10.0.1.11:8080'));
        screen.send('d');
        await screen.until('why not', shows('needs the role operator', 'vera has the role viewer'));
        screen.send(':logout\r');
        await screen.until('the login box', shows('Log in', 'You have logged out'));
        await screen.until('nothing of before', (text) => !text.includes('shop'));
        assert.is(daemon.users.list()[1]?.sessions, 0);
        screen.send('anna\r');
        screen.send(`${PASSWORD}\r`);
        await screen.until('somebody else', shows('anna administrator', 'connected', 'shop'));
        await daemon.users.set({ name: 'anna', password: `${PASSWORD} 2`, author: 'root' });
        beat(daemon);
        await screen.until('that the session is over', shows('Log in', 'Your session is over'));
        for (let failure = 0; failure < 5; failure++) {
          await daemon.users
            .login({ name: 'anna', password: 'wrong password', source: 'x', from: 'x' })
            .then(
              () => assert.unreachable(),
              () => undefined,
            );
        }
        screen.send('x\r');
        await screen.until('for how long it is locked', shows('not tried for another'));
      });
    },
    { consoleUser: userInfo().username, heartbeatMs: 50 },
  ));

test('who makes the first user on the console goes on as that one', () =>
  withApi(
    async ({ socket, daemon }) => {
      const words = ['--first-set-up'];
      await dashboard(socket, { words }, async (screen) => {
        await screen.until('the wizard', shows('First set-up'));
        screen.send('\r');
        await screen.until('the keyboard', shows('Keyboard and time zone'));
        screen.send('\r\r');
        await screen.until('the user', shows('Administrator'));
        screen.send(`\r${PASSWORD}\r${PASSWORD}\r`);
        await screen.until('the address', shows('Management address'));
        screen.send('\u000e');
        await screen.until('other addresses', shows('Networks of clients'));
        screen.send('\u000e');
        await screen.until('the name', shows('unique within a pair'));
        screen.send('\r');
        await screen.until('the service', shows('1 of 5: its name'));
        screen.send('\r');
        await screen.until('the commit', shows('All at once'));
        screen.send('\r\r');
        await screen.until('that it is committed', shows('is in force', 'admin administrator'));
        const { author } = daemon.last('apply') as ApplyRequest;
        assert.match(author, /^admin /);
        assert.is(daemon.users.list()[0]?.sessions, 1);
      });
    },
    { consoleUser: userInfo().username, heartbeatMs: 50 },
  ));

test('without a terminal it says what to use instead', () =>
  withApi(async ({ socket }) => {
    const ran = await weir(['tui'], { socket });
    assert.is(ran.code, 2);
    assert.match(ran.err, /needs a terminal.*weir dash --once/);
  }));

test('dash --once prints the overview as text', () =>
  withApi(async ({ socket }) => {
    const ran = await weir(['dash', '--once', '--ascii'], { socket });
    assert.equal([ran.code, ran.err], [0, '']);
    assert.match(ran.out, /^weir-a \(standalone\), revision 7/);
    assert.match(ran.out, /x 1 error {2}2 services, 2 of 4 members serving\n/);
    assert.match(ran.out, /shop +! DEGRADED +2\/4 xdp/);
    assert.match(ran.out, /xdp +1 service/);
    assert.match(ran.out, /event 2/);
  }));

test('dash --once says what the unit of a pair is of each virtual router', () =>
  withApi(async ({ socket, daemon }) => {
    daemon.current = { ...STATUS, role: 'master', routers: { master: 1, backup: 1, down: 0 } };
    const ran = await weir(['dash', '--once', '--ascii'], { socket });
    assert.match(ran.out, /^Pair -+ no other unit *$/m);
    assert.match(ran.out, /^even\/eth0\/ipv4 +master +this unit +10\.0\.0\.80 10\.0\.0\.82$/m);
    assert.match(ran.out, /^odd\/eth0\/ipv4 +backup, given up +10\.0\.0\.3 +10\.0\.0\.81$/m);
  }));

test('dash --once without a daemon ends with 3', () =>
  withFolder(async (folder) => {
    const ran = await weir(['dash', '--once'], { socket: `${folder}/none.sock` });
    assert.is(ran.code, 3);
  }));

test.run();

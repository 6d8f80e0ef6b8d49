/** `weir pair`: what it asks of the daemon, prints and refuses. */
import { userInfo } from 'node:os';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PortError } from '../../../appliance/api/port.js';
import { FINGERPRINT, INVITED, PAIRED } from '../api/fake-pair.js';
import { withApi } from '../api/fixture.js';
import { needs } from '../../support/needs.js';
import { withTerminal, type Screen } from '../../support/terminal.js';
import { program, weir } from './weir.js';

const test = suite('cli: pair');
const author = userInfo().username;

needs.root(test)('invite prints the code, the key, and what to type on the other unit', () =>
  withApi(async ({ daemon, socket }) => {
    const ran = await weir(['pair', 'invite', '10.0.0.1', '192.168.255.1'], { socket });
    assert.equal([ran.code, ran.err], [0, '']);
    assert.match(ran.out, /^Code {9}00000-11111-22222-33333\n/);
    assert.match(ran.out, new RegExp(`^Fingerprint {2}${FINGERPRINT}$`, 'm'));
    assert.match(ran.out, /^Until {8}2026-01-01 00:10:00, for one unit$/m);
    assert.match(ran.out, / {2}weir pair join 10\.0\.0\.1\n$/);
    const json = await weir(['pair', 'invite', '--json'], { socket });
    assert.equal(JSON.parse(json.out), INVITED);
    assert.equal(daemon.pair.asked, [
      { method: 'invite', argument: { addresses: ['10.0.0.1', '192.168.255.1'], author } },
      { method: 'invite', argument: { addresses: [], author } },
    ]);
  }),
);

needs.root(test)('join takes the code as an argument or from stdin', () =>
  withApi(async ({ daemon, socket }) => {
    const code = 'abcde-fghjk-mnpqr-stvwx';
    const given = await weir(['pair', 'join', code, '10.0.0.1'], { socket });
    assert.equal([given.code, given.err], [0, '']);
    assert.match(given.out, /^Joined weir-b\.\nFingerprint {2}AA:/);
    const read = await weir(['pair', 'join', '10.0.0.1'], { socket, input: `${code}\n` });
    assert.is(read.code, 0);
    const dash = await weir(['pair', 'join', '-', '10.0.0.1'], { socket, input: `${code}\n` });
    assert.is(dash.code, 0);
    const argument = { code, address: '10.0.0.1', author };
    assert.equal(daemon.pair.asked, [
      { method: 'join', argument },
      { method: 'join', argument },
      { method: 'join', argument },
    ]);
    const none = await weir(['pair', 'join', '10.0.0.1'], { socket });
    assert.is(none.code, 2);
    assert.match(none.err, /no code on stdin/);
    daemon.pair.failure = new PortError('conflict', 'The code is wrong.');
    const wrong = await weir(['pair', 'join', code, '10.0.0.1'], { socket });
    assert.is(wrong.code, 5);
    assert.match(wrong.err, /The code is wrong\./);
    assert.not.match(wrong.err, /abcde/);
  }),
);

/** A command at a terminal of its own, and the words that end it. */
function atTerminal(
  socket: string,
  words: readonly string[],
  act: (screen: Screen) => Promise<void>,
): Promise<void> {
  const command = [process.execPath, program, '--socket', socket, ...words];
  const environment = { LC_ALL: 'C.UTF-8', TERM: 'dumb' };
  return withTerminal({ command, environment, columns: 80, rows: 24 }, act);
}

needs.root(test)('at a terminal, join asks for the code and does not show it', () =>
  withApi(async ({ daemon, socket }) => {
    const code = 'ABCDE-FGHJK-MNPQR-STVWX';
    await atTerminal(socket, ['pair', 'join', '10.0.0.1'], async (screen) => {
      await screen.until('the question', (text) => text.includes('Code (is not shown): '));
      screen.send(`${code}\r`);
      await screen.ended;
      await screen.until('the answer', (text) => text.includes('Joined weir-b.'));
      assert.not.match(screen.sent(), /ABCDE/);
    });
    const argument = { code, address: '10.0.0.1', author };
    assert.equal(daemon.pair.asked, [{ method: 'join', argument }]);
    await atTerminal(socket, ['pair', 'join', '10.0.0.1'], async (screen) => {
      await screen.until('the question', (text) => text.includes('Code (is not shown): '));
      screen.send('\u0003');
      await screen.ended;
      await screen.until('the end', (text) => text.includes('Nothing was answered.'));
    });
    assert.is(daemon.pair.asked.length, 1);
  }),
);

needs.root(test)('at a terminal, leave asks first, and only yes is yes', () =>
  withApi(async ({ daemon, socket }) => {
    daemon.pair.current = PAIRED;
    for (const [typed, seen] of [
      ['\r', 'Nothing was changed.'],
      ['yes\r', 'no pair any more'],
    ] as const) {
      assert.equal(daemon.pair.asked, []);
      await atTerminal(socket, ['pair', 'leave'], async (screen) => {
        await screen.until('the question', (text) => text.includes('from weir-b? [y/N]'));
        screen.send(typed);
        await screen.ended;
        await screen.until(seen, (text) => text.includes(seen));
      });
    }
    assert.equal(daemon.pair.asked, [{ method: 'leave', argument: { author } }]);
    await atTerminal(socket, ['pair', 'leave', '--yes'], (screen) => screen.ended);
    assert.is(daemon.pair.asked.length, 2);
  }),
);

test('--check wants the configuration in step too, and every link up', () =>
  withApi(async ({ daemon, socket }) => {
    const { standing } = PAIRED;
    assert.ok(standing !== null);
    const links = PAIRED.links.slice(0, 1);
    const code = async (state: 'in-step' | 'away'): Promise<number | null> => {
      const configuration = { ...standing.configuration, state };
      daemon.pair.current = {
        ...{ ...PAIRED, links, paths: [] },
        standing: { ...standing, configuration },
      };
      return (await weir(['pair', 'status', '--check'], { socket })).code;
    };
    assert.equal([await code('away'), await code('in-step')], [8, 0]);
  }));

test('status shows the other unit and each link in words, and --check judges', () =>
  withApi(async ({ daemon, socket }) => {
    const alone = await weir(['pair', 'status', '--check'], { socket });
    assert.equal(
      [alone.code, alone.out, alone.err],
      [0, 'Unit      weir-a\nPeer      none: see weir pair invite\n', ''],
    );
    daemon.pair.current = PAIRED;
    const shown = await weir(['pair', 'status', '--check'], { socket });
    assert.is(shown.code, 8, 'a link is down');
    assert.match(shown.out, /^Peer +weir-b, heard, paired since 2026-01-01 00:00:00$/m);
    assert.match(shown.out, /^Refused +foreign 3$/m);
    const lines = [
      'Config    revision 12 (shared id c0ffee00): weir-b is away; it lacks 2 changes of this unit',
      'Gave way  revisions 10, 9 (the last by bob on weir-b): weir history --changes shows, weir rollback 10 brings back',
      'Flows     this unit does not know all of the other one, 1.20k known, 52/s told, 0 taken, 3 ends untold, lost: member 4',
      'Clients   members that clients stick to: 1.50k told, 0 taken',
      'Shared    catching up: 3 certificates, 2 ticket keys; 2 waiting; 1 refused: weir show events --kind pair',
      'Roles     master of 1 of 2 virtual routers, backup of 1; told to give up shared/odd',
    ];
    for (const line of lines) assert.ok(shown.out.includes(`\n${line}\n`), `${line}\n${shown.out}`);
    assert.match(shown.out, /^LINK +STATE +SINCE +RTT +WHY$/m);
    assert.match(shown.out, /^10\.0\.0\.1 +up, in use +\S.* +-$/m);
    assert.match(shown.out, /^192\.168\.255\.1 +DOWN +- +- +nothing was heard for 2 s$/m);
    const json = await weir(['pair', 'status', '--json'], { socket });
    assert.equal([json.code, JSON.parse(json.out)], [0, PAIRED]);
  }));

needs.root(test)('leave says whether the other unit has heard of it', () =>
  withApi(async ({ daemon, socket }) => {
    daemon.pair.current = PAIRED;
    const heard = await weir(['pair', 'leave'], { socket });
    assert.equal([heard.code, heard.out], [0, 'This unit and weir-b are no pair any more.\n']);
    daemon.pair.current = { ...PAIRED, together: false };
    const deaf = await weir(['pair', 'leave'], { socket });
    assert.match(deaf.out, /weir-b was not heard: run "weir pair leave" there too/);
    daemon.pair.failure = new PortError('conflict', 'This unit is not paired.');
    assert.is((await weir(['pair', 'leave'], { socket })).code, 5);
  }),
);

test.run();

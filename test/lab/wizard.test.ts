/**
 * Two units out of the box, set up on their consoles alone, as a person would: the wizard with a first
 * service on one, an invitation, the wizard that joins on the other; certificates by file and by paste. The
 * pair parts then and is made anew, by the screen Pair of both.
 */
import { readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type {
  AccessView,
  CertificateRow,
  ConfigView,
  PairView,
  RouterRow,
  Status,
  UserRow,
} from '../../appliance/api/contract.js';
import { needs } from '../support/needs.js';
import { Certificates } from '../support/certificates.js';
import { withTerminal, type Screen } from '../support/terminal.js';
import { cableAddress, PairLab } from './pair-lab.js';
import { addressOf } from './topology.js';
import { until, type Unit } from './unit.js';

const test = suite('wizard');
const program = fileURLToPath(new URL('../../appliance/cli/weir.js', import.meta.url));
/** Of the first administrator of unit-a, and so of both in the end. */
const PASSWORD = 'correct horse battery';
/** Of the one that unit-b had before it joined. */
const FORMER = 'of this unit alone';
const served = '10.78.0.90';

interface Console {
  readonly size: readonly [columns: number, rows: number];
  readonly words?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

function consoleOf(
  unit: Unit,
  { size: [columns, rows], words = [], environment = {} }: Console,
  act: (screen: Screen) => Promise<void>,
): Promise<void> {
  return withTerminal(
    {
      command: [process.execPath, program, 'tui', ...words],
      environment: {
        ...{ TERM: 'xterm-256color', LC_ALL: 'C.UTF-8', WEIR_SOCKET: unit.socket },
        ...environment,
      },
      ...{ columns, rows },
    },
    act,
  );
}

/** Types an answer on the page of this title and goes on. */
async function page(screen: Screen, title: string, keys: string): Promise<void> {
  await screen.until(`the page ${title}`, (text) => text.includes(title));
  screen.send(keys);
}

const members = [addressOf('member-1', 4), addressOf('member-2', 4)];

needs.lab(test)('two units out of the box become a pair that serves', () =>
  PairLab.run({ bare: true, members: true }, async (lab) => {
    await consoleOf(lab.a, { size: [80, 24] }, async (screen) => {
      await setUp(lab, screen);
      await certificates(lab, screen);
      await access(lab, screen);
      const code = await invited(screen);
      await joins(lab, code);
      // Both units have made a user of this name; that of the inviter counts, so its session goes on.
      await screen.until('the other unit', (text) => text.includes('unit-b'));
      await preferred(lab, screen);
      await parted(lab, screen);
      await joinsAgain(lab, await invited(screen));
      await screen.until('the other unit', (text) => /unit-b[^]*\d in all/.test(text));
      screen.send('q');
      await screen.ended;
    });
  }),
);

async function setUp(lab: PairLab, screen: Screen): Promise<void> {
  await page(screen, 'First set-up', '\r');
  await page(screen, 'Administrator', `\r${PASSWORD}\ra typing mistake\r`);
  await screen.until('that they differ', (text) => text.includes('The passwords differ.'));
  screen.send(`\u0015${PASSWORD}\r`);
  await page(screen, 'Name \u2500', 'unit-a\r');
  await page(screen, '1 of 5: its name', 'web\r');
  await page(screen, '2 of 5: address and port', '10.78.0.900\r80\r');
  await screen.until('what is wrong, as apply says it', (text) =>
    text.includes('is no IP address'),
  );
  // Up to the address again, and all the rest is as it was typed.
  screen.send(`\u001b[A\u0015${served}\r\r`);
  await page(screen, '3 of 5: protocol', '\r');
  await page(screen, '4 of 5: members', `${members[0]}:8080 ${members[1]}:8081\r`);
  await page(screen, '5 of 5: monitor', '\r\r\r');
  await screen.until('what the members said', (text) =>
    /FAILED .*:8081.*refused[^]*1 of 2 did not answer/.test(text),
  );
  assert.is((await lab.a.get<Status>('/v1/status')).revision, null, 'nothing is committed yet');
  screen.send('\u0010');
  await page(screen, '5 of 5: monitor', '\u0010');
  await page(screen, '4 of 5: members', '\u007f0\r');
  await page(screen, '5 of 5: monitor', '\u000e');
  await screen.until('that all is well', (text) => text.includes('All members answered.'));
  screen.send('\r');
  await page(screen, 'Commit \u2500', '\r\r');
  await screen.until('the revision', (text) => text.includes('Revision 2 is in force.'));
  await screen.until('the members', (text) => (text.match(/UP +10\.77/g) ?? []).length === 2);
  await lab.untilServed([served], 10_000);
  screen.send('K');
  await screen.until('the question', (text) => text.includes('Keep revision 2?'));
  screen.send('y');
  await screen.until('that it stays', (text) => text.includes('Revision 2 stays.'));
  assert.is((await lab.a.get<Status>('/v1/status')).pendingConfirm, null);
  const users = await lab.a.get<UserRow[]>('/v1/users');
  assert.equal(
    users.map(({ name, role }) => [name, role]),
    [['admin', 'administrator']],
  );
  assert.not.ok(screen.sent().includes(PASSWORD), 'the password is not shown');
  screen.send('\u001b');
  await screen.until(
    'the overview',
    (text) => text.includes('[1 Overview]') && text.includes('web'),
  );
}

async function certificates(lab: PairLab, screen: Screen): Promise<void> {
  const made = new Certificates();
  const { cert, key } = made.make('shop.example');
  made.end();
  const whole = `${cert.toString()}${key.toString()}`;
  const file = lab.file('shop.pem', whole);
  screen.send('9');
  await screen.until('no certificates', (text) => text.includes('No certificates'));
  screen.send('i');
  await screen.until('the question', (text) => text.includes('Passphrase'));
  screen.send(`shop.example\r\r\r${file}\r\r`);
  await screen.until('what came of it', (text) => text.includes('Imported shop.example.'));
  screen.send('p');
  await screen.until('the question', (text) => text.includes('Paste PEM'));
  screen.send('pasted.example\r\r\r');
  await screen.until('the editor', (text) => text.includes('Ctrl-S'));
  const pem = whole.replaceAll('\n', '\r');
  screen.send(`\u001b[200~${pem}\u001b[201~\u0013`);
  await screen.until('what came of it', (text) => text.includes('Imported pasted.example.'));
  const rows = await lab.a.get<CertificateRow[]>('/v1/certificates');
  assert.equal(rows.map(({ name, hasKey }) => `${name} ${hasKey}`).sort(), [
    'pasted.example true',
    'shop.example true',
  ]);
  screen.send('a');
  await screen.until('the question', (text) => text.includes('Own authority'));
  screen.send('own\r\r\r\r\r');
  await screen.until('what came of it', (text) => text.includes('Made the authority own.'));
  screen.send('/pasted\r');
  await screen.until('one of them', (text) => text.includes("match 'pasted'"));
  screen.send('e');
  await screen.until('the question', (text) => text.includes('Export pasted.example'));
  const exported = `${file}.exported`;
  screen.send(`\r${exported}\r\u001b[C\r\r\r`);
  await screen.until('what came of it', (text) => text.includes('with its key is in'));
  assert.is(statSync(exported).mode & 0o777, 0o600);
  const text = readFileSync(exported, 'utf8');
  assert.match(text, /BEGIN CERTIFICATE/);
  assert.match(text, /PRIVATE KEY/);
  screen.send('\u001b');
  await screen.until('all again', (text) => text.includes('3 in all'));
}

async function access(lab: PairLab, screen: Screen): Promise<void> {
  const temporary = async (): Promise<string[]> =>
    (await lab.a.get<AccessView>('/v1/access')).temporary.map(
      ({ prefix, verdict, service }) => `${verdict} ${prefix} ${service}`,
    );
  screen.send('2');
  await screen.until('the services', (text) => text.includes('[2 Services]'));
  screen.send('a');
  await screen.until('no entries', (text) => text.includes('No temporary entries'));
  screen.send('a192.0.2.9\r\r\u001550m\r\rabuse\r');
  await screen.until('the entry', (text) => text.includes('Denied 192.0.2.9'));
  assert.equal(await temporary(), ['deny 192.0.2.9/32 null']);
  await screen.until('the entries', (text) => text.includes('1 in all'));
  screen.send('x');
  await screen.until('the question', (text) => text.includes('deny 192.0.2.9/32?'));
  screen.send('y');
  await screen.until('that it is gone', (text) => text.includes('is gone.'));
  assert.equal(await temporary(), []);
}

async function preferred(lab: PairLab, screen: Screen): Promise<void> {
  await screen.until('virtual routers', (text) => /\d in all/.test(text));
  screen.send('P');
  await screen.until('the question', (text) => text.includes('Prefer a unit'));
  screen.send('\u0015unit-b\r\r');
  await screen.until('what moves', (text) =>
    new RegExp(`${served} +unit-a to unit-b[^]*Commit that`).test(text),
  );
  screen.send('y');
  await until('unit-b is in front', 30_000, async () => {
    const rows = await lab.b.get<RouterRow[]>('/v1/routers');
    const own = rows.find(({ addresses }) => addresses.includes(served));
    return own?.role === 'master' || JSON.stringify(rows);
  });
  await lab.untilServed([served], 10_000);
}

async function parted(lab: PairLab, screen: Screen): Promise<void> {
  screen.send('L');
  await screen.until('the question', (text) => text.includes('Part this unit from unit-b?'));
  screen.send('y');
  await screen.until('that it is alone', (text) => text.includes('This unit has left the pair.'));
  await until('unit-b has heard it', 10_000, async () => {
    const { peer } = await lab.b.get<PairView>('/v1/pair');
    return peer === null || JSON.stringify(peer);
  });
}

/** By the keys of the screen Pair; each unit then has a role in each virtual router. */
async function joinsAgain(lab: PairLab, code: string): Promise<void> {
  await consoleOf(lab.b, { size: [80, 24] }, async (screen) => {
    await screen.until('the overview', (text) => text.includes('[1 Overview]'));
    screen.send('8');
    await screen.until('that it is alone', (text) => text.includes('p join the one that shows it'));
    screen.send('p');
    await screen.until('the question', (text) => text.includes('Join another unit'));
    screen.send(
      `${cableAddress('unit-a', 4)}\r${code.replace(/^./, (first) => (first === '2' ? '3' : '2'))}\r`,
    );
    await screen.until('what is wrong with it', (text) => /Refused[^]*mistyped/.test(text));
    screen.send('\u001b');
    await screen.until('the screen below', (text) => !text.includes('mistyped'));
    screen.send(`p${cableAddress('unit-a', 4)}\r${code}\r`);
    await screen.until('that it has joined', (text) => text.includes('Joined the unit at'));
    assert.not.ok(screen.sent().includes(code), 'the code is not shown');
    const rowsOf = (unit: Unit) => unit.get<RouterRow[]>('/v1/routers');
    await until('each virtual router has one master', 20_000, async () => {
      const all = (await Promise.all([lab.a, lab.b].map(rowsOf))).flat();
      const masters = all.filter(({ role }) => role === 'master');
      const backups = all.filter(({ role }) => role === 'backup');
      const names = (rows: RouterRow[]): string =>
        rows
          .map(({ router }) => router)
          .sort()
          .join();
      return (masters.length > 0 && names(masters) === names(backups)) || JSON.stringify(all);
    });
    for (const { router, role } of await rowsOf(lab.b)) {
      await screen.until(`unit-a, and that this unit is ${role} of ${router}`, (text) =>
        new RegExp(`unit-a[^]*^${router} +${role} `, 'm').test(text),
      );
    }
    await lab.untilServed([served], 10_000);
    screen.send('q');
    await screen.ended;
  });
}

async function invited(screen: Screen): Promise<string> {
  screen.send('8');
  await screen.until('the pair', (text) => text.includes('i invite another unit'));
  screen.send('i');
  await screen.until('the question', (text) => text.includes('Addresses'));
  screen.send(`${cableAddress('unit-a', 4)}\r`);
  await screen.until('the code', (text) => text.includes('Code: '));
  const code = /Code: (\S+)/.exec(screen.text().join('\n'))?.[1] ?? '';
  screen.send('\u001b');
  return code;
}

/** On a serial console: neither colours nor signs beyond ASCII. */
async function joins(lab: PairLab, code: string): Promise<void> {
  const plain = { TERM: 'vt220', LC_ALL: 'C' };
  await consoleOf(lab.b, { size: [160, 48], environment: plain }, async (screen) => {
    await page(screen, 'First set-up', '\u001b[C\r');
    await page(screen, 'Administrator', '');
    screen.send(`\r${FORMER}\r${FORMER}\r`);
    await page(screen, 'Name -', 'unit-b\r');
    await page(screen, 'Join a unit', `${cableAddress('unit-a', 4)}\r${code}\r`);
    assert.not.ok(screen.sent().includes(code), 'the code is not shown');
    await page(screen, 'Commit -', '\r\r');
    await screen.until('whose users count now', (text) => text.includes('whose users count now'));
    screen.send(`admin\r${PASSWORD}\r`);
    await screen.until('who is logged in', (text) => text.includes('Logged in as admin'));
    assert.equal(
      [...screen.sent()].filter((sign) => sign > '~'),
      [],
    );
    await lab.untilLinks(1);
    await until('unit-b has the services of unit-a', 20_000, async () => {
      const { document } = await lab.b.get<ConfigView>('/v1/config');
      return document?.services?.['web'] !== undefined || JSON.stringify(document);
    });
    const { peer } = await lab.b.get<PairView>('/v1/pair');
    assert.is(peer?.name, 'unit-a');
    await screen.until('the overview', (text) => text.includes('[1 Overview]'));
    screen.send('q');
    await screen.ended;
  });
}

test.run();

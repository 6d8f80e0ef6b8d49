/**
 * A box out of its carton: an image that was never started, two interfaces without an address, no seed and
 * a terminal on the serial port. All that a person does is typed there, page by page, and read from the screen
 * that the terminal shows; at the end a client is answered by the member.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { needs } from '../../support/needs.js';
import type { Machine } from '../../support/qemu.js';
import { Emulator } from '../../support/terminal.js';
import { inNamespace } from '../namespace.js';
import { ask, isAnswered, PATIENCE_MS, READY, SERVICES, since, Stage } from '../stage.js';

const PASSWORD = 'typed at the serial port';
const RIGHT = '\u001b[C';

const test = suite('the first boot of the image');
const image = needs.image(test);
const stage = new Stage(test, 'wizard');

interface Console {
  readonly machine: Machine;
  readonly screen: Emulator;
  /** Octets that were sent to the terminal so far. */
  readonly sent: () => number;
}

/** A terminal program on the other end of the line; it answers where the cursor is, as all do. */
function consoleOf(machine: Machine): Console {
  const screen = new Emulator(80, 24, (text) => {
    machine.type(text);
  });
  let sent = 0;
  machine.watch((chunk) => {
    sent += chunk.length;
    screen.write(chunk);
  });
  return { machine, screen, sent: () => sent };
}

/** Until it is on the screen, or QEMU ends. */
async function seen(at: Console, what: string, so: (text: string) => boolean): Promise<void> {
  const over = at.machine.ended.then(() => {
    throw new Error(`QEMU ended before ${what} was seen`);
  });
  await Promise.race([at.screen.until(what, so, PATIENCE_MS), over]);
}

/** Waits until it is on the screen, then types. */
async function page(at: Console, title: string, ...keys: readonly string[]): Promise<void> {
  await seen(at, title, (text) => text.includes(title));
  const before = at.sent();
  for (const key of keys) {
    at.machine.type(key);
    // What was typed is seen, or else the next key might come before a form that is still being drawn.
    const typed = key.replace(/[^\u0020-\u007e][^]*$/, '');
    const shown = ['Administrator -', 'Log in'].includes(title) ? '' : typed;
    await seen(at, `${typed} on ${title}`, (text) => text.includes(shown));
  }
  console.log(`  ${title.padEnd(40)} ${since(at.machine.startedAt)}, ${at.sent() - before} octets`);
}

async function setUp(at: Console): Promise<void> {
  await page(at, 'First set-up', '\r');
  await page(at, 'Keyboard and time zone', 'us\r', 'Europe/Berlin\r');
  await page(at, 'Administrator -', '\r', `${PASSWORD}\r`, `${PASSWORD}\r`);
  await page(at, 'Management address -', 'enp0s5\r', '10.98.0.3/24\r', '\r', '\r');
  await page(at, 'Networks of clients and members -', '10.99.0.3/24\r');
  await page(at, 'Name -', 'box\r');
  await page(at, '1 of 5: its name', 'web\r');
  await page(at, '2 of 5: address and port', `${SERVICES.proxied}\r`, '80\r');
  await page(at, '3 of 5: protocol', '\r');
  await page(at, '4 of 5: members', '10.99.0.11:8080\r');
  await page(at, '5 of 5: monitor', '\r', '\r', '\r');
  // The box has no address yet by which it reaches the member, and says so.
  await page(at, 'only after the commit', '\r');
  await page(at, 'enp0s6     10.99.0.3/24', '\r', `${RIGHT}\r`);
  await page(at, 'Revision 2 is in force.');
  await page(at, 'UP        10.99.0.11:8080', 'K');
  await page(at, 'Keep revision 2?', 'y');
  await page(at, 'Revision 2 stays.');
}

image('everything is typed at the serial console, and a client is answered', async () => {
  const machine = stage.start({ watchdog: 'none', overlay: stage.file('disk.qcow2') });
  const at = consoleOf(machine);
  await machine.says(READY, PATIENCE_MS);
  console.log(`  ready ${since(machine.startedAt)} after power-on`);
  await setUp(at);
  await isAnswered(SERVICES.proxied);
  for (let asked = 0; asked < 20; asked++) await ask(SERVICES.proxied);
  assert.not.match(machine.console, new RegExp(PASSWORD), 'the password is not shown');
  const text = await machine.shell(
    [
      'echo zone $(readlink /etc/localtime)',
      'echo host $(cat /proc/sys/kernel/hostname)',
      'echo keyboard $(grep KEYMAP /etc/vconsole.conf)',
      'ip -o -4 address show scope global | sed "s/ *valid_lft.*//"',
      'weir history',
    ].join('; '),
  );
  console.log(text.replace(/^/gm, '  '));
  assert.match(text, /^zone .*Europe\/Berlin$/m);
  assert.match(text, /^host box$/m);
  assert.match(text, /^keyboard KEYMAP="?us"?$/m);
  await logsIn(at);
  await survives(machine);
});

/** Whoever made the set-up leaves, and the next one has to say who it is. */
async function logsIn(at: Console): Promise<void> {
  const { machine, screen } = at;
  machine.type('\u001b');
  // A key that follows Esc too soon is one with Alt.
  await seen(at, 'the overview', (text) => !text.includes('Done -'));
  machine.type('q');
  await page(at, 'Log in', 'admin\r', 'not the password\r');
  await seen(at, 'that it is wrong', (text) => text.includes('password is wrong'));
  machine.type(`${PASSWORD}\r`);
  await seen(at, 'that admin is in', (text) => text.includes('Logged in as admin'));
  await seen(at, 'the dashboard', (text) => /web +.*10\.98\.0\.80/.test(text));
  console.log(`  the dashboard:\n${screen.text().join('\n').replace(/^/gm, '  | ')}`);
  assert.equal(
    [...screen.text().join('')].filter((sign) => sign < ' ' || sign > '~'),
    [],
    'a terminal of unknown kind gets ASCII alone',
  );
}

/** Nobody types on the second boot. */
async function survives(machine: Machine): Promise<void> {
  await machine.shell('sync');
  await machine.cut();
  const second = stage.start({ watchdog: 'none', overlay: stage.file('disk.qcow2') });
  await second.says(READY, PATIENCE_MS);
  await isAnswered(SERVICES.proxied);
}

inNamespace(import.meta.url, () => {
  test.run();
});

/**
 * `npm run pictures`: the screens that the README shows, as SVG, from what a terminal shows of the
 * dashboard of a lab's unit: wizard, overview, a member that was killed, an edit before its commit, the
 * pair.
 *
 * Invariant: nothing is drawn that the terminal's buffer does not have.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { projectRoot } from '../../appliance/paths.js';
import { fill } from '../support/form-keys.js';
import { withTerminal, type Screen } from '../support/terminal.js';
import { PairLab } from './pair-lab.js';
import { Clients, PAIR_LAB, pairThem } from './pair-script.js';
import { svgOf } from './picture.js';
import { removeStaleLabs } from './topology.js';
import type { Unit } from './unit.js';

const program = fileURLToPath(new URL('../../appliance/cli/weir.js', import.meta.url));
const folder = join(projectRoot, 'tui', 'pictures');
const size = { columns: 100, rows: 30 };
/** So that charts have something to show. */
const WATCHED_MS = 45_000;

function dashboard(unit: Unit, act: (screen: Screen) => Promise<void>): Promise<void> {
  return withTerminal(
    {
      command: [process.execPath, program, 'tui', '--colour', '16'],
      environment: { TERM: 'xterm-256color', LC_ALL: 'C.UTF-8', WEIR_SOCKET: unit.socket },
      ...size,
    },
    act,
  );
}

function take(screen: Screen, name: string): void {
  const rows = Array.from({ length: size.rows }, (_row, y) =>
    Array.from({ length: size.columns }, (_cell, x) => screen.cell(x, y)),
  );
  writeFileSync(join(folder, `${name}.svg`), svgOf(rows));
  console.log(`tui/pictures/${name}.svg`);
}

const has =
  (...words: readonly string[]) =>
  (text: string): boolean =>
    words.every((word) => text.includes(word));

async function ofWizard(): Promise<void> {
  await PairLab.run({ bare: true, members: true }, async (lab) => {
    await dashboard(lab.a, async (screen) => {
      const page = async (title: string, keys: string): Promise<void> => {
        await screen.until(title, has(title));
        screen.send(keys);
      };
      await page('First set-up', '\r');
      await page('Administrator', '\rcorrect horse battery\rcorrect horse battery\r');
      await page('Name ─', 'weir-a\r');
      await page('1 of 5', 'shop\r');
      await page('2 of 5', '10.78.0.90\r80\r');
      await page('3 of 5', '\r');
      await page('4 of 5', '10.77.0.11:8080 10.77.0.12:8080 10.77.0.13:8081\r');
      await page('5 of 5', '\u000e');
      await screen.until('what the members said', has('1 of 3 did not answer'));
      take(screen, 'wizard');
    });
  });
}

async function ofPair(): Promise<void> {
  await PairLab.run(PAIR_LAB, async (lab) => {
    await pairThem(lab);
    const clients = await Clients.start(lab);
    await dashboard(lab.a, async (screen) => {
      await screen.until('all is well', has('All is well'));
      await new Promise((resolve) => setTimeout(resolve, WATCHED_MS));
      take(screen, 'overview');
      await lab.members?.kill('member-2');
      screen.send('4');
      await screen.until('that it is down', has('DOWN'));
      take(screen, 'members');
      screen.send('/web 10.77.0.12\r');
      await screen.until('one of them', has('1 of 12 match'));
      screen.send('\r');
      await screen.until('the member', has('Health history', 'connection refused'));
      take(screen, 'member');
      screen.send('8');
      await screen.until('the pair', has('Peer', '3 in all'));
      take(screen, 'pair');
      screen.send('7');
      await screen.until('the objects', has('[7 Config]', 'pool'));
      screen.send('/pool web members:\r');
      await screen.until('one of them', has("match 'pool web"));
      screen.send('\r');
      await screen.until('a form', has('pools.web ─'));
      await fill(screen, 'minimum-healthy', '2');
      await screen.until('that it is well', has('Candidate: 1 change'));
      take(screen, 'form');
    });
    await clients.stop();
  });
}

removeStaleLabs();
mkdirSync(folder, { recursive: true });
await ofWizard();
await ofPair();

/**
 * What is sent for what a person does: over a serial line of 9,600 baud some 960 bytes go in a second,
 * so a key that moves must cost a fraction of that, and a screen a few seconds at most.
 */
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { withTerminal, type Screen } from '../../support/terminal.js';
import { STATUS } from '../api/fake-daemon.js';
import { withApi } from '../api/fixture.js';
import { CONFIG } from './world.js';

const test = suite('tui: bytes sent');
const program = fileURLToPath(new URL('../../../appliance/cli/weir.js', import.meta.url));

interface Sent {
  readonly what: string;
  readonly keys: string;
  readonly seen: (text: string) => boolean;
  /** Bytes. */
  readonly most: number;
}

const has =
  (...words: readonly string[]) =>
  (text: string): boolean =>
    words.every((word) => text.includes(word));

const STEPS: readonly Sent[] = [
  { what: 'another screen', keys: '4', seen: has('[4 Members]', '4 in all'), most: 2000 },
  { what: 'the next screen', keys: '7', seen: has('[7 Config]', '10 in all'), most: 2500 },
  {
    what: 'a form',
    keys: '/services.shop\u0015shop 80\r\r',
    seen: has('services.shop', 'listen*', 'Enter edits'),
    most: 2500,
  },
  { what: 'the next field', keys: 'j', seen: has('Where clients connect.'), most: 600 },
  { what: 'a field opened', keys: 'j\r', seen: has('services.shop.listen.address'), most: 2000 },
  { what: 'a letter in a field', keys: '5', seen: has('10.0.0.805'), most: 100 },
  {
    what: 'the field closed',
    keys: '\u001b',
    seen: (text) => !text.includes('Enter goes on'),
    most: 1000,
  },
  { what: 'text opened', keys: 'y', seen: has('Ctrl-S saves', 'listen: {'), most: 1800 },
  { what: 'a letter of text', keys: 'Q', seen: has('Qlisten'), most: 200 },
];

for (const terminal of ['xterm-256color', 'vt220'] as const) {
  test(`on ${terminal} each step sends no more than its bound`, () =>
    withApi(({ socket, daemon }) => {
      daemon.current = { ...STATUS, pendingConfirm: null };
      daemon.view = CONFIG;
      const environment = { TERM: terminal, LC_ALL: 'C.UTF-8', WEIR_SOCKET: socket };
      const command = [process.execPath, program, 'tui'];
      return withTerminal(
        { command, environment, columns: 80, rows: 24 },
        async (screen: Screen) => {
          await screen.until('the overview', has('connected', 'shop', 'event 2'));
          const first = screen.written();
          assert.ok(first < 5000, `the first screen took ${first} bytes`);
          for (const { what, keys, seen, most } of STEPS) {
            const before = screen.written();
            screen.send(keys);
            await screen.until(what, seen);
            const sent = screen.written() - before;
            if (process.env['WEIR_SHOW_BYTES']) console.error(`${terminal}: ${what}: ${sent}`);
            assert.ok(sent <= most, `${what}: ${sent} bytes, at most ${most}`);
          }
        },
      );
    }));
}

test.run();

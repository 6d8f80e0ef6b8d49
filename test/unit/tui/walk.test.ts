/**
 * A walk through the screens on terminals without colours and without signs beyond ASCII, as an emulator
 * shows them: nothing but ASCII in any cell, no colour, nothing beside the frame, states as words.
 */
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { withTerminal, type Screen } from '../../support/terminal.js';
import { withApi } from '../api/fixture.js';

const test = suite('tui: a walk without colours');
const program = fileURLToPath(new URL('../../../appliance/cli/weir.js', import.meta.url));

/** Keys, and what is seen then. */
const WALK: readonly (readonly [keys: string, seen: RegExp])[] = [
  ['1', /x 1 error[^]*^shop +! DEGRADED/m],
  ['2', /^shop +! DEGRADED[^]*^dns +\+ UP/m],
  ['3', /^POOL[^]*in all|in all[^]*^POOL/m],
  ['4', /\+ UP[^]*x DOWN[^]*- DRAINING[^]*o DISABLED/],
  ['jj\r', /Member 10\.0\.1\.\S+ of pool \S+ +[+x!o-] [A-Z]+/],
  ['3\r', /Pool web/],
  ['5', /x (error +member-state )?event 2/],
  ['6', /generic \(degraded\)/],
  ['7', /^unit /m],
  ['\r', /^unit -{60,}/m],
  ['8', /master[^]*backup, given up/],
  ['f', /Sure\?/],
  ['n9', /i import files/],
  ['0', /^Unit -/m],
  ['N', /^Network -/m],
  ['0A', /Who did what/],
  ['0U', /new user/],
  ['T', /\[Clients\]/],
  ['?', /Keys of this screen/],
];

function checked(screen: Screen, columns: number, rows: number, keys: string): void {
  const lines = screen.text();
  assert.is(lines.length, rows);
  const wrong: string[] = [];
  for (let y = 0; y < rows; y += 1) {
    for (let x = 0; x < columns; x += 1) {
      const { character, colour, ground } = screen.cell(x, y);
      if (colour !== null || ground !== null || !/^[ -~]?$/.test(character)) {
        wrong.push(`${x},${y}: ${JSON.stringify(character)} in ${colour} on ${ground}`);
      }
    }
  }
  assert.equal(wrong, [], `after ${keys}: cells of another sign or a colour`);
  // The bars reach from edge to edge: nothing is clipped, nothing scrolled.
  for (const y of [0, rows - 1]) {
    for (const x of [0, columns - 1]) {
      assert.ok(
        screen.cell(x, y).inverse,
        `after ${keys}: no bar at ${x},${y}:\n${lines.join('\n')}`,
      );
    }
  }
}

for (const [columns, rows] of [
  [80, 24],
  [160, 48],
] as const) {
  for (const environment of [
    { TERM: 'vt220', LC_ALL: 'C' },
    { TERM: 'xterm-256color', LC_ALL: 'C', NO_COLOR: '1' },
  ]) {
    test(`${environment.TERM} of ${columns}x${rows}`, () =>
      withApi(({ socket }) =>
        withTerminal(
          {
            command: [process.execPath, program, 'tui'],
            environment: { ...environment, WEIR_SOCKET: socket },
            ...{ columns, rows },
          },
          async (screen) => {
            await screen.until('the overview', (text) => text.includes('connected'));
            for (const [keys, seen] of WALK) {
              screen.send(keys);
              await screen.until(`${seen} after ${keys}`, (text) => seen.test(text));
              checked(screen, columns, rows, keys);
            }
          },
        ),
      ));
  }
}

test.run();

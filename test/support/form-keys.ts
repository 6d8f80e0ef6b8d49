/** A form of the dashboard filled in as a person does: down to a field, Enter, what to write, Enter. */
import type { Screen } from './terminal.js';

const DOWN = '\u001b[B';
const CLEAR = '\u0015';

/** The line that is selected, below the tabs and above the last line, which may be inverse too. */
function selectedLine(screen: Screen, isIt: (line: string, row: number) => boolean): string {
  const lines = screen.text();
  return lines.slice(1, -1).find((line, index) => isIt(line, index + 1)) ?? '';
}

const field = (screen: Screen): string =>
  selectedLine(screen, (_line, row) => screen.cell(4, row).inverse);

/** Of a box, whose frame is not inverse. */
const option = (screen: Screen): string =>
  selectedLine(screen, (line, row) => {
    const frame = line.search(/[|│]/);
    return frame >= 0 && screen.cell(frame + 2, row).inverse && !screen.cell(frame, row).inverse;
  }).replace(/^.*?[|│] /, '');

/** Downwards until it is selected. */
async function down(
  screen: Screen,
  what: string,
  now: (screen: Screen) => string,
  isIt: (line: string) => boolean,
): Promise<void> {
  await screen.until('something selected', () => now(screen) !== '');
  const first = now(screen);
  while (!isIt(now(screen))) {
    const before = now(screen);
    screen.send(DOWN);
    await screen.until(`${what}, below ${before}`, () => !['', before].includes(now(screen)));
    if (now(screen) === first) throw new Error(`no ${what} in\n${screen.text().join('\n')}`);
  }
}

/** Below tabs, what is said of the candidate, and the form's name. */
const FIRST_ROW = 3;

/** To the first field of this name, from the first of all on. */
export async function toField(screen: Screen, label: string): Promise<void> {
  screen.send('g');
  await screen.until('the first field', (seen) => {
    const place = /[-─] (\d+) of \d+$/m.exec(seen)?.[1] ?? '1';
    return place === '1' && screen.cell(4, FIRST_ROW).inverse;
  });
  const named = new RegExp(`^(?:x )?\\W*${label}\\*?( |$)`);
  await down(screen, `field ${label}`, field, (line) => named.test(line));
}

export async function fill(screen: Screen, label: string, text: string): Promise<void> {
  await toField(screen, label);
  screen.send('\r');
  await screen.until(`what to write for ${label}`, (seen) => seen.includes('Enter goes on'));
  screen.send(`${CLEAR}${text}\r`);
  await screen.until(`that ${label} is ${text}`, () => field(screen).includes(` ${text}`));
}

export async function choose(screen: Screen, label: string, word: string): Promise<void> {
  await toField(screen, label);
  screen.send('\r');
  await pick(screen, word);
}

/** In a box of options. */
export async function pick(screen: Screen, word: string): Promise<void> {
  await screen.until('options', (seen) => seen.includes('Enter takes it'));
  await down(screen, `option ${word}`, option, (line) => line.startsWith(`${word} `));
  screen.send('\r');
  await screen.until(`that ${word} is taken`, (seen) => !seen.includes('Enter takes it'));
}

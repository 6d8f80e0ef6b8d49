/** The first line: the screens by number, in full, in short, or as numbers alone, as there is room. */
import { MENU } from './keys.js';
import type { Model, Place, ScreenName } from './model.js';

/** Which entry of the menu a screen belongs to. */
const PARENT: Readonly<Partial<Record<ScreenName, ScreenName>>> = {
  service: 'services',
  access: 'services',
  pool: 'pools',
  member: 'members',
  object: 'config',
  changes: 'config',
  editor: 'config',
  revisions: 'config',
  revision: 'config',
  certificate: 'certificates',
  network: 'system',
  audit: 'system',
  users: 'system',
  live: 'overview',
};

export function menuEntry({ screen }: Pick<Place, 'screen'>): ScreenName {
  return PARENT[screen] ?? screen;
}

export interface MenuPart {
  readonly screen: ScreenName;
  /** With the blank or bracket on its left; that on its right is the next one's left. */
  readonly text: string;
}

export function menuParts({ place, size }: Pick<Model, 'place' | 'size'>): MenuPart[] {
  const current = menuEntry(place);
  const forms = [
    (index: number): string => MENU[index]?.title ?? '',
    (index: number): string => MENU[index]?.short ?? '',
    (): string => '',
  ];
  for (const form of forms) {
    const parts = MENU.map(({ screen, title }, index): MenuPart => {
      const digit = String((index + 1) % 10);
      if (screen === current) return { screen, text: `[${digit} ${title}]` };
      const name = form(index);
      return { screen, text: ` ${digit}${name === '' ? '' : ` ${name}`} ` };
    });
    const tight = parts.map(({ screen, text }, index) => ({
      screen,
      // Neighbours share a blank; next to a bracket there is none.
      text: index > 0 && text.startsWith(' ') ? text.slice(1) : text,
    }));
    const length = tight.reduce((sum, { text }) => sum + text.length, 0);
    if (length <= size.columns) return tight;
  }
  return [];
}

/** The screen whose entry stands in a column of the first line. */
export function menuAt(model: Pick<Model, 'place' | 'size'>, column: number): ScreenName | null {
  let end = 0;
  for (const { screen, text } of menuParts(model)) {
    end += text.length;
    if (column < end) return screen;
  }
  return null;
}

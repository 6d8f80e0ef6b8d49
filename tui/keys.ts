/**
 * Which keys there are, on every screen and on one: for the reducer's reader, for `?`, and for the
 * hints of the last line.
 *
 * Invariant: what is listed works, and what works is listed.
 */
import type { ScreenName } from './model.js';

export interface Key {
  /** As Node's readline names it; letters as typed. */
  readonly name: string;
  readonly ctrl: boolean;
  /** What was typed, when it is one character. */
  readonly character: string;
}

export interface Hint {
  readonly keys: string;
  readonly does: string;
}

/** Screens in the order of their numbers. */
export const MENU: readonly { readonly screen: ScreenName; readonly title: string }[] = [
  { screen: 'overview', title: 'Overview' },
  { screen: 'services', title: 'Services' },
  { screen: 'pools', title: 'Pools' },
  { screen: 'members', title: 'Members' },
  { screen: 'events', title: 'Events' },
  { screen: 'tiers', title: 'Tiers' },
];

const EVERYWHERE: readonly Hint[] = [
  { keys: `1-${MENU.length}, Tab, Shift-Tab`, does: 'another screen' },
  { keys: ':', does: 'command, with completion by Tab' },
  { keys: 'Esc, h, Left', does: 'back' },
  { keys: 'r, Ctrl-L', does: 'ask the daemon again, and draw everything again' },
  { keys: '?', does: 'these keys' },
  { keys: 'Ctrl-Z', does: 'suspend (fg comes back)' },
  { keys: 'q, Ctrl-C', does: 'quit' },
];

const MOVE: readonly Hint[] = [
  { keys: 'j/k, Down/Up', does: 'next, previous' },
  { keys: 'PgDn/PgUp, g/G, Home/End', does: 'a page; first, last' },
];

const OPEN: Hint = { keys: 'Enter, l, Right', does: 'open what is selected' };

const TABLE: readonly Hint[] = [
  ...MOVE,
  { keys: '/', does: 'filter: rows that have every word' },
  { keys: 's, S', does: 'sort by the next column; the other way round' },
];

const MEMBER: readonly Hint[] = [
  { keys: 'd', does: 'drain the member: keeps its flows, takes no new ones' },
  { keys: 'x', does: 'disable it: its flows go to other members' },
  { keys: 'e', does: 'enable it' },
  { keys: 'w', does: 'set its weight' },
];

const OF_SCREEN: Readonly<Record<ScreenName, readonly Hint[]>> = {
  overview: [...MOVE, { keys: 'Enter, l, Right', does: 'open the selected service' }],
  services: [OPEN, ...TABLE],
  pools: [OPEN, ...TABLE],
  members: [OPEN, ...MEMBER, ...TABLE],
  events: [
    ...MOVE,
    { keys: '/', does: 'filter by kind, severity and text: every word' },
    { keys: 'v', does: 'only warnings and errors; only errors; all' },
    { keys: 'f', does: 'events of single flows too, or not' },
  ],
  tiers: MOVE,
  revisions: [OPEN, ...TABLE],
  certificates: [OPEN, ...TABLE],
  service: MOVE,
  pool: [OPEN, ...MEMBER, ...TABLE],
  member: [...MEMBER, ...MOVE],
};

export function keysOf(screen: ScreenName): readonly Hint[] {
  return [...OF_SCREEN[screen], ...EVERYWHERE];
}

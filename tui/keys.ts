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
export const MENU: readonly {
  readonly screen: ScreenName;
  readonly title: string;
  /** Where the titles do not fit. */
  readonly short: string;
}[] = [
  { screen: 'overview', title: 'Overview', short: 'Over' },
  { screen: 'services', title: 'Services', short: 'Svcs' },
  { screen: 'pools', title: 'Pools', short: 'Pools' },
  { screen: 'members', title: 'Members', short: 'Memb' },
  { screen: 'events', title: 'Events', short: 'Evts' },
  { screen: 'tiers', title: 'Tiers', short: 'Tier' },
  { screen: 'config', title: 'Config', short: 'Conf' },
  { screen: 'pair', title: 'Pair', short: 'Pair' },
  { screen: 'certificates', title: 'Certs', short: 'Cert' },
  { screen: 'system', title: 'System', short: 'Sys' },
];

const EVERYWHERE: readonly Hint[] = [
  { keys: '1-9, 0, Tab, Shift-Tab', does: 'another screen' },
  { keys: ':', does: 'command, with completion by Tab' },
  { keys: 'Esc, h, Left', does: 'back' },
  { keys: 'K', does: 'keep the revision that waits for confirmation' },
  { keys: 'M', does: 'mouse on or off: click a tab or a row, wheel' },
  { keys: 'T', does: 'live traffic: clients, URLs, flows, log' },
  { keys: 'r, Ctrl-L', does: 'ask again, and draw everything again' },
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
  { keys: 't', does: 'ask it once, as its monitor does' },
];

const SPAN: Hint = { keys: 't', does: 'charts of 10 minutes, an hour, a day, a month, a year' };

const CANDIDATE: readonly Hint[] = [
  { keys: 'D, C', does: 'diff of the candidate; commit it' },
  { keys: 'U, X', does: 'undo one edit; drop the candidate' },
  { keys: 'R', does: 'put it on a revision that came meanwhile' },
  { keys: 'Y, H', does: 'the whole document as YAML; history' },
];

const CERTIFICATE: readonly Hint[] = [
  { keys: 'i, p', does: 'import from files; from pasted PEM' },
  { keys: 'c, m', does: 'request for an authority; self-signed one' },
  { keys: 'e', does: 'export the chain, or the key too, into a new file' },
  { keys: 'a', does: 'make an authority of your own' },
  { keys: 'n', does: 'obtain a declared one (ACME, self-signed) anew' },
  { keys: 'x, Del', does: 'remove it with its key' },
];

const OF_SCREEN: Readonly<Record<ScreenName, readonly Hint[]>> = {
  overview: [...MOVE, SPAN, { keys: 'Enter, l, Right', does: 'open the selected service' }],
  services: [OPEN, { keys: 'a', does: 'access: who may use the services' }, ...TABLE],
  pools: [OPEN, ...TABLE],
  members: [OPEN, ...MEMBER, ...TABLE],
  events: [
    ...MOVE,
    { keys: '/', does: 'filter by kind, severity and text: every word' },
    { keys: 'v', does: 'only warnings and errors; only errors; all' },
    { keys: 'f', does: 'events of single flows too, or not' },
  ],
  tiers: MOVE,
  config: [
    OPEN,
    { keys: 'n, c, m', does: 'new; copy; rename' },
    { keys: 'x, Del', does: 'remove' },
    { keys: 'y', does: 'edit as YAML' },
    ...CANDIDATE,
    ...TABLE,
  ],
  object: [
    { keys: 'Enter, l, Space', does: 'edit, choose, open or add' },
    { keys: 'x, Del', does: 'leave out, remove' },
    { keys: 'a, c, [ ]', does: 'add an item; copy it; move it up, down' },
    { keys: 't', does: 'another form of the value: a word, a list, a map' },
    { keys: 'y', does: 'edit the object as YAML' },
    ...CANDIDATE,
    ...MOVE,
  ],
  changes: [...CANDIDATE, ...MOVE],
  editor: [
    { keys: 'Ctrl-S, Ctrl-O', does: 'save' },
    { keys: 'Ctrl-U, Ctrl-R', does: 'undo, redo' },
    { keys: 'Ctrl-K', does: 'cut the line' },
    { keys: 'Esc', does: 'leave' },
  ],
  revisions: [OPEN, { keys: 'b', does: 'bring its document back' }, ...CANDIDATE, ...TABLE],
  revision: [{ keys: 'b', does: 'bring its document back' }, ...CANDIDATE, ...MOVE],
  pair: [
    { keys: 'i, p', does: 'invite another unit; join the one that invites' },
    { keys: 'f, F, u', does: 'fail the router over; all; take them back' },
    { keys: 'P', does: 'prefer a unit: it has the addresses while both are well' },
    { keys: 'L', does: 'leave the pair, or withdraw the invitation' },
    ...TABLE,
  ],
  certificates: [OPEN, ...CERTIFICATE, ...TABLE],
  certificate: [...CERTIFICATE, ...MOVE],
  system: [
    { keys: 'N', does: 'the network of the unit itself' },
    { keys: 'A, U', does: 'who did what; users and tokens' },
    { keys: 'b, t', does: 'back the unit up; restore a backup' },
    { keys: 'B', does: 'support bundle for whoever helps' },
    { keys: 'P, E', does: 'reboot or turn off; erase it (factory reset)' },
    { keys: 'u, O', does: 'upgrade; go back to the other slot' },
    ...MOVE,
  ],
  network: [
    { keys: 'p, t', does: 'ping an address; the routers on the way to it' },
    { keys: 'n', does: 'look up a name' },
    ...MOVE,
  ],
  audit: [OPEN, ...TABLE],
  users: [
    { keys: 'n, t', does: 'new user; new token' },
    { keys: 'o, p', does: 'role; password of the user' },
    { keys: 'x, u', does: 'disable or enable it; try its logins again' },
    { keys: 'D', does: 'remove the user or token' },
    ...TABLE,
  ],
  live: [
    { keys: 'v, V', does: 'next of clients, URLs, flows, log; the one before' },
    { keys: '/', does: 'filter: words, service:, client:, status:, path: … (weir help top)' },
    { keys: 's', does: 'the most requests, traffic, or errors' },
    { keys: 'Space', does: 'pause, go on' },
    ...MOVE,
  ],
  service: [...MOVE, SPAN],
  pool: [OPEN, ...MEMBER, ...TABLE],
  member: [...MEMBER, ...MOVE],
  access: [
    { keys: 'a', does: 'deny or allow a prefix for a while' },
    { keys: 'x, Del', does: 'take an entry away' },
    { keys: 't', does: 'try what a client may' },
    ...TABLE,
  ],
  wizard: [
    { keys: 'Enter, PgDn, Ctrl-N', does: 'next field, next page' },
    { keys: 'PgUp, Ctrl-P', does: 'page before, with what was typed there' },
    { keys: 'Esc', does: 'leave; nothing is changed' },
  ],
};

export function keysOf(screen: ScreenName): readonly Hint[] {
  return [...OF_SCREEN[screen], ...EVERYWHERE];
}

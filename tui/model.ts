/**
 * All that the dashboard knows: what the daemon said and when, where the person is, and what is open
 * over the screen.
 *
 * Invariant: a value; nothing in it is changed in place but `history`, which only `step` adds to.
 */
import type { EventRow } from '../appliance/api/contract.js';
import type { HistorySpan } from '../appliance/api/history-contract.js';
import type { Call } from '../appliance/cli/client.js';
import type { Ask } from './ask.js';
import type { Draft } from './config/draft.js';
import type { JsonMap } from './config/schema.js';
import type { Editor } from './editor.js';
import type { Look, Size } from './frame.js';
import { History } from './history.js';
import { NOTHING_LIVE, type LiveState } from './live.js';
import { FRESH_TABLE, type TableState } from './table.js';
import type { Data } from './topics.js';
import type { Wizard, WizardStep } from './wizard/wizard.js';

export type ScreenName =
  | 'overview'
  | 'services'
  | 'pools'
  | 'members'
  | 'events'
  | 'tiers'
  | 'revisions'
  | 'certificates'
  | 'config'
  | 'pair'
  | 'system'
  | 'network'
  | 'live'
  | 'audit'
  | 'users'
  | 'object'
  | 'changes'
  | 'editor'
  | 'revision'
  | 'certificate'
  | 'service'
  | 'pool'
  | 'member'
  | 'wizard'
  | 'access';

/** A screen, and what it is about. */
export interface Place {
  readonly screen: ScreenName;
  /** Of what has one; of `object` and `editor` the path in the document. */
  readonly name: string;
  /** Of `member`: its pool. */
  readonly pool: string;
  /** Of screens with charts: how far back they go. */
  readonly span?: HistorySpan;
}

export const OVERVIEW: Place = { screen: 'overview', name: '', pool: '' };

export interface LinkState {
  /** `up`: the stream is open. */
  readonly state: 'connecting' | 'up' | 'lost';
  readonly since: number;
  readonly why: string;
}

/** What is open over the screen and takes the keys. */
export type Overlay =
  /** `top`: the first line that is seen, of what is longer than the screen. */
  | { readonly kind: 'help'; readonly top?: number }
  | { readonly kind: 'palette'; readonly text: string; readonly choice: number }
  | { readonly kind: 'filter'; readonly text: string; readonly before: string }
  | {
      readonly kind: 'confirm';
      readonly question: string;
      /** What happens on yes. */
      readonly effects: readonly Effect[];
      /** And here. */
      readonly then?: Inner;
    }
  | Ask
  | {
      readonly kind: 'choose';
      readonly title: string;
      readonly note: string;
      readonly options: readonly Option[];
      readonly choice: number;
    }
  | {
      readonly kind: 'prompt';
      readonly question: string;
      readonly text: string;
      readonly problem: string;
      readonly pool: string;
      readonly member: string;
    }
  | {
      readonly kind: 'message';
      readonly title: string;
      readonly text: string;
      readonly top?: number;
    };

export interface Option {
  readonly text: string;
  readonly does: string;
  readonly then: Inner;
}

/** What is done to the model itself, after a question. */
export type Inner =
  | { readonly type: 'open'; readonly overlay: Overlay }
  /** Another candidate, and where to go then. */
  | { readonly type: 'document'; readonly document: JsonMap; readonly place?: Place }
  | { readonly type: 'drop' }
  | { readonly type: 'close-editor' };

/** Changes whose answer is of interest. */
export type About =
  | 'access-test'
  | 'prefer'
  | 'commit'
  | 'invited'
  | 'failover'
  | 'request'
  | 'certificates'
  | 'token'
  | 'ping'
  | 'traceroute'
  | 'resolve'
  | 'try';

export interface BackupEffect {
  /** Looks into a backup on this machine, or restores it. */
  readonly type: 'inspect' | 'restore';
  readonly file: string;
  readonly passphrase: string;
  readonly configurationOnly: boolean;
}

/** What writes and reads files on this machine. */
export type FileEffect =
  | {
      readonly type: 'save';
      readonly call: Call;
      readonly file: string;
      readonly done: string;
    }
  | BackupEffect;

export type Effect =
  | { readonly type: 'quit' }
  | { readonly type: 'suspend' }
  /** Draw everything again: something else wrote on the terminal. */
  | { readonly type: 'redraw' }
  /** Ask the daemon again for what the screen shows. */
  | { readonly type: 'refresh' }
  /** Change something; `done` says what, once it is. */
  | {
      readonly type: 'act';
      readonly call: Call;
      readonly done: string;
      readonly about?: About;
    }
  /** Have the daemon look at the candidate. */
  | {
      readonly type: 'check';
      readonly document: JsonMap;
      readonly serial: number;
      /** Left out: the candidate. */
      readonly about?: 'wizard';
    }
  /** Have the members of the wizard's document asked once. */
  | { readonly type: 'trial'; readonly document: JsonMap; readonly serial: number }
  /** Do these one after the other, up to the first that fails. */
  | { readonly type: 'steps'; readonly steps: readonly WizardStep[] }
  /** A packet to a member, for the wizard. */
  | { readonly type: 'test'; readonly call: Call }
  /** Send what is in files. */
  | {
      readonly type: 'import';
      readonly call: Call;
      readonly files: readonly string[];
      readonly passphrase: string;
      readonly done: string;
    }
  /** Write what the daemon answers into a new file that is for its owner alone. */
  | {
      readonly type: 'export';
      readonly call: Call;
      readonly file: string;
      readonly passphrase: string;
      readonly done: string;
    }
  | { readonly type: 'login'; readonly name: string; readonly password: string }
  /** `why`: what the login box says then. */
  | { readonly type: 'logout'; readonly why: string }
  | FileEffect
  /** Whether the terminal tells of its mouse. */
  | { readonly type: 'mouse'; readonly on: boolean };

export interface Notice {
  readonly text: string;
  readonly at: number;
}

export interface EventsState {
  /** Those of single flows too. */
  readonly flows: boolean;
  readonly severity: 'info' | 'warning' | 'error';
  readonly filter: string;
  /** Lines above the newest; 0 follows. */
  readonly back: number;
}

export interface Model {
  readonly now: number;
  readonly size: Size;
  readonly look: Look;
  readonly socket: string;
  readonly link: LinkState;
  readonly data: Data;
  /** Null: those so far did not come yet. */
  readonly events: readonly EventRow[] | null;
  readonly history: History;
  readonly place: Place;
  /** Where Esc goes back to, the newest last. */
  readonly trail: readonly Place[];
  readonly tables: Readonly<Record<string, TableState>>;
  readonly eventsState: EventsState;
  readonly live: LiveState;
  /** First line that is seen of screens that are text. */
  readonly scroll: number;
  readonly overlay: Overlay | null;
  /** A change that the daemon has not answered yet. */
  readonly pending: string | null;
  readonly notice: Notice | null;
  /** Null: nothing is changed here. */
  readonly draft: Draft | null;
  /** Of the screen `editor`. */
  readonly editor: Editor | null;
  readonly mouse: boolean;
  /** Null: not begun. */
  readonly wizard: Wizard | null;
  /** On a unit without a revision it opens by itself, once. */
  readonly wizardOffered: boolean;
  /** On the box's own console: a unit without users begins with the wizard, whatever its configuration. */
  readonly firstSetUp: boolean;
  /** When a key was pressed last. */
  readonly used: number;
  /** Whose the candidate is; null: nobody logged in yet. */
  readonly owner: string | null;
}

export function firstModel(of: {
  readonly now: number;
  readonly size: Size;
  readonly look: Look;
  readonly socket: string;
  readonly mouse?: boolean;
  readonly firstSetUp?: boolean;
}): Model {
  return {
    ...of,
    link: { state: 'connecting', since: of.now, why: '' },
    data: {},
    events: null,
    history: new History(),
    place: OVERVIEW,
    trail: [],
    tables: {},
    eventsState: { flows: false, severity: 'info', filter: '', back: 0 },
    live: NOTHING_LIVE,
    scroll: 0,
    overlay: null,
    pending: null,
    notice: null,
    draft: null,
    editor: null,
    mouse: of.mouse ?? false,
    wizard: null,
    wizardOffered: false,
    firstSetUp: of.firstSetUp ?? false,
    used: of.now,
    owner: null,
  };
}

/** Name of the table of a place: each keeps its own sorting, filter and selection. */
export function tableName({ screen, name, pool }: Place): string {
  return name === '' ? screen : `${screen} ${pool} ${name}`;
}

export function tableState(model: Model): TableState {
  return model.tables[tableName(model.place)] ?? FRESH_TABLE;
}

/** How many places Esc goes back. */
const TRAIL_KEPT = 20;

/** One place further in, from where Esc comes back. */
export function entered(model: Model, place: Place): Model {
  const trail = [...model.trail, model.place].slice(-TRAIL_KEPT);
  return { ...model, place, trail, scroll: 0 };
}

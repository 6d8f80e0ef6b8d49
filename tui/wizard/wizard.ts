/**
 * The wizard of the first boot: pages of questions, everything typed kept, one commit at the end. Pure.
 *
 * Invariant: until `steps` are sent nothing of the unit is changed; what is secret is forgotten once
 * they are done.
 */
import type {
  ApplyResult,
  ConfigError,
  HostPart,
  MemberTest,
  Trial,
} from '../../appliance/api/contract.js';
import type { Call } from '../../appliance/cli/client.js';
import { askField, type AskField } from '../ask.js';
import { valueAt, type JsonMap, type Node } from '../config/schema.js';
import {
  JOIN,
  joins,
  KEYBOARD,
  knows,
  NETWORK,
  NEW,
  onInterface,
  pageOf,
  TIME_ZONE,
  wizardDocument,
} from './document.js';

const PAGES = [
  ...(['way', 'locale', 'admin', 'management', 'networks', 'name'] as const),
  ...(['service', 'listen', 'protocol', 'members', 'monitor', 'trial'] as const),
  ...(['join', 'commit', 'done'] as const),
] as const;
export type PageName = (typeof PAGES)[number];

/** By name of the field. */
export type Answered = Readonly<Record<string, string | undefined>>;

export interface Wizard {
  readonly page: PageName;
  readonly fields: Readonly<Partial<Record<PageName, readonly AskField[]>>>;
  /** Index of the field that takes the keys. */
  readonly field: number;
  /** What is wrong with the page, sentences. */
  readonly problems: readonly string[];
  /** Grows with each question to the daemon, so that an answer is known to be the last one's. */
  readonly serial: number;
  /** What the daemon is asked just now; null: nothing. */
  readonly asking: 'check' | 'trial' | 'steps' | null;
  readonly trial: Trial | null;
  /** The unit had no revision when this began. */
  readonly bare: boolean;
  /** How many of the steps are done; a failure leaves those after it. */
  readonly made: number;
  readonly result: ApplyResult | null;
  /** Of the fast path, once the revision is in force. */
  readonly tests: readonly MemberTest[];
}

/** What of the unit the wizard begins with. */
export interface Grounds {
  readonly schema: Node | null;
  readonly base: JsonMap;
  readonly revision: number | null;
  /** Users that there are; null: who asks may not know. */
  readonly users: number | null;
  readonly interfaces: readonly string[];
  /** What of its host the unit may set. */
  readonly host: readonly HostPart[];
}

export interface WizardStep {
  readonly call: Call;
  /** Who is made by it, and logged in for the steps after it. */
  readonly user?: { readonly name: string; readonly password: string };
  /** What is so once it is done, a sentence. */
  readonly done: string;
}

export function beginWizard(grounds: Grounds): Wizard {
  const { schema, base, revision, users, interfaces, host } = grounds;
  const now = (key: string): string => {
    const value = valueAt(base, ['unit', key]);
    return typeof value === 'string' ? value : '';
  };
  const locale = [
    ...(host.includes('keyboard') && knows(schema, KEYBOARD)
      ? [askField('keyboard', 'Keyboard', { text: now('keyboard'), words: KEYBOARDS })]
      : []),
    ...(host.includes('time-zone') && knows(schema, TIME_ZONE)
      ? [askField('time-zone', 'Time zone', { text: now('time-zone'), words: timeZones() })]
      : []),
  ];
  return {
    page: 'way',
    fields: {
      way: [askField('way', 'This unit', { choices: [NEW, JOIN] })],
      locale,
      admin:
        users === 0
          ? [
              askField('user', 'User', { text: 'admin' }),
              askField('password', 'Password', { secret: true }),
              askField('again', 'Once more', { secret: true }),
            ]
          : [],
      management: knows(schema, NETWORK)
        ? [
            ...(host.includes('interfaces')
              ? [
                  askField('interface', 'Interface', { words: interfaces }),
                  askField('addresses', 'Addresses'),
                  askField('gateway', 'Gateway'),
                ]
              : []),
            ...(host.includes('dns') ? [askField('dns', 'Resolvers')] : []),
          ]
        : [],
      networks:
        knows(schema, NETWORK) && host.includes('interfaces') && interfaces.length > 1
          ? interfaces.slice(0, MOST_INTERFACES).map((name) => askField(onInterface(name), name))
          : [],
      name: [askField('unit', 'Name', { text: now('name') })],
      service: [askField('service', 'Name')],
      listen: [askField('address', 'Address'), askField('port', 'Port')],
      protocol: [
        askField('protocol', 'Protocol', { choices: ['http', 'https', 'tcp', 'udp'] }),
        askField('forwarding', 'Forwarding', { choices: ['nat', 'full-nat', 'dsr', 'tunnel'] }),
        askField('host', 'Host name'),
      ],
      members: [askField('members', 'Members')],
      monitor: [
        askField('monitor', 'Monitor', { choices: ['http', 'tcp', 'icmp', 'none'] }),
        askField('path', 'Path', { text: '/' }),
        askField('interval', 'Every', { text: '2s' }),
      ],
      join: [askField('peer', 'Address'), askField('code', 'Code', { secret: true })],
      commit: [
        askField('comment', 'Comment', { text: 'first set-up' }),
        askField('confirm', 'Goes back', { choices: Object.keys(CONFIRM) }),
      ],
    },
    ...{ field: 0, problems: [], serial: 0, asking: null, trial: null, made: 0, result: null },
    ...{ tests: [], bare: revision === null },
  };
}

/** As many lines as the smallest screen has for them; a box with more is given those later. */
const MOST_INTERFACES = 12;

const KEYBOARDS = ['us', 'gb', 'de', 'fr', 'es', 'it', 'se', 'no', 'dk', 'fi', 'pl', 'ch', 'be'];

function timeZones(): string[] {
  return ['UTC', ...Intl.supportedValuesOf('timeZone')];
}

/** What is chosen, and milliseconds; none: it stays. */
const CONFIRM: Readonly<Record<string, number | undefined>> = {
  'in 2 min unless kept': 120_000,
  'in 10 min unless kept': 600_000,
  never: undefined,
};

export function answersOf({ fields }: Pick<Wizard, 'fields'>): Answered {
  return Object.fromEntries(
    Object.values(fields).flatMap((page) =>
      page.map(({ name, text, secret }) => [name, secret ? text : text.trim()]),
    ),
  );
}

export function documentOf(wizard: Wizard, { base, schema }: Grounds): JsonMap {
  return wizardDocument(base, schema, answersOf(wizard));
}

/** Pages that are there only while they ask something. */
const OF_THE_HOST = ['locale', 'admin', 'management', 'networks'] as const;

/** Those that the answers so far lead through. */
export function pagesOf(wizard: Pick<Wizard, 'fields'>): readonly PageName[] {
  const answers = answersOf(wizard);
  const joined = joins(answers);
  const skipped = joined || answers['service'] === '';
  const served: readonly PageName[] = ['listen', 'protocol', 'members', 'monitor', 'trial'];
  return PAGES.filter((page) => {
    if (page === 'service') return !joined;
    if (served.includes(page)) return !skipped;
    if (page === 'join') return joined;
    return (
      !(OF_THE_HOST as readonly PageName[]).includes(page) || fieldsAt(wizard, page).length > 0
    );
  });
}

/** Fields of the page that the other answers leave a meaning. */
export function fieldsOf(wizard: Wizard): readonly AskField[] {
  return fieldsAt(wizard, wizard.page);
}

function fieldsAt(wizard: Pick<Wizard, 'fields'>, page: PageName): readonly AskField[] {
  const answers = answersOf(wizard);
  const { protocol, monitor } = answers;
  return (wizard.fields[page] ?? []).filter(({ name }) => {
    if (page === 'networks') return name !== onInterface(answers['interface'] ?? '');
    if (name === 'forwarding') return protocol === 'tcp' || protocol === 'udp';
    if (name === 'host') return protocol === 'https';
    if (name === 'path') return monitor === 'http';
    if (name === 'interval') return monitor !== 'none';
    return true;
  });
}

export function withField(wizard: Wizard, field: AskField): Wizard {
  const page = (wizard.fields[wizard.page] ?? []).map((one) =>
    one.name === field.name ? field : one,
  );
  return { ...wizard, fields: { ...wizard.fields, [wizard.page]: page }, problems: [] };
}

export function at(wizard: Wizard, by: 1 | -1): Wizard {
  const pages = pagesOf(wizard);
  const page = pages[pages.indexOf(wizard.page) + by] ?? wizard.page;
  return { ...wizard, page, field: 0, problems: [], asking: null };
}

/** What needs no daemon to be seen wrong; null: nothing. */
export function problemOf(wizard: Wizard): string | null {
  const answers = answersOf(wizard);
  switch (wizard.page) {
    case 'join':
      if (answers['peer'] === '') return 'Give an address of the other unit.';
      return answers['code'] === '' ? 'Give the code that the other unit shows.' : null;
    case 'admin':
      return passwordProblem(answers);
    case 'management':
      return (answers['interface'] === '') === (answers['addresses'] === '')
        ? null
        : 'Give an interface and its address, or neither.';
    case 'members':
      return answers['members'] === '' ? 'Give at least one member.' : null;
    default:
      return null;
  }
}

/** Its rules are the daemon's; it says them when the user is made. */
function passwordProblem({ user = '', password = '', again = '' }: Answered): string | null {
  if (user === '') return 'Give the name of the user, such as admin.';
  if (password === '') return 'Give a password.';
  return password === again ? null : 'The passwords differ.';
}

/** Of this page and those before it; at the end all. */
export function problemsAt(wizard: Wizard, errors: readonly ConfigError[]): string[] {
  const pages = pagesOf(wizard);
  const here = pages.indexOf(wizard.page);
  return errors
    .filter(({ path }) => {
      const page = pageOf(path);
      if (wizard.page === 'commit') return true;
      return page !== null && pages.indexOf(page) <= here && pages.includes(page);
    })
    .map(({ path, message }) => `${path}: ${message}`);
}

/** What is sent at the end, in this order. */
export function stepsOf(wizard: Wizard, grounds: Grounds): WizardStep[] {
  const answers = answersOf(wizard);
  const { comment, confirm = '', peer = '', code = '', unit } = answers;
  const joined = joins(answers);
  // Before a place in the pair there is nobody who would have to find the unit again.
  const confirmMs = joined ? undefined : CONFIRM[confirm];
  // What goes back by itself needs a revision to go back to.
  const named = wizard.bare && confirmMs !== undefined;
  const name: WizardStep = {
    call: {
      ...{ method: 'PUT', path: '/v1/config', query: { comment: 'the name of the unit' } },
      ...{ json: { ...grounds.base, unit: { name: unit ?? '' } }, ifMatch: 0 },
    },
    done: `Revision 1 has the name ${unit ?? ''} alone.`,
  };
  const commit: WizardStep = {
    call: {
      ...{ method: 'PUT', path: '/v1/config', json: documentOf(wizard, grounds) },
      query: { comment, 'confirm-ms': confirmMs },
      ...(named ? {} : { ifMatch: grounds.revision ?? 0 }),
    },
    done: 'The configuration is committed.',
  };
  const join: WizardStep = {
    call: {
      ...{ method: 'POST', path: '/v1/pair/join' },
      json: { code: code.trim(), address: peer },
    },
    done: `This unit has joined the one at ${peer}.`,
  };
  const { user = '', password = '' } = answers;
  const makeUser: WizardStep = {
    call: {
      ...{ method: 'POST', path: '/v1/users' },
      json: { name: user, role: 'administrator', password },
    },
    user: { name: user, password },
    done: `The user ${user} is made.`,
  };
  const admin = (wizard.fields.admin ?? []).length > 0;
  return [
    ...(admin ? [makeUser] : []),
    ...(named ? [name] : []),
    commit,
    ...(joined ? [join] : []),
  ];
}

/** After the last step: what was secret is gone. */
export function finished(wizard: Wizard, result: ApplyResult | null): Wizard {
  const fields = Object.fromEntries(
    Object.entries(wizard.fields).map(([page, all]) => [
      page,
      all.map((one) => (one.secret ? { ...one, text: '', at: 0 } : one)),
    ]),
  );
  return { ...wizard, fields, page: 'done', field: 0, asking: null, problems: [], result };
}

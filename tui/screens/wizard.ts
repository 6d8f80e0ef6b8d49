/** The wizard's page: what it is for, its fields, what is wrong, and what comes of it. */
import { fieldRows } from '../boxes.js';
import { heading, span, wrap, type Line, type Style } from '../frame.js';
import { type Model } from '../model.js';
import { answerOf } from '../topics.js';
import { addressesOf, joins } from '../wizard/document.js';
import { wizardOf } from '../wizard/keys.js';
import { PAGE_NOTES } from '../wizard/notes.js';
import { answersOf, fieldsOf, pagesOf, type Wizard } from '../wizard/wizard.js';
import { waiting } from './overview.js';

/** Sentences are read best in lines that are not longer. */
const WIDEST = 100;

export function wizardScreen(model: Model, width: number, height: number): Line[] {
  const { look } = model;
  const wizard = wizardOf(model);
  if (wizard === null) return waiting(model);
  const pages = pagesOf(wizard);
  const { title, note } = PAGE_NOTES[wizard.page];
  const fields = fieldsOf(wizard);
  const room = Math.min(width, WIDEST) - 4;
  const lines = (text: string, style: Style = 'plain'): Line[] =>
    text === '' ? [] : wrap(text, room).map((part): Line => [span(look, `  ${part}`, style)]);
  const rows = fieldRows(look, fields, Math.min(wizard.field, fields.length - 1), room);
  const body = [
    heading(look, title, width, `page ${pages.indexOf(wizard.page) + 1} of ${pages.length}`),
    [],
    ...lines(note),
    [],
    ...rows.map((row): Line => [span(look, '  '), ...row]),
    ...(rows.length === 0 ? [] : [[]]),
    ...wizard.problems.flatMap((text) => lines(text, 'bad')),
    ...partOf(model, wizard, lines),
  ];
  const most = height - 1;
  const shown = body.length > most ? [...body.slice(0, most - 1), ...lines('...')] : body;
  const blank = Array.from({ length: most - shown.length }, (): Line => []);
  return [...shown, ...blank, [span(look, `  ${keysOf(wizard)}`, 'dim')]];
}

function keysOf(wizard: Wizard): string {
  if (wizard.page === 'done') return 'K keeps the revision    Esc to the dashboard';
  if (wizard.asking === 'steps') return 'Waiting for the daemon.';
  const enter = wizard.page === 'commit' ? 'Enter commits' : 'Enter next';
  const back = wizard.page === 'way' ? '' : '    PgUp, Ctrl-P back';
  return `${enter}${back}    Esc leaves, nothing is changed`;
}

function partOf(
  model: Model,
  wizard: Wizard,
  lines: (text: string, style?: Style) => Line[],
): Line[] {
  switch (wizard.page) {
    case 'trial':
      return trialLines(wizard, lines);
    case 'commit':
      return summary(wizard).flatMap((text) => lines(text));
    case 'done':
      return doneLines(model, wizard, lines);
    default:
      return wizard.asking === 'check' ? lines('The daemon looks at it.', 'dim') : [];
  }
}

function trialLines(wizard: Wizard, lines: (text: string, style?: Style) => Line[]): Line[] {
  const { asking, trial, problems } = wizard;
  if (asking === 'trial') return lines('Asking the members.', 'dim');
  if (trial === null) return problems.length > 0 ? [] : lines('Not tried.', 'dim');
  if (trial.rows.length === 0) return lines('There is no monitor, so no member was asked.');
  const failed = trial.rows.filter(({ outcome }) => outcome !== 'pass').length;
  const said =
    failed === 0
      ? lines('All members answered.', 'good')
      : lines(
          `${failed} of ${trial.rows.length} did not answer as they should. Go back, or on all the same.`,
          'warning',
        );
  return [
    ...trial.rows.flatMap(({ member, outcome, reason, latencyMs }) =>
      lines(
        `${outcome === 'pass' ? 'ok     ' : 'FAILED '} ${member}  ${reason}${latencyMs === null ? '' : `, ${latencyMs.toFixed(1)} ms`}`,
        outcome === 'pass' ? 'good' : 'bad',
      ),
    ),
    [],
    ...said,
    // A box out of its carton has no address yet by which it could reach anybody.
    ...(failed > 0 && addressesOf(answersOf(wizard)).length > 0
      ? lines('The addresses of the unit are its own only after the commit, which asks again.')
      : []),
    ...trial.warnings.flatMap((text) => lines(text, 'warning')),
  ];
}

function summary(wizard: Wizard): string[] {
  const a = answersOf(wizard);
  const row = (label: string, text: string | undefined): string[] =>
    text === undefined || text === '' ? [] : [`${label.padEnd(10)} ${text}`];
  const service = pagesOf(wizard).includes('trial');
  const way =
    a['protocol'] === 'tcp' || a['protocol'] === 'udp' ? `, ${a['forwarding'] ?? ''}` : '';
  return [
    ...row('Unit', a['unit']),
    ...row('Time zone', a['time-zone']),
    ...row('Keyboard', a['keyboard']),
    ...addressesOf(a).flatMap(([name, addresses]) => row(name, addresses.join(' '))),
    ...row('Gateway', a['gateway']),
    ...row('Resolvers', a['dns']),
    ...(service
      ? [
          ...row(
            'Service',
            `${a['service'] ?? ''} at ${a['address'] ?? ''} port ${a['port'] ?? ''}, ${a['protocol'] ?? ''}${way}`,
          ),
          ...row('Members', a['members']),
          ...row('Monitor', a['monitor']),
        ]
      : []),
    ...(joins(a) ? row('Then joins', a['peer']) : []),
  ];
}

function doneLines(
  model: Model,
  wizard: Wizard,
  lines: (text: string, style?: Style) => Line[],
): Line[] {
  const { result, tests } = wizard;
  const answers = answersOf(wizard);
  const { service = '', peer = '' } = answers;
  const status = answerOf(model, 'status').value;
  const pending = status?.pendingConfirm ?? null;
  const members = (answerOf(model, 'members').value ?? []).filter(({ pool }) => pool === service);
  const revision = result?.revision ?? null;
  return [
    ...lines(revision === null ? 'Committed.' : `Revision ${revision} is in force.`, 'good'),
    ...(joins(answers) ? lines(`This unit has joined the one at ${peer}.`, 'good') : []),
    ...(result?.warnings ?? []).flatMap((text) => lines(text, 'warning')),
    ...(pending === null
      ? []
      : lines(`Press K to keep it: else it goes back by itself.`, 'warning')),
    [],
    ...members.flatMap(({ member, state, reason }) =>
      lines(`${state.padEnd(9)} ${member}  ${reason}`, state === 'UP' ? 'good' : 'warning'),
    ),
    ...tests.flatMap(({ member, ok, tests: rows }) =>
      rows.flatMap(({ text }) =>
        lines(
          `${ok ? 'answers' : 'FAILED'}   ${member} through the fast path: ${text}`,
          ok ? 'good' : 'bad',
        ),
      ),
    ),
  ];
}

/** The configuration: all objects of the candidate, and how the candidate stands to the unit. */
import { plural } from '../../appliance/cli/format.js';
import { draftOf, overtaken } from '../config/edits.js';
import { objectsOf, summaryOf, type ObjectRow } from '../config/objects.js';
import { objectPlace } from '../config/questions.js';
import { formatPath } from '../../appliance/config/errors.js';
import { span, type Line } from '../frame.js';
import { type Model } from '../model.js';
import { answerOf } from '../topics.js';
import type { Column } from '../table.js';
import { sheet, type Sheet } from './sheet.js';

const COLUMNS: readonly Column<ObjectRow>[] = [
  { title: 'KIND', value: ({ kind }) => kind },
  { title: 'NAME', value: ({ name, kind }) => (name === kind ? '-' : name), shrinkTo: 12 },
  { title: 'CANDIDATE', value: ({ mark }) => mark, style: () => 'warning' },
  { title: 'WHAT IT SAYS', value: summaryOf, shrinkTo: 20 },
];

export function objectRows(model: Model): readonly ObjectRow[] {
  const draft = draftOf(model);
  return draft === null ? [] : objectsOf(draft.document, draft.original);
}

export function configSheet(model: Model): Sheet {
  const draft = draftOf(model);
  return sheet<ObjectRow>(model, {
    rows: draft === null ? null : objectsOf(draft.document, draft.original),
    problem: answerOf(model, 'config').problem,
    columns: COLUMNS,
    keyOf: ({ path }) => formatPath(path),
    placeOf: ({ path }) => objectPlace(path),
    head: [candidateLine(model)],
    empty: [],
  });
}

/** How the candidate is off, and what can be done. */
export function candidateLine(model: Model): Line {
  const { look, draft } = model;
  const revision = model.data.status?.value?.revision ?? null;
  const newer = overtaken(model);
  if (newer !== null && draft !== null) {
    const text = `Revision ${newer} was committed meanwhile; the candidate is on ${draft.base ?? 'none'}. R rebases, X drops it.`;
    return [span(look, text, 'bad')];
  }
  if (draft === null) {
    const text =
      revision === null
        ? 'Nothing was ever applied: name the unit, n adds pools and services, C commits.'
        : `As in revision ${revision}. Enter edits, n new, Y all as YAML, H history.`;
    return [span(look, text, 'dim')];
  }
  const { check } = draft;
  const head = span(look, 'Candidate: ', 'bold');
  if (check === null) return [head, span(look, 'being looked at by the daemon')];
  if (check.unanswered) return [head, span(look, 'not looked at, the daemon is away', 'warning')];
  const keys = span(look, '  D diff  C commit  U undo  X drop', 'dim');
  if (check.problem !== null) {
    const count = Math.max(1, check.errors.length);
    return [
      head,
      span(look, `${plural(count, 'error')}, D shows ${count === 1 ? 'it' : 'them'}`, 'bad'),
      keys,
    ];
  }
  const warned = check.warnings.length === 0 ? '' : `, ${plural(check.warnings.length, 'warning')}`;
  return [head, span(look, `${plural(check.changes.length, 'change')}${warned}`, 'good'), keys];
}

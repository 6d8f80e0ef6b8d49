/** The revisions, newest first, and what one of them changed. */
import type { RevisionRow } from '../../appliance/api/contract.js';
import { summary } from '../../appliance/cli/changes.js';
import { plural, timestamp } from '../../appliance/cli/format.js';
import { heading, span, wrap, type Line } from '../frame.js';
import { type Model } from '../model.js';
import { answerOf } from '../topics.js';
import type { Column } from '../table.js';
import { changeLines } from './changes.js';
import { waiting } from './overview.js';
import { sheet, type Sheet } from './sheet.js';

const COLUMNS: readonly Column<RevisionRow>[] = [
  {
    title: 'REVISION',
    align: 'right',
    value: ({ revision }) => String(revision),
    order: ({ revision }) => revision,
  },
  { title: 'TIME', value: ({ time }) => timestamp(time), order: ({ time }) => time },
  { title: 'AUTHOR', value: ({ author }) => author, shrinkTo: 8 },
  { title: 'CHANGES', value: summary },
  { title: 'MADE ON', value: ({ shared }) => madeOn(shared), shrinkTo: 6, goes: 1 },
  { title: 'COMMENT', value: ({ comment }) => comment, shrinkTo: 12 },
];

function madeOn(shared: RevisionRow['shared']): string {
  if (shared === null) return 'this unit';
  const unit = shared.unit === '' ? 'both' : shared.unit;
  if (shared.state === 'both') return unit;
  return `${unit}, ${shared.state === 'here' ? 'here only' : 'superseded'}`;
}

export function historySheet(model: Model): Sheet {
  const { value, problem } = answerOf(model, 'revisions');
  return sheet<RevisionRow>(model, {
    rows: value,
    problem,
    // A unit by itself made them all.
    columns: COLUMNS.filter(
      ({ title }) => title !== 'MADE ON' || value?.some(({ shared }) => shared !== null),
    ),
    keyOf: ({ revision }) => String(revision),
    placeOf: ({ revision }) => ({ screen: 'revision', name: String(revision), pool: '' }),
    head: [[span(model.look, 'Enter shows what one changed, b brings its document back.', 'dim')]],
    empty: ['No revisions: nothing was ever applied. 7 leads to the configuration.'],
  });
}

export function revisionScreen(model: Model, width: number): Line[] {
  const { look } = model;
  const { value, problem } = answerOf(model, 'revision');
  if (value === null) return problem === null ? waiting(model) : [[span(look, problem, 'bad')]];
  const { revision, author, time, comment, changes, digest } = value;
  return [
    [span(look, `Revision ${revision}`, 'bold'), span(look, `  ${timestamp(time)} by ${author}`)],
    ...wrap(comment === '' ? 'No comment.' : comment, width).map((line): Line => [
      span(look, line),
    ]),
    [span(look, `Digest ${digest.slice(0, 16)}, made on ${madeOn(value.shared)}`, 'dim')],
    heading(look, plural(changes.length, 'change'), width),
    ...changeLines(look, changes, width),
    [],
    [span(look, 'b brings this document back, as a new revision.', 'dim')],
  ];
}

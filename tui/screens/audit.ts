/** Who did what: revisions with their authors, and what else somebody did since the daemon started. */
import { timestamp } from '../../appliance/cli/format.js';
import { summary } from '../../appliance/cli/changes.js';
import { span } from '../frame.js';
import { answerOf, type Model, type Place } from '../model.js';
import type { Column } from '../table.js';
import { sheet, type Sheet } from './sheet.js';

export interface AuditRow {
  readonly key: string;
  readonly time: number;
  readonly author: string;
  readonly what: string;
  readonly revision: number | null;
}

const COLUMNS: readonly Column<AuditRow>[] = [
  { title: 'TIME', value: ({ time }) => timestamp(time), order: ({ time }) => time },
  { title: 'WHO', value: ({ author }) => author, shrinkTo: 8 },
  { title: 'WHAT', value: ({ what }) => what, shrinkTo: 20 },
];

/** Newest first. A revision's own event says nothing that its row does not say. */
function auditRows(model: Model): AuditRow[] | null {
  const { value } = answerOf(model, 'revisions');
  if (value === null) return null;
  const revisions = value.map((row): AuditRow => ({
    key: `revision ${row.revision}`,
    time: row.time,
    author: row.author,
    what: `revision ${row.revision}: ${row.comment || 'no comment'} (${summary(row)})`,
    revision: row.revision,
  }));
  const others = model.events.flatMap(({ kind, subject, sequence, time, message }): AuditRow[] =>
    subject.author === undefined || kind === 'revision'
      ? []
      : [{ key: `event ${sequence}`, time, author: subject.author, what: message, revision: null }],
  );
  return [...revisions, ...others].sort((a, b) => b.time - a.time);
}

export function auditSheet(model: Model): Sheet {
  const audit: Place = { screen: 'audit', name: '', pool: '' };
  return sheet<AuditRow>(model, {
    rows: auditRows(model),
    problem: answerOf(model, 'revisions').problem,
    columns: COLUMNS,
    keyOf: ({ key }) => key,
    placeOf: ({ revision }) =>
      revision === null ? audit : { screen: 'revision', name: String(revision), pool: '' },
    head: [[span(model.look, 'Who did what; Enter on a revision shows what it changed.', 'dim')]],
    empty: ['Nobody did anything yet.'],
  });
}

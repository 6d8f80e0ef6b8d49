/**
 * Who did what: what users did and were refused, revisions with their authors, and what the unit did of
 * it since the daemon started.
 */
import { timestamp } from '../../appliance/cli/format.js';
import { summary } from '../../appliance/cli/changes.js';
import type { EventKind } from '../../appliance/api/contract.js';
import { span, wrap, type Line } from '../frame.js';
import { answerOf, type Model, type Place } from '../model.js';
import type { Column } from '../table.js';
import { sheet, type Sheet } from './sheet.js';

interface Row {
  readonly key: string;
  readonly time: number;
  readonly author: string;
  readonly from: string;
  readonly what: string;
  /** Empty: nothing was asked for, so nothing could be refused. */
  readonly result: string;
  readonly refused: boolean;
  readonly revision: number | null;
}

/** Narrower ones have no room for the year. */
const WIDE = 110;

const columns = (width: number): readonly Column<Row>[] => [
  {
    title: 'TIME',
    value: ({ time }) => (width < WIDE ? timestamp(time).slice('2026-'.length) : timestamp(time)),
    order: ({ time }) => time,
  },
  { title: 'WHO', value: ({ author }) => author, shrinkTo: 8 },
  { title: 'FROM', value: ({ from }) => from || '-', shrinkTo: 6, goes: 1 },
  { title: 'WHAT', value: ({ what }) => what, shrinkTo: 20 },
  {
    title: 'RESULT',
    value: ({ result }) => result || '-',
    style: ({ refused }) => (refused ? 'bad' : 'plain'),
  },
];

/** Those of what is in the audit itself, which is kept; without the right to see it, the events stand in. */
const AUDITED: ReadonlySet<EventKind> = new Set<EventKind>(['login', 'user', 'confirmed']);

/** Newest first. A revision's own event says nothing that its row does not say. */
function auditRows(model: Model): Row[] | null {
  const revisions = answerOf(model, 'revisions').value;
  const audit = answerOf(model, 'audit').value;
  if (revisions === null) return null;
  const nothing = { from: '', result: '', refused: false, revision: null } as const;
  const committed = revisions.map((row): Row => ({
    ...nothing,
    key: `revision ${row.revision}`,
    time: row.time,
    author: row.author,
    what: `revision ${row.revision}: ${row.comment || 'no comment'} (${summary(row)})`,
    revision: row.revision,
  }));
  const acts = (audit ?? []).map(
    ({ number, time, author, from, act, object, status, reason }): Row => ({
      ...{ key: `act ${number}`, time, author, from },
      what: `${act} ${object}`.trim() + (reason === '' ? '' : `: ${reason}`),
      result: status < 400 ? 'done' : String(status),
      refused: status >= 400,
      revision: null,
    }),
  );
  const others = model.events.flatMap(({ kind, subject, sequence, time, message }): Row[] =>
    subject.author === undefined || kind === 'revision' || (audit !== null && AUDITED.has(kind))
      ? []
      : [{ ...nothing, key: `event ${sequence}`, time, author: subject.author, what: message }],
  );
  return [...committed, ...acts, ...others].sort((a, b) => b.time - a.time);
}

const SAYS = 'Who did what, from where. Enter on a revision shows its changes, / filters.';

export function auditSheet(model: Model): Sheet {
  const audit: Place = { screen: 'audit', name: '', pool: '' };
  const role = model.data.me?.value?.role ?? 'administrator';
  const problem =
    role === 'administrator'
      ? answerOf(model, 'audit').problem
      : 'what users did is for administrators.';
  return sheet<Row>(model, {
    rows: auditRows(model),
    problem: answerOf(model, 'revisions').problem,
    columns: columns(model.size.columns),
    keyOf: ({ key }) => key,
    placeOf: ({ revision }) =>
      revision === null ? audit : { screen: 'revision', name: String(revision), pool: '' },
    head: [
      [span(model.look, SAYS, 'dim')],
      ...(problem === null
        ? []
        : wrap(`Revisions and events only: ${problem}`, model.size.columns).map((line): Line => [
            span(model.look, line, 'warning'),
          ])),
    ],
    empty: ['Nobody did anything yet.'],
  });
}

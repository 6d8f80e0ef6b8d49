/**
 * Who did what: what users did and were refused, and revisions with their authors.
 */
import { timestamp } from '../../appliance/cli/format.js';
import { summary } from '../../appliance/cli/changes.js';
import { span, wrap, type Line } from '../frame.js';
import { type Model, type Place } from '../model.js';
import { answerOf } from '../topics.js';
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

/** Where acts make revisions: of the audit's `object`. */
const COMMITS = /^(config|pools|routers)\b/;
/** An act is written down when it is answered, so after what it committed. */
const ANSWERED_MS = 60_000;

/** Newest first, each act once: one that made a revision stands there as that revision. */
function auditRows(model: Model): Row[] | null {
  const revisions = answerOf(model, 'revisions').value;
  const audit = answerOf(model, 'audit').value;
  if (revisions === null) return null;
  const acts = [...(audit ?? [])].sort((a, b) => a.time - b.time);
  const made = new Set<number>();
  const committed = [...revisions]
    .sort((a, b) => a.time - b.time)
    .map((row): Row => {
      const act = acts.find(
        ({ number, time, author, object, status }) =>
          !made.has(number) &&
          author === row.author &&
          status < 400 &&
          COMMITS.test(object) &&
          time >= row.time &&
          time - row.time < ANSWERED_MS,
      );
      if (act !== undefined) made.add(act.number);
      return {
        ...{ key: `revision ${row.revision}`, time: row.time, author: row.author },
        ...{ from: act?.from ?? '', result: act === undefined ? '' : 'done', refused: false },
        what: `revision ${row.revision}: ${row.comment || 'no comment'} (${summary(row)})`,
        revision: row.revision,
      };
    });
  const others = acts
    .filter(({ number }) => !made.has(number))
    .map(({ number, time, author, from, act, object, status, reason }): Row => ({
      ...{ key: `act ${number}`, time, author, from },
      what: `${act} ${object}`.trim() + (reason === '' ? '' : `: ${reason}`),
      result: status < 400 ? 'done' : String(status),
      refused: status >= 400,
      revision: null,
    }));
  const rows = [...committed, ...others, ...(audit === null ? eventRows(model) : [])];
  return rows.sort((a, b) => b.time - a.time);
}

/** They stand in where the audit may not be seen, which has all acts. */
function eventRows({ events }: Model): Row[] {
  return (events ?? []).flatMap(({ kind, subject, sequence, time, message }): Row[] =>
    subject.author === undefined || kind === 'revision'
      ? []
      : [
          {
            ...{ key: `event ${sequence}`, time, author: subject.author, what: message },
            ...{ from: '', result: '', refused: false, revision: null },
          },
        ],
  );
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

/** Who may use the services: the lists of the document, and entries that end by themselves. */
import type { TemporaryAccessRow } from '../../appliance/api/contract.js';
import { duration, quantity } from '../../appliance/cli/format.js';
import { span, type Line } from '../frame.js';
import { type Model } from '../model.js';
import { answerOf } from '../topics.js';
import type { Column } from '../table.js';
import { sheet, type Sheet } from './sheet.js';

function columns(now: number): Column<TemporaryAccessRow>[] {
  return [
    { title: 'PREFIX', value: ({ prefix }) => prefix },
    {
      title: 'VERDICT',
      value: ({ verdict }) => verdict,
      style: ({ verdict }) => (verdict === 'deny' ? 'bad' : 'good'),
    },
    { title: 'SERVICE', value: ({ service }) => service ?? 'every', shrinkTo: 8 },
    {
      title: 'LEFT',
      align: 'right',
      value: ({ expires }) => duration(Math.max(0, expires - now)),
      order: ({ expires }) => expires,
    },
    { title: 'AUTHOR', value: ({ author }) => author, shrinkTo: 6, goes: 1 },
    { title: 'COMMENT', value: ({ comment }) => comment, shrinkTo: 8 },
  ];
}

export function accessKeyOf({ prefix, service }: TemporaryAccessRow): string {
  return `${prefix} ${service ?? ''}`;
}

export function accessSheet(model: Model): Sheet {
  const { look } = model;
  const { value, problem } = answerOf(model, 'access');
  const lists = (value?.lists ?? []).map(
    ({ name, prefixes, allowedBy, deniedBy, problem: wrong }): Line => {
      const uses = [
        ...(allowedBy.length === 0 ? [] : [`allowed by ${allowedBy.join(', ')}`]),
        ...(deniedBy.length === 0 ? [] : [`denied by ${deniedBy.join(', ')}`]),
      ].join('; ');
      const text = `list ${name}: ${quantity(prefixes)} prefixes, ${uses || 'used by nobody'}`;
      return wrong === null
        ? [span(look, text)]
        : [span(look, `${text}: `), span(look, wrong, 'bad')];
    },
  );
  const used =
    value === null
      ? []
      : [
          [
            span(
              look,
              `${quantity(value.entries)} of ${quantity(value.limit)} entries of the fast path are used`,
              'dim' as const,
            ),
          ],
        ];
  return sheet<TemporaryAccessRow>(model, {
    rows: value?.temporary ?? null,
    problem,
    columns: columns(model.now),
    keyOf: accessKeyOf,
    head: [
      [
        span(
          look,
          'a deny or allow a prefix for a while  x take an entry away  t try a client',
          'dim',
        ),
      ],
      ...used,
      ...lists.slice(0, Math.max(2, model.size.rows - 14)),
      [],
    ],
    empty: ['No temporary entries: a makes one. Lists stand in the configuration (7).'],
  });
}

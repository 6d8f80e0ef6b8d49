/** The certificates in the unit's store, and one of them. */
import type { CertificateRow } from '../../appliance/api/contract.js';
import { detailText, expiry, keyText } from '../../appliance/cli/cert-text.js';
import { span, type Line, type Style } from '../frame.js';
import { type Model } from '../model.js';
import { answerOf } from '../topics.js';
import type { Column } from '../table.js';
import { waiting } from './overview.js';
import { sheet, type Sheet } from './sheet.js';
import { toldLines, toldTo } from './told.js';

const SOON_MS = 14 * 86_400_000;

function styleOf(row: CertificateRow, now: number): Style {
  if (row.generation === 0 && row.renewal?.problem === null) return 'warning';
  if (row.problem !== null) return 'bad';
  if (row.kind === 'request') return 'dim';
  if (row.notAfter <= now) return 'bad';
  return row.notAfter - now < SOON_MS ? 'warning' : 'plain';
}

function columns(now: number): Column<CertificateRow>[] {
  return [
    { title: 'NAME', value: ({ name }) => name, shrinkTo: 12 },
    { title: 'KIND', value: ({ kind }) => kind },
    {
      title: 'EXPIRES',
      value: (row) =>
        row.problem === null || row.generation === 0 ? expiry(row, now) : 'unusable',
      order: ({ notAfter }) => notAfter,
      style: (row) => styleOf(row, now),
    },
    { title: 'NAMES', value: ({ names }) => names.join(',') || '-', shrinkTo: 10 },
    { title: 'USED BY', value: ({ usedBy }) => usedBy.join(',') || '-', shrinkTo: 8 },
    { title: 'KEY', value: ({ key }) => keyText(key), goes: 1 },
    { title: 'FROM', value: ({ source }) => source, goes: 2 },
  ];
}

export function certificateSheet(model: Model): Sheet {
  const { value, problem } = answerOf(model, 'certificates');
  return sheet<CertificateRow>(model, {
    rows: value,
    problem,
    columns: columns(model.now),
    keyOf: ({ name, kind }) => `${kind} ${name}`,
    placeOf: ({ name }) => ({ screen: 'certificate', name, pool: '' }),
    head: [
      [
        span(
          model.look,
          'i import files  p paste  c CSR  m self-signed  a authority  e export  x remove',
          'dim',
        ),
      ],
    ],
    empty: ['No certificates: i imports one from files, c makes a request for an authority.'],
  });
}

export function certificateScreen(model: Model, width: number): Line[] {
  const { value, problem } = answerOf(model, 'certificate');
  if (value === null)
    return problem === null ? waiting(model) : [[span(model.look, problem, 'bad')]];
  return toldLines(model, detailText(toldTo(model), value), width, (line) =>
    line.startsWith('  Problem') ? 'bad' : line.startsWith(' ') ? 'plain' : 'bold',
  );
}

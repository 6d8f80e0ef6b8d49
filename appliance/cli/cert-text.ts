/** Certificates as people read them. Pure. */
import type { CertificateDetail, CertificateRenewal, CertificateRow } from '../api/contract.js';
import type { Context } from './context.js';
import { clean, duration, paint, timestamp, type Colour } from './format.js';
import { table, type Column } from './table.js';

const DAY_MS = 86_400_000;
const SOON_DAYS = 14;

export function listText(context: Context, rows: readonly CertificateRow[]): string {
  return table(
    rows,
    columns(context.now()),
    context.look,
    { width: context.width },
    'No certificates.',
  );
}

function columns(now: number): readonly Column<CertificateRow>[] {
  return [
    { title: 'NAME', value: ({ name }) => name, shrinkTo: 12 },
    { title: 'KIND', value: ({ kind }) => kind },
    { title: 'NAMES', value: ({ names }) => names.join(',') || '-', shrinkTo: 10 },
    { title: 'KEY', value: (row) => keyText(row.key), dispensable: 2 },
    {
      title: 'EXPIRES',
      value: (row) => (row.problem === null || isAwaited(row) ? expiry(row, now) : 'unusable'),
      colour: (row) => colour(row, now),
    },
    {
      title: 'USED BY',
      value: ({ usedBy }) => usedBy.join(',') || '-',
      shrinkTo: 8,
      dispensable: 1,
    },
  ];
}

/** `2026-05-02 (62d)`. */
export function expiry(row: CertificateRow, now: number): string {
  const { kind, notAfter } = row;
  if (kind === 'request') return '-';
  if (isAwaited(row)) return row.renewal?.problem === null ? 'awaited' : 'not obtained';
  const day = new Date(notAfter).toISOString().slice(0, 10);
  const left = notAfter - now;
  if (left <= 0) return `${day} (expired)`;
  return `${day} (${left < DAY_MS ? duration(left) : `${Math.floor(left / DAY_MS)}d`})`;
}

/** Declared, and not obtained yet. */
function isAwaited({ generation }: CertificateRow): boolean {
  return generation === 0;
}

/** `by itself on 2026-04-02 10:00:00`. */
function renewalText({ at, failures, problem }: CertificateRenewal): string {
  const when = at === null ? 'now' : `on ${timestamp(at)}`;
  if (problem === null) return `by itself, ${when}`;
  return `failed ${failures === 1 ? 'once' : `${failures} times`}: ${problem.replace(/; it is tried again by itself$/, '')}; next try ${when}`;
}

function colour(row: CertificateRow, now: number): Colour | null {
  const { kind, problem, notAfter } = row;
  if (isAwaited(row) && row.renewal?.problem === null) return 'yellow';
  if (problem !== null) return 'red';
  if (kind === 'request') return 'dim';
  if (notAfter <= now) return 'red';
  return notAfter - now < SOON_DAYS * DAY_MS ? 'yellow' : null;
}

/** `ecdsa P-256`, `rsa 2048`. */
export function keyText({ type, bits, curve }: CertificateRow['key']): string {
  return [type, curve ?? bits].filter((part) => part !== undefined).join(' ');
}

export function detailText(
  context: Pick<Context, 'look' | 'now'>,
  detail: CertificateDetail,
): string {
  const { look } = context;
  const now = context.now();
  const live = detail.kind !== 'request' && !isAwaited(detail);
  const lines: (readonly [string, string])[] = [
    ...(detail.problem === null || isAwaited(detail)
      ? []
      : ([['Problem', detail.problem]] as const)),
    ...(live
      ? ([
          ['Subject', detail.subject || '-'],
          ['Issuer', detail.selfSigned ? 'itself' : detail.issuer],
          ['Names', detail.names.join(', ') || '-'],
          ['Valid', `${timestamp(detail.notBefore)} to ${timestamp(detail.notAfter)}`],
          ['Expires', expiry(detail, now)],
          ['Serial', detail.serial],
        ] as const)
      : []),
    ...(isAwaited(detail)
      ? ([
          ['Names', detail.names.join(', ')],
          ['Key', keyText(detail.key)],
        ] as const)
      : ([
          ['Key', `${keyText(detail.key)}${detail.hasKey ? '' : ', not in the store'}`],
          ['SHA-256', detail.fingerprint],
          ['Source', `${detail.source}, ${timestamp(detail.changed)} by ${detail.author}`],
        ] as const)),
    ['Declared', detail.declared ?? 'no'],
    ...(detail.renewal === null ? [] : ([['Renewal', renewalText(detail.renewal)]] as const)),
    ['Used by', detail.usedBy.join(', ') || 'no service'],
  ];
  const head = `${paint(look, 'bold', clean(detail.name))}  ${detail.kind}\n`;
  const body = lines.map(([name, value]) => `  ${name.padEnd(9)} ${clean(value)}\n`).join('');
  const chain = detail.chain
    .slice(1)
    .map(
      ({ subject, notAfter }) =>
        `  ${'Chain'.padEnd(9)} ${clean(subject)}, to ${timestamp(notAfter)}\n`,
    );
  const request =
    detail.request === null ? '' : `  A request waits for its certificate:\n${detail.request}`;
  return head + body + chain.join('') + request;
}

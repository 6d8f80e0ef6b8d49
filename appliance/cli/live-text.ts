/** Requests as people read them. Pure. */
import type { LiveRequest } from '../api/contract.js';
import { bytes, clean, milliseconds } from './format.js';

/** One request, without what a terminal would take for an order. */
export function logWords(row: LiveRequest): string {
  const what =
    row.method === null
      ? `${row.status === 0 ? 'connection' : 'request'}${row.host === null ? '' : ` for ${row.host}`}`
      : `${row.method} ${row.host ?? ''}${row.target ?? ''}`;
  const took = row.totalMs === null ? '-' : milliseconds(row.totalMs);
  const how = row.ended === 'complete' ? '' : ` (${row.ended})`;
  const parts = [row.client ?? '-', row.service ?? '-', what, took];
  return clean(`${parts.join(' ')} ${bytes(row.bytesOut)} ${row.member ?? '-'}${how}`);
}

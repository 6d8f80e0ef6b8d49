/**
 * Points in time as text: RFC 3339 §5.6 with upper-case "T", in UTC ("Z") or with an offset.
 * Invariant: a day that the calendar does not have (2026-02-30) is refused, never moved on.
 */
import { parsed, refused, type Parsed } from './parsed.js';
import { quote } from './words.js';

const PATTERN =
  /^(\d{4}-\d{2}-(\d{2}))T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,3})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/;

/** Milliseconds since 1970. */
export function parseTime(text: string): Parsed<number> {
  const match = PATTERN.exec(text);
  const day = match === null ? Number.NaN : Date.parse(`${match[1] ?? ''}T00:00:00Z`);
  // Date.parse moves 30 February to 2 March: the day must come back as it was written.
  if (match === null || Number.isNaN(day) || new Date(day).getUTCDate() !== Number(match[2])) {
    return refused(`${quote(text)} is no time: write one such as 2026-12-31T00:00:00Z`);
  }
  return parsed(Date.parse(text));
}

/**
 * When a certificate is renewed, and when a failed order is tried again (RFC 8555 §6.6 for
 * Retry-After). Pure: dates in, dates out.
 *
 * Invariant: renewal begins no later than at 2/3 of the lifetime (1/2 of a short one), which
 * leaves every failure a third of the lifetime to be mended before the certificate ends.
 */
import { createHash } from 'node:crypto';

const MINUTE = 60_000;
export const DAY = 24 * 60 * MINUTE;
const SHORT_LIFETIME = 10 * DAY;
/** Units that were set up on one day shall not all ask on one day: this part of the lifetime earlier, at most. */
const SPREAD = 1 / 20;
/** An authority's limits run a week; what asks for more is taken for a mistake. */
const LONGEST_RETRY_AFTER = 7 * DAY;

/** Both ends of validity, in milliseconds since 1970. */
export interface Validity {
  readonly notBefore: number;
  readonly notAfter: number;
}

/** The moment to renew; the same for the same name and validity whenever it is asked for. */
export function renewAt({ notBefore, notAfter }: Validity, name: string): number {
  const lifetime = Math.max(0, notAfter - notBefore);
  const share = lifetime < SHORT_LIFETIME ? 1 / 2 : 2 / 3;
  return Math.floor(notBefore + lifetime * (share - SPREAD * fractionOf(name)));
}

/** In [0, 1), spread evenly over names. */
export function fractionOf(name: string): number {
  return createHash('sha256').update(name).digest().readUInt32BE(0) / 2 ** 32;
}

/** How long to wait after so many failures in a row (1 is the first): doubling, one minute to one day. */
export function backoff(failures: number, retryAfterMs: number | null): number {
  const doubled = Math.min(DAY, MINUTE * 2 ** Math.min(30, Math.max(0, failures - 1)));
  const asked = Math.min(LONGEST_RETRY_AFTER, Math.max(0, retryAfterMs ?? 0));
  return Math.max(doubled, asked);
}

/**
 * When what failed is tried again: at `at`, but now if that is further away than any failure puts it
 * off, since then the clock that it was told by was wrong.
 */
export function retryAt(at: number, now: number): number {
  return at - now > LONGEST_RETRY_AFTER ? now : at;
}

/** Retry-After (RFC 9110 §10.2.3) as milliseconds from now; undefined when it is absent or says nothing. */
export function retryAfter(value: string | undefined, now: number): number | undefined {
  const text = value?.trim() ?? '';
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  // Only the date of HTTP: Date.parse alone takes almost anything for a date.
  if (!/^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/.test(text)) {
    return undefined;
  }
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}

/**
 * When people hear that a certificate ends. Pure.
 *
 * A warning counts only when it lies in the last third of the certificate's life: one that is
 * renewed in time, or lives for a few days only, gives no warning at its birth.
 */
const DAY_MS = 86_400_000;
export const WARNING_DAYS = [30, 14, 7, 3, 1] as const;

/** The least warning that is due: days before the end, 0 when it has ended; null for none. */
export function expiryStage(
  { notBefore, notAfter }: { readonly notBefore: number; readonly notAfter: number },
  now: number,
): number | null {
  if (now >= notAfter) return 0;
  const third = (notAfter - notBefore) / 3;
  const due = WARNING_DAYS.filter(
    (days) => days * DAY_MS < third && now >= notAfter - days * DAY_MS,
  );
  return due.at(-1) ?? null;
}

/** `in 13 days`, `in 5 hours`. */
export function untilEnd(notAfter: number, now: number): string {
  const hours = Math.floor((notAfter - now) / 3_600_000);
  if (hours >= 48) return `in ${Math.floor(hours / 24)} days`;
  return hours === 1 ? 'in 1 hour' : `in ${hours} hours`;
}

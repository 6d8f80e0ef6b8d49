/** How grave something is: the words, and their order. */

/** From the least grave on. */
export const SEVERITIES = ['info', 'warning', 'error'] as const;

export type Severity = (typeof SEVERITIES)[number];

/** More is graver. */
export function rank(severity: Severity): number {
  return SEVERITIES.indexOf(severity);
}

/** Whether `severity` is `least` or graver. */
export function isAtLeast(severity: Severity, least: Severity): boolean {
  return rank(severity) >= rank(least);
}

/** When a delivery that failed is tried again. Pure. */
const FIRST_MS = 5000;
const LONGEST_MS = 10 * 60_000;
/** Units that lost the same collector at one moment shall not all come back at one moment. */
const BY_CHANCE = 0.2;

/**
 * Milliseconds to wait after so many failures in a row (1 is the first): doubling from 5 s to 10
 * minutes, less up to a fifth by chance, and not less than was asked for.
 *
 * @param random in [0, 1)
 */
export function backOff(failures: number, asked: number, random: number): number {
  const doubled = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(30, Math.max(0, failures - 1)));
  return Math.max(asked, Math.round(doubled * (1 - BY_CHANCE * random)));
}

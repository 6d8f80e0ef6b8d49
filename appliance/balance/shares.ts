/**
 * Whole numbers in proportion to weights, by largest remainders (Hamilton's method): each
 * share is less than one away from the exact one.
 *
 * Invariant: the shares add up to the total, whatever the weights; sums and products stay
 * below 2^53 for 65,536 members of weight 65,535 and 2^20 slots.
 */

/** Earlier entries win ties. No weight, no shares: all are 0 when the weights add up to 0. */
export function apportion(total: number, weights: readonly number[]): Uint32Array {
  const sum = weights.reduce((all, weight) => all + weight, 0);
  if (sum === 0) return new Uint32Array(weights.length);
  const shares = Uint32Array.from(weights, (weight) => Math.floor((total * weight) / sum));
  const rest = total - shares.reduce((all, share) => all + share, 0);
  if (rest === 0) return shares;
  weights
    .map((weight, index) => ({ index, remainder: (total * weight) % sum }))
    .sort((a, b) => b.remainder - a.remainder || a.index - b.index)
    .slice(0, rest)
    .forEach(({ index }) => {
      shares[index] = (shares[index] ?? 0) + 1;
    });
  return shares;
}

/**
 * The same, with at least one for every weight above 0: who serves at all is never rounded
 * away. What the small ones get beyond their due, the others give by weight.
 *
 * @param total at least the number of weights above 0
 */
export function apportionAtLeastOne(total: number, weights: readonly number[]): Uint32Array {
  const shares = apportion(total, weights);
  const starving = weights.map((weight, index) => weight > 0 && shares[index] === 0);
  const count = starving.filter(Boolean).length;
  if (count === 0) return shares;
  const fed = weights.map((weight, index) => (starving[index] === true ? 0 : weight));
  if (fed.every((weight) => weight === 0)) return shares;
  // Feeding the small ones may starve the next smallest, who are then fed in the same way.
  const rest = apportionAtLeastOne(total - count, fed);
  return rest.map((share, index) => (starving[index] === true ? 1 : share));
}

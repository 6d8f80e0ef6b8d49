/**
 * Weights from what is observed: least-response-time, least-bandwidth, custom. Called once a
 * second with what was seen and with what it returned before; flows keep their members, so
 * weights move only what is new.
 *
 * The first two are damped. A weight moves by at most a quarter a step, changes under a tenth
 * are left alone, and no member falls below a twentieth of what the document gives it: a slow
 * member must still be given some flows, or nobody would learn that it recovered. What an
 * administrator's own expression says is done as it is said.
 *
 * Invariant: pure. Weights are whole numbers up to 65,535; `previous` itself is returned when
 * nothing changed.
 */

/** What is known of one member. */
export interface Observed {
  readonly id: string;
  /** In the document, above 0. */
  readonly weight: number;
  /** Active flows. */
  readonly connections: number;
  /** Microseconds; null while nobody measured it. */
  readonly responseTime: number | null;
  /** Bytes per second, both directions. */
  readonly bandwidth: number;
}

export interface Weighed {
  readonly weight: number;
  /** Smoothed, in bytes per second. */
  readonly bandwidth: number;
}

export type Weights = ReadonlyMap<string, Weighed>;

/** Units of weight for one unit of the document's weight: what a member starts with. */
export const WEIGHT_UNIT = 100;
export const WEIGHT_MAX = 65_535;

const STEP = 1.25;
const DEAD_BAND = 0.1;
const FLOOR = 0.05;
/** Part of a new measurement of bandwidth that counts at once; the rest follows within seconds. */
const SMOOTHING = 0.3;

/** Response times that are not known are taken to be the mean of those that are. */
export function filledResponseTimes(members: readonly Observed[]): number[] {
  const known = members.flatMap(({ responseTime }) =>
    responseTime === null ? [] : [responseTime],
  );
  const mean = known.length === 0 ? 1000 : known.reduce((sum, one) => sum + one, 0) / known.length;
  return members.map(({ responseTime }) => Math.max(1, responseTime ?? mean));
}

/**
 * Weight ÷ (response time × (1 + load)), where load is the member's connections per weight by
 * those of the whole pool: 1 when it has its due. So what decides is a ratio to the others, the
 * same in a busy pool as in an idle one, and flows stay in proportion to the weights of members
 * that are equally fast.
 */
function byResponseTime(members: readonly Observed[]): number[] {
  const connections = members.reduce((sum, one) => sum + one.connections, 0);
  const weights = members.reduce((sum, one) => sum + one.weight, 0);
  const times = filledResponseTimes(members);
  return members.map(({ weight, connections: own }, index) => {
    const load = connections === 0 ? 1 : own / weight / (connections / weights);
    return weight / ((times[index] ?? 1) * (1 + load));
  });
}

/**
 * What a member takes now, corrected by how its share of the bandwidth compares with its share
 * of the weights. (Weight ÷ bandwidth alone settles where bandwidth is uneven: the less a member
 * gets, the better it would look.) Comes to rest where bandwidth follows the weights.
 */
function byBandwidth(
  members: readonly Observed[],
  weights: readonly number[],
  bandwidths: readonly number[],
): number[] {
  const total = bandwidths.reduce((sum, one) => sum + one, 0);
  // What goes on fading from the average in a second without traffic says nothing new. Corrected
  // by it again and again, weights would run away, with nobody to show that they are wrong.
  const idle = members.every((member) => member.bandwidth === 0);
  const sum = members.reduce((all, one) => all + one.weight, 0);
  if (idle || total === 0) return members.map((member) => member.weight);
  return members.map((member, index) => {
    const due = member.weight / sum;
    // Nobody has less than a hundredth of its due here: a ratio to nothing says nothing.
    const has = Math.max((bandwidths[index] ?? 0) / total, due / 100);
    return ((weights[index] ?? 0) * due) / has;
  });
}

/**
 * The next weights of a pool.
 *
 * @param members those that take flows; what is remembered of others is kept for their return
 */
export function reweigh(
  algorithm: 'least-response-time' | 'least-bandwidth',
  previous: Weights,
  members: readonly Observed[],
): Weights {
  if (members.length === 0) return previous;
  const before = members.map(
    (member) =>
      previous.get(member.id) ?? {
        weight: member.weight * WEIGHT_UNIT,
        bandwidth: member.bandwidth,
      },
  );
  const weights = before.map(({ weight }) => weight);
  const bandwidths = before.map(({ bandwidth }, index) => {
    const seen = members[index]?.bandwidth ?? 0;
    // Below a byte a second it is none, so that an idle pool comes to rest.
    const smooth = bandwidth + (seen - bandwidth) * SMOOTHING;
    return smooth < 1 ? 0 : smooth;
  });
  const targets =
    algorithm === 'least-bandwidth'
      ? byBandwidth(members, weights, bandwidths)
      : byResponseTime(members);
  const configured = members.map(({ weight }) => weight);
  const next = stepTowards(weights, atLeast(targets, configured));
  return remember(previous, members, inRange(next, configured), bandwidths);
}

/** Shares of the targets, where none is below FLOOR of what the document gives. */
function atLeast(targets: readonly number[], configured: readonly number[]): number[] {
  const sum = targets.reduce((all, one) => all + one, 0);
  const weights = configured.reduce((all, one) => all + one, 0);
  return targets.map((target, index) =>
    Math.max(sum === 0 ? 0 : target / sum, (FLOOR * (configured[index] ?? 0)) / weights),
  );
}

function stepTowards(weights: readonly number[], shares: readonly number[]): number[] {
  const sum = weights.reduce((all, one) => all + one, 0);
  const parts = shares.reduce((all, one) => all + one, 0);
  return weights.map((weight, index) => {
    const wanted = ((shares[index] ?? 0) / parts) * sum;
    // From a weight of 0, which only a change of algorithm leaves behind, no ratio leads away.
    if (weight === 0) return wanted;
    const ratio = wanted / weight;
    if (Math.abs(ratio - 1) < DEAD_BAND) return weight;
    return weight * Math.min(STEP, Math.max(1 / STEP, ratio));
  });
}

/**
 * Steps are relative, so the sum drifts: it is brought back when it went too far, or when a
 * weight would not fit.
 */
function inRange(weights: readonly number[], configured: readonly number[]): number[] {
  const sum = weights.reduce((all, one) => all + one, 0);
  const most = weights.reduce((largest, one) => Math.max(largest, one), 0);
  const usual = configured.reduce((all, one) => all + one, 0) * WEIGHT_UNIT;
  const drifted = sum > usual * 2 || sum < usual / 2 || most > WEIGHT_MAX;
  const factor = drifted ? Math.min(usual / sum, WEIGHT_MAX / most) : 1;
  return weights.map((weight) => Math.min(WEIGHT_MAX, Math.max(1, Math.round(weight * factor))));
}

function remember(
  previous: Weights,
  members: readonly Observed[],
  weights: readonly number[],
  bandwidths: readonly number[],
): Weights {
  const same = members.every((member, index) => {
    const was = previous.get(member.id);
    return was?.weight === weights[index] && was?.bandwidth === bandwidths[index];
  });
  if (same) return previous;
  const next = new Map(previous);
  members.forEach(({ id }, index) => {
    next.set(id, { weight: weights[index] ?? 1, bandwidth: bandwidths[index] ?? 0 });
  });
  return next;
}

const CUSTOM_LARGEST = 10_000;
/** Changes under a hundredth of an expression's result are not worth a new table. */
const CUSTOM_DEAD_BAND = 0.01;

/**
 * Weights as an expression gives them: the largest result becomes CUSTOM_LARGEST, the others are
 * in proportion to it. 0 takes no new flows.
 *
 * @param results null where the expression gave none: that member keeps what it had
 */
export function reweighBy(
  results: readonly (number | null)[],
  previous: Weights,
  members: readonly Observed[],
): Weights {
  const largest = results.reduce<number>((most, one) => Math.max(most, one ?? 0), 0);
  if (largest === 0) return previous;
  const heaviest = members.reduce((most, { weight }) => Math.max(most, weight), 1);
  const weights = members.map((member, index) => {
    const was = previous.get(member.id)?.weight;
    const result = results[index] ?? null;
    if (result === null) return was ?? Math.ceil((CUSTOM_LARGEST * member.weight) / heaviest);
    // Who is to take flows at all is never rounded away.
    const now = result === 0 ? 0 : Math.max(1, Math.round((result / largest) * CUSTOM_LARGEST));
    return was !== undefined && Math.abs(now - was) < was * CUSTOM_DEAD_BAND ? was : now;
  });
  return remember(
    previous,
    members,
    weights,
    members.map(() => 0),
  );
}

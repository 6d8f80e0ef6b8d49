/** Where Weir's verdicts on the corpus differ from HAProxy's and nginx's, and whether it is said why. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { projectRoot } from '../../appliance/paths.js';
import { askable, peerNames, unsteady, type Recorded } from './http1-peers.js';

const shape = z.strictObject({
  refused: z.record(z.string(), z.string()),
  accepted: z.record(z.string(), z.string()),
});

/** Of the first message: whether Weir passes it on, and else why not. */
function weirs(verdict: string): { readonly accepted: boolean; readonly code: string } {
  const first = verdict.split(' | ')[0] ?? '';
  const refusal = /^\d{3} (\S+)$/.exec(first)?.[1];
  return { accepted: refusal === undefined && !/(^| )more$/.test(first), code: refusal ?? 'more' };
}

export interface Differences {
  /** Cases that differ without a word. */
  readonly unexplained: readonly string[];
  /** Explanations that explain nothing. */
  readonly idle: readonly string[];
  /** How many differ. */
  readonly count: number;
}

export function differences(seen: Recorded): Differences {
  const file = join(projectRoot, 'test/corpus/http1/peer-differences.yaml');
  const reasons = shape.parse(parse(readFileSync(file, 'utf8')));
  const used = new Set<string>();
  const unexplained: string[] = [];
  let count = 0;
  for (const one of askable()) {
    const { accepted, code } = weirs(one.verdict);
    for (const peer of peerNames) {
      const theirs = seen.verdicts[peer][one.id] ?? 'not asked';
      if (theirs === unsteady || (theirs === '200') === accepted) continue;
      count += 1;
      const key = accepted
        ? Object.keys(reasons.accepted).find((begin) => one.id.startsWith(begin))
        : code in reasons.refused
          ? code
          : undefined;
      if (key === undefined) unexplained.push(`${one.id}: Weir ${one.verdict}, ${peer} ${theirs}`);
      else used.add(key);
    }
  }
  const all = [...Object.keys(reasons.refused), ...Object.keys(reasons.accepted)];
  return { unexplained, idle: all.filter((key) => !used.has(key)), count };
}

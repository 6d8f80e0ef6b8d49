/**
 * Why an order came to nothing, in words for the administrator, from what an authority said
 * (RFC 8555 §6.7 with RFC 7807: problem documents) or failed to say.
 *
 * Invariant: what the authority wrote is foreign text: it is shortened, and control characters
 * never reach a log or a terminal.
 */
import { z } from 'zod';

const LONGEST_DETAIL = 400;
const ERROR_SPACE = 'urn:ietf:params:acme:error:';

const identifierSchema = z.object({ type: z.string(), value: z.string() });
const plainProblem = z.object({
  type: z.string().optional(),
  detail: z.string().optional(),
  instance: z.string().optional(),
  identifier: identifierSchema.optional().catch(undefined),
});
export const problemSchema = plainProblem.extend({
  subproblems: z.array(plainProblem).optional().catch(undefined),
});
export type Problem = z.output<typeof problemSchema>;

export interface FailureFacts {
  /** What the authority called it, without the name space: `badNonce`, `rateLimited`. */
  readonly kind?: string | undefined;
  /** How long the authority asks to be left alone. */
  readonly retryAfterMs?: number | undefined;
  /** The same request may succeed a little later: the network's fault, or a 5xx. */
  readonly passing?: boolean;
  readonly cause?: unknown;
}

/** An order, or a step of it, that failed; its message is one sentence. */
export class AcmeFailure extends Error {
  override readonly name = 'AcmeFailure';
  readonly kind: string | null;
  readonly retryAfterMs: number | null;
  readonly passing: boolean;

  constructor(sentence: string, facts: FailureFacts = {}) {
    super(sentence, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.kind = facts.kind ?? null;
    this.retryAfterMs = facts.retryAfterMs ?? null;
    this.passing = facts.passing ?? false;
  }
}

export function problemKind(problem: Problem): string | undefined {
  return problem.type?.startsWith(ERROR_SPACE) === true
    ? clean(problem.type.slice(ERROR_SPACE.length))
    : undefined;
}

/** Foreign text on one line and not too long. */
export function clean(text: string): string {
  // C0, DEL, C1, and what turns the direction of text around.
  const line = text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ').trim();
  return line.length > LONGEST_DETAIL ? `${line.slice(0, LONGEST_DETAIL)}…` : line;
}

/** What the authority says, the parts of it for single names included. */
export function problemText(problem: Problem): string {
  const one = (part: z.output<typeof plainProblem>): string => {
    const kind = problemKind(part);
    const detail = part.detail === undefined ? '' : clean(part.detail);
    if (detail === '') return kind ?? 'no reason was given';
    return kind === undefined ? detail : `${detail} (${kind})`;
  };
  const parts = (problem.subproblems ?? [])
    .slice(0, 10)
    .map((part) =>
      part.identifier === undefined ? one(part) : `${clean(part.identifier.value)}: ${one(part)}`,
    );
  const instance =
    problemKind(problem) === 'userActionRequired' && problem.instance !== undefined
      ? `; see ${clean(problem.instance)}`
      : '';
  return [one(problem), ...parts].join('; ') + instance;
}

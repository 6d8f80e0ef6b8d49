/**
 * The expression behind the algorithm custom: from text to a function of what is known of a
 * member. Read and computed by expr-eval-fork, which interprets the expression: no JavaScript is
 * made of it (`toJSFunction`, which would, is never called).
 *
 * Invariant: an expression reaches nothing but its variables. Only the operators and functions
 * named here exist, access to properties is off, and whatever else it mentions is refused. None
 * of them loops, so the work is bounded by the length of the text.
 */
import { Parser, type Expression } from 'expr-eval-fork';
import { parsed, refused, type Parsed } from './parsed.js';
import { alternatives, nearest, quote, visible } from './words.js';

/** What is known of a member when its weight is computed. */
export interface ExpressionInput {
  /** In the document. */
  readonly weight: number;
  /** Active flows. */
  readonly connections: number;
  /** Microseconds, at least 1. */
  readonly response_time: number;
  /** Bytes per second, both directions. */
  readonly bandwidth: number;
  /** 0 to 1. */
  readonly health: number;
  /** Per cent, as the member's agent reports it; 0 without one. */
  readonly cpu: number;
  /** The member's own, empty when it has none. */
  readonly location: string;
}

/** The weight of a member, 0 or more. Throws when the expression gives no such number. */
export type WeightExpression = (input: ExpressionInput) => number;

const VARIABLES: readonly (keyof ExpressionInput)[] = [
  'weight',
  'connections',
  'response_time',
  'bandwidth',
  'health',
  'cpu',
  'location',
];
const FUNCTIONS = ['min', 'max'] as const;
const PREFIXES = ['-', '+', 'not', 'abs', 'ceil', 'floor', 'round', 'sqrt', 'ln', 'exp'] as const;

export const EXPRESSION_MAX_LENGTH = 1000;

function makeParser(): Parser {
  const operators = {
    // Lists and their elements; the library knows the option, its types do not.
    array: false,
    assignment: false,
    concatenate: false,
    factorial: false,
    fndef: false,
    in: false,
    length: false,
    random: false,
  };
  const parser = new Parser({ allowMemberAccess: false, operators });
  parser.functions = only(parser.functions, FUNCTIONS);
  parser.unaryOps = only(parser.unaryOps, PREFIXES);
  parser.consts = only(parser.consts, ['true', 'false']);
  return parser;
}

/** A table of these entries alone, without a prototype that names could be found in. */
function only(table: unknown, names: readonly string[]): Readonly<Record<string, unknown>> {
  const all = table as Readonly<Record<string, unknown>>;
  const kept = Object.create(null) as Record<string, unknown>;
  for (const name of names) kept[name] = all[name];
  return kept;
}

let parser: Parser | null = null;

/** Reads an expression; what it gives is not looked at yet. */
export function parseExpression(text: string): Parsed<WeightExpression> {
  if (text.length > EXPRESSION_MAX_LENGTH) {
    return refused(`the expression has more than ${EXPRESSION_MAX_LENGTH} characters: shorten it`);
  }
  parser ??= makeParser();
  let expression: Expression;
  try {
    expression = parser.parse(text);
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    return refused(`is no expression: ${inPlainWords(visible(said))}`);
  }
  for (const symbol of expression.symbols()) {
    if ((VARIABLES as readonly string[]).includes(symbol)) continue;
    if ((FUNCTIONS as readonly string[]).includes(symbol)) continue;
    const near =
      VARIABLES.find((variable) => variable.startsWith(`${symbol}_`)) ??
      nearest(symbol, [...VARIABLES, ...FUNCTIONS]);
    return refused(
      `there is no variable ${quote(symbol)}: use ${alternatives(VARIABLES)}` +
        (near === undefined ? '' : ` (did you mean "${near}"?)`),
    );
  }
  return parsed((input) => {
    // A copy without a prototype: nothing but the variables can be found in it.
    const values = Object.assign(Object.create(null) as Record<string, number | string>, input);
    let value: unknown;
    try {
      value = expression.evaluate(values);
    } catch (cause) {
      const said = cause instanceof Error ? cause.message : String(cause);
      throw new TypeError(`it cannot be computed (${visible(said)})`, { cause });
    }
    if (typeof value !== 'number' || Number.isNaN(value)) {
      throw new TypeError(`it gives ${described(value)} instead of a number`);
    }
    if (value === Infinity) {
      throw new RangeError(
        'it divides by 0 (add something, as in 1 + connections) or has too high a power',
      );
    }
    if (value < 0) throw new RangeError(`it gives ${value}, but a weight is 0 or more`);
    return value;
  });
}

/**
 * Computes an expression for a member without any load and for a busy one.
 *
 * @returns a sentence that says for which values it does not give a weight; null when it does
 */
export function tryExpression(
  expression: WeightExpression,
  member: Pick<ExpressionInput, 'weight' | 'location'>,
): string | null {
  for (const load of LOADS) {
    try {
      expression({ ...member, ...load });
    } catch (error) {
      const said = error instanceof Error ? error.message : String(error);
      const values = Object.entries({ ...member, ...load })
        .map(([name, value]) => `${name} ${typeof value === 'string' ? quote(value) : value}`)
        .join(', ');
      return `for ${values} ${said}`;
    }
  }
  return null;
}

const LOADS = [
  { connections: 0, response_time: 1, bandwidth: 0, health: 1, cpu: 0 },
  { connections: 120, response_time: 2500, bandwidth: 1e6, health: 0.5, cpu: 60 },
] as const;

/** Without the parser's own names for what it reads. */
function inPlainWords(said: string): string {
  return said
    .replaceAll('TEOF: EOF', 'end')
    .replace(/unexpected T[A-Z]+: (.+)$/, 'unexpected "$1"')
    .replace(/Expected EOF$/, 'Expected an operator or the end');
}

function described(value: unknown): string {
  if (typeof value === 'string') return `the text ${quote(value)}`;
  if (typeof value === 'number') return 'no number at all';
  return typeof value === 'boolean' ? String(value) : 'something else';
}

/**
 * Regular expressions of the language: those of ECMAScript in Unicode mode (ECMA-262 §22.2), with
 * `(?i)` at the beginning for "without case", and without what needs more than linear time.
 *
 * Invariant: what passes here an automaton without a stack can search for, in time linear in the
 * text and in REGEX_MAX_STEPS, so no request can hold a worker up.
 */
import { RegExpParser, visitRegExpAST, type AST } from '@eslint-community/regexpp';
import { textField } from './fields.js';
import { parsed, refused, type Parsed } from './parsed.js';
import { quote } from './words.js';

export const REGEX_MAX_LENGTH = 1024;
/** Steps of the automaton: characters, sets and branches, with repetitions written out. */
export const REGEX_MAX_STEPS = 1000;

const WITHOUT_CASE = '(?i)';
const parser = new RegExpParser({ ecmaVersion: 2024 });

/** Checked here and kept as text: an intent is data, and equal texts must be equal. */
export function parseRegularExpression(text: string): Parsed<string> {
  const start = text.startsWith(WITHOUT_CASE) ? WITHOUT_CASE.length : 0;
  if (text.length === start)
    return refused('the expression is empty: write one, or remove the key');
  if (text.length > REGEX_MAX_LENGTH) {
    return refused(
      `the expression has ${text.length} characters, at most ${REGEX_MAX_LENGTH} fit: shorten it`,
    );
  }
  let pattern: AST.Pattern;
  try {
    pattern = parser.parsePattern(text, start, text.length, { unicode: true });
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    // "Invalid regular expression: /(/: Unterminated group" repeats what was written.
    const why = said.replace(/^Invalid regular expression: .*: /s, '');
    return refused(`${quote(text)} is no regular expression: ${lowerFirst(why)}`);
  }
  const [unknown] = unknownParts(pattern);
  if (unknown !== undefined) return refused(`the expression ${unknown}`);
  const steps = stepsOf(pattern.alternatives);
  return steps <= REGEX_MAX_STEPS
    ? parsed(text)
    : refused(
        `the expression has ${steps} steps with its repetitions written out, at most ${REGEX_MAX_STEPS} fit: repeat less, or use * or +`,
      );
}

/** What no automaton without a stack can do, in words. */
function unknownParts(pattern: AST.Pattern): string[] {
  const found: string[] = [];
  visitRegExpAST(pattern, {
    onBackreferenceEnter({ raw }) {
      found.push(
        `has the back-reference ${quote(raw)}, which needs more than linear time: remove it`,
      );
    },
    onAssertionEnter({ kind, raw }) {
      if (kind !== 'lookahead' && kind !== 'lookbehind') return;
      found.push(`looks around by ${quote(raw)}, which needs more than linear time: remove it`);
    },
    onCharacterSetEnter({ kind, raw }) {
      if (kind !== 'property') return;
      found.push(
        `has the class ${quote(raw)}, which is not known here: write the letters, as in [a-z]`,
      );
    },
  });
  return found;
}

function stepsOf(alternatives: readonly AST.Alternative[]): number {
  return alternatives.reduce(
    (sum, { elements }) =>
      sum +
      Math.max(
        1,
        elements.reduce((steps, element) => steps + elementSteps(element), 0),
      ),
    alternatives.length - 1,
  );
}

function elementSteps(element: AST.Element): number {
  switch (element.type) {
    case 'Group':
    case 'CapturingGroup':
      return stepsOf(element.alternatives);
    case 'Quantifier': {
      const { min, max } = element;
      const steps = elementSteps(element.element);
      if (max === Infinity) return Math.max(min, 1) * steps + 1;
      return Math.max(1, max * steps + max - min);
    }
    default:
      return 1;
  }
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

export function regularExpression() {
  return textField('a regular expression is text', parseRegularExpression, {
    kind: 'regular expression',
    examples: ['^/item/[0-9]+$'],
  });
}

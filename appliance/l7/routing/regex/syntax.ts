/**
 * Regular expressions as text: those of ECMAScript in Unicode mode (ECMA-262 §22.2.1), read by
 * the parser of ESLint, as a small tree of what an automaton without a stack can do.
 *
 * Differences, each for the safety of rules: "." matches every character, line ends too; `(?i)`
 * at the beginning makes the whole without case; back-references and look-around are refused.
 *
 * Invariant: a tree has at most `maxSteps` steps when its repetitions are written out.
 */
import { RegExpParser, type AST } from '@eslint-community/regexpp';
import {
  digits,
  everything,
  negated,
  ranges,
  spaces,
  union,
  withoutCase,
  wordCharacters,
  type Ranges,
} from './ranges.js';

export const assertion = { start: 0, end: 1, word: 2, noWord: 3 } as const;
export type Assertion = (typeof assertion)[keyof typeof assertion];

export type RegexNode =
  | { readonly kind: 'set'; readonly set: Ranges }
  | { readonly kind: 'assertion'; readonly what: Assertion }
  | { readonly kind: 'sequence' | 'choice'; readonly parts: readonly RegexNode[] }
  | {
      readonly kind: 'repeat';
      readonly part: RegexNode;
      readonly min: number;
      readonly max: number;
    };

export const maxLength = 1024;
export const maxSteps = 1000;

/** What is wrong with an expression; the message tells how to write it. */
export class RegexError extends Error {}

const parser = new RegExpParser({ ecmaVersion: 2024 });

/** Throws RegexError. */
export function parseRegex(text: string): RegexNode {
  if (text.length > maxLength) {
    throw new RegexError(`the expression has ${text.length} characters, at most ${maxLength} fit`);
  }
  const ignoreCase = text.startsWith('(?i)');
  const start = ignoreCase ? 4 : 0;
  const pattern = ((): AST.Pattern => {
    try {
      return parser.parsePattern(text, start, text.length, { unicode: true });
    } catch (error) {
      const said = error instanceof Error ? error.message : String(error);
      const why = said.replace(/^Invalid regular expression: .*: /s, '');
      throw new RegexError(`it is no regular expression: ${why}`);
    }
  })();
  const tree = alternatives(pattern.alternatives, ignoreCase);
  const steps = stepsOf(tree);
  if (steps > maxSteps) {
    throw new RegexError(
      `with its repetitions written out it has ${steps} steps, at most ${maxSteps} fit: repeat less, or use * or +`,
    );
  }
  return tree;
}

/** Steps of the automaton; at least one for each copy, so empty groups cannot be free. */
function stepsOf(node: RegexNode): number {
  switch (node.kind) {
    case 'set':
    case 'assertion':
      return 1;
    case 'sequence':
    case 'choice': {
      const splits = node.kind === 'choice' ? node.parts.length - 1 : 0;
      return Math.max(
        1,
        node.parts.reduce((sum, part) => sum + stepsOf(part), splits),
      );
    }
    case 'repeat': {
      const part = stepsOf(node.part);
      if (node.max === Infinity) return Math.max(node.min, 1) * part + 1;
      return Math.max(1, node.max * part + node.max - node.min);
    }
  }
}

function alternatives(list: readonly AST.Alternative[], ignoreCase: boolean): RegexNode {
  const parts = list.map(({ elements }): RegexNode => ({
    kind: 'sequence',
    parts: elements.map((element) => elementNode(element, ignoreCase)),
  }));
  const [only] = parts;
  return parts.length === 1 && only !== undefined ? only : { kind: 'choice', parts };
}

function elementNode(element: AST.Element, ignoreCase: boolean): RegexNode {
  switch (element.type) {
    case 'Assertion':
      return assertionNode(element);
    case 'Quantifier':
      return {
        kind: 'repeat',
        part: elementNode(element.element, ignoreCase),
        min: element.min,
        max: element.max,
      };
    case 'Group':
    case 'CapturingGroup':
      return alternatives(element.alternatives, ignoreCase);
    case 'Character':
    case 'CharacterSet':
    case 'CharacterClass':
      return { kind: 'set', set: setOf(element, ignoreCase) };
    case 'Backreference':
      throw new RegexError(
        `"${element.raw}" refers back to a group, which cannot be done in linear time: write it without`,
      );
    case 'ExpressionCharacterClass':
      throw new RegexError(`"${element.raw}" is not known here: write a class such as [a-z]`);
  }
}

function assertionNode(element: AST.Assertion): RegexNode {
  if (element.kind === 'lookahead' || element.kind === 'lookbehind') {
    throw new RegexError(
      `"${element.raw}" looks around, which cannot be done in linear time: write it without`,
    );
  }
  if (element.kind !== 'word') return { kind: 'assertion', what: assertion[element.kind] };
  return { kind: 'assertion', what: element.negate ? assertion.noWord : assertion.word };
}

type SetElement = AST.Character | AST.CharacterSet | AST.CharacterClass | AST.CharacterClassElement;

function setOf(element: SetElement, ignoreCase: boolean): Ranges {
  switch (element.type) {
    case 'Character':
      return folded([element.value, element.value], ignoreCase);
    case 'CharacterClassRange':
      return folded([element.min.value, element.max.value], ignoreCase);
    case 'CharacterClass': {
      const sets = element.elements.map((inner) => setOf(inner, ignoreCase));
      return element.negate ? negated(union(...sets)) : union(...sets);
    }
    case 'CharacterSet':
      return escapeSet(element);
    default:
      throw new RegexError(`"${element.raw}" is not known here: write a class such as [a-z]`);
  }
}

function folded(set: Ranges, ignoreCase: boolean): Ranges {
  return ignoreCase ? withoutCase(set) : ranges([[set[0] ?? 0, set[1] ?? 0]]);
}

function escapeSet(element: AST.CharacterSet): Ranges {
  switch (element.kind) {
    case 'any':
      return everything;
    case 'digit':
      return element.negate ? negated(digits) : digits;
    case 'space':
      return element.negate ? negated(spaces) : spaces;
    case 'word':
      return element.negate ? negated(wordCharacters) : wordCharacters;
    case 'property':
      throw new RegexError(
        `"${element.raw}" is not known here: write the characters, as in [a-zäöü]`,
      );
  }
}

/**
 * Regular expressions of the language: those of ECMAScript (ECMA-262 §22.2), without what needs
 * more than linear time. Read by the parser that the engine itself is built on.
 *
 * Invariant: what passes here can be searched for in time linear in the text, so no request can
 * hold a worker up.
 */
import { RegExpParser, visitRegExpAST } from '@eslint-community/regexpp';
import { textField } from './fields.js';
import { parsed, refused, type Parsed } from './parsed.js';
import { quote } from './words.js';

export const REGEX_MAX_LENGTH = 1024;
/** `a{1000}` is a thousand steps to an engine without a stack. */
const REPEAT_MAX = 1000;

const parser = new RegExpParser({ ecmaVersion: 2024 });

export function parseRegularExpression(text: string): Parsed<string> {
  if (text === '') return refused('the expression is empty: write one, or remove the key');
  if (text.length > REGEX_MAX_LENGTH) {
    return refused(
      `the expression has ${text.length} characters, at most ${REGEX_MAX_LENGTH} fit: shorten it`,
    );
  }
  let wrong: string | null = null;
  const refuse = (sentence: string): void => {
    wrong ??= sentence;
  };
  try {
    visitRegExpAST(parser.parsePattern(text, 0, text.length, { unicode: true }), {
      onBackreferenceEnter({ raw }) {
        refuse(
          `has the back-reference ${quote(raw)}, which needs more than linear time: remove it`,
        );
      },
      onAssertionEnter({ kind, raw }) {
        if (kind !== 'lookahead' && kind !== 'lookbehind') return;
        refuse(`looks around by ${quote(raw)}, which needs more than linear time: remove it`);
      },
      onCharacterSetEnter({ kind, raw }) {
        if (kind === 'property') {
          refuse(
            `has the class ${quote(raw)}, which is not known here: write the letters, as in [a-z]`,
          );
        }
      },
      onQuantifierEnter({ min, max, raw }) {
        if (Math.max(min, max === Infinity ? 0 : max) <= REPEAT_MAX) return;
        refuse(`repeats ${quote(raw)} too often: at most ${REPEAT_MAX} times`);
      },
    });
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    // "Invalid regular expression: /(/: Unterminated group" repeats what was written.
    const why = said.replace(/^Invalid regular expression: .*: /s, '');
    return refused(`${quote(text)} is no regular expression: ${lowerFirst(why)}`);
  }
  return wrong === null ? parsed(text) : refused(`the expression ${wrong as string}`);
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

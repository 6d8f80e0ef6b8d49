/**
 * Regular expressions of the language. What one may say, the engine knows that will search for it
 * (l7/routing/regex): linear time, whatever the expression and the text.
 *
 * Invariant: whatever passes here the engine takes.
 */
import { regexFault } from '../l7/routing/regex/regex.js';
import { maxLength } from '../l7/routing/regex/syntax.js';
import { textField } from './fields.js';
import { parsed, refused, type Parsed } from './parsed.js';

export const REGEX_MAX_LENGTH = maxLength;

/** Checked here and kept as text: an intent is data, and equal texts must be equal. */
export function parseRegularExpression(text: string): Parsed<string> {
  if (text === '') return refused('the expression is empty: write one, or remove the key');
  // Messages of the engine repeat parts of it, and messages are shown on terminals.
  if (/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u.test(text)) {
    return refused('the expression has invisible characters: write them as \\t, \\n or \\u001b');
  }
  const fault = regexFault(text);
  return fault === null ? parsed(text) : refused(fault);
}

export function regularExpression() {
  return textField('a regular expression is text', parseRegularExpression, {
    kind: 'regular expression',
    examples: ['^/item/[0-9]+$'],
  });
}

/**
 * Names and values of HTTP as the language writes them: fields of a head (RFC 9110 §5), cookies
 * (RFC 6265 §4.1.1), methods.
 *
 * Invariant: nothing that passes here can end a line or frame a message.
 */
import { z } from 'zod';

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/;

export function headerName() {
  return z.string().regex(TOKEN, { error: 'is no name of a header field' });
}

export function isHeaderName(text: string): boolean {
  return TOKEN.test(text);
}

/** What the codec says of a text, as messages of the language end: without a full stop. */
export function asClause(sentence: string): string {
  return sentence.replace(/\.$/, '');
}

export function headerValue() {
  return z
    .string()
    .max(4096)
    .regex(/^[\t -~]*$/, { error: 'a header value is one line of ASCII text' });
}

export function cookieName() {
  return z
    .string()
    .max(64)
    .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, {
      error: 'write a cookie name (RFC 6265 §4.1.1) of letters, digits and "-" or "_"',
    });
}

export function queryName() {
  return z.string().min(1).max(256);
}

export function methodName() {
  return z
    .string()
    .regex(/^[A-Z][A-Z-]{0,31}$/, { error: 'write a method in capitals, such as GET' });
}

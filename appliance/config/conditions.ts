/**
 * Conditions on a request: what a route or a limit of a layer-7 service is for.
 *
 * Paths are compared after RFC 3986 §6.2.2 normalisation, expressions are found anywhere in them
 * unless they say `^` and `$`. Invariant: all conditions must hold, and of a list one.
 */
import { z } from 'zod';
import { hostName, oneOrMore } from './basics.js';
import { prefix, textField } from './fields.js';
import { cookieName, headerName, headerValue, methodName, queryName } from './http-words.js';
import { parsed, refused, type Parsed } from './parsed.js';
import { REGEX_MAX_LENGTH, regularExpression } from './regular-expression.js';
import { alternatives, quote } from './words.js';

function parsePathPattern(text: string): Parsed<string> {
  const help = 'write a path such as /v1/users, /v1/* or /v1/**';
  if (!/^\/[!-~]*$/.test(text) || text.length > 2048 || /[?#]/.test(text)) {
    return refused(`${quote(text)} is no path pattern: ${help}`);
  }
  const segments = text.slice(1).split('/');
  for (const [index, segment] of segments.entries()) {
    if (segment === '**' && index !== segments.length - 1) {
      return refused(`${quote(text)} has "**" before its end: ${help}`);
    }
    if (segment.includes('*') && segment !== '*' && segment !== '**') {
      return refused(
        `${quote(text)} has "*" inside a segment: a segment is either "*" or plain text`,
      );
    }
  }
  return parsed(text);
}

function pathPattern() {
  return textField('a path pattern is text', parsePathPattern, {
    kind: 'path pattern',
    pattern: '^/[!-~]*$',
    examples: ['/v1/users', '/v1/*', '/v1/**'],
  });
}

const testKinds = ['exact', 'prefix', 'regex', 'present'] as const;

/** What a field must be: exactly this text, or what one key says. */
function fieldTest(text: z.ZodType<string, string>) {
  return z.union([
    text,
    z
      .strictObject({
        exact: text.optional().describe('Exactly this value.'),
        prefix: text.optional().describe('A value that begins so.'),
        regex: regularExpression().optional().describe('A value in which this is found.'),
        present: z
          .boolean()
          .optional()
          .describe('true: it is there, with whatever value. false: it is not there.'),
      })
      .superRefine((test, context) => {
        const keys = testKinds.filter((key) => test[key] !== undefined);
        if (keys.length === 1) return;
        context.addIssue({
          code: 'custom',
          message:
            keys.length === 0
              ? `says not what to look for: write one of ${alternatives(testKinds)}`
              : `has ${keys.join(' and ')}, which are tests by themselves: keep one`,
          params: { code: keys.length === 0 ? 'missing' : 'conflict' },
        });
      })
      .describe('What the value must be, by one key; text alone stands for exact.'),
  ]);
}

export const whenSchema = z
  .strictObject({
    host: oneOrMore(hostName({ wildcards: 'any name below' }))
      .optional()
      .describe(
        'Host names that the request asks for, without port. *.shop.example is every name below shop.example, not itself.',
      ),
    path: oneOrMore(pathPattern())
      .optional()
      .describe('Paths. * stands for one segment, ** at the end for any number of them.'),
    'path-regex': oneOrMore(regularExpression())
      .optional()
      .describe(
        `Regular expressions for the path, in the words of JavaScript, found anywhere unless they say ^ and $; (?i) in front: without case. No back-references, no look-around; at most ${REGEX_MAX_LENGTH} characters. In place of path.`,
      ),
    method: oneOrMore(methodName()).optional().describe('Request methods.'),
    headers: z
      .record(headerName(), fieldTest(headerValue()))
      .optional()
      .describe(
        'Header fields and what each must be: text is the exact value; or { prefix: … }, { regex: … } or { present: true }.',
      ),
    query: z
      .record(queryName(), fieldTest(z.string().max(1024)))
      .optional()
      .describe('Query parameters and what each must be, as with headers.'),
    cookies: z
      .record(cookieName(), fieldTest(z.string().max(1024)))
      .optional()
      .describe('Cookies and what each must be, as with headers.'),
    'client-address': oneOrMore(prefix())
      .optional()
      .describe('Prefixes that the client must come from.'),
  })
  .superRefine((when, context) => {
    if (!Object.values(when).some((condition) => condition !== undefined)) {
      context.addIssue({
        code: 'custom',
        message: 'has no condition: write one, or remove "when" to take every request',
        params: { code: 'value' },
      });
    }
    if (when.path !== undefined && when['path-regex'] !== undefined) {
      context.addIssue({
        code: 'custom',
        path: ['path-regex'],
        message: 'stands in place of path, but both are there: keep one',
        params: { code: 'conflict' },
      });
    }
  });

export type When = z.output<typeof whenSchema>;
export type FieldTest = string | NonNullable<Exclude<NonNullable<When['headers']>[string], string>>;

/**
 * Routes of a layer-7 service: which request goes where. They are tried in order and
 * the first whose `when` holds decides.
 *
 * Paths are compared after RFC 3986 §6.2.2 normalisation; `*` stands for one segment,
 * `**` at the end for any number of them.
 */
import { z } from 'zod';
import { prefix, textField } from './fields.js';
import { hostName, name, oneOrMore } from './basics.js';
import { parsed, refused, type Parsed } from './parsed.js';
import { quote } from './words.js';

const headerName = z
  .string()
  .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/, { error: 'is no name of a header field' });
const headerValue = z
  .string()
  .max(4096)
  .regex(/^[\t -~]*$/, { error: 'a header value is one line of ASCII text' });

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

const whenSchema = z
  .strictObject({
    host: oneOrMore(hostName({ wildcards: true }))
      .optional()
      .describe('Host names that the request asks for, without port.'),
    path: oneOrMore(pathPattern())
      .optional()
      .describe('Paths. * stands for one segment, ** at the end for any number of them.'),
    method: oneOrMore(
      z.string().regex(/^[A-Z][A-Z-]{0,31}$/, { error: 'write a method in capitals, such as GET' }),
    )
      .optional()
      .describe('Request methods.'),
    headers: z
      .record(headerName, headerValue)
      .optional()
      .describe('Header fields and the exact value that each must have.'),
    query: z
      .record(z.string().min(1).max(256), z.string().max(1024))
      .optional()
      .describe('Query parameters and the exact value that each must have.'),
    'client-address': oneOrMore(prefix())
      .optional()
      .describe('Prefixes that the client must come from.'),
  })
  .refine((when) => Object.values(when).some((condition) => condition !== undefined), {
    error: 'has no condition: write one, or remove "when" to take every request',
  })
  .describe('What must hold for this route to be taken; all of it. Left out: every request.');

export const routeSchema = z
  .strictObject({
    when: whenSchema.optional(),
    pool: name().optional().describe('Pool that answers.'),
    redirect: z
      .strictObject({
        to: z
          .string()
          .min(1)
          .max(2048)
          .regex(/^[!-~]+$/, { error: 'write a URL or a path, without spaces' })
          .describe(
            'URL or path for the Location header; {host}, {path} and {query} stand for those of the request.',
          ),
        status: z
          .literal([301, 302, 303, 307, 308])
          .default(308)
          .describe('Status code (RFC 9110 §15.4).'),
      })
      .optional()
      .describe('Answer with a redirect.'),
    respond: z
      .strictObject({
        status: z.int().min(200).max(599).describe('Status code.'),
        body: z.string().max(65536).default('').describe('Body.'),
        'content-type': headerValue
          .default('text/plain; charset=utf-8')
          .describe('Type of the body.'),
      })
      .optional()
      .describe('Answer from here, without any member.'),
    rewrite: z
      .strictObject({
        path: z
          .string()
          .max(2048)
          .regex(/^\/[!-~]*$/, { error: 'write a path that begins with "/"' })
          .describe("Path sent to the member; ** stands for what the pattern's ** matched."),
      })
      .optional()
      .describe('What to change in the request before the member sees it.'),
    'request-headers': headerChanges()
      .optional()
      .describe('Header fields to change on the way to the member.'),
    'response-headers': headerChanges()
      .optional()
      .describe('Header fields to change on the way to the client.'),
  })
  .superRefine((route, context) => {
    const actions = (['pool', 'redirect', 'respond'] as const).filter(
      (key) => route[key] !== undefined,
    );
    if (actions.length === 1) return;
    context.addIssue({
      code: 'custom',
      message:
        actions.length === 0
          ? 'the route says not where to go: add "pool", "redirect" or "respond"'
          : `the route has ${actions.join(' and ')}, only one can answer: keep one`,
      params: { code: actions.length === 0 ? 'missing' : 'conflict' },
    });
  })
  .describe('Where a request goes.');

function headerChanges() {
  return z.strictObject({
    set: z
      .record(headerName, headerValue)
      .optional()
      .describe('Fields that get exactly this value.'),
    add: z
      .record(headerName, headerValue)
      .optional()
      .describe('Fields that are added to those there.'),
    remove: z.array(headerName).max(64).optional().describe('Fields that are taken away.'),
  });
}

export type Route = z.output<typeof routeSchema>;

/**
 * Routes of a layer-7 service: which request goes where. They are tried in order and
 * the first whose `when` holds decides.
 *
 * Invariant: a route has exactly one answer to a request: pools, a redirect, or a text from here.
 */
import { z } from 'zod';
import { editFault } from '../l7/http1/edits.js';
import { line, name } from './basics.js';
import { whenSchema } from './conditions.js';
import { duration, textField } from './fields.js';
import { asClause, headerName, headerValue } from './http-words.js';
import { requestLimits } from './limits.js';
import { parsed, refused, type Parsed } from './parsed.js';
import { checkRoute } from './route-checks.js';
import { fineShare } from './share.js';
import { quote } from './words.js';

const redirectPlaces = ['host', 'path', 'query'] as const;

function parseRedirect(text: string): Parsed<string> {
  if (!/^[!-~]{1,2048}$/.test(text)) return refused('write a URL or a path, without spaces');
  const places = redirectPlaces.map((place) => `{${place}}`);
  for (const [place] of text.matchAll(/\{[^{}]*\}/g)) {
    if (!places.includes(place)) {
      return refused(`there is no ${quote(place)} here: use ${places.join(', ')}`);
    }
  }
  return /[{}]/.test(text.replaceAll(/\{[^{}]*\}/g, ''))
    ? refused('a brace is not closed or not opened: write it as %7B or %7D')
    : parsed(text);
}

function parseHost(text: string): Parsed<string> {
  const [, host = '', port] = /^(.*?)(?::([0-9]{1,5}))?$/.exec(text) ?? [];
  const label = '[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?';
  const fits = new RegExp(`^${label}(?:\\.${label})*$`, 'i').test(host) && host.length <= 253;
  const inRange = port === undefined || (Number(port) >= 1 && Number(port) <= 65535);
  return fits && inRange
    ? parsed(text.toLowerCase())
    : refused(`${quote(text)} is no host: write one such as shop.example or shop.example:8080`);
}

const weightedPool = z
  .strictObject({
    pool: name().describe('Pool that answers.'),
    weight: z
      .int()
      .min(0)
      .max(65535)
      .default(1)
      .describe('Its share of the requests, relative to the other pools. 0: none.'),
  })
  .describe('A pool and its share of the requests of a route.');

const respondSchema = z
  .strictObject({
    status: z.int().min(200).max(599).describe('Status code.'),
    body: z.string().max(65536).default('').describe('Body.'),
    'content-type': headerValue()
      .default('text/plain; charset=utf-8')
      .describe('Type of the body.'),
    'retry-after': duration({ min: '1s', max: '30d' })
      .optional()
      .describe('When to come again, for Retry-After. Left out: nothing is said.'),
  })
  .describe('Answer from here, without any member.');

const maintenanceSchema = z
  .strictObject({
    message: line(1000)
      .default('We are working on it. Please try again later.')
      .describe('What the page says.'),
    'retry-after': duration({ min: '1s', max: '30d' })
      .prefault('5m')
      .describe('When to come again, for Retry-After.'),
  })
  .describe('Answer with a page that says that the site is being worked on: 503 with Retry-After.');

export const routeSchema = z
  .strictObject({
    name: name()
      .optional()
      .describe('Names the route in counters and logs. Left out: its number, from 1 on.'),
    when: whenSchema
      .optional()
      .describe('What must hold for this route to be taken; all of it. Left out: every request.'),
    pool: name().optional().describe('Pool that answers.'),
    pools: z
      .array(weightedPool)
      .min(1)
      .max(64)
      .optional()
      .describe(
        'Several pools that share the requests by weight: for trying a new version on a part of them.',
      ),
    redirect: z
      .strictObject({
        to: textField('a URL or path is text', parseRedirect, {
          kind: 'URL or path',
          examples: ['https://{host}{path}{query}'],
        }).describe(
          'URL or path for the Location header; {host}, {path} and {query} stand for those of the request.',
        ),
        status: z
          .literal([301, 302, 303, 307, 308])
          .default(308)
          .describe('Status code (RFC 9110 §15.4).'),
      })
      .optional()
      .describe('Answer with a redirect.'),
    respond: respondSchema.optional(),
    maintenance: maintenanceSchema.optional(),
    rewrite: z
      .strictObject({
        path: z
          .string()
          .max(2048)
          .regex(/^\/[!-~]*$/, { error: 'write a path that begins with "/"' })
          .optional()
          .describe(
            "Path sent to the member; ** stands for what the pattern's ** matched, or without a pattern for the whole path.",
          ),
        host: textField('a host is text', parseHost, {
          kind: 'host, with or without a port',
          examples: ['shop.example', 'shop.example:8080'],
        })
          .optional()
          .describe('Host sent to the member. Left out: what the client asked for.'),
      })
      .optional()
      .describe('What to change in the request before the member sees it.'),
    'request-headers': headerChanges()
      .optional()
      .describe('Header fields to change on the way to the member.'),
    'response-headers': headerChanges()
      .optional()
      .describe('Header fields to change on the way to the client.'),
    mirror: z
      .strictObject({
        pool: name().describe('Pool that gets the copies.'),
        share: fineShare().prefault('100%').describe('Share of the requests that is copied.'),
      })
      .optional()
      .describe('Copies of requests go to a second pool too; what it answers is dropped.'),
    limits: z
      .strictObject({
        requests: requestLimits()
          .optional()
          .describe('How fast requests of this route may come, besides the limits of the service.'),
      })
      .optional()
      .describe('What this route will take at most.'),
  })
  .superRefine((route, context) => {
    checkRoute(route, (code, path, message) => {
      context.addIssue({ code: 'custom', path, message, params: { code } });
    });
  })
  .describe('Where a request goes.');

/** Fields that Weir writes itself, and those of a connection, are refused. */
function headerChanges() {
  const changes = z.strictObject({
    set: z
      .record(headerName(), headerValue())
      .optional()
      .describe('Fields that get exactly this value.'),
    add: z
      .record(headerName(), headerValue())
      .optional()
      .describe('Fields that are added to those there.'),
    remove: z.array(headerName()).max(64).optional().describe('Fields that are taken away.'),
  });
  return changes.superRefine((edits, context) => {
    const check = (edit: Parameters<typeof editFault>[0], path: (string | number)[]): void => {
      const fault = editFault(edit);
      if (fault === null) return;
      const message = asClause(fault);
      context.addIssue({ code: 'custom', path, message, params: { code: 'value' } });
    };
    for (const action of ['set', 'add'] as const) {
      for (const [field, value] of Object.entries(edits[action] ?? {})) {
        check({ action, name: field, value }, [action, field]);
      }
    }
    for (const [index, field] of (edits.remove ?? []).entries()) {
      check({ action: 'remove', name: field }, ['remove', index]);
    }
  });
}

export type Route = z.output<typeof routeSchema>;

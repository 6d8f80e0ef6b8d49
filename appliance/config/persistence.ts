/**
 * How a client stays with its member beyond one flow or request.
 *
 * Invariant: persistence prefers a member and never keeps a request from being served: when its
 * member takes nothing new, another one is chosen and remembered.
 */
import { z } from 'zod';
import { hostName } from './basics.js';
import { duration } from './fields.js';
import { cookieName, headerName, queryName } from './http-words.js';
import type { Protocol } from './protocols.js';

export const persistenceTypes = [
  'source-address',
  'cookie',
  'application-cookie',
  'header',
  'query',
] as const;
export type PersistenceType = (typeof persistenceTypes)[number];

function remembered() {
  return duration({ min: '1s', max: '7d' })
    .prefault('10m')
    .describe('How long after its last request a value is remembered.');
}

const cookieSchema = z
  .strictObject({
    type: z.literal('cookie').describe('By a cookie of our own.'),
    name: cookieName().default('WEIR').describe('Name of the cookie.'),
    timeout: duration({ min: '1s', max: '365d' })
      .optional()
      .describe('Lifetime of the cookie. Left out: until the browser closes.'),
    protection: z
      .enum(['plain', 'signed', 'encrypted'])
      .default('signed')
      .describe(
        'plain: the cookie is a short name of the member, which clients may forge. signed: they cannot. ' +
          'encrypted: nor can they read it. The unit makes the key itself and keeps it out of the configuration.',
      ),
    path: z
      .string()
      .max(1024)
      .regex(/^\/[!-:<-~]*$/, {
        error: 'write a path that begins with "/", without ";" and spaces',
      })
      .default('/')
      .describe('Path that the cookie is for.'),
    domain: hostName()
      .optional()
      .describe('Domain that the cookie is for. Left out: the host that the client asked for.'),
    secure: z
      .boolean()
      .optional()
      .describe('Whether browsers send it over TLS only. Left out: true for https, else false.'),
    'http-only': z.boolean().default(true).describe('Whether scripts of a page cannot read it.'),
    'same-site': z
      .enum(['lax', 'strict', 'none'])
      .optional()
      .describe(
        'When it goes along with requests from other sites. Left out: as the browser does.',
      ),
  })
  .describe('The first answer sets a cookie, and requests that carry it go to the same member.');

export const persistenceSchema = z
  .discriminatedUnion('type', [
    z
      .strictObject({
        type: z.literal('source-address').describe("By the client's address."),
        timeout: duration({ min: '1s', max: '7d' })
          .prefault('10m')
          .describe('How long after its last flow a client is remembered.'),
        prefix: z
          .int()
          .min(1)
          .max(128)
          .optional()
          .describe(
            'How many bits of the client address count: clients of one prefix stay together. Left out: all (32 or 128).',
          ),
      })
      .describe('New flows of one client go to the member that its last flow went to.'),
    cookieSchema,
    z
      .strictObject({
        type: z.literal('application-cookie').describe('By a cookie that members set.'),
        name: cookieName().describe('Name of the cookie, such as JSESSIONID.'),
        timeout: remembered(),
      })
      .describe(
        'The value that a member sets is remembered, and requests that carry it go to that member.',
      ),
    z
      .strictObject({
        type: z.literal('header').describe('By a header field of the request.'),
        name: headerName().describe('Name of the header field.'),
        timeout: remembered(),
      })
      .describe('Requests with the same value of a header field go to the same member.'),
    z
      .strictObject({
        type: z.literal('query').describe('By a query parameter of the request.'),
        name: queryName().describe('Name of the query parameter.'),
        timeout: remembered(),
      })
      .describe('Requests with the same value of a query parameter go to the same member.'),
  ])
  .describe('How a client stays with its member beyond one flow.');

export type Persistence = z.output<typeof persistenceSchema>;

/** Whether browsers send the cookie over TLS only. */
export function isSecure(
  { secure }: { readonly secure?: boolean | undefined },
  protocol: Protocol,
): boolean {
  return secure ?? protocol === 'https';
}

/** What browsers would not take: a name or `same-site` that needs more than the cookie has (RFC 6265bis §4.1.3). */
export function checkCookie(
  cookie: Extract<Persistence, { type: 'cookie' }>,
  protocol: Protocol,
  refuse: (key: string, message: string) => void,
): void {
  const secure = isSecure(cookie, protocol);
  if (cookie['same-site'] === 'none' && !secure) {
    refuse('same-site', 'browsers take "none" of secure cookies only: add secure: true');
  }
  if (cookie.name.startsWith('__Secure-') && !secure) {
    refuse('name', 'browsers take this prefix of secure cookies only: add secure: true');
  }
  if (
    cookie.name.startsWith('__Host-') &&
    !(secure && cookie.path === '/' && cookie.domain === undefined)
  ) {
    refuse(
      'name',
      'browsers take this prefix with secure: true, the path "/" and no domain only: change them or the name',
    );
  }
}

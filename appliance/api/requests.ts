/**
 * Reads what a client sent: bodies, query strings, If-Match (RFC 9110 §13.1.1).
 * Everything is parsed here, at the edge; behind it types can be trusted.
 *
 * Invariant: these functions are pure, and what they cannot read they refuse with a
 * `PortError` that says what was expected. A key that nobody knows is refused too,
 * so that a misspelt `dry-run` never commits.
 */
import { z } from 'zod';
import { EVENT_KINDS, type Document } from './contract.js';
import { HISTORY_SPANS } from './history-contract.js';
import { LIVE_ORDERS, LIVE_VIEWS } from './live-contract.js';
import { SEVERITIES } from '../config/severities.js';
import { type DocumentSource, PortError } from './port.js';

/** A body as it came, by its media type. */
export interface RawBody {
  readonly format: 'yaml' | 'json';
  readonly text: string;
}

/** Decodes a body; anything but UTF-8 is a syntax error. */
export function decodeBody(format: RawBody['format'], bytes: Uint8Array): RawBody {
  try {
    return { format, text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) };
  } catch (cause) {
    throw new PortError('syntax', 'The body is not UTF-8 text.', { cause });
  }
}

/** The document in a body: YAML stays text, so that errors name its lines. */
export function documentSource(body: unknown): DocumentSource {
  const raw = rawBody(body);
  if (raw === null || raw.text.trim() === '') {
    throw new PortError('syntax', 'The body is empty: send the whole document.');
  }
  if (raw.format === 'yaml') return { text: raw.text };
  const value = parseJson(raw.text);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new PortError('invalid', 'The document must be a JSON object.');
  }
  // The daemon checks it against the schema; until then it is only known to be JSON.
  return { document: value as Document };
}

const rollbackBody = z.strictObject({
  to: z.int().min(1),
  comment: z.string().max(1000).optional(),
  'confirm-ms': z.int().min(1000).max(86_400_000).optional(),
});
export type RollbackBody = z.output<typeof rollbackBody>;

export function parseRollback(body: unknown): RollbackBody {
  return check(rollbackBody, jsonBody(body), 'body');
}

const memberBody = z
  .strictObject({
    state: z.enum(['enabled', 'draining', 'disabled']).optional(),
    weight: z.int().min(0).max(256).optional(),
    comment: z.string().max(1000).optional(),
    'confirm-ms': z.int().min(1000).max(86_400_000).optional(),
  })
  .refine((value) => value.state !== undefined || value.weight !== undefined, {
    error: 'give state, weight, or both',
  });
export type MemberBody = z.output<typeof memberBody>;

export function parseMember(body: unknown): MemberBody {
  return check(memberBody, jsonBody(body), 'body');
}

const accessBody = z.strictObject({
  prefix: z.string().max(64),
  verdict: z.enum(['allow', 'deny']),
  'for-ms': z
    .int()
    .min(1000)
    .max(365 * 86_400_000),
  service: z.string().max(63).optional(),
  comment: z.string().max(1000).optional(),
});
export type AccessBody = z.output<typeof accessBody>;

export function parseAccess(body: unknown): AccessBody {
  return check(accessBody, jsonBody(body), 'body');
}

const keyKind = z.enum(['ecdsa-p256', 'ecdsa-p384', 'rsa-2048', 'rsa-3072', 'rsa-4096']);
const lifetime = z
  .int()
  .min(3_600_000)
  .max(36_500 * 86_400_000);
const authorityBody = z.strictObject({
  key: keyKind,
  'lifetime-ms': lifetime,
  subject: z.string().max(1000).optional(),
  replace: z.boolean().optional(),
});
const requestBody = z.strictObject({
  names: z.array(z.string().max(253)).max(100),
  key: keyKind,
  subject: z.string().max(1000).optional(),
  'client-auth': z.boolean().optional(),
  replace: z.boolean().optional(),
});
const selfSignedBody = requestBody.extend({
  'lifetime-ms': lifetime,
  ca: z.string().max(63).optional(),
});
const exportBody = z.strictObject({ format: z.enum(['pem', 'pkcs12']), key: z.boolean() });

export function parseAuthority(body: unknown): z.output<typeof authorityBody> {
  return check(authorityBody, jsonBody(body), 'body');
}

export function parseRequest(body: unknown): z.output<typeof requestBody> {
  return check(requestBody, jsonBody(body), 'body');
}

export function parseSelfSigned(body: unknown): z.output<typeof selfSignedBody> {
  return check(selfSignedBody, jsonBody(body), 'body');
}

export function parseExport(body: unknown): z.output<typeof exportBody> {
  return check(exportBody, jsonBody(body), 'body');
}

const backupBody = z.strictObject({ scope: z.enum(['unit', 'configuration']) });
const supportBundleBody = z.strictObject({ 'mask-addresses': z.boolean().optional() });
const resetBody = z.strictObject({
  name: z.string().max(256),
  'keep-logs': z.boolean().optional(),
});
const powerBody = z.strictObject({ action: z.enum(['reboot', 'off']) });

export function parseBackup(body: unknown): z.output<typeof backupBody> {
  return check(backupBody, jsonBody(body), 'body');
}

export function parseSupportBundle(body: unknown): z.output<typeof supportBundleBody> {
  return check(supportBundleBody, jsonBody(body), 'body');
}

export function parseReset(body: unknown): z.output<typeof resetBody> {
  return check(resetBody, jsonBody(body), 'body');
}

export function parsePower(body: unknown): z.output<typeof powerBody> {
  return check(powerBody, jsonBody(body), 'body');
}

/** Octets that are no text. */
export function octets(body: unknown): Buffer {
  if (Buffer.isBuffer(body)) return body;
  throw new PortError('unsupported-media-type', 'Send application/octet-stream here.');
}

const inviteBody = z.strictObject({ addresses: z.array(z.string().max(64)).max(64).optional() });

export function parseInvite(body: unknown): z.output<typeof inviteBody> {
  return check(inviteBody, jsonBody(body), 'body');
}

const upgradeBody = z.strictObject({
  file: z.string().max(4096).startsWith('/', 'must be an absolute path on the unit'),
  'allow-older': z.boolean().optional(),
  pair: z.boolean().optional(),
});

export function parseUpgrade(body: unknown): z.output<typeof upgradeBody> {
  return check(upgradeBody, jsonBody(body), 'body');
}

const joinBody = z.strictObject({ code: z.string().max(200), address: z.string().max(64) });

/** What is refused is not repeated in the error: it may be a code. */
export function parseJoin(body: unknown): z.output<typeof joinBody> {
  return check(joinBody, jsonBody(body), 'body');
}

const alertTestBody = z.strictObject({
  targets: z.array(z.string().max(63)).max(1000).optional(),
});

export function parseAlertTest(body: unknown): z.output<typeof alertTestBody> {
  return check(alertTestBody, jsonBody(body), 'body');
}

const testBody = z.strictObject({ service: z.string().optional() });

export function parseTest(body: unknown): z.output<typeof testBody> {
  return check(testBody, jsonBody(body), 'body');
}

const noBody = z.strictObject({});

export function parseNothing(body: unknown): void {
  check(noBody, jsonBody(body), 'body');
}

const address = z.string().min(1).max(64);
const pingBody = z.strictObject({ address, count: z.int().min(1).max(20).optional() });
const traceBody = z.strictObject({ address, hops: z.int().min(1).max(64).optional() });
const resolveBody = z.strictObject({
  name: z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9._:-]{0,252}$|^::[0-9A-Fa-f:.]*$/, {
    error: 'expected a name such as www.example.org, or an address',
  }),
  server: address.optional(),
});

export function parsePing(body: unknown): z.output<typeof pingBody> {
  return check(pingBody, jsonBody(body), 'body');
}

export function parseTrace(body: unknown): z.output<typeof traceBody> {
  return check(traceBody, jsonBody(body), 'body');
}

export function parseResolve(body: unknown): z.output<typeof resolveBody> {
  return check(resolveBody, jsonBody(body), 'body');
}

const failover = z.strictObject({
  router: z.string().min(1).max(200).nullable(),
  cancel: z.boolean(),
});

export function parseFailover(body: unknown): z.output<typeof failover> {
  return check(failover, jsonBody(body), 'body');
}

const preference = z.strictObject({
  unit: z.string().min(1).max(200).nullable(),
  share: z.string().min(1).max(200).nullable(),
  'dry-run': z.boolean(),
  comment: z.string().max(1000).optional(),
});

export function parsePreference(body: unknown): z.output<typeof preference> {
  return check(preference, jsonBody(body), 'body');
}

/** Whole numbers in a query string. */
function wholeNumber(min: number, max: number): z.ZodType<number> {
  return z
    .string()
    .regex(/^\d{1,15}$/, { error: 'expected a whole number' })
    .transform(Number)
    .pipe(z.int().min(min).max(max));
}

const applyQuery = z.strictObject({
  'dry-run': z.enum(['true', 'false']).optional(),
  'confirm-ms': wholeNumber(1000, 86_400_000).optional(),
  comment: z.string().max(1000).optional(),
});
const historyQuery = z.strictObject({
  limit: wholeNumber(1, 10_000).optional(),
  before: wholeNumber(1, Number.MAX_SAFE_INTEGER).optional(),
});
const membersQuery = z.strictObject({ pool: z.string().optional() });
const routesQuery = z.strictObject({ service: z.string().optional() });
const flowsQuery = z.strictObject({
  limit: wholeNumber(1, 100_000).optional(),
  service: z.string().optional(),
  member: z.string().optional(),
});
const eventsQuery = z.strictObject({
  limit: wholeNumber(1, 100_000).optional(),
  kind: z
    .string()
    .transform((value) => value.split(','))
    .pipe(z.array(z.enum(EVENT_KINDS)).min(1))
    .optional(),
  severity: z.enum(SEVERITIES).optional(),
});
const streamQuery = z.strictObject({
  topics: z
    .string()
    .transform((value) => value.split(','))
    .pipe(z.array(z.enum(['events', 'counters'])).min(1))
    .optional(),
});
const trafficQuery = z.strictObject({
  of: z
    .string()
    .regex(/^(?:unit|service:.{1,63})$/, { error: 'expected unit, or service:NAME' })
    .optional(),
  span: z.enum(HISTORY_SPANS).optional(),
});
const liveQuery = z.strictObject({
  view: z.enum(LIVE_VIEWS),
  order: z.enum(LIVE_ORDERS).optional(),
  filter: z.string().max(500).optional(),
});
const dropsQuery = z.strictObject({ samples: wholeNumber(0, 1000).optional() });
const accessTestQuery = z.strictObject({
  address: z.string().max(64),
  service: z.string().optional(),
});
const accessEntryQuery = z.strictObject({
  prefix: z.string().max(64),
  service: z.string().optional(),
});
const flag = z.enum(['true', 'false']).optional();
const certificateQuery = z.strictObject({ replace: flag, authority: flag });
const certificateRemovalQuery = z.strictObject({ request: flag });
const noQuery = z.strictObject({});

const inspectQuery = z.strictObject({ 'configuration-only': z.enum(['true', 'false']).optional() });
const restoreQuery = inspectQuery.extend({ comment: z.string().max(1000).optional() });

export const parseQuery = {
  apply: (query: unknown) => check(applyQuery, query, 'query'),
  history: (query: unknown) => check(historyQuery, query, 'query'),
  members: (query: unknown) => check(membersQuery, query, 'query'),
  routes: (query: unknown) => check(routesQuery, query, 'query'),
  flows: (query: unknown) => check(flowsQuery, query, 'query'),
  events: (query: unknown) => check(eventsQuery, query, 'query'),
  stream: (query: unknown) => check(streamQuery, query, 'query'),
  traffic: (query: unknown) => check(trafficQuery, query, 'query'),
  live: (query: unknown) => check(liveQuery, query, 'query'),
  drops: (query: unknown) => check(dropsQuery, query, 'query'),
  accessTest: (query: unknown) => check(accessTestQuery, query, 'query'),
  accessEntry: (query: unknown) => check(accessEntryQuery, query, 'query'),
  certificate: (query: unknown) => check(certificateQuery, query, 'query'),
  certificateRemoval: (query: unknown) => check(certificateRemovalQuery, query, 'query'),
  inspect: (query: unknown) => check(inspectQuery, query, 'query'),
  restore: (query: unknown) => check(restoreQuery, query, 'query'),
  none: (query: unknown) => check(noQuery, query, 'query'),
};

/** A body with a secret in it, of which an error repeats nothing. */
export function parseSecretBody<T>(schema: z.ZodType<T>, body: unknown): T {
  let value: unknown;
  try {
    value = jsonBody(body);
  } catch (error) {
    if (error instanceof PortError && error.code !== 'syntax') throw error;
    throw new PortError('syntax', 'The body is no JSON.');
  }
  return check(schema, value, 'body');
}

/** A revision number in a path. Anything else names nothing. */
export function revisionNumber(text: string): number {
  if (!/^[1-9]\d{0,14}$/.test(text)) {
    throw new PortError(
      'not-found',
      `There is no revision ${text}: revisions are numbered from 1.`,
    );
  }
  return Number(text);
}

/**
 * The revision that If-Match asks for; undefined when it asks for none. Entity tags
 * are `"N"`; a bare N is taken too, for those who type it.
 */
export function ifMatch(header: string | undefined): number | undefined {
  if (header === undefined || header.trim() === '*') return undefined;
  const match = /^\s*(?:"(\d{1,15})"|(\d{1,15}))\s*$/.exec(header);
  const digits = match?.[1] ?? match?.[2];
  if (digits === undefined) {
    throw new PortError(
      'bad-request',
      `If-Match must name one revision, as in "12"; got ${header}.`,
    );
  }
  return Number(digits);
}

/** The entity tag of a revision; "0" while nothing was ever applied. */
export function entityTag(revision: number | null): string {
  return `"${revision ?? 0}"`;
}

function rawBody(body: unknown): RawBody | null {
  if (Buffer.isBuffer(body)) {
    throw new PortError(
      'unsupported-media-type',
      'Send application/json or application/yaml here.',
    );
  }
  // Only decodeBody makes the bodies that reach a handler; no body at all is undefined.
  return body === undefined || body === null ? null : (body as RawBody);
}

function jsonBody(body: unknown): unknown {
  const raw = rawBody(body);
  if (raw === null || raw.text.trim() === '') return {};
  if (raw.format !== 'json') {
    throw new PortError('unsupported-media-type', 'Send application/json here.');
  }
  return parseJson(raw.text);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text, (key, value: unknown) => {
      // Assigning it would change an object's prototype instead of adding a key.
      if (key === '__proto__') throw new PortError('syntax', 'A key must not be "__proto__".');
      return value;
    });
  } catch (error) {
    if (error instanceof PortError) throw error;
    throw jsonSyntaxError(text, error);
  }
}

/** V8 names the offset of some errors and quotes the text of others; people look for a line. */
function jsonSyntaxError(text: string, cause: unknown): PortError {
  const said = cause instanceof Error ? cause.message : String(cause);
  const offset = /at position (\d+)/.exec(said)?.[1];
  const message = said.replace(/ in JSON at position.*$/s, '').replace(/\s+/g, ' ');
  if (offset === undefined) {
    return new PortError('syntax', `The body is no JSON: ${message}.`, { cause });
  }
  const before = text.slice(0, Number(offset));
  const line = before.split('\n').length;
  const column = before.length - before.lastIndexOf('\n');
  return new PortError(
    'syntax',
    `The body is no JSON: line ${line}, column ${column}: ${message}.`,
    {
      cause,
      details: [{ code: 'syntax', line, column, path: '', message }],
    },
  );
}

function check<T>(schema: z.ZodType<T>, value: unknown, where: 'query' | 'body'): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => {
    const path = issue.path.join('.');
    return path === '' ? issue.message : `${path}: ${issue.message}`;
  });
  throw new PortError('bad-request', `The ${where} is not understood: ${problems.join('; ')}.`);
}

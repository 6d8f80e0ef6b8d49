/**
 * Pools: members that can each do the same work, the algorithm that chooses between
 * them, and the monitor that watches them.
 *
 * Invariant: a member is identified by its address and port, never by its place in the
 * list, so moving a line changes nothing.
 */
import { z } from 'zod';
import { duration, textField, unicastAddress } from './fields.js';
import { line, name, port } from './basics.js';
import {
  EXPRESSION_MAX_LENGTH,
  parseExpression,
  tryExpression,
  type WeightExpression,
} from './expression.js';
import { monitorSchema } from './monitor.js';
import { passiveSchema } from './passive.js';
import { ejectionSchema, keepAliveSchema, queueSchema } from './pool-proxy.js';
import { parsed, refused, type Parsed } from './parsed.js';
import { quote } from './words.js';
import { rateFields } from './rate-fields.js';
import { poolTlsSchema } from './tls.js';

export const algorithms = [
  'round-robin',
  'weighted-round-robin',
  'least-connections',
  'weighted-least-connections',
  'ip-hash',
  'maglev',
  'least-response-time',
  'least-bandwidth',
  'random',
  'custom',
] as const;
export type Algorithm = (typeof algorithms)[number];

export const memberStates = ['enabled', 'draining', 'disabled'] as const;
export type MemberState = (typeof memberStates)[number];

export const memberSchema = z
  .strictObject({
    address: unicastAddress().describe('IPv4 or IPv6 address of the member.'),
    port: port().optional().describe("Port of the member. Left out: the service's own."),
    weight: z
      .int()
      .min(0)
      .max(256)
      .default(1)
      .describe('Share of new flows, relative to the other members. 0 takes no new flows.'),
    state: z
      .enum(memberStates)
      .default('enabled')
      .describe(
        'enabled takes flows; draining keeps the flows it has and takes no new ones; disabled takes none, and its flows move.',
      ),
    backup: z
      .boolean()
      .optional()
      .describe(
        "true: takes new flows only while fewer members serve than the pool's minimum-healthy asks for. Left out: false.",
      ),
    location: line(100)
      .optional()
      .describe('Where it is, in words of your own: for the expression of the algorithm custom.'),
    'max-connections': z
      .int()
      .min(1)
      .max(1_000_000_000)
      .optional()
      .describe(
        'Most connections or UDP flows that it has at one time. Of http and https services: most requests that it works on at one time.',
      ),
    'new-connections': z
      .strictObject(rateFields)
      .optional()
      .describe('How fast connections or UDP flows to it may begin (tcp and udp).'),
    'quic-id': z
      .int()
      .min(0)
      .max(65535)
      .optional()
      .describe(
        'Server id of its QUIC connection ids, for services with quic. Left out: made from pool, address and port.',
      ),
    description: line(200).optional().describe('A note for people.'),
  })
  .describe('One server that does the work.');

/** So many members, or so many per cent of those that are enabled and no backups. */
export type MinimumHealthy = { readonly members: number } | { readonly percent: number };

const minimumHelp =
  'write a number of members, such as 2, or a share of them, such as 50%, from 1% to 100%';

function parsePercent(text: string): Parsed<MinimumHealthy> {
  const percent = Number(/^([1-9][0-9]{0,2})%$/.exec(text)?.[1]);
  return percent <= 100 ? parsed({ percent }) : refused(`${quote(text)}: ${minimumHelp}`);
}

const minimumHealthy = z.union([
  z
    .int()
    .min(1, { error: minimumHelp })
    .max(65536, { error: minimumHelp })
    .transform((members): MinimumHealthy => ({ members })),
  textField(minimumHelp, parsePercent, {
    kind: 'per cent, `1%` to `100%`',
    pattern: '^(?:[1-9][0-9]?|100)%$',
    examples: ['50%'],
  }),
]);

export const whenDownWords = ['drop', 'reset', 'serve-all'] as const;

const whenDown = z.union([
  z.enum(whenDownWords),
  z
    .strictObject({ pool: name().describe('Name of the pool that stands in.') })
    .describe('The pool that takes the new flows while this one cannot.'),
]);

const expressionHelp = 'an expression is text, such as "weight / (1 + connections)"';

const customSchema = z
  .strictObject({
    expression: textField(expressionHelp, checkExpression, {
      kind: 'expression',
      examples: ['weight / (1 + connections) * health'],
    }).describe('Gives the weight of a member, 0 or more.'),
    interval: duration({ min: '1s', max: '1m' })
      .prefault('1s')
      .describe('How often the weights are computed.'),
  })
  .describe(
    'The weights of the algorithm custom, by an expression. Its variables: `weight` (in this document), `connections` (active flows; of the proxy, requests under way), ' +
      '`response_time` (microseconds, at least 1), `bandwidth` (bytes per second), `health` (0 to 1), `cpu` (per cent, as ' +
      "the member's agent says, else 0), `location` (text). Operators: + - * / % ^, comparisons, `and`, `or`, `not`, " +
      '`CONDITION ? A : B`; functions: `min`, `max`, `abs`, `ceil`, `floor`, `round`, `sqrt`, `ln`, `exp`. ' +
      `At most ${EXPRESSION_MAX_LENGTH} characters.`,
  );

/** Checked here and kept as text: an intent is data, and equal texts must be equal. */
function checkExpression(text: string): Parsed<string> {
  const result = parseExpression(text);
  return result.ok ? parsed(text) : result;
}

/** The function of an expression that was checked. */
export function weightExpression(text: string): WeightExpression {
  const result = parseExpression(text);
  if (!result.ok) throw new RangeError(result.message);
  return result.value;
}

export const poolSchema = z
  .strictObject({
    description: line(200).optional().describe('A note for people.'),
    algorithm: z
      .enum(algorithms)
      .default('maglev')
      .describe(
        'How a member is chosen for a new flow. maglev is consistent: when a member goes, only its own flows move.',
      ),
    hash: z
      .enum(['source', 'source-destination'])
      .optional()
      .describe(
        'What the algorithm ip-hash hashes: the address of the client (source, unless written otherwise), or that and the address of the service.',
      ),
    custom: customSchema.optional(),
    'slow-start': duration({ min: '1s', max: '1h' })
      .optional()
      .describe(
        'A member that comes up takes a tenth of its share at first and all of it after this time. Left out: all of it at once.',
      ),
    'minimum-healthy': minimumHealthy
      .optional()
      .describe(
        'So many members must serve, or so many per cent of those that are enabled and no backups; with fewer, backups join, and when-down may take over. Left out: 1.',
      ),
    'when-down': whenDown
      .optional()
      .describe(
        'What becomes of new flows. drop (proxied services: 503, or the connection is closed), reset (TCP; else dropped): while no member serves. serve-all: while fewer than minimum-healthy serve, the members that are down by their monitor are used all the same. A pool: while fewer serve here, that pool takes them. Left out: drop.',
      ),
    'on-member-down': z
      .enum(['rehash', 'reset'])
      .optional()
      .describe(
        'What becomes of the TCP flows of a member that went down: rehash gives them to another member, which resets those that it does not know; reset ends them at once. Left out: rehash. Connections of proxied services end.',
      ),
    'drain-timeout': duration({ min: '1s', max: '7d' })
      .optional()
      .describe(
        'How long a draining member may keep its flows; then they move to others. Counted from the revision that set it draining. Left out: until they end.',
      ),
    members: z
      .array(memberSchema)
      .max(65536)
      .describe('The servers. The list may be empty: the service then refuses everybody.'),
    monitor: monitorSchema.optional(),
    passive: passiveSchema.optional(),
    queue: queueSchema.optional(),
    'keep-alive': keepAliveSchema.optional(),
    retries: z
      .int()
      .min(0)
      .max(16)
      .optional()
      .describe(
        'How many further members are tried when one cannot be reached or fails before it answers (proxied services); ' +
          'only where nothing was sent yet, or the request may be sent twice (RFC 9110 §9.2.2). Left out: 2.',
      ),
    'proxy-protocol': z
      .enum(['off', 'v1', 'v2'])
      .optional()
      .describe(
        'Whether connections to members begin with a PROXY header, which says who the client is (proxied services). Left out: off.',
      ),
    tls: poolTlsSchema.optional(),
    ejection: ejectionSchema.optional(),
  })
  .superRefine((pool, context) => {
    if (pool.algorithm === 'custom' && pool.custom === undefined) {
      context.addIssue({
        code: 'custom',
        path: ['algorithm'],
        message:
          'the algorithm custom needs the key "custom" with the expression that gives the weights',
        params: { code: 'missing' },
      });
    }
    if (pool.algorithm !== 'custom' && pool.custom !== undefined) {
      context.addIssue({
        code: 'custom',
        path: ['custom'],
        message: `"custom" belongs to the algorithm custom, but the algorithm is ${pool.algorithm}: remove one of them`,
        params: { code: 'conflict' },
      });
    }
    if (pool.hash !== undefined && pool.algorithm !== 'ip-hash') {
      context.addIssue({
        code: 'custom',
        path: ['hash'],
        message: `"hash" belongs to the algorithm ip-hash, but the algorithm is ${pool.algorithm}: remove one of them`,
        params: { code: 'conflict' },
      });
    }
    if (pool.tls?.verify === false && pool.tls.authorities !== undefined) {
      context.addIssue({
        code: 'custom',
        path: ['tls', 'authorities'],
        message: 'are for members that are verified, but verify is false: remove one of them',
        params: { code: 'conflict' },
      });
    }
    for (const message of expressionProblems(pool)) {
      context.addIssue({
        code: 'custom',
        path: ['custom', 'expression'],
        message,
        params: { code: 'value' },
      });
    }
  })
  .describe('Members that can each do the same work.');

/** What the expression does not do for these members: the first that it fails for is enough. */
function expressionProblems(pool: {
  readonly custom?: { readonly expression: string } | undefined;
  readonly members: readonly { readonly weight: number; readonly location?: string | undefined }[];
}): string[] {
  if (pool.custom === undefined) return [];
  const expression = weightExpression(pool.custom.expression);
  const seen = new Set<string>();
  for (const { weight, location = '' } of [...pool.members, { weight: 1 }]) {
    const kind = `${weight} ${location}`;
    if (seen.has(kind)) continue;
    seen.add(kind);
    const problem = tryExpression(expression, { weight, location });
    if (problem !== null) return [problem];
  }
  return [];
}

export type Member = z.output<typeof memberSchema>;
export type Pool = z.output<typeof poolSchema>;

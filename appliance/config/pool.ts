/**
 * Pools: members that can each do the same work, the algorithm that chooses between
 * them, and the monitor that watches them.
 *
 * Invariant: a member is identified by its address and port, never by its place in the
 * list, so moving a line changes nothing.
 */
import { z } from 'zod';
import { duration, unicastAddress } from './fields.js';
import { line, port } from './basics.js';
import { monitorSchema } from './monitor.js';
import { rateFields } from './rate-fields.js';

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
    'max-connections': z
      .int()
      .min(1)
      .max(1_000_000_000)
      .optional()
      .describe('Most connections or UDP flows that it has at one time (tcp and udp).'),
    'new-connections': z
      .strictObject(rateFields)
      .optional()
      .describe('How fast connections or UDP flows to it may begin (tcp and udp).'),
    description: line(200).optional().describe('A note for people.'),
  })
  .describe('One server that does the work.');

export const poolSchema = z
  .strictObject({
    description: line(200).optional().describe('A note for people.'),
    algorithm: z
      .enum(algorithms)
      .default('maglev')
      .describe(
        'How a member is chosen for a new flow. maglev is consistent: when a member goes, only its own flows move.',
      ),
    custom: z
      .strictObject({
        module: z
          .string()
          .max(4096)
          .regex(/^\/[^\0]+\.m?js$/, { error: 'write the absolute path of a .js or .mjs file' })
          .describe('Absolute path of the JavaScript module that computes weights.'),
        interval: duration({ min: '100ms', max: '1m' })
          .prefault('1s')
          .describe('How often it is asked for weights.'),
      })
      .optional()
      .describe('The module behind the algorithm custom.'),
    members: z
      .array(memberSchema)
      .max(65536)
      .describe('The servers. The list may be empty: the service then refuses everybody.'),
    monitor: monitorSchema.optional(),
  })
  .superRefine((pool, context) => {
    if (pool.algorithm === 'custom' && pool.custom === undefined) {
      context.addIssue({
        code: 'custom',
        path: ['algorithm'],
        message:
          'the algorithm custom needs the key "custom" with the module that computes weights',
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
  })
  .describe('Members that can each do the same work.');

export type Member = z.output<typeof memberSchema>;
export type Pool = z.output<typeof poolSchema>;

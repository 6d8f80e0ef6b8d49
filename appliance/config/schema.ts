/**
 * The configuration language as one schema: it gives the TypeScript types, the checks,
 * the defaults, the JSON Schema for editors and the reference for people.
 *
 * Two shapes of one document: `Document` is what somebody wrote (JSON values; it is
 * what the store keeps and the API moves), `Intent` is what it means (defaults
 * applied, durations in milliseconds, sizes in bytes, addresses canonical). Invariant:
 * an Intent only ever comes out of this schema, so whoever holds one need not check it
 * again.
 */
import { z } from 'zod';
import { accessListSchema } from './access.js';
import { alertSchema } from './alerts.js';
import { name } from './basics.js';
import { certificateSchema } from './certificate.js';
import { crossCheck } from './cross-checks.js';
import { telemetrySchema } from './observability.js';
import { pairSchema } from './pair.js';
import { poolSchema } from './pool.js';
import { serviceSchema } from './service.js';
import { unitSchema } from './unit.js';

/** Every part on its own, before the parts are checked against each other. */
export const documentShape = z
  .strictObject({
    version: z.literal(1).describe('Version of the configuration language.'),
    unit: unitSchema,
    pools: z.record(name(), poolSchema).default({}).describe('Pools by name.'),
    services: z.record(name(), serviceSchema).default({}).describe('Services by name.'),
    'access-lists': z
      .record(name(), accessListSchema)
      .default({})
      .describe('Lists of clients by name, for services to allow or to deny.'),
    pair: pairSchema.optional(),
    certificates: z
      .record(name(), certificateSchema)
      .default({})
      .describe('Certificates by name. Those that were imported need not be listed.'),
    alerts: z.record(name(), alertSchema).default({}).describe('Who is told, by name.'),
    telemetry: telemetrySchema.optional(),
  })
  .describe('The configuration of one unit.');

export const intentSchema = documentShape.superRefine((intent, context) => {
  for (const problem of crossCheck(intent).errors) {
    context.addIssue({
      code: 'custom',
      path: [...problem.path],
      message: problem.message,
      params: { code: problem.code, suggestion: problem.suggestion },
    });
  }
});

/** What a document means: defaults applied, units resolved, references checked. */
export type Intent = z.output<typeof documentShape>;

/** What somebody wrote, as JSON values. */
export type Document = z.input<typeof documentShape>;

export type { Access, AccessList } from './access.js';
export type { Algorithm, Member, MemberState, Pool } from './pool.js';
export type {
  Forwarding,
  Limits,
  Listen,
  Persistence,
  PersistenceType,
  Protocol,
  Service,
  TierName,
} from './service.js';
export type { MonitorSettings, MonitorType, StatusRange } from './monitor.js';
export type { Certificate } from './certificate.js';
export type { Alert } from './alerts.js';
export type { Telemetry } from './observability.js';
export type { Pair, VirtualRouter } from './pair.js';
export type { Rate } from './units-of-measure.js';
export type { AccessLog } from './access-log.js';
export type { Compression } from './compression.js';
export type { FieldTest, When } from './conditions.js';
export type { ProxyHeaders } from './http.js';
export type { RequestLimit } from './limits.js';
export type { Route } from './routes.js';
export type { PoolTls, ServiceTls } from './tls.js';
export type { Unit } from './unit.js';

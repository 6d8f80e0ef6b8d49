/** Alerts (who is told) and telemetry (what is kept). */
import { z } from 'zod';
import { duration, unicastAddress } from './fields.js';
import { port } from './basics.js';

export const alertEvents = [
  'member-down',
  'member-up',
  'pool-empty',
  'role-changed',
  'certificate-expiring',
  'configuration-changed',
] as const;

const events = z
  .array(z.enum(alertEvents))
  .min(1)
  .optional()
  .describe('What to tell about. Left out: everything.');

export const alertSchema = z
  .discriminatedUnion('type', [
    z
      .strictObject({
        type: z.literal('webhook').describe('By HTTP.'),
        url: z
          .url({ protocol: /^https?$/, error: 'write an http or https URL' })
          .describe('Where to POST the alert as JSON.'),
        events,
      })
      .describe('POSTs each alert as JSON.'),
    z
      .strictObject({
        type: z.literal('syslog').describe('By syslog.'),
        address: unicastAddress().describe('Address of the collector.'),
        port: port().default(514).describe('Port of the collector.'),
        transport: z.enum(['udp', 'tcp']).default('udp').describe('How messages travel.'),
        events,
      })
      .describe('Sends each alert to a syslog collector (RFC 5424).'),
  ])
  .describe('Somebody who is told when something happens.');

export const telemetrySchema = z
  .strictObject({
    history: duration({ min: '1h', max: '365d' })
      .optional()
      .describe('How long counters are kept. Left out: 7 days.'),
  })
  .describe('What is measured and kept.');

export type Alert = z.output<typeof alertSchema>;
export type Telemetry = z.output<typeof telemetrySchema>;

/** Telemetry: what is kept, and where it can be read. */
import { z } from 'zod';
import { anyAddress, duration } from './fields.js';
import { port } from './basics.js';

export const telemetrySchema = z
  .strictObject({
    history: duration({ min: '1h', max: '365d' })
      .optional()
      .describe('How long counters are kept. Left out: 7 days.'),
    prometheus: z
      .strictObject({
        address: anyAddress().describe('Address to listen on.'),
        port: port().default(9477).describe('Port to listen on.'),
      })
      .optional()
      .describe('Serves metrics to Prometheus. Left out: only through the API.'),
  })
  .describe('What is measured, and where it can be read.');

export type Telemetry = z.output<typeof telemetrySchema>;

/** Telemetry: what is kept. */
import { z } from 'zod';
import { duration } from './fields.js';

export const telemetrySchema = z
  .strictObject({
    history: duration({ min: '1h', max: '365d' })
      .optional()
      .describe('How long counters are kept. Left out: 7 days.'),
  })
  .describe('What is measured and kept.');

export type Telemetry = z.output<typeof telemetrySchema>;

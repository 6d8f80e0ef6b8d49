/** A rate and its burst, as services and members limit what begins. Invariant: both sides mean the same. */
import { z } from 'zod';
import { rate } from './fields.js';

export const rateFields = {
  rate: rate().describe('How many, for each span of time.'),
  burst: z
    .int()
    .min(1)
    .max(1_000_000_000)
    .optional()
    .describe(
      'How many may come at once before the rate applies. Left out: the count of the rate.',
    ),
};

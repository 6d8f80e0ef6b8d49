/** Where the unit serves what it measures, for Prometheus and whoever else reads OpenMetrics. */
import { z } from 'zod';
import { formatEndpoint, parseEndpoint } from './addresses.js';
import { prefix, refuseRepeats, textField } from './fields.js';
import { parsed, refused, type Parsed } from './parsed.js';
import { quote } from './words.js';

function parseListen(text: string): Parsed<string> {
  const endpoint = parseEndpoint(text);
  if (!endpoint.ok) return endpoint;
  return endpoint.value.port === 0
    ? refused(
        `${quote(text)} has no port: write ${formatEndpoint({ ...endpoint.value, port: 9477 })}`,
      )
    : parsed(formatEndpoint(endpoint.value));
}

export const metricsSchema = z
  .strictObject({
    listen: z
      .array(
        textField('an address and port is text', parseListen, {
          kind: 'address and port',
          examples: ['127.0.0.1:9477', '192.0.2.1:9477', '[2001:db8::1]:9477'],
        }),
      )
      .min(1)
      .max(8)
      .superRefine(refuseRepeats)
      .describe('Where to listen, by HTTP: best an address for management.'),
    'token-file': z
      .string()
      .max(4096)
      .regex(/^\/[^\0]+$/, { error: 'write the absolute path of a file' })
      .optional()
      .describe(
        'Absolute path of a file with a token that clients must send (Authorization: Bearer TOKEN); at least 16 characters, ' +
          'and not for everybody to read. Read anew for each request. Needed for addresses that are not loopback.',
      ),
    allow: z
      .array(prefix())
      .max(64)
      .optional()
      .describe('Networks that clients may come from. Left out: from everywhere.'),
  })
  .superRefine((metrics, context) => {
    if (metrics['token-file'] !== undefined) return;
    const index = metrics.listen.findIndex((address) => !isLoopback(address));
    if (index < 0) return;
    context.addIssue({
      code: 'custom',
      path: ['listen', index],
      message:
        'is no loopback address, where everybody could read the metrics: add token-file, or listen at 127.0.0.1',
      params: { code: 'value' },
    });
  })
  .describe(
    'Serves metrics to Prometheus at /metrics. Left out: only the API and "weir show" have them.',
  );

function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address.startsWith('[::1]:');
}

export type Metrics = z.output<typeof metricsSchema>;

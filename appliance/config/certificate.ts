/**
 * Certificates by name: how each is obtained. Private keys are never part of the
 * configuration; they live in the certificate store.
 */
import { z } from 'zod';
import { hostName } from './basics.js';
import { duration } from './fields.js';

export const certificateTypes = ['stored', 'self-signed', 'acme'] as const;
export type CertificateType = (typeof certificateTypes)[number];

const names = z
  .array(hostName({ wildcards: 'one label' }))
  .min(1)
  .max(100)
  .describe('Host names that the certificate is for.');
const key = z
  .enum(['ecdsa-p256', 'ecdsa-p384', 'rsa-2048', 'rsa-3072', 'rsa-4096'])
  .default('ecdsa-p256')
  .describe('Kind of key.');

export const certificateSchema = z
  .discriminatedUnion('type', [
    z
      .strictObject({ type: z.literal('stored').describe('Imported.') })
      .describe('A certificate that was imported into the certificate store under this name.'),
    z
      .strictObject({
        type: z.literal('self-signed').describe('Made here.'),
        names,
        key,
        lifetime: duration({ min: '1d', max: '3650d' })
          .prefault('90d')
          .describe('How long it is valid.'),
      })
      .describe('Made and renewed by the unit; browsers do not trust it.'),
    z
      .strictObject({
        type: z.literal('acme').describe('From an authority that speaks ACME.'),
        names,
        key,
        directory: z
          .url({ protocol: /^https$/, error: 'write the https URL of the directory' })
          .describe('URL of the authority’s ACME directory (RFC 8555 §7.1.1).'),
        contact: z
          .email({ error: 'write an e-mail address' })
          .optional()
          .describe('E-mail address that the authority may write to.'),
      })
      .describe('Issued and renewed through ACME (RFC 8555).'),
  ])
  .describe('How a certificate is obtained.');

export type Certificate = z.output<typeof certificateSchema>;

/**
 * Certificates by name: how each is obtained. Private keys are never part of the
 * configuration; they live in the certificate store.
 */
import { z } from 'zod';
import { parseAddress } from './addresses.js';
import { hostName, name } from './basics.js';
import { duration, textField } from './fields.js';

export const certificateTypes = ['stored', 'self-signed', 'acme'] as const;
export const acmeChallenges = ['http-01', 'tls-alpn-01'] as const;
export type CertificateType = (typeof certificateTypes)[number];

const names = z
  .array(
    hostName({ wildcards: 'one label' }).refine((name) => !name.startsWith('*.'), {
      error:
        'authorities issue wildcards by dns-01 only, and this unit answers http-01 and tls-alpn-01: list the names one by one, or import the certificate',
    }),
  )
  .min(1)
  .max(100)
  .describe('Host names that the certificate is for; each leads to this unit.');
/** Certificates for addresses are possible where the unit itself makes them. */
const namesOrAddresses = z
  .array(
    z.union([
      hostName({ wildcards: 'one label' }),
      textField('a host name or an address is text', parseAddress, {
        kind: 'address',
        examples: ['10.0.0.80'],
      }).transform(({ text }) => text),
    ]),
  )
  .min(1)
  .max(100)
  .describe('Host names and addresses that the certificate is for.');
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
        names: namesOrAddresses,
        key,
        lifetime: duration({ min: '1d', max: '3650d' })
          .prefault('90d')
          .describe('How long it is valid.'),
      })
      .describe(
        'Made by the unit, and renewed at two thirds of its lifetime; browsers do not trust it.',
      ),
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
        'terms-agreed': z
          .boolean()
          .default(false)
          .describe('Whether you agree to the terms of the authority, which most ask for.'),
        challenge: z
          .enum(acmeChallenges)
          .default('http-01')
          .describe(
            'How the names are proved: http-01 is answered by every service with protocol http or https, and the authority asks on port 80; tls-alpn-01 by every service that ends TLS, on port 443.',
          ),
        'external-account': z
          .strictObject({
            'key-id': z
              .string()
              .regex(/^[\x21-\x7e]{1,255}$/, {
                error: 'write the key identifier as the authority gave it',
              })
              .describe('Identifier of the key that the authority gave its customer.'),
            'hmac-key-file': z
              .string()
              .regex(/^\/[^\0]+$/, { error: 'write the absolute path of a file' })
              .describe(
                'File with that key in base64url, which belongs to root and nobody else can read.',
              ),
          })
          .optional()
          .describe(
            'For authorities that take only customers of their own (RFC 8555 §7.3.4). Read when the account is opened.',
          ),
        authorities: z
          .array(name())
          .min(1)
          .max(100)
          .optional()
          .describe(
            'Names in the certificate store, of whom the certificate of the directory itself may be; default: the public ones.',
          ),
      })
      .describe('Issued and renewed through ACME (RFC 8555).'),
  ])
  .describe('How a certificate is obtained.');

export type Certificate = z.output<typeof certificateSchema>;

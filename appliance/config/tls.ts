/**
 * TLS of services, which ends at the unit, and of pools, whose members are reached over it.
 *
 * The policies are those of RFC 9325: TLS 1.2 only with AEAD and forward secrecy (§4.2), nothing
 * older (§3.1). Invariant: certificates and authorities are names; no key and no certificate is
 * ever part of the configuration.
 */
import { z } from 'zod';
import { certificateWords } from '../l7/http1/certificate-fields.js';
import { hostName, name } from './basics.js';
import { kindKey, refuseRepeats } from './fields.js';

export const tlsPolicies = ['modern', 'intermediate'] as const;

function policy() {
  return z
    .enum(tlsPolicies)
    .default('intermediate')
    .describe(
      'modern: TLS 1.3 only. intermediate: TLS 1.2 too, with AEAD ciphers and forward secrecy only.',
    );
}

function authorities() {
  return z.array(name()).min(1).max(64).superRefine(refuseRepeats);
}

/** A protocol's name (RFC 7301 §3.1), of those that are plain text. */
function alpnName() {
  const help =
    'write the name of a protocol, such as http/1.1, of 1 to 255 letters, digits and signs';
  return z
    .string({ error: (issue) => (issue.input === undefined ? undefined : help) })
    .regex(/^[!-~]{1,255}$/, { error: help })
    .meta({ examples: ['http/1.1'], [kindKey]: 'protocol name' });
}

const clientCertificatesSchema = z
  .strictObject({
    mode: z
      .enum(['optional', 'required'])
      .default('required')
      .describe(
        'required: a client without a valid certificate is refused. optional: one without any is served; one that is not valid is refused.',
      ),
    authorities: authorities().describe(
      'Names of the certificates of the authorities that issue to clients. They are those of the certificates section or of the certificate store.',
    ),
    depth: z
      .int()
      .min(1)
      .max(10)
      .default(4)
      .describe('Most certificates of authorities between that of a client and one named here.'),
    headers: z
      .array(z.enum(certificateWords))
      .max(certificateWords.length)
      .superRefine((words, context) => {
        for (const [index, word] of words.entries()) {
          if (words.indexOf(word) === index) continue;
          const message = 'is there twice, and members are told once: remove one';
          context.addIssue({
            code: 'custom',
            path: [index],
            message,
            params: { code: 'conflict' },
          });
        }
      })
      .optional()
      .describe(
        'What members are told of the certificate by header fields (https). client-cert, client-cert-chain: Client-Cert and Client-Cert-Chain (RFC 9440). verify, subject, issuer, serial, fingerprint: X-SSL-Client-Verify and so on. validity: X-SSL-Client-Not-Before and -Not-After. Left out: nothing.',
      ),
  })
  .describe('Asks clients for certificates. Left out: they are not asked.');

export const serviceTlsSchema = z
  .strictObject({
    policy: policy(),
    alpn: z
      .array(alpnName())
      .min(1)
      .max(16)
      .superRefine(refuseRepeats)
      .optional()
      .describe(
        'Protocols that members speak inside TLS, the preferred one first, offered to clients by ALPN (tls; https offers http/1.1 by itself). Left out: none are offered.',
      ),
    tickets: z
      .boolean()
      .default(true)
      .describe(
        'Whether clients come back with less work: by session tickets, and those of TLS 1.2 that take none by sessions that are stored in the unit.',
      ),
    'early-data': z
      .boolean()
      .default(false)
      .describe(
        'Whether clients that come back by TLS 1.3 may send requests with their hello (https). Anybody who sees them can repeat them: GET, HEAD and OPTIONS are passed on with Early-Data: 1, others wait for the end of the handshake.',
      ),
    'unknown-names': z
      .enum(['default', 'refuse'])
      .default('default')
      .describe(
        'Clients that name a host that no certificate has, or none. default: they get the first certificate. refuse: the alert unrecognized_name.',
      ),
    'client-certificates': clientCertificatesSchema.optional(),
  })
  .describe('How TLS of clients ends here (https, and tls with certificates).');

export const poolTlsSchema = z
  .strictObject({
    policy: policy(),
    verify: z
      .boolean()
      .default(true)
      .describe(
        'Whether a member must have a valid certificate for server-name, else its address.',
      ),
    authorities: authorities()
      .optional()
      .describe(
        'Names of the certificates of the authorities that members are verified by, in the certificates section or the certificate store. Left out: those of the system.',
      ),
    'server-name': hostName()
      .optional()
      .describe(
        'Name that members are asked for by SNI, and that their certificates must have. Left out: none is sent, and certificates must have the address of the member.',
      ),
    certificate: name()
      .optional()
      .describe(
        'Name of the certificate that the unit shows to members. Left out: none, even if they ask.',
      ),
  })
  .describe('Connections to members are TLS (proxied services). {}: with every default.');

export type ServiceTls = z.output<typeof serviceTlsSchema>;
export type PoolTls = z.output<typeof poolTlsSchema>;

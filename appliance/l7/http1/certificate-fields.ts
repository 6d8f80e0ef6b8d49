/**
 * Fields that tell a member of the client's certificate: RFC 9440 §2, and details of it for programs
 * that read no certificates. Every one of them has a name that Weir decides by (names.ts), so that
 * none comes from a client.
 */

/** What can be told, in the words of the configuration, and the fields that tell it, in this order. */
export const certificateFields = {
  /** The certificate: a Byte Sequence (RFC 8941 §3.3.5) of its DER. */
  'client-cert': ['Client-Cert'],
  /** Those between it and the authority, each of which signed the one before: a List of the same. */
  'client-cert-chain': ['Client-Cert-Chain'],
  /** SUCCESS, or NONE where none was shown. */
  verify: ['X-SSL-Client-Verify'],
  /** Distinguished names as text in ASCII (RFC 4514). */
  subject: ['X-SSL-Client-Subject'],
  issuer: ['X-SSL-Client-Issuer'],
  /** Hexadecimal, upper case. */
  serial: ['X-SSL-Client-Serial'],
  /** SHA-256 of the DER, hexadecimal, lower case. */
  fingerprint: ['X-SSL-Client-Fingerprint'],
  /** Both in UTC (RFC 3339). */
  validity: ['X-SSL-Client-Not-Before', 'X-SSL-Client-Not-After'],
} as const satisfies Readonly<Record<string, readonly string[]>>;

export type CertificateWord = keyof typeof certificateFields;

export const certificateWords = Object.keys(certificateFields) as CertificateWord[];

/** The names of all of them. */
export const certificateFieldNames: readonly string[] = Object.values(certificateFields).flat();

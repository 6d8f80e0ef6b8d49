/**
 * What can go wrong with certificates, as a sentence for the administrator and a code for those
 * who translate it (appliance/control/certificates.ts).
 */
export type CertificateErrorCode =
  /** What was given is no usable certificate, key or request. */
  | 'invalid'
  | 'not-found'
  /** The state of the store or of the configuration forbids it. */
  | 'conflict'
  /** The unit cannot do it now: the machine key is missing or unreadable. */
  | 'unavailable';

export class CertificateError extends Error {
  override readonly name = 'CertificateError';
  readonly code: CertificateErrorCode;

  constructor(code: CertificateErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}

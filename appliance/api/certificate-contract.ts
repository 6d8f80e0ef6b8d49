/** What the control API answers about certificates, by the conventions of contract.ts. */

/** A certificate, the authority of an own CA, or a request that waits for its certificate. */
export type CertificateRowKind = 'certificate' | 'authority' | 'request';

export interface CertificateRow {
  readonly name: string;
  readonly kind: CertificateRowKind;
  readonly subject: string;
  readonly issuer: string;
  readonly serial: string;
  /** DNS names and addresses that it is for. */
  readonly names: readonly string[];
  /** Milliseconds since 1970; 0 of a request, and of what is declared and not obtained yet. */
  readonly notBefore: number;
  readonly notAfter: number;
  readonly key: {
    readonly type: 'rsa' | 'ecdsa' | 'ed25519';
    readonly bits?: number;
    readonly curve?: string;
  };
  /** SHA-256, hexadecimal with colons. */
  readonly fingerprint: string;
  readonly selfSigned: boolean;
  readonly hasKey: boolean;
  /** Certificates in the chain, itself included. */
  readonly chainLength: number;
  readonly source: 'imported' | 'self-signed' | 'ca' | 'acme';
  /** Another number whenever the content is another one; 0: declared, and not obtained yet. */
  readonly generation: number;
  readonly changed: number;
  readonly author: string;
  /** Why it cannot be used; null when it can. */
  readonly problem: string | null;
  /** How the document declares it; null when it does not. */
  readonly declared: 'stored' | 'self-signed' | 'acme' | null;
  /** Services that serve it. */
  readonly usedBy: readonly string[];
  /** Of one that the unit obtains by itself: when next, and what came of it; null of others. */
  readonly renewal: CertificateRenewal | null;
}

export interface CertificateRenewal {
  /** Milliseconds since 1970; null: it is being obtained now. */
  readonly at: number | null;
  /** In a row. */
  readonly failures: number;
  /** Of the last one, a sentence; null: there was none. */
  readonly problem: string | null;
}

export interface CertificateDetail extends CertificateRow {
  /** The certificates in the order in which clients get them. */
  readonly chain: readonly {
    readonly subject: string;
    readonly issuer: string;
    readonly notAfter: number;
    readonly fingerprint: string;
  }[];
  /** Of a request that waits: what to send to an authority, as PEM; null without one. */
  readonly request: string | null;
}

/** What came of a change. */
export interface CertificateResult {
  readonly certificate: CertificateRow;
  /** Sentences. */
  readonly warnings: readonly string[];
}

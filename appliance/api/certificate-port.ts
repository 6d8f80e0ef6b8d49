/**
 * What the API asks of the daemon about certificates. Errors: as `DaemonPort`.
 *
 * Invariant: the bytes of keys come and go as buffers, which whoever gets them wipes.
 */
import type {
  CertificateDetail,
  CertificateResult,
  CertificateRow,
} from './certificate-contract.js';

export type CertificateKeyKind = 'ecdsa-p256' | 'ecdsa-p384' | 'rsa-2048' | 'rsa-3072' | 'rsa-4096';

interface CertificateChange {
  readonly name: string;
  readonly author: string;
  /** Whether one of this name may be there already. */
  readonly replace: boolean;
}

export interface ImportCertificate extends CertificateChange {
  /** PEM or PKCS#12. */
  readonly bytes: Buffer;
  readonly passphrase?: string;
  /** That of an authority, which is to sign others. */
  readonly authority: boolean;
}

export interface MakeCertificate extends CertificateChange {
  readonly names: readonly string[];
  readonly key: CertificateKeyKind;
  readonly lifetimeMs: number;
  readonly subject?: string;
  readonly clientAuth: boolean;
  /** Name of the authority that signs it; left out: its own key does. */
  readonly ca?: string;
}

export interface MakeAuthority extends CertificateChange {
  readonly key: CertificateKeyKind;
  readonly lifetimeMs: number;
  readonly subject?: string;
}

export interface MakeRequest extends CertificateChange {
  readonly names: readonly string[];
  readonly key: CertificateKeyKind;
  readonly subject?: string;
  readonly clientAuth: boolean;
}

export interface ExportCertificate {
  readonly name: string;
  readonly author: string;
  /** Whether root asks, or an administrator who logged in. */
  readonly proven: boolean;
  readonly format: 'pem' | 'pkcs12';
  readonly key: boolean;
  readonly passphrase?: string;
}

export interface CertificatesPort {
  list(): Promise<CertificateRow[]>;
  /** Errors: not-found. */
  get(name: string): Promise<CertificateDetail>;
  /** Errors: invalid, conflict, unavailable. */
  import(request: ImportCertificate): Promise<CertificateResult>;
  /** Errors: invalid, conflict, not-found (the authority), unavailable. */
  make(request: MakeCertificate): Promise<CertificateResult>;
  /** Errors: invalid, conflict, unavailable. */
  makeAuthority(request: MakeAuthority): Promise<CertificateResult>;
  /** Errors: invalid, conflict, unavailable. */
  makeRequest(request: MakeRequest): Promise<CertificateDetail>;
  /** Errors: not-found, forbidden (a key, and not proven), invalid, unavailable. */
  export(request: ExportCertificate): Promise<Buffer>;
  /** Obtains one that the unit obtains by itself anew, now. Errors: not-found, conflict, unavailable when it fails. */
  renew(request: { readonly name: string; readonly author: string }): Promise<CertificateDetail>;
  /** Errors: not-found, conflict when it is used or declared. */
  remove(request: {
    readonly name: string;
    /** Only the request that waits. */
    readonly request: boolean;
    readonly author: string;
  }): Promise<void>;
}

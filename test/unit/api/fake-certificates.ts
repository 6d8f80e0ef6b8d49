/** The part of the fake daemon that answers about certificates; it remembers what it was asked. */
import type {
  CertificateDetail,
  CertificateResult,
  CertificateRow,
} from '../../../appliance/api/certificate-contract.js';
import type { CertificatesPort } from '../../../appliance/api/certificate-port.js';

const DAY = 86_400_000;

export const CERTIFICATES: CertificateRow[] = [
  {
    name: 'lab',
    kind: 'authority',
    subject: 'CN=lab',
    issuer: 'CN=lab',
    serial: '4A01',
    names: [],
    notBefore: Date.UTC(2026, 0, 1),
    notAfter: Date.UTC(2096, 0, 1),
    key: { type: 'rsa', bits: 3072 },
    fingerprint: 'AA:01',
    selfSigned: true,
    hasKey: true,
    chainLength: 1,
    source: 'self-signed',
    generation: 3,
    changed: Date.UTC(2026, 0, 2),
    author: 'ada',
    problem: null,
    declared: null,
    usedBy: [],
    renewal: null,
  },
  {
    name: 'shop.example',
    kind: 'certificate',
    subject: 'CN=shop.example',
    issuer: 'CN=Authority',
    serial: '4A02',
    names: ['shop.example', '192.0.2.1'],
    notBefore: Date.UTC(2026, 1, 1),
    notAfter: Date.UTC(2026, 1, 1) + 90 * DAY,
    key: { type: 'ecdsa', curve: 'P-256' },
    fingerprint: 'AA:02',
    selfSigned: false,
    hasKey: true,
    chainLength: 2,
    source: 'imported',
    generation: 4,
    changed: Date.UTC(2026, 1, 2),
    author: 'bob',
    problem: null,
    declared: 'stored',
    usedBy: ['shop', 'shop6'],
    renewal: null,
  },
];

const [, SHOP] = CERTIFICATES as [CertificateRow, CertificateRow];

export const CERTIFICATE: CertificateDetail = {
  ...SHOP,
  chain: [
    { subject: SHOP.subject, issuer: SHOP.issuer, notAfter: SHOP.notAfter, fingerprint: 'AA:02' },
    {
      subject: 'CN=Authority',
      issuer: 'CN=Root',
      notAfter: SHOP.notAfter + DAY,
      fingerprint: 'AA:03',
    },
  ],
  request: '-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n',
};

export class FakeCertificates implements CertificatesPort {
  readonly asked: { readonly method: keyof CertificatesPort; readonly argument: unknown }[] = [];
  failure: Error | null = null;
  exported = Buffer.from('exported');
  warnings: readonly string[] = [];
  rows: readonly CertificateRow[] = CERTIFICATES;
  detail: CertificateDetail = CERTIFICATE;

  last(method: keyof CertificatesPort): unknown {
    return this.asked.filter((one) => one.method === method).at(-1)?.argument;
  }

  async #answer<T>(method: keyof CertificatesPort, argument: unknown, value: T): Promise<T> {
    this.asked.push({ method, argument });
    const { failure } = this;
    this.failure = null;
    if (failure !== null) throw failure;
    return value;
  }

  list(): Promise<CertificateRow[]> {
    return this.#answer('list', undefined, [...this.rows]);
  }
  get(name: string): Promise<CertificateDetail> {
    return this.#answer('get', name, this.detail);
  }
  import(request: Parameters<CertificatesPort['import']>[0]): Promise<CertificateResult> {
    return this.#answer('import', request, this.#result());
  }
  make(request: Parameters<CertificatesPort['make']>[0]): Promise<CertificateResult> {
    return this.#answer('make', request, this.#result());
  }
  makeAuthority(
    request: Parameters<CertificatesPort['makeAuthority']>[0],
  ): Promise<CertificateResult> {
    return this.#answer('makeAuthority', request, this.#result());
  }
  makeRequest(request: Parameters<CertificatesPort['makeRequest']>[0]): Promise<CertificateDetail> {
    return this.#answer('makeRequest', request, CERTIFICATE);
  }
  export(request: Parameters<CertificatesPort['export']>[0]): Promise<Buffer> {
    return this.#answer('export', request, Buffer.from(this.exported));
  }
  renew(request: Parameters<CertificatesPort['renew']>[0]): Promise<CertificateDetail> {
    return this.#answer('renew', request, CERTIFICATE);
  }
  remove(request: Parameters<CertificatesPort['remove']>[0]): Promise<void> {
    return this.#answer('remove', request, undefined);
  }

  #result(): CertificateResult {
    return { certificate: SHOP, warnings: this.warnings };
  }
}

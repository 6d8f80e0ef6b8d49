/** Certificates for tests, made by the openssl command: a peer of its own, so nothing judges itself. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto';
import { PackedSecrets } from '../../appliance/l7/supervisor/packed-secrets.js';
import type { CertificateSecret } from '../../appliance/l7/tls/secrets.js';

export type KeyKind = 'ecdsa' | 'rsa';

export interface TestCertificate {
  readonly certificate: string;
  readonly key: string;
  readonly certificateFile: string;
  readonly keyFile: string;
}

function openssl(...parameters: string[]): void {
  execFileSync('openssl', parameters, { stdio: ['ignore', 'ignore', 'pipe'] });
}

const newKey: Record<KeyKind, readonly string[]> = {
  ecdsa: ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
  rsa: ['-newkey', 'rsa:2048'],
};

/** A folder of certificates; `close` removes it. */
export class TestAuthority {
  readonly folder = mkdtempSync(join(tmpdir(), 'weir-tls-'));
  readonly authority: TestCertificate;
  #count = 0;

  /** `signer`, `until`: of an authority below another one, and until when it is valid. */
  constructor(
    signer: TestAuthority | null = null,
    name = 'Test authority',
    until: Date | null = null,
  ) {
    this.authority = this.#files('authority');
    const { certificateFile, keyFile } = this.authority;
    const usage = 'keyUsage=critical,keyCertSign,cRLSign';
    if (signer !== null) {
      const may = `${usage}\nbasicConstraints=critical,CA:TRUE`;
      signer.#sign(this.authority, `/CN=${name}`, may, until);
      return;
    }
    // prettier-ignore
    openssl('req', '-x509', ...newKey.ecdsa, '-nodes', '-subj', `/CN=${name}`, '-days', '30',
      '-keyout', keyFile, '-out', certificateFile, '-addext', usage);
  }

  /**
   * A client's certificate with this subject, as `-subj` of openssl takes it, in UTF-8; with these
   * names, and valid until `until`, else for 20 days.
   */
  client(
    subject: string,
    names: readonly string[] = [],
    until: Date | null = null,
  ): TestCertificate {
    const files = this.#files(`client-${(this.#count += 1)}`);
    const extensions =
      'extendedKeyUsage=clientAuth' +
      (names.length === 0 ? '' : `\nsubjectAltName=${names.map((one) => `DNS:${one}`).join(',')}`);
    this.#sign(files, subject, extensions, until);
    return files;
  }

  /** By the command ca, which alone takes a time in seconds. */
  #sign(
    { certificateFile, keyFile }: TestCertificate,
    subject: string,
    extensions: string,
    until: Date | null,
  ): void {
    const request = `${certificateFile}.csr`;
    const index = `${certificateFile}.index`;
    const settings = `${certificateFile}.cnf`;
    const ends = until === null ? ['-days', '20'] : ['-enddate', asn1Time(until)];
    writeFileSync(index, '');
    writeFileSync(
      settings,
      [
        ...['[ca]', 'default_ca=own', '[own]', `database=${index}`, `new_certs_dir=${this.folder}`],
        ...['rand_serial=yes', 'default_md=sha256', 'policy=any', 'string_mask=utf8only'],
        ...['preserve=yes', 'unique_subject=no', '[any]', 'commonName=optional'],
        ...['[with]', extensions, ''],
      ].join('\n'),
    );
    // prettier-ignore
    openssl('req', '-utf8', ...newKey.ecdsa, '-nodes', '-subj', subject,
      '-keyout', keyFile, '-out', request);
    // prettier-ignore
    openssl('ca', '-batch', '-notext', '-utf8', '-config', settings, '-extensions', 'with',
      '-preserveDN', '-cert', this.authority.certificateFile, '-keyfile', this.authority.keyFile,
      '-in', request, '-out', certificateFile, ...ends);
  }

  /** A certificate for these names, signed by the authority; `days` may be below 0. */
  issue(names: readonly string[], kind: KeyKind = 'ecdsa', days = 20): TestCertificate {
    const files = this.#files(`leaf-${(this.#count += 1)}`);
    const request = `${files.certificateFile}.csr`;
    const extensions = `${files.certificateFile}.ext`;
    const alternatives = names.map((name) => (/^[\d.]+$|:/.test(name) ? 'IP:' : 'DNS:') + name);
    writeFileSync(
      extensions,
      `subjectAltName=${alternatives.join(',')}\nextendedKeyUsage=serverAuth,clientAuth\n`,
    );
    // prettier-ignore
    openssl('req', ...newKey[kind], '-nodes', '-subj', `/CN=${names[0] ?? ''}`,
      '-keyout', files.keyFile, '-out', request);
    // prettier-ignore
    openssl('x509', '-req', '-in', request, '-CA', this.authority.certificateFile,
      '-CAkey', this.authority.keyFile, '-CAcreateserial', '-extfile', extensions,
      '-days', String(days), '-out', files.certificateFile);
    return files;
  }

  /** As a worker gets it. */
  secret(
    name: string,
    names: readonly string[],
    kind: KeyKind = 'ecdsa',
    generation = '1',
  ): CertificateSecret {
    return secretOf(name, this.issue(names, kind), names, kind, generation);
  }

  /** The authority itself, which workers are to trust. */
  trusted(name: string): CertificateSecret {
    const { raw } = new X509Certificate(this.authority.certificate);
    return { name, generation: '1', names: [], keyType: 'ecdsa', chain: [raw], key: null };
  }

  close(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  #files(name: string): TestCertificate {
    const certificateFile = join(this.folder, `${name}.pem`);
    const keyFile = join(this.folder, `${name}.key`);
    return {
      certificateFile,
      keyFile,
      get certificate() {
        return readFileSync(certificateFile, 'utf8');
      },
      get key() {
        return readFileSync(keyFile, 'utf8');
      },
    };
  }
}

/** As openssl takes it. */
function asn1Time(date: Date): string {
  return `${date.toISOString().replace(/[-:T]|\.\d+Z/g, '')}Z`;
}

export function secretOf(
  name: string,
  { certificate, key }: Pick<TestCertificate, 'certificate' | 'key'>,
  names: readonly string[],
  keyType: KeyKind,
  generation: string,
): CertificateSecret {
  const { raw } = new X509Certificate(certificate);
  const der = createPrivateKey(key).export({ type: 'pkcs8', format: 'der' });
  return { name, generation, names, keyType, chain: [raw], key: der };
}

/** What a tier gives its workers, each time anew: who packs it wipes the keys. */
export function packed(
  certificates: readonly CertificateSecret[],
  ticketKeys: readonly Buffer[] = [randomBytes(80)],
): PackedSecrets {
  return new PackedSecrets(() => ({
    certificates: certificates.map((one) => ({
      ...one,
      key: one.key === null ? null : Buffer.from(one.key),
    })),
    ticketKeys,
    challenges: [],
  }));
}

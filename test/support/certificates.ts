/** Certificates for one name or address each, signed by themselves, made by openssl in a folder of the test's own. */
import { spawnSync } from 'node:child_process';
import { isIP } from 'node:net';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Certificate {
  readonly keyFile: string;
  readonly certFile: string;
  readonly key: Buffer;
  readonly cert: Buffer;
}

export class Certificates {
  readonly folder = mkdtempSync(join(tmpdir(), 'weir-certificates-'));

  make(name: string): Certificate {
    const keyFile = join(this.folder, `${name}.key`);
    const certFile = join(this.folder, `${name}.pem`);
    const made = spawnSync(
      'openssl',
      [
        ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
        ...['-keyout', keyFile, '-out', certFile, '-days', '2', '-subj', `/CN=${name}`],
        ...['-addext', `subjectAltName=${isIP(name) > 0 ? 'IP' : 'DNS'}:${name}`],
      ],
      { encoding: 'utf8' },
    );
    if (made.status !== 0) throw new Error(`openssl made no certificate: ${made.stderr}`);
    return { keyFile, certFile, key: readFileSync(keyFile), cert: readFileSync(certFile) };
  }

  end(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

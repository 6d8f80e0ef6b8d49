/** OpenSSL's command as the peer of tests about certificates, in a folder of the test's own. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export class OpenSsl {
  readonly folder = mkdtempSync(join(tmpdir(), 'weir-openssl-'));

  /** What it printed. Throws when it refused. */
  run(...args: readonly string[]): string {
    const { status, stdout, stderr } = this.try(...args);
    if (status !== 0) throw new Error(`openssl ${args.join(' ')} ended with ${status}: ${stderr}`);
    return stdout;
  }

  try(...args: readonly string[]): { status: number | null; stdout: string; stderr: string } {
    return spawnSync('openssl', args, { encoding: 'utf8', cwd: this.folder, input: '' });
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  write(name: string, content: string | Uint8Array): string {
    writeFileSync(this.path(name), content);
    return this.path(name);
  }

  read(...names: readonly string[]): Buffer {
    return Buffer.concat(names.map((name) => readFileSync(this.path(name))));
  }

  /** NAME.key and NAME.pem, signed by itself or by another one that was made here. */
  make(
    name: string,
    options: {
      readonly key?: readonly string[];
      readonly by?: string;
      readonly ca?: boolean;
      readonly more?: readonly string[];
    } = {},
  ): void {
    const { key = ['ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'], by, ca = false } = options;
    this.run(
      ...['req', '-x509', '-nodes', '-newkey', ...key, '-keyout', `${name}.key`],
      ...['-out', `${name}.pem`, '-days', '5', '-subj', `/CN=${name}`],
      ...(by === undefined ? [] : ['-CA', `${by}.pem`, '-CAkey', `${by}.key`]),
      ...['-addext', `subjectAltName=DNS:${name}`],
      ...['-addext', `basicConstraints=critical,CA:${ca ? 'TRUE' : 'FALSE'}`],
      ...(options.more ?? []),
    );
  }

  end(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export function pem(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

/**
 * What a document says of certificates, held against the store, and who uses them. Pure.
 */
import { PortError } from '../api/port.js';
import { formatPath, type ConfigError } from '../config/errors.js';
import type { Intent } from '../config/schema.js';
import { quote } from '../config/words.js';
import type { CertificateInfo } from '../tls/certificate-store.js';

type KnownCertificate = Pick<CertificateInfo, 'kind' | 'source'>;

/** What the checks ask of the store. */
export interface KnownCertificates {
  get(name: string): KnownCertificate | undefined;
}

/** Empty when every name that is used or declared has its certificate, or will be given one. */
export function certificateErrors(intent: Intent, store: KnownCertificates): ConfigError[] {
  const errors: ConfigError[] = [];
  for (const [name, declared] of Object.entries(intent.certificates)) {
    const path = formatPath(['certificates', name]);
    const known = store.get(name);
    if (declared.type === 'stored') {
      const lacking = whyNotServed(known);
      if (lacking === null) continue;
      errors.push({ code: 'reference', path, message: `${lacking}: ${howToGet(name)}` });
    } else if (
      known !== undefined &&
      known.kind !== 'request' &&
      (known.kind === 'authority' || known.source !== declared.type)
    ) {
      errors.push({
        code: 'conflict',
        path: `${path}.type`,
        message: `the store has ${origin(known)} of this name: write "type: stored", use another name, or remove it (weir cert remove ${name})`,
      });
    }
  }
  for (const [service, { certificates = [] }] of Object.entries(intent.services)) {
    for (const [index, name] of certificates.entries()) {
      if (Object.hasOwn(intent.certificates, name)) continue;
      const lacking = whyNotServed(store.get(name));
      if (lacking === null) continue;
      errors.push({
        code: 'reference',
        path: formatPath(['services', service, 'certificates', index]),
        message: `${quote(name)}: ${lacking}, and the section certificates does not declare it: ${howToGet(name)}`,
      });
    }
  }
  for (const { path, name } of trustedNames(intent)) {
    const known = store.get(name);
    if (known !== undefined && known.kind !== 'request') continue;
    if (known === undefined && Object.hasOwn(intent.certificates, name)) continue;
    errors.push({
      code: 'reference',
      path: formatPath(path),
      message: `${quote(name)}: the certificate store has no authority of this name: import it (weir cert import ${name} FILE), or make one (weir cert ca ${name})`,
    });
  }
  for (const [pool, { tls }] of Object.entries(intent.pools)) {
    const name = tls?.certificate;
    if (name === undefined || Object.hasOwn(intent.certificates, name)) continue;
    const lacking = whyNotServed(store.get(name));
    if (lacking === null) continue;
    errors.push({
      code: 'reference',
      path: formatPath(['pools', pool, 'tls', 'certificate']),
      message: `${quote(name)}: ${lacking}, and the section certificates does not declare it: ${howToGet(name)}`,
    });
  }
  return errors;
}

/** Names of those that clients, members and directories are judged by, with where they stand. */
function trustedNames(
  intent: Intent,
): { readonly path: (string | number)[]; readonly name: string }[] {
  const clients = Object.entries(intent.services).flatMap(([service, { tls }]) =>
    (tls?.['client-certificates']?.authorities ?? []).map((name, index) => ({
      path: ['services', service, 'tls', 'client-certificates', 'authorities', index],
      name,
    })),
  );
  const members = Object.entries(intent.pools).flatMap(([pool, { tls }]) =>
    (tls?.authorities ?? []).map((name, index) => ({
      path: ['pools', pool, 'tls', 'authorities', index],
      name,
    })),
  );
  const directories = Object.entries(intent.certificates).flatMap(([certificate, declared]) =>
    (declared.type === 'acme' ? (declared.authorities ?? []) : []).map((name, index) => ({
      path: ['certificates', certificate, 'authorities', index],
      name,
    })),
  );
  return [...clients, ...members, ...directories];
}

function whyNotServed(known: KnownCertificate | undefined): string | null {
  if (known === undefined) return 'the certificate store has none of this name';
  if (known.kind === 'request') return 'its request still waits for the certificate';
  if (known.kind === 'authority') return 'it is the certificate of an authority, not of a service';
  return null;
}

function howToGet(name: string): string {
  return `import it (weir cert import ${name} FILE), or declare it in certificates`;
}

function origin({ kind, source }: KnownCertificate): string {
  if (kind === 'authority') return 'an authority';
  if (source === 'imported') return 'an imported certificate';
  return source === 'ca' ? 'a certificate signed by an own authority' : `one by ${source}`;
}

/** Services, pools and declared certificates that show a certificate or trust it, by name. */
export function usersOf(intent: Intent | null, name: string): string[] {
  if (intent === null) return [];
  const services = Object.entries(intent.services)
    .filter(
      ([, { certificates = [], tls }]) =>
        certificates.includes(name) ||
        tls?.['client-certificates']?.authorities.includes(name) === true,
    )
    .map(([service]) => service);
  const pools = Object.entries(intent.pools)
    .filter(([, { tls }]) => tls?.certificate === name || tls?.authorities?.includes(name) === true)
    .map(([pool]) => pool);
  const ordered = Object.entries(intent.certificates)
    .filter(([, one]) => one.type === 'acme' && one.authorities?.includes(name) === true)
    .map(([certificate]) => certificate);
  return [...services, ...pools, ...ordered];
}

export function declarationOf(
  intent: Intent | null,
  name: string,
): 'stored' | 'self-signed' | 'acme' | null {
  const declared = intent?.certificates ?? {};
  return Object.hasOwn(declared, name) ? (declared[name]?.type ?? null) : null;
}

/** @throws PortError when it is used or declared */
export function checkUnused(intent: Intent | null, name: string, remedy: string): void {
  const users = usersOf(intent, name);
  if (users.length > 0) {
    throw new PortError(
      'conflict',
      `The certificate ${name} is used by ${users.join(', ')}: ${remedy}.`,
    );
  }
  if (declarationOf(intent, name) !== null) {
    throw new PortError(
      'conflict',
      `The certificate ${name} is declared in the section certificates of the configuration: ${remedy}.`,
    );
  }
}

export function noSuch(name: string, request: boolean): PortError {
  const what = request ? 'no request of a certificate' : 'no certificate';
  return new PortError('not-found', `There is ${what} ${name} in the store: see weir cert list.`);
}

/** Certificates from authorities that speak ACME, for the keeper: accounts and trust are of the store. */
import { AcmeIssuer, type ChallengeResponder } from '../tls/acme/issuer.js';
import type { CertificateStore } from '../tls/certificate-store.js';
import { CertificateError } from '../tls/errors.js';
import type { Declared, Issued, Issuer } from '../tls/keeper.js';
import { writePem } from '../tls/pem.js';
import { FileError, readSecretText } from '../tls/small-file.js';

const LARGEST_SECRET = 4096;

export interface AcmeOptions {
  readonly store: Pick<CertificateStore, 'account' | 'putAccount' | 'chain'>;
  readonly responder: ChallengeResponder;
  /** What went wrong beside an order, without ending it. */
  readonly warn: (sentence: string) => void;
}

export function acmeIssuer({ store, responder, warn }: AcmeOptions): Issuer {
  const issuer = new AcmeIssuer({
    accounts: {
      load: async (directory) => {
        try {
          return store.account(directory);
        } catch (error) {
          if (!(error instanceof CertificateError)) throw error;
          // An account costs nothing, and its key opens nothing else.
          warn(
            `the account at ${directory} cannot be used any more, and another is made: ${error.message}`,
          );
          return null;
        }
      },
      save: async (directory, { key, url }) => {
        try {
          store.putAccount(directory, key, url);
        } finally {
          key.fill(0);
        }
      },
    },
    responder,
    warn,
  });
  return {
    prompt: false,
    issue: (name: string, spec: Declared, signal: AbortSignal): Promise<Issued> => {
      if (spec.type !== 'acme') throw new RangeError(`${name} is not of type acme`);
      const { directory, names, key, challenge, contact, authorities } = spec;
      const ca = authorities?.map((one) => trusted(store, one));
      const external = spec['external-account'];
      return issuer.issue(
        {
          ...{ directory, names, key, challenge, contact, termsAgreed: spec['terms-agreed'] },
          ...(ca === undefined ? {} : { ca: Buffer.concat(ca) }),
          ...(external === undefined
            ? {}
            : {
                externalAccount: () => ({
                  keyId: external['key-id'],
                  hmacKey: readSecret(external['hmac-key-file']),
                }),
              }),
        },
        signal,
      );
    },
  };
}

/**
 * A secret in base64url, from a file that is root's alone.
 *
 * @throws CertificateError
 */
export function readSecret(path: string): Buffer {
  const bad = (why: string, cause?: unknown): CertificateError =>
    new CertificateError('unavailable', `the key of the external account in ${path} ${why}`, cause);
  let text: string;
  try {
    text = readSecretText(path, LARGEST_SECRET);
  } catch (error) {
    if (error instanceof FileError) throw bad(error.message, error.cause);
    throw error;
  }
  if (/^[A-Za-z0-9_-]{16,}={0,2}$/.test(text)) return Buffer.from(text, 'base64url');
  throw bad('is not written in base64url');
}

/** @throws CertificateError when it is not in the store */
function trusted(store: Pick<CertificateStore, 'chain'>, name: string): Buffer {
  const chain = store.chain(name);
  if (chain.length > 0) return Buffer.concat(chain.map((der) => writePem('CERTIFICATE', der)));
  throw new CertificateError('not-found', `the authority ${name} is not in the certificate store`);
}

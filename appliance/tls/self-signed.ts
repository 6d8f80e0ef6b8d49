/** Obtains self-signed certificates for the keeper. */
import { CertificateError } from './errors.js';
import { makeCertificate } from './issue.js';
import type { Clock, Issuer } from './keeper.js';
import { makeKey, pkcs8Of } from './keys.js';

export function selfSignedIssuer(clock: Pick<Clock, 'now'>): Issuer {
  return {
    prompt: true,
    async issue(name, spec) {
      if (spec.type !== 'self-signed') {
        throw new CertificateError('invalid', `certificate ${name} is not to be made here`);
      }
      const key = await makeKey(spec.key);
      const validity = { now: clock.now(), lifetimeMs: spec.lifetime };
      const leaf = await makeCertificate(key, { names: spec.names }, validity);
      return { chain: [leaf], key: pkcs8Of(key) };
    },
  };
}

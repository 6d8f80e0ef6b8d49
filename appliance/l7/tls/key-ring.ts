/**
 * The certificates and keys that a worker has, in the form in which OpenSSL uses them.
 *
 * Invariant: `version` is another one whenever a certificate is another; challenges and ticket keys are
 * asked for each time, so nothing is made anew for them.
 */
import { wipingFreed } from '../../../native/ffi/heap.js';
import { PrivateKey, X509 } from '../../../native/ffi/tls-material.js';
import { setTicketKeys } from '../../../native/ffi/tls-tickets.js';
import { ChallengeContexts } from './challenges.js';
import type { CertificateSecret, TlsSecrets } from './secrets.js';

export interface HeldCertificate extends Omit<CertificateSecret, 'chain' | 'key'> {
  readonly chain: readonly X509[];
  readonly key: PrivateKey | null;
}

export class KeyRing {
  version = 0;
  #held = new Map<string, HeldCertificate>();
  /** For authorities that ask by tls-alpn-01. */
  readonly challenges = new ChallengeContexts();

  /** From now on these and no others. Returns a sentence for each that cannot be used. */
  set({ certificates, ticketKeys, challenges }: TlsSecrets): string[] {
    const troubles = wipingFreed(() => [
      ...this.#setCertificates(certificates),
      ...this.challenges.set(challenges),
    ]);
    setTicketKeys(ticketKeys);
    return troubles;
  }

  #setCertificates(certificates: readonly CertificateSecret[]): string[] {
    const held = new Map<string, HeldCertificate>();
    const troubles: string[] = [];
    let same = true;
    for (const one of certificates) {
      const before = this.#held.get(one.name);
      // It may have been trusted only, and be shown now.
      const known = before?.generation === one.generation;
      if (known && (before.key === null) === (one.key === null)) {
        held.set(one.name, before);
        this.#held.delete(one.name);
        continue;
      }
      try {
        held.set(one.name, load(one));
        same = false;
      } catch (error) {
        troubles.push(`the certificate ${one.name} cannot be used: ${String(error)}`);
      }
    }
    for (const gone of this.#held.values()) {
      close(gone);
      same = false;
    }
    this.#held = held;
    if (!same) this.version += 1;
    return troubles;
  }

  get(name: string): HeldCertificate | undefined {
    return this.#held.get(name);
  }

  close(): void {
    for (const one of this.#held.values()) close(one);
    this.#held.clear();
    this.challenges.set([]);
  }
}

function load({
  name,
  generation,
  names,
  keyType,
  chain,
  key,
}: CertificateSecret): HeldCertificate {
  const certificates: X509[] = [];
  try {
    for (const der of chain) certificates.push(new X509(der));
    const held = key === null ? null : new PrivateKey(key);
    return { name, generation, names, keyType, chain: certificates, key: held };
  } catch (error) {
    for (const one of certificates) one.close();
    throw error;
  }
}

/** Contexts that use them keep them. */
function close({ chain, key }: HeldCertificate): void {
  for (const one of chain) one.close();
  key?.close();
}

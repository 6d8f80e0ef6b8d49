/**
 * Certificates that prove to an authority that a name leads here (RFC 8737): shown only to who asks
 * by ALPN for nothing else, and for exactly that name.
 *
 * Invariant: with the handshake all is said. A request on such a connection would get past what the
 * service asks of clients.
 */
import { TlsContext } from '../../../native/ffi/tls-context.js';
import { TlsError } from '../../../native/ffi/tls-error.js';
import { PrivateKey, X509 } from '../../../native/ffi/tls-material.js';
import { latin1 } from '../http1/fields.js';
import type { ClientHello } from '../routing/client-hello.js';
import type { ChallengeSecret } from './secrets.js';

const PROTOCOL = 'acme-tls/1';
/** As a hello has it: one name, its length before it. */
const ALONE = `\n${PROTOCOL}`;

export class ChallengeContexts {
  #contexts = new Map<string, TlsContext>();

  /** From now on these and no others. Returns a sentence for each that cannot be used. */
  set(challenges: readonly ChallengeSecret[]): string[] {
    for (const context of this.#contexts.values()) context.close();
    this.#contexts = new Map();
    const troubles: string[] = [];
    for (const one of challenges) {
      if (one.type !== 'tls-alpn-01') continue;
      try {
        this.#contexts.set(one.domain, contextOf(one));
      } catch (error) {
        if (!(error instanceof TlsError)) throw error;
        troubles.push(`the challenge for ${one.domain} cannot be answered: ${error.message}`);
      }
    }
    return troubles;
  }

  get empty(): boolean {
    return this.#contexts.size === 0;
  }

  /** Null: the hello is not of an authority that asks for this name. */
  find(hello: ClientHello, name: string): TlsContext | null {
    if (latin1(hello.bytes, hello.alpnStart, hello.alpnEnd) !== ALONE) return null;
    return this.#contexts.get(name) ?? null;
  }
}

function contextOf({ certificate, key }: ChallengeSecret & { type: 'tls-alpn-01' }): TlsContext {
  const leaf = new X509(certificate);
  try {
    const held = new PrivateKey(key);
    try {
      return TlsContext.server({
        ...{ policy: 'intermediate', identities: [{ chain: [leaf], key: held }] },
        ...{
          alpn: [PROTOCOL],
          tickets: false,
          earlyData: false,
          sessionContext: new Uint8Array(32),
          clients: null,
          handshakeOnly: true,
        },
      });
    } finally {
      held.close();
    }
  } finally {
    leaf.close();
  }
}

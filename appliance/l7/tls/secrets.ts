/**
 * Certificates, keys and ticket keys on their way from the daemon to a worker: one piece of memory, a
 * layout in JSON before the octets, so that keys are octets all the way and never text.
 *
 * Invariant: whoever holds a packed piece wipes it.
 */
export interface CertificateSecret {
  readonly name: string;
  /** Another one when the content is another. */
  readonly generation: string;
  /** Host names and addresses that it is for, lower case; `*.example` for a label more. */
  readonly names: readonly string[];
  /** Kind of its key: `rsa`, `ecdsa`, `ed25519`. */
  readonly keyType: string;
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[];
  /** PKCS#8 as DER; null: an authority that only says who is trusted. */
  readonly key: Uint8Array | null;
}

/** An answer to the challenge of an authority (RFC 8555 §8.3; RFC 8737 §3). */
export type ChallengeSecret =
  | { readonly type: 'http-01'; readonly token: string; readonly keyAuthorization: string }
  | {
      readonly type: 'tls-alpn-01';
      readonly domain: string;
      /** DER */
      readonly certificate: Uint8Array;
      /** PKCS#8 */
      readonly key: Uint8Array;
    };

export interface TlsSecrets {
  readonly certificates: readonly CertificateSecret[];
  /** Of TICKET_KEY_BYTES each; the first one makes tickets. */
  readonly ticketKeys: readonly Uint8Array[];
  readonly challenges: readonly ChallengeSecret[];
}

interface Layout {
  readonly certificates: readonly (Omit<CertificateSecret, 'chain' | 'key'> & {
    readonly chain: readonly number[];
    readonly key: number | null;
  })[];
  readonly ticketKeys: readonly number[];
  readonly challenges: readonly (
    | (ChallengeSecret & { readonly type: 'http-01' })
    | {
        readonly type: 'tls-alpn-01';
        readonly domain: string;
        readonly certificate: number;
        readonly key: number;
      }
  )[];
}

const WORD = 4;

/** The keys that were given are copied, not wiped. */
export function packSecrets({ certificates, ticketKeys, challenges }: TlsSecrets): Buffer {
  const layout: Layout = {
    certificates: certificates.map(({ name, generation, names, keyType, chain, key }) => ({
      name,
      generation,
      names,
      keyType,
      chain: chain.map((der) => der.length),
      key: key === null ? null : key.length,
    })),
    ticketKeys: ticketKeys.map((key) => key.length),
    challenges: challenges.map((one) =>
      one.type === 'http-01'
        ? { type: one.type, token: one.token, keyAuthorization: one.keyAuthorization }
        : {
            ...{ type: one.type, domain: one.domain },
            ...{ certificate: one.certificate.length, key: one.key.length },
          },
    ),
  };
  const text = Buffer.from(JSON.stringify(layout));
  const pieces = certificates.flatMap(({ chain, key }) => (key === null ? chain : [...chain, key]));
  pieces.push(...ticketKeys);
  for (const one of challenges) {
    if (one.type === 'tls-alpn-01') pieces.push(one.certificate, one.key);
  }
  const packed = Buffer.alloc(
    pieces.reduce((sum, piece) => sum + piece.length, WORD + text.length),
  );
  packed.writeUInt32LE(text.length, 0);
  text.copy(packed, WORD);
  let at = WORD + text.length;
  for (const piece of pieces) {
    packed.set(piece, at);
    at += piece.length;
  }
  return packed;
}

/** What `packSecrets` made; the octets stay in `packed`. */
export function unpackSecrets(packed: Buffer): TlsSecrets {
  const length = packed.readUInt32LE(0);
  const text = packed.toString('utf8', WORD, WORD + length);
  const layout = JSON.parse(text) as Layout;
  let at = WORD + length;
  const next = (size: number): Buffer => {
    at += size;
    return packed.subarray(at - size, at);
  };
  const certificates = layout.certificates.map((one) => ({
    ...one,
    chain: one.chain.map(next),
    key: one.key === null ? null : next(one.key),
  }));
  const ticketKeys = layout.ticketKeys.map(next);
  const challenges = layout.challenges.map((one): ChallengeSecret =>
    one.type === 'http-01'
      ? one
      : { ...one, certificate: next(one.certificate), key: next(one.key) },
  );
  return { certificates, ticketKeys, challenges };
}

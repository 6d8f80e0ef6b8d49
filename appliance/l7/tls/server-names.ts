/**
 * Which certificates serve a name that a client asks for (RFC 6066 §3, RFC 9525 §6.3): those that have
 * it, else those whose wildcard stands for its first label, else the default ones. Of each kind of key
 * there is one, and OpenSSL takes the one that the client understands.
 */
import type { HeldCertificate } from './key-ring.js';

export class ServerNames {
  readonly #exact = new Map<string, HeldCertificate[]>();
  readonly #wild = new Map<string, HeldCertificate[]>();
  readonly #default: readonly HeldCertificate[];

  constructor(certificates: readonly HeldCertificate[]) {
    const usable = certificates.filter(({ key }) => key !== null);
    for (const one of usable) {
      for (const name of one.names) {
        if (name.startsWith('*.')) add(this.#wild, name.slice(2), one);
        else add(this.#exact, name, one);
      }
    }
    const [first] = usable;
    const [name] = first?.names ?? [];
    const others = usable.filter((one) => name !== undefined && one.names.includes(name));
    this.#default = first === undefined ? [] : oneOfEachKind([first, ...others]);
  }

  /** Null: none has it. */
  find(name: string): readonly HeldCertificate[] | null {
    if (name === '') return null;
    const dot = name.indexOf('.');
    return (
      this.#exact.get(name) ?? (dot < 0 ? null : (this.#wild.get(name.slice(dot + 1)) ?? null))
    );
  }

  /** Empty: there is no usable one at all. */
  get byDefault(): readonly HeldCertificate[] {
    return this.#default;
  }
}

function add(map: Map<string, HeldCertificate[]>, name: string, one: HeldCertificate): void {
  map.set(name, oneOfEachKind([...(map.get(name) ?? []), one]));
}

function oneOfEachKind(certificates: readonly HeldCertificate[]): HeldCertificate[] {
  const kinds = new Map<string, HeldCertificate>();
  for (const one of certificates) if (!kinds.has(one.keyType)) kinds.set(one.keyType, one);
  return [...kinds.values()];
}

/**
 * Gives workers the certificates and keys that the tables name, what authorities are to be answered,
 * and nothing else: no key of an authority, none that no service uses.
 *
 * Invariant: workers have what new tables name before the tables.
 */
import { PackedSecrets } from '../l7/supervisor/packed-secrets.js';
import type { WorkerTier } from '../l7/supervisor/worker-tier.js';
import type { L7Tables } from '../l7/tables.js';
import type { CertificateSecret, ChallengeSecret, TlsSecrets } from '../l7/tls/secrets.js';
import type { CertificateStore } from '../tls/certificate-store.js';

export interface ProxySecretsOptions {
  readonly store: Pick<CertificateStore, 'get' | 'chain' | 'privateKey' | 'onChange'>;
  readonly ticketKeys: () => readonly Buffer[];
  /** What authorities are to be answered now. */
  readonly challenges: () => readonly ChallengeSecret[];
  readonly proxy: Pick<WorkerTier, 'setSecrets'>;
  /** A key cannot be used; workers serve without it. */
  readonly onProblem: (certificate: string, error: unknown) => void;
}

/** Names of certificates that are shown to others, and of those that others are judged by. */
interface Used {
  readonly shown: ReadonlySet<string>;
  readonly trusted: ReadonlySet<string>;
}

export function usedIn({ services, pools }: Pick<L7Tables, 'services' | 'pools'>): Used {
  const shown = new Set<string>();
  const trusted = new Set<string>();
  for (const { tls } of services.values()) {
    for (const name of tls?.certificates ?? []) shown.add(name);
    for (const name of tls?.clients?.authorities ?? []) trusted.add(name);
  }
  for (const { tls } of pools.values()) {
    if (tls === null) continue;
    if (tls.certificate !== null) shown.add(tls.certificate);
    for (const name of tls.authorities ?? []) trusted.add(name);
  }
  return { shown, trusted };
}

function same(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  return a.size === b.size && [...a].every((name) => b.has(name));
}

export class ProxySecrets {
  readonly #options: ProxySecretsOptions;
  readonly #stop: () => void;
  /** Workers were given something. */
  #given = false;
  #used: Used = { shown: new Set(), trusted: new Set() };

  constructor(options: ProxySecretsOptions) {
    this.#options = options;
    this.#stop = options.store.onChange((name) => {
      if (this.#used.shown.has(name) || this.#used.trusted.has(name)) this.changed();
    });
  }

  /** Before these tables are executed. */
  follow(tables: L7Tables): void {
    const used = usedIn(tables);
    const known = same(used.shown, this.#used.shown) && same(used.trusted, this.#used.trusted);
    if (known) return;
    this.#used = used;
    this.changed();
  }

  /** Something of what is used is another. */
  changed(): void {
    const { shown, trusted } = this.#used;
    const wanted = shown.size + trusted.size + this.#options.challenges().length;
    if (wanted === 0 && !this.#given) return;
    this.#given = true;
    this.#options.proxy.setSecrets(new PackedSecrets(() => this.#read()));
  }

  close(): void {
    this.#stop();
  }

  #read(): TlsSecrets {
    const { shown, trusted } = this.#used;
    const names = [...new Set([...shown, ...trusted])];
    return {
      certificates: names.flatMap((name) => this.#certificate(name, shown.has(name))),
      ticketKeys: this.#options.ticketKeys(),
      challenges: this.#options.challenges(),
    };
  }

  #certificate(name: string, withKey: boolean): CertificateSecret[] {
    const { store, onProblem } = this.#options;
    const info = store.get(name);
    if (info === undefined || info.kind === 'request') return [];
    let key: Buffer | null = null;
    if (withKey && info.kind === 'certificate') {
      try {
        key = store.privateKey(name) ?? null;
      } catch (error) {
        onProblem(name, error);
      }
    }
    return [
      {
        name,
        generation: `${info.generation}`,
        names: info.names,
        keyType: info.key.type,
        chain: store.chain(name),
        key,
      },
    ];
  }
}

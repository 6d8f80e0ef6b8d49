/**
 * What two units of a pair have in common beside the document: joins the shelves to the pair, and tells
 * as events and sentences how that goes.
 *
 * Invariant: nothing of a key or secret is in an event, a sentence or an error.
 */
import { Replica, type ReplicaState, type SharedNews } from '../../ha/shared/replica.js';
import type { Pair } from '../../ha/pair/pair.js';
import type { PairNews } from '../../ha/pair/state.js';
import type { EventLog } from '../../telemetry/event-log.js';
import type { CertificateStore } from '../../tls/certificate-store.js';
import type { TicketKeys } from '../../tls/ticket-keys.js';
import type { CookieSecret } from '../cookie-secret.js';
import type { AccessEntries } from '../../config/access-entries.js';
import { AccountShelf } from './account-shelf.js';
import { AccessShelf } from './access-shelf.js';
import { certificateKey, CertificateShelf } from './certificate-shelf.js';
import { CookieShelf } from './cookie-shelf.js';
import { TicketShelf } from './ticket-shelf.js';
import { UserShelf } from './user-shelf.js';
import type { UserStore } from '../../users/user-store.js';

export interface SharingOptions {
  readonly pair: Pick<Pair, 'onSession' | 'state'>;
  readonly certificates: CertificateStore;
  readonly tickets: TicketKeys;
  readonly cookies: CookieSecret;
  readonly access: AccessEntries;
  readonly users: UserStore;
  readonly events: Pick<EventLog, 'append'>;
  /** Cookies are made with another secret now. */
  readonly onCookies: () => void;
  /** Temporary entries of access lists came, or went. */
  readonly onAccess: () => void;
  readonly onError: (error: unknown) => void;
}

/** How long somebody who changes something waits for the other unit. */
const PATIENCE_MS = 3000;

export class Sharing {
  readonly #options: SharingOptions;
  readonly #replica: Replica;
  readonly #stop: () => void;
  readonly #accounts: readonly UserShelf[];

  constructor(options: SharingOptions) {
    this.#options = options;
    const { pair, certificates, tickets, cookies, access, users, onError } = options;
    this.#accounts = (['user', 'token'] as const).map(
      (kind) =>
        new UserShelf(kind, users, (name) => {
          this.#tell(
            'warning',
            `both units had a ${kind} ${name}: that of the unit that invited counts on both now`,
          );
        }),
    );
    this.#replica = new Replica({
      shelves: [
        new CertificateShelf({
          store: certificates,
          onConflict: (name, kept, fingerprint) => {
            this.#tell(
              'warning',
              `both units had another certificate ${name}: the later one counts, and that of this unit, SHA-256 ${fingerprint}, is kept as ${kept}`,
            );
          },
        }),
        new AccountShelf(certificates),
        new TicketShelf(tickets),
        new CookieShelf(cookies, () => {
          this.#tell(
            'warning',
            'persistence cookies are made with the secret of the other unit now: those that this unit gave before are not known any more',
          );
          options.onCookies();
        }),
        ...this.#accounts,
        new AccessShelf({
          entries: access,
          onTaken: ({ prefix, service }, entry) => {
            const what =
              entry === null ? 'removed the temporary entry' : `${entry.author}: ${entry.verdict}`;
            const until = entry === null ? '' : ` until ${new Date(entry.expires).toISOString()}`;
            options.events.append({
              ...{ kind: 'access', severity: 'info' },
              message: `${this.#peer()}: ${what} ${prefix} for ${service ?? 'every service'}${until}`,
              subject: { peer: this.#peer(), ...(service === null ? {} : { service }) },
            });
            options.onAccess();
          },
        }),
      ],
      onNews: (news) => {
        this.#heard(news);
      },
      onError,
    });
    this.#stop = pair.onSession((session) => {
      this.#replica.attach(session);
      if (session.links.length > 0) this.#replica.together();
    });
  }

  get state(): ReplicaState {
    return this.#replica.state;
  }

  /** What happens to the pair. */
  heard(news: PairNews): void {
    if (news.what === 'paired') {
      this.#options.certificates.forgetPair();
      if (news.role === 'joiner') for (const shelf of this.#accounts) shelf.giveWay();
    }
    if (news.what === 'together') this.#replica.together();
    if (news.what === 'alone') this.#replica.apart();
    if (news.what === 'left') this.#replica.attach(null);
  }

  /** Null: the other unit has it, or there is none; else a sentence that says that it does not. */
  async certificate(name: string, waiting: boolean): Promise<string | null> {
    if (this.#options.pair.state().peer === null) return null;
    const told = await this.#replica.told(certificateKey(name, waiting), PATIENCE_MS);
    const peer = this.#peer();
    if (told === 'away') return `${peer} is away, and is given this when it is heard again`;
    if (told === 'refused') return `${peer} could not take this: its events say why`;
    return null;
  }

  close(): void {
    this.#stop();
    this.#replica.close();
  }

  #heard(news: SharedNews): void {
    const peer = this.#peer();
    switch (news.what) {
      case 'equal': {
        const { sent, taken } = news;
        this.#tell(
          'info',
          `certificates, keys and users are shared with ${peer}: ${sent} given, ${taken} taken`,
        );
        return;
      }
      case 'not-taken':
        this.#tell('error', `${nameOf(news.key)} of ${peer} could not be taken: ${news.why}`);
        return;
      case 'refused':
        this.#tell('error', `${nameOf(news.key)} could not be given to ${peer}: ${news.why}`);
        return;
      case 'malformed':
        this.#tell('error', `${peer} sent what is no message of what is shared: ${news.why}`);
    }
  }

  #tell(severity: 'info' | 'warning' | 'error', message: string): void {
    this.#options.events.append({
      ...{ kind: 'pair', severity, message: message.replace(/\.$/, '') },
      subject: { peer: this.#peer() },
    });
  }

  #peer(): string {
    return this.#options.pair.state().peer?.name ?? 'the other unit';
  }
}

/** For people. Names of keys of tickets are digests, and mean nothing to them. */
function nameOf(key: string): string {
  const [shelf = '', ...rest] = key.split('/');
  if (shelf === 'certificate') {
    const [place, name = ''] = rest;
    return `the ${place === 'request' ? 'request of ' : ''}certificate ${name}`;
  }
  if (shelf === 'acme-account') return `the account at ${rest.join('/')}`;
  if (shelf === 'user' || shelf === 'token') return `the ${shelf} ${rest.join('/')}`;
  if (shelf === 'access') return `the temporary entry ${rest.join('/')}`.trimEnd();
  return shelf === 'ticket-key' ? 'a key of session tickets' : 'the secret of cookies';
}

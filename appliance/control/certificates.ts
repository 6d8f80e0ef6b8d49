/**
 * Certificates behind the API: what people do with the store, the keeper of those that the document
 * declares, and the events of both.
 *
 * Invariant: no private key, and nothing made of one, is in an event, an error or a log. A key
 * leaves the unit for root or a proven administrator, and each time an event says who took it.
 */
import { createPrivateKey, type KeyObject } from 'node:crypto';
import type {
  CertificateDetail,
  CertificateRenewal,
  CertificateResult,
  CertificateRow,
} from '../api/certificate-contract.js';
import type {
  CertificatesPort,
  ExportCertificate,
  ImportCertificate,
  MakeAuthority,
  MakeCertificate,
  MakeRequest,
} from '../api/certificate-port.js';
import type { Alarm } from '../api/contract.js';
import { PortError } from '../api/port.js';
import type { ConfigError } from '../config/errors.js';
import type { Intent } from '../config/schema.js';
import type { EventLog } from '../telemetry/event-log.js';
import type {
  CertificateInfo,
  CertificateStore,
  NewCertificate,
} from '../tls/certificate-store.js';
import { CertificateError } from '../tls/errors.js';
import { importMaterial } from '../tls/import.js';
import { makeAuthority, makeCertificate, makeRequest, type Signer } from '../tls/issue.js';
import {
  CertificateKeeper,
  systemClock,
  type Clock,
  type Issuer,
  type KeeperOptions,
} from '../tls/keeper.js';
import { infoOf, makeKey, pkcs8Of } from '../tls/keys.js';
import { writePem } from '../tls/pem.js';
import { selfSignedIssuer } from '../tls/self-signed.js';
import { readCertificate } from '../tls/x509.js';
import { certificateAlarms } from './certificate-alarms.js';
import {
  certificateErrors,
  checkUnused,
  declarationOf,
  noSuch,
  usersOf,
} from './certificate-checks.js';
import { exportCertificate } from './certificate-export.js';
import { checkedNames, checkName } from './certificate-names.js';
import { tellExpiries } from './expiry-events.js';

export interface CertificatesOptions {
  readonly store: CertificateStore;
  readonly events: EventLog;
  readonly onError: (error: unknown) => void;
  /** Obtains certificates by ACME; left out: this build does not. */
  readonly acme?: Issuer;
  readonly clock?: Clock;
  /** As of the keeper: of two units one orders first. */
  readonly patience?: KeeperOptions['patience'];
  /**
   * Resolves when the other unit of the pair has the certificate (or request) as it is here, or not soon:
   * then with a sentence.
   */
  readonly shared?: (name: string, waiting: boolean) => Promise<string | null>;
  /** What may come back by itself: its certificates are not removed either. */
  readonly standby?: () => Intent | null;
}

export class Certificates implements CertificatesPort {
  readonly #options: CertificatesOptions;
  readonly #clock: Clock;
  readonly #keeper: CertificateKeeper;
  #intent: Intent | null = null;
  /** Changes by people, one at a time: each checks the store before it writes. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: CertificatesOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    const { store, events } = options;
    this.#keeper = new CertificateKeeper({
      store,
      clock: this.#clock,
      issuers: {
        'self-signed': selfSignedIssuer(this.#clock),
        ...(options.acme === undefined ? {} : { acme: options.acme }),
      },
      ...(options.patience === undefined ? {} : { patience: options.patience }),
      onError: options.onError,
      onEvent: ({ name, severity, message }) => {
        events.append({ kind: 'certificate', severity, message, subject: { certificate: name } });
      },
      onLook: () => {
        try {
          tellExpiries(this.#options, this.#intent, this.#clock.now());
        } catch (error) {
          options.onError(error);
        }
      },
    });
  }

  /** What a document asks that the store cannot give. */
  check(intent: Intent): ConfigError[] {
    return certificateErrors(intent, this.#options.store);
  }

  /** Takes up a document; resolves when the certificates that are made here are there. */
  async follow(intent: Intent | null): Promise<void> {
    this.#intent = intent;
    await this.#keeper.follow(intent?.certificates ?? {});
  }

  /** The document is executed: authorities may be asked, since its services answer them. */
  order(): void {
    this.#keeper.order();
  }

  get intent(): Intent | null {
    return this.#intent;
  }

  alarms(): Alarm[] {
    const { store } = this.#options;
    const certificates = store.list();
    const encrypted = certificates.some(({ hasKey }) => hasKey);
    return certificateAlarms({
      intent: this.#intent,
      certificates,
      storeProblem: encrypted ? store.problem : null,
      notObtained: this.#keeper.problems,
      now: this.#clock.now(),
    });
  }

  /** Resolves when nothing is being made or obtained. */
  async settled(): Promise<void> {
    await this.#keeper.settled();
    await this.#turn;
  }

  async close(): Promise<void> {
    await this.#keeper.close();
    await this.#turn;
  }

  async list(): Promise<CertificateRow[]> {
    const kept = this.#options.store.list().map((info) => this.#row(info));
    const awaited = Object.keys(this.#intent?.certificates ?? {}).flatMap((name) => {
      const row = this.#awaited(name);
      return row === null ? [] : [row];
    });
    return [...kept, ...awaited].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  }

  async get(name: string): Promise<CertificateDetail> {
    const awaited = this.#awaited(name);
    if (awaited === null) return this.#detail(this.#known(name));
    return { ...awaited, chain: [], request: null };
  }

  import(request: ImportCertificate): Promise<CertificateResult> {
    return this.#inTurn(async () => {
      const { name, bytes, authority, author } = request;
      try {
        const { store } = this.#options;
        const kind = authority ? 'authority' : 'certificate';
        this.#checkFree(request, kind);
        const material = await importMaterial(bytes, {
          passphrase: request.passphrase,
          known: store.knownKeys(name),
          now: this.#clock.now(),
          authority,
        });
        try {
          const [leaf] = material.chain;
          const known = leaf === undefined ? null : store.keyFor(name, leaf);
          const key = material.key ?? known ?? (authority ? 'none' : null);
          if (key === null) throw new CertificateError('invalid', 'There is no private key.');
          return await this.#put(
            { name, kind, chain: material.chain, key, source: 'imported', author },
            'imported',
            material.warnings,
          );
        } finally {
          material.key?.fill(0);
        }
      } finally {
        bytes.fill(0);
      }
    });
  }

  make(request: MakeCertificate): Promise<CertificateResult> {
    return this.#inTurn(async () => {
      const { name, author, ca, lifetimeMs, subject, clientAuth } = request;
      this.#checkFree(request, 'certificate');
      const names = checkedNames(request.names);
      if (names.length === 0) {
        throw new PortError('invalid', 'Name the hosts that the certificate is for (--names).');
      }
      const signer = ca === undefined ? undefined : this.#signer(ca);
      const key = await makeKey(request.key);
      const leaf = await makeCertificate(
        key,
        { names, subject, clientAuth },
        { now: this.#clock.now(), lifetimeMs },
        signer,
      );
      // A root that clients know already is not sent to them.
      const above = ca === undefined ? [] : this.#options.store.chain(ca);
      const chain = [leaf, ...above.filter((der) => !readCertificate(der).selfSigned)];
      const cut = readCertificate(leaf).notAfter < this.#clock.now() + lifetimeMs - 1000;
      return this.#putMade(
        {
          name,
          kind: 'certificate',
          chain,
          source: ca === undefined ? 'self-signed' : 'ca',
          author,
        },
        key,
        ca === undefined ? 'made, self-signed' : `made, signed by ${ca}`,
        cut ? [`it ends with the authority ${ca ?? ''}, earlier than was asked for`] : [],
      );
    });
  }

  makeAuthority(request: MakeAuthority): Promise<CertificateResult> {
    return this.#inTurn(async () => {
      const { name, author, lifetimeMs, subject = `CN=${name}` } = request;
      this.#checkFree(request, 'authority');
      const key = await makeKey(request.key);
      const validity = { now: this.#clock.now(), lifetimeMs };
      const der = await makeAuthority(key, subject, validity);
      return this.#putMade(
        { name, kind: 'authority', chain: [der], source: 'self-signed', author },
        key,
        'made, as an authority',
        [],
      );
    });
  }

  makeRequest(request: MakeRequest): Promise<CertificateDetail> {
    return this.#inTurn(async () => {
      const { name, author, subject, clientAuth } = request;
      const { store } = this.#options;
      checkName(name);
      if (store.request(name) !== undefined && !request.replace) {
        throw new PortError(
          'conflict',
          `A request of ${name} waits already ("weir cert show ${name}" prints it): with --replace a new one with a new key takes its place.`,
        );
      }
      const present = store.get(name);
      const names = checkedNames(
        request.names.length > 0 || present === undefined ? request.names : present.names,
      );
      if (names.length === 0 && subject === undefined) {
        throw new PortError('invalid', 'Name the hosts that the certificate is for (--names).');
      }
      const key = await makeKey(request.key);
      const der = await makeRequest(key, { names, subject, clientAuth });
      const made = { name, kind: 'request', chain: [der], source: 'imported', author } as const;
      await this.#putMade(made, key, 'requested', []);
      return this.#detail(this.#known(name));
    });
  }

  async export(request: ExportCertificate): Promise<Buffer> {
    return translated(() => exportCertificate(this.#options, request));
  }

  async renew({
    name,
    author,
  }: Parameters<CertificatesPort['renew']>[0]): Promise<CertificateDetail> {
    const declared = declarationOf(this.#intent, name);
    if (declared !== 'self-signed' && declared !== 'acme') {
      this.#known(name);
      throw new PortError(
        'conflict',
        `The unit does not obtain the certificate ${name} by itself: renew it where it comes from, and import it with --replace.`,
      );
    }
    this.#options.events.append({
      kind: 'certificate',
      severity: 'info',
      message: `${author} asked for a new certificate ${name}`,
      subject: { author, certificate: name },
    });
    const wrong = await this.#keeper.renew(name);
    if (wrong === null) return this.#detail(this.#known(name));
    throw new PortError('unavailable', `The ${wrong}.`);
  }

  remove({ name, request, author }: Parameters<CertificatesPort['remove']>[0]): Promise<void> {
    return this.#inTurn(async () => {
      const { store, events } = this.#options;
      const info = request ? store.request(name) : store.get(name);
      if (info === undefined) throw noSuch(name, request);
      if (info.kind !== 'request') {
        checkUnused(this.#intent, name, 'take it out of there first');
        const standby = this.#options.standby?.() ?? null;
        checkUnused(standby, name, 'that comes back unless the last change is confirmed');
      }
      store.remove(name, info.kind === 'request' ? 'request' : 'certificate');
      store.prune();
      await this.#options.shared?.(name, info.kind === 'request');
      const what = info.kind === 'request' ? 'the request of certificate' : info.kind;
      events.append({
        kind: 'certificate',
        severity: 'info',
        message: `${author} removed ${what} ${name}`,
        subject: { author, certificate: name },
      });
    });
  }

  #known(name: string): CertificateInfo {
    const info = this.#options.store.get(name);
    if (info === undefined) throw noSuch(name, false);
    return info;
  }

  #row(info: CertificateInfo): CertificateRow {
    const live = info.kind !== 'request';
    return {
      ...info,
      declared: live ? declarationOf(this.#intent, info.name) : null,
      usedBy: live ? usersOf(this.#intent, info.name) : [],
      renewal: live ? this.#renewal(info.name) : null,
    };
  }

  #renewal(name: string): CertificateRenewal | null {
    const plan = this.#keeper.plan(name);
    return plan === null ? null : { ...plan, problem: this.#keeper.problems.get(name) ?? null };
  }

  /** One that is declared and not there yet; null: it is there, or nobody obtains it. */
  #awaited(name: string): CertificateRow | null {
    const declared = this.#intent?.certificates[name];
    const renewal = this.#renewal(name);
    if (declared === undefined || declared.type === 'stored' || renewal === null) return null;
    if (this.#options.store.get(name) !== undefined) return null;
    return {
      ...{ name, kind: 'certificate', subject: '', issuer: '', serial: '', names: declared.names },
      ...{ notBefore: 0, notAfter: 0, key: infoOf(declared.key), fingerprint: '' },
      ...{ selfSigned: false, hasKey: false, chainLength: 0, source: declared.type },
      ...{ generation: 0, changed: 0, author: '', declared: declared.type, renewal },
      problem: renewal.problem ?? `the certificate ${name} is not obtained yet`,
      usedBy: usersOf(this.#intent, name),
    };
  }

  #detail(info: CertificateInfo): CertificateDetail {
    const { store } = this.#options;
    const request = store.requestDer(info.name);
    return {
      ...this.#row(info),
      // A row that is damaged has a problem, and no chain that could be read.
      chain: (info.serial === '' ? [] : store.chain(info.name)).map((der) => {
        const { subject, issuer, notAfter, fingerprint } = readCertificate(der);
        return { subject, issuer, notAfter, fingerprint };
      }),
      request:
        request === undefined ? null : writePem('CERTIFICATE REQUEST', request).toString('latin1'),
    };
  }

  /** Refuses what is there already, and what the keeper looks after. */
  #checkFree(
    { name, replace }: { readonly name: string; readonly replace: boolean },
    kind: 'certificate' | 'authority',
  ): void {
    checkName(name);
    const declared = declarationOf(this.#intent, name);
    if (declared === 'self-signed' || declared === 'acme') {
      throw new PortError(
        'conflict',
        `The configuration declares the certificate ${name} as ${declared}, and the unit renews it: use another name, or declare it as stored first.`,
      );
    }
    const there = this.#options.store.get(name);
    if (there === undefined || there.kind === 'request') return;
    if (there.kind !== kind && usersOf(this.#intent, name).length > 0) {
      throw new PortError('conflict', `A service uses the certificate ${name}: use another name.`);
    }
    if (replace) return;
    throw new PortError(
      'conflict',
      `There is a certificate ${name} already: with --replace the new one takes its place, without dropping a connection.`,
    );
  }

  #signer(name: string): Signer {
    const { store } = this.#options;
    const [der] = store.chain(name);
    if (der === undefined) throw noSuch(name, false);
    if (store.get(name)?.kind !== 'authority') {
      throw new PortError(
        'invalid',
        `${name} is no authority: make one with "weir cert ca NAME", or import one with --authority.`,
      );
    }
    const plain = store.privateKey(name);
    if (plain === undefined) {
      throw new PortError(
        'invalid',
        `The key of the authority ${name} is not here, so nothing can be signed with it.`,
      );
    }
    try {
      const key = createPrivateKey({ key: plain, format: 'der', type: 'pkcs8' });
      return { certificate: readCertificate(der), key };
    } finally {
      plain.fill(0);
    }
  }

  async #putMade(
    fresh: Omit<NewCertificate, 'key'>,
    key: KeyObject,
    how: string,
    warnings: readonly string[],
  ): Promise<CertificateResult> {
    const plain = pkcs8Of(key);
    try {
      return await this.#put({ ...fresh, key: plain }, how, warnings);
    } finally {
      plain.fill(0);
    }
  }

  async #put(
    fresh: NewCertificate,
    how: string,
    warnings: readonly string[],
  ): Promise<CertificateResult> {
    const { store, events } = this.#options;
    const { name, author, kind } = fresh;
    const info = store.put(fresh);
    store.prune();
    events.append({
      kind: 'certificate',
      severity: 'info',
      message: `${author}: certificate ${name} ${how}, SHA-256 ${info.fingerprint}`,
      subject: { author, certificate: name },
    });
    if (kind !== 'request') tellExpiries(this.#options, this.#intent, this.#clock.now());
    const apart = (await this.#options.shared?.(name, kind === 'request')) ?? null;
    return {
      certificate: this.#row(info),
      warnings: apart === null ? warnings : [...warnings, apart],
    };
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(() => translated(work));
    this.#turn = turn.catch(() => undefined);
    return turn;
  }
}

async function translated<T>(work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (!(cause instanceof CertificateError)) throw cause;
    throw new PortError(cause.code, cause.message, { cause });
  }
}

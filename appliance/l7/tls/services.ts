/**
 * From a snapshot's tables to who stands behind connections of TLS: for services the context that fits
 * a hello, for members the context and the session to go on with. Contexts are made when they are
 * first needed, since there may be thousands of names.
 *
 * Invariant: a ticket is good only where the service and what it asks of clients are the same, so that
 * nobody resumes what would not be allowed anew.
 */
import { createHash } from 'node:crypto';
import { type Identity, TlsContext } from '../../../native/ffi/tls-context.js';
import { TlsError } from '../../../native/ffi/tls-error.js';
import { latin1 } from '../http1/fields.js';
import type { ClientHello } from '../routing/client-hello.js';
import { noLines } from '../http1/peer.js';
import { alert } from '../stream/alerts.js';
import type { StreamMember } from '../stream/runtime.js';
import type { L7MemberTls, L7Service, L7Tls } from '../tables.js';
import { certificateLines, LINES_MOST } from './certificate-lines.js';
import { KeptSessions } from './kept-sessions.js';
import type { HeldCertificate, KeyRing } from './key-ring.js';
import { ServerNames } from './server-names.js';
import type { ClientSide, ServerSide, TlsEnds } from './sides.js';

export type Tell = (sentence: string) => void;

function identityOf({ chain, key }: HeldCertificate): Identity[] {
  return key === null ? [] : [{ chain, key }];
}

export class ServiceTls implements ServerSide {
  readonly #contexts = new Map<string, TlsContext>();
  readonly #told = new Set<string>();
  #names = new ServerNames([]);
  #version = -1;
  #closed = false;
  /** Of the service and of what it asks of clients: whom, and by which authorities. */
  #bound: Buffer = Buffer.alloc(0);
  #demands = '';

  constructor(
    readonly ends: TlsEnds,
    readonly service: string,
    readonly settings: L7Tls,
    private readonly ring: KeyRing,
    private readonly tell: Tell,
  ) {}

  get demands(): string {
    if (this.#version !== this.ring.version) this.#renew();
    return this.#demands;
  }

  certificateLines(ssl: number): Uint8Array | null {
    const { clients } = this.settings;
    if (clients === null) return noLines;
    const refused = `a client of ${this.service} is refused: what members are told of its certificate`;
    try {
      const lines = certificateLines(ssl, clients.headers);
      if (lines === null) this.#tellOnce(`${refused} has more than ${LINES_MOST} octets`);
      return lines;
    } catch (error) {
      if (!(error instanceof TlsError)) throw error;
      this.#tellOnce(`${refused} cannot be made: ${error.message}`);
      return null;
    }
  }

  get earlyData(): boolean {
    return this.settings.earlyData;
  }

  choose(hello: ClientHello): TlsContext | number {
    if (this.#version !== this.ring.version) this.#renew();
    const name = latin1(hello.bytes, hello.nameStart, hello.nameEnd);
    const { challenges } = this.ring;
    const challenge = challenges.empty ? null : challenges.find(hello, name);
    if (challenge !== null) return challenge;
    const found = this.#names.find(name);
    if (found === null && this.settings.unknownNames === 'refuse') return alert.unrecognizedName;
    const certificates = found ?? this.#names.byDefault;
    if (certificates.length === 0) {
      this.#tellOnce(`${this.service} has no certificate that can be used: TLS with it fails`);
      return alert.internalError;
    }
    const key = certificates.map((one) => one.name).join('\n');
    let context = this.#contexts.get(key);
    if (context === undefined) {
      const made = this.#make(certificates);
      if (made === null) return alert.internalError;
      context = made;
      this.#contexts.set(key, made);
      if (this.#closed) queueMicrotask(() => this.#clear());
    }
    return context;
  }

  /** Connections that were accepted before may still choose; nothing is kept for others. */
  close(): void {
    this.#closed = true;
    this.#clear();
  }

  #clear(): void {
    for (const context of this.#contexts.values()) context.close();
    this.#contexts.clear();
  }

  #renew(): void {
    this.#clear();
    this.#told.clear();
    this.#version = this.ring.version;
    this.#names = new ServerNames(
      this.settings.certificates.flatMap((name) => this.ring.get(name) ?? []),
    );
    const { clients } = this.settings;
    const authorities = (clients?.authorities ?? []).map((name) => this.ring.get(name)?.generation);
    this.#bound = createHash('sha256')
      .update(JSON.stringify([this.service, clients, authorities]))
      .digest();
    this.#demands = clients === null ? '' : this.#bound.toString('hex');
  }

  #make(certificates: readonly HeldCertificate[]): TlsContext | null {
    const { clients, policy, alpn, tickets, earlyData } = this.settings;
    const authorities = (clients?.authorities ?? []).map((name) => this.ring.get(name));
    if (authorities.includes(undefined)) {
      this.#tellOnce(`${this.service} lacks an authority for certificates of clients`);
      return null;
    }
    const held = authorities.filter((one) => one !== undefined);
    try {
      return TlsContext.server({
        policy,
        identities: certificates.flatMap(identityOf),
        alpn,
        tickets,
        earlyData,
        sessionContext: this.#bound,
        clients:
          clients === null
            ? null
            : {
                required: clients.mode === 'required',
                authorities: held.flatMap(({ chain }) => chain),
                depth: clients.depth,
                keepChain: clients.headers.includes('client-cert-chain'),
              },
      });
    } catch (error) {
      if (!(error instanceof TlsError)) throw error;
      this.#tellOnce(`TLS of ${this.service} fails: ${error.message}`);
      return null;
    }
  }

  #tellOnce(sentence: string): void {
    if (this.#told.has(sentence)) return;
    this.#told.add(sentence);
    this.tell(sentence);
  }
}

export class MemberSide implements ClientSide {
  sessions = new KeptSessions();

  constructor(
    private readonly of: PoolTls,
    readonly member: string,
    readonly address: string,
  ) {}

  get ends(): TlsEnds {
    return this.of.ends;
  }

  get context(): TlsContext {
    return this.of.context;
  }

  get pool(): string {
    return this.of.pool;
  }

  get name(): string | null {
    return this.of.settings.serverName;
  }

  /** Sessions of before, and those that connections of before still get, are of no use any more. */
  beginAnew(): void {
    this.sessions.close();
    this.sessions = new KeptSessions();
  }

  close(): void {
    this.sessions.close();
  }
}

export class PoolTls {
  #context: TlsContext | null = null;
  #version = -1;
  #closed = false;
  readonly #sides = new Map<string, MemberSide>();

  constructor(
    readonly ends: TlsEnds,
    readonly pool: string,
    readonly settings: L7MemberTls,
    private readonly ring: KeyRing,
  ) {}

  /** Throws TlsError. */
  get context(): TlsContext {
    if (this.#context === null || this.#version !== this.ring.version) {
      this.#context?.close();
      this.#context = null;
      this.#context = this.#make();
      this.#version = this.ring.version;
      // What was resumed would skip what the new context asks for.
      for (const side of this.#sides.values()) side.beginAnew();
      if (this.#closed) queueMicrotask(() => this.#clear());
    }
    return this.#context;
  }

  side(member: Pick<StreamMember, 'id' | 'key' | 'host'>): MemberSide {
    let side = this.#sides.get(member.key);
    if (side?.address !== member.host) {
      side?.close();
      side = new MemberSide(this, member.id, member.host);
      this.#sides.set(member.key, side);
    }
    return side;
  }

  /** What is being connected still gets a context; nothing is kept for others. */
  close(): void {
    this.#closed = true;
    for (const side of this.#sides.values()) side.close();
    this.#sides.clear();
    this.#clear();
  }

  #clear(): void {
    this.#context?.close();
    this.#context = null;
    this.#version = -1;
  }

  #make(): TlsContext {
    const { policy, verify, authorities, certificate } = this.settings;
    const get = (name: string): HeldCertificate => {
      const held = this.ring.get(name);
      if (held === undefined) throw new TlsError(`there is no certificate ${name}`, '');
      return held;
    };
    const identity = certificate === null ? [] : identityOf(get(certificate));
    return TlsContext.client({
      policy,
      verify,
      authorities: authorities?.flatMap((name) => get(name).chain) ?? null,
      identity: identity[0] ?? null,
    });
  }
}

/** All of a worker, from snapshot to snapshot: what did not change stays, with its sessions. */
export class TlsSides {
  #services = new Map<string, { readonly text: string; readonly side: ServiceTls }>();
  #pools = new Map<string, { readonly text: string; readonly side: PoolTls }>();

  constructor(
    private readonly ends: TlsEnds,
    readonly ring: KeyRing,
    private readonly tell: Tell,
  ) {}

  /** Whether anything needs TLS. */
  get empty(): boolean {
    return this.#services.size === 0 && this.#pools.size === 0;
  }

  /** The names of pools whose members are spoken to in another way than before. */
  apply(
    services: Iterable<Pick<L7Service, 'name' | 'tls'>>,
    pools: Iterable<{ readonly name: string; readonly tls: L7MemberTls | null }>,
  ): string[] {
    const formerServices = this.#services;
    this.#services = new Map();
    for (const { name, tls } of services) {
      if (tls === null) continue;
      const text = JSON.stringify(tls);
      const former = formerServices.get(name);
      const same = former?.text === text;
      if (same) formerServices.delete(name);
      const side = same ? former.side : new ServiceTls(this.ends, name, tls, this.ring, this.tell);
      this.#services.set(name, { text, side });
    }
    for (const { side } of formerServices.values()) side.close();
    const formerPools = this.#pools;
    const changed = new Set<string>();
    this.#pools = new Map();
    for (const { name, tls } of pools) {
      const former = formerPools.get(name);
      const text = JSON.stringify(tls);
      if ((former?.text ?? 'null') !== text) changed.add(name);
      if (tls === null) continue;
      const same = former?.text === text;
      if (same) formerPools.delete(name);
      const side = same ? former.side : new PoolTls(this.ends, name, tls, this.ring);
      this.#pools.set(name, { text, side });
    }
    for (const { side } of formerPools.values()) side.close();
    return [...changed];
  }

  service(name: string): ServiceTls | null {
    return this.#services.get(name)?.side ?? null;
  }

  pool(name: string): PoolTls | null {
    return this.#pools.get(name)?.side ?? null;
  }

  close(): void {
    for (const { side } of this.#services.values()) side.close();
    for (const { side } of this.#pools.values()) side.close();
    this.ring.close();
  }
}

/**
 * The pair as this unit knows it: invites, joins, keeps the links, tells how they are, leaves.
 *
 * Invariant: nothing listens before an invitation is open or the unit is paired, and then only at the
 * addresses of the links. Two invitations, or an invitation of a unit that is paired, do not exist.
 */
import { PAIR_PORT } from '../ports.js';
import type { TLSSocket } from 'node:tls';
import type { MachineKey } from '../../tls/machine-key.js';
import { CertificateError } from '../../tls/errors.js';
import { parseCode } from './code.js';
import { noRefusals } from './counts.js';
import { dial } from './dial.js';
import { PairError } from './errors.js';
import { FrameSocket } from './frame-socket.js';
import { loadIdentity, needIdentity, type Identity } from './identity.js';
import { Invitation, WRONG_CODES, type InvitationEnd } from './invitation.js';
import { LINK_TIMING, type LinkTiming } from './link.js';
import { LinkKeeper } from './links.js';
import { Listener } from './listener.js';
import { encodeJson, MAX_LINKS } from './messages.js';
import { join, welcome, type Introduced } from './pairing.js';
import { pinText } from './proof.js';
import { Session } from './session.js';
import type { LinkState, PairNews, PairState } from './state.js';
import type { Peer, PairStore } from './store.js';

export interface PairOptions {
  readonly store: PairStore;
  /** @throws CertificateError when there is none. */
  readonly machineKey: () => MachineKey;
  /** This unit's name. */
  readonly unit: () => string;
  readonly onNews: (news: PairNews) => void;
  readonly onListenerError: (error: unknown) => void;
  readonly port?: number;
  readonly timing?: LinkTiming;
  readonly invitationMs?: number;
}

interface Running {
  readonly peer: Peer;
  readonly session: Session;
  readonly keeper: LinkKeeper;
  readonly links: Map<string, { up: boolean; since: number | null; reason: string | null }>;
}

export class Pair {
  readonly #options: PairOptions;
  readonly #port: number;
  readonly #epoch: number;
  readonly #counts = noRefusals();
  readonly #listeners = new Map<string, Listener>();
  readonly #opened = new Set<(session: Session) => void>();
  #identity: Identity | null = null;
  #invitation: Invitation | null = null;
  #running: Running | null = null;
  #problem: string | null = null;
  /** An invitation or a joining that is being made: the other must wait. */
  #busy = false;

  /** Links of a pair that is stored begin at once. @throws StoreError */
  constructor(options: PairOptions) {
    this.#options = options;
    this.#port = options.port ?? PAIR_PORT;
    this.#epoch = options.store.nextEpoch(Date.now());
    try {
      // A unit without a pair needs no key, and asks for none.
      if (options.store.identity() !== undefined) {
        this.#identity = loadIdentity(options.store, options.machineKey());
      }
      const peer = options.store.peer();
      if (peer !== undefined) this.#begin(peer);
    } catch (error) {
      if (!(error instanceof PairError || error instanceof CertificateError)) throw error;
      this.#problem = error.message;
    }
  }

  /** For later layers: hears the session of a pair, now and whenever there is a new one. */
  onSession(listener: (session: Session) => void): () => void {
    this.#opened.add(listener);
    if (this.#running !== null) listener(this.#running.session);
    return () => this.#opened.delete(listener);
  }

  /** Opens an invitation in the place of the one that is open. @throws PairError */
  invite(
    addresses: readonly string[],
  ): Promise<{ readonly code: string; readonly expires: number; readonly fingerprint: string }> {
    return this.#alone(async () => {
      const wanted = [...new Set(addresses)];
      if (wanted.length === 0 || wanted.length > MAX_LINKS) {
        throw new PairError('invalid', `Give 1 to ${MAX_LINKS} addresses to listen at.`);
      }
      const identity = await this.#needIdentity();
      this.#invitation?.end('withdrawn');
      try {
        for (const address of wanted) this.#listeners.set(address, await this.#listen(address));
      } catch (error) {
        this.#closeListeners();
        throw error;
      }
      const invitation = new Invitation(
        wanted,
        (why) => {
          this.#invitationOver(why);
        },
        this.#options.invitationMs,
      );
      this.#invitation = invitation;
      return {
        code: invitation.code(),
        expires: invitation.expires,
        fingerprint: pinText(identity.pin),
      };
    });
  }

  /** Answers once both units know each other. @throws PairError */
  join(code: string, address: string): Promise<Peer> {
    const secret = parseCode(code);
    return this.#alone(async () => {
      const identity = await this.#needIdentity();
      this.#invitation?.end('withdrawn');
      const socket = await dial(address, this.#port, identity.context);
      const other = await join(socket, secret, this.#side(identity));
      return this.#keep(other, 'joiner', other.addresses);
    }).finally(() => secret.fill(0));
  }

  /** Forgets the other unit, which hears of it if a link is up. @throws PairError (conflict) */
  leave(): string {
    const name = this.#options.store.peer()?.name ?? null;
    if (name === null && this.#invitation === null && this.#problem === null) {
      throw new PairError('conflict', 'This unit is not paired, and no invitation is open.');
    }
    this.#invitation?.end('withdrawn');
    this.#forget(true);
    return name ?? '';
  }

  state(): PairState {
    const invitation = this.#invitation;
    const peer = this.#options.store.peer();
    return {
      fingerprint: this.#identity === null ? null : pinText(this.#identity.pin),
      epoch: this.#epoch,
      port: this.#port,
      invitation: invitation && {
        expires: invitation.expires,
        wrongCodes: invitation.wrongCodes,
        addresses: invitation.addresses,
      },
      peer: peer === undefined ? null : shown(peer),
      peerEpoch: this.#running?.session.peerEpoch || null,
      links: this.#linkStates(),
      unacknowledged: this.#running?.session.unacknowledged ?? 0,
      refused: { ...this.#counts },
      problem: this.#problem,
    };
  }

  close(): void {
    this.#invitation?.end('withdrawn');
    const running = this.#running;
    this.#running = null;
    running?.keeper.end();
    running?.session.end(false);
    this.#closeListeners();
  }

  async #alone<T>(work: () => Promise<T>): Promise<T> {
    const peer = this.#options.store.peer();
    if (peer !== undefined) {
      throw new PairError(
        'conflict',
        `This unit is paired with ${peer.name}: run "weir pair leave" first.`,
      );
    }
    if (this.#busy) throw new PairError('conflict', 'Another pairing is going on: wait for it.');
    this.#busy = true;
    try {
      return await work();
    } finally {
      this.#busy = false;
    }
  }

  async #needIdentity(): Promise<Identity> {
    const { store, machineKey, unit } = this.#options;
    try {
      this.#identity ??= await needIdentity(store, machineKey(), unit());
      return this.#identity;
    } catch (error) {
      if (!(error instanceof CertificateError)) throw error;
      throw new PairError('unavailable', error.message, error);
    }
  }

  #side(identity: Identity) {
    return {
      name: this.#options.unit(),
      pin: identity.pin,
      epoch: this.#epoch,
      counts: this.#counts,
    };
  }

  async #listen(address: string): Promise<Listener> {
    const identity = await this.#needIdentity();
    return Listener.open({
      address,
      port: this.#port,
      context: identity.context,
      counts: this.#counts,
      onConnection: (socket, pin, at) => this.#connected(socket, pin, at, identity),
    });
  }

  #connected(socket: TLSSocket, pin: Buffer, address: string, identity: Identity): boolean {
    const running = this.#running;
    if (running?.peer.pin.equals(pin) === true) {
      running.session.attach(socket, address);
      return true;
    }
    const invitation = this.#invitation;
    if (invitation === null) {
      this.#counts.foreign += 1;
      const frames = new FrameSocket(socket, this.#epoch, this.#counts);
      frames.listen({ frame: () => undefined, closed: () => undefined });
      frames.send('refused', encodeJson({ reason: 'unknown' }));
      frames.finish('it is not the other unit');
      return false;
    }
    void this.#welcome(socket, invitation, identity);
    return false;
  }

  async #welcome(socket: TLSSocket, invitation: Invitation, identity: Identity): Promise<void> {
    const address = socket.remoteAddress ?? '';
    try {
      await welcome(socket, {
        ...this.#side(identity),
        addresses: invitation.addresses,
        secret: () => invitation.secret,
        wrong: () => {
          const over = invitation.wrong();
          this.#options.onNews({
            what: 'wrong-code',
            address,
            left: over ? 0 : WRONG_CODES - invitation.wrongCodes,
          });
          return over;
        },
        keep: (joiner) => {
          if (!invitation.end('used')) return false;
          this.#keep(joiner, 'inviter', invitation.addresses);
          return true;
        },
      });
    } catch (error) {
      // The joiner was told why, and what is to be counted was; anything else is a defect.
      if (!(error instanceof PairError)) this.#options.onListenerError(error);
    }
  }

  #keep({ name, pin }: Introduced, role: Peer['role'], addresses: readonly string[]): Peer {
    const peer = { name, pin, role, addresses, port: this.#port, since: Date.now() };
    this.#options.store.putPeer(peer);
    this.#options.onNews({ what: 'paired', peer: name, role });
    this.#begin(peer);
    return peer;
  }

  #begin(peer: Peer): void {
    const identity = this.#identity;
    if (identity === null) {
      throw new PairError(
        'unavailable',
        'The key of the link is missing: run "weir pair leave" on both units and pair them anew.',
      );
    }
    const links: Running['links'] = new Map(
      peer.addresses.map((address) => [address, { up: false, since: null, reason: null }]),
    );
    const { onNews, onListenerError, timing = LINK_TIMING } = this.#options;
    const session: Session = new Session({
      epoch: this.#epoch,
      counts: this.#counts,
      timing,
      onListenerError,
      onUp: (address) => {
        if (this.#running?.session !== session) return;
        keeper.up(address);
        const first = session.links.length === 1;
        links.set(address, { up: true, since: Date.now(), reason: null });
        onNews({ what: 'up', peer: peer.name, address });
        if (first) onNews({ what: 'together', peer: peer.name });
      },
      onDown: (address, reason, wasUp) => {
        if (this.#running?.session !== session) return;
        // Another connection has taken its place.
        if (session.links.some((link) => link.address === address)) return;
        const before = links.get(address)?.since ?? null;
        links.set(address, { up: false, since: wasUp ? Date.now() : before, reason });
        if (wasUp) onNews({ what: 'down', peer: peer.name, address, reason });
        if (wasUp && session.links.length === 0) onNews({ what: 'alone', peer: peer.name });
        keeper.down(address);
      },
      onLeft: () => {
        onNews({ what: 'left', peer: peer.name });
        this.#forget(false);
      },
    });
    const keeper: LinkKeeper = new LinkKeeper({
      peer,
      identity,
      session,
      counts: this.#counts,
      listeners: this.#listeners,
      listen: (address) => this.#listen(address),
      onFailure: (address, reason) => {
        const before = links.get(address);
        links.set(address, { up: false, since: before?.since ?? null, reason });
      },
    });
    this.#running = { peer, session, keeper, links };
    for (const listener of this.#opened) listener(session);
  }

  #forget(bye: boolean): void {
    const running = this.#running;
    this.#running = null;
    this.#identity = null;
    this.#problem = null;
    this.#options.store.leave();
    running?.keeper.end();
    running?.session.end(bye);
  }

  #invitationOver(why: InvitationEnd): void {
    this.#invitation = null;
    // One that was used lives on as links.
    if (why !== 'used') this.#closeListeners();
    this.#options.onNews({ what: 'invitation-over', why });
  }

  #closeListeners(): void {
    for (const listener of this.#listeners.values()) listener.close();
    this.#listeners.clear();
  }

  #linkStates(): LinkState[] {
    const running = this.#running;
    if (running === null) return [];
    const { session, links } = running;
    return [...links].map(([address, { up, since, reason }]) => {
      const link = session.links.find((one) => one.address === address);
      return {
        address,
        up,
        since,
        rtt: link?.rtt ?? null,
        clock: link?.clock ?? null,
        active: link !== undefined && session.active === link,
        reason,
      };
    });
  }
}

function shown({ pin, ...peer }: Peer): Omit<Peer, 'pin'> & { readonly fingerprint: string } {
  return { ...peer, fingerprint: pinText(pin) };
}

/**
 * Keeps the links of a pair: the inviter listens at each address, the joiner dials each, and again with
 * back-off after each loss.
 *
 * Invariant: a connection becomes a link only if its other end has shown the pinned key.
 */
import type { TLSSocket } from 'node:tls';
import { BackOff } from './back-off.js';
import type { RefusalCounts } from './counts.js';
import { dial } from './dial.js';
import { PairError } from './errors.js';
import { peerPin, type Identity } from './identity.js';
import type { Listener } from './listener.js';
import type { Session } from './session.js';
import type { Peer } from './store.js';

export interface LinkKeeperOptions {
  readonly peer: Peer;
  readonly identity: Identity;
  readonly session: Session;
  readonly counts: RefusalCounts;
  /** Those that are open already, by address. */
  readonly listeners: Map<string, Listener>;
  readonly listen: (address: string) => Promise<Listener>;
  /** An address could not be listened at, or not be reached. */
  readonly onFailure: (address: string, reason: string) => void;
}

export class LinkKeeper {
  readonly #options: LinkKeeperOptions;
  readonly #abort = new AbortController();
  readonly #retries = new Map<string, BackOff>();

  constructor(options: LinkKeeperOptions) {
    this.#options = options;
    const { peer } = options;
    for (const address of peer.addresses) {
      const attempt = peer.role === 'inviter' ? this.#listen : this.#dial;
      const retry = new BackOff(() => void attempt.call(this, address));
      this.#retries.set(address, retry);
      void attempt.call(this, address);
    }
  }

  /** A link is up: the next attempt need not wait. */
  up(address: string): void {
    this.#retries.get(address)?.reset();
  }

  /** A link is lost; the joiner dials again. */
  down(address: string): void {
    if (this.#options.peer.role === 'joiner' && !this.#abort.signal.aborted) {
      this.#retries.get(address)?.failed();
    }
  }

  end(): void {
    this.#abort.abort();
    for (const retry of this.#retries.values()) retry.end();
    for (const listener of this.#options.listeners.values()) listener.close();
    this.#options.listeners.clear();
  }

  async #listen(address: string): Promise<void> {
    const { listeners, listen } = this.#options;
    if (listeners.has(address)) return;
    try {
      const listener = await listen(address);
      if (this.#abort.signal.aborted) listener.close();
      else listeners.set(address, listener);
    } catch (error) {
      this.#failed(address, error);
    }
  }

  async #dial(address: string): Promise<void> {
    const { peer, identity, session, counts } = this.#options;
    let socket: TLSSocket;
    try {
      socket = await dial(address, peer.port, identity.context, this.#abort.signal);
    } catch (error) {
      this.#failed(address, error);
      return;
    }
    if (this.#abort.signal.aborted) {
      socket.destroy();
      return;
    }
    if (peerPin(socket)?.equals(peer.pin) === true) {
      session.attach(socket, address);
      return;
    }
    counts.foreign += 1;
    socket.on('error', () => undefined);
    socket.destroy();
    this.#failed(
      address,
      new PairError(
        'unavailable',
        `At ${address} answers one with another key than the pair's: if that unit has left the pair, leave it here as well.`,
      ),
    );
  }

  #failed(address: string, error: unknown): void {
    if (!(error instanceof PairError)) throw error;
    if (this.#abort.signal.aborted) return;
    this.#options.onFailure(address, error.message);
    this.#retries.get(address)?.failed();
  }
}

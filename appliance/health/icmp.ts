/**
 * The icmp monitor: alive when an echo request is answered (RFC 792, RFC 4443 §4). One raw socket
 * for each family carries the probes of all members; one more for each address to probe from.
 *
 * Invariants:
 * - An answer counts only when identifier, sequence number, token and the address that it comes
 *   from are those of a request that waits: a foreign ping, a late or a forged answer is nothing.
 * - A socket that is bound to an address lives as long as requests of it wait: an address that the
 *   unit no longer has is noticed by the next probe.
 */
import { randomFillSync, randomInt } from 'node:crypto';
import type { Poller } from '../../native/ffi/poller.js';
import { IcmpSocket } from '../../native/ffi/icmp-socket.js';
import {
  formatAddress,
  readAddress,
  type Family,
  type IpAddress,
} from '../config/address-codec.js';
import type { MonitorSettings } from '../config/schema.js';
import type { Cancellation } from './cancellation.js';
import { answerTypes, decodeAnswer, encodeRequest, same, TOKEN_BYTES } from './echo-packet.js';
import type { ProbeResult } from './state-machine.js';
import { failureOf, race, type Finish } from './verdict.js';

export type IcmpSettings = Pick<Extract<MonitorSettings, { type: 'icmp' }>, 'timeout' | 'source'>;

export class IcmpProber {
  readonly #poller: Poller;
  /** By family and source. */
  readonly #channels = new Map<string, Channel>();

  constructor(poller: Poller) {
    this.#poller = poller;
  }

  /** One probe. Never rejects. */
  probe(
    endpoint: { readonly address: string },
    { timeout, source }: IcmpSettings,
    cancelled: Cancellation,
  ): Promise<ProbeResult> {
    const to = readAddress(endpoint.address);
    const from = source === undefined ? null : readAddress(source);
    if (to === null || (source !== undefined && from === null)) {
      throw new TypeError(`${endpoint.address} or ${source ?? ''} is no address`);
    }
    if (from !== null && from.family !== to.family) {
      const reason = `cannot probe from ${from.text}: it is of another address family than the member`;
      return Promise.resolve({ outcome: 'inconclusive', reason });
    }
    return race(timeout, cancelled, (finish) => {
      try {
        return this.#channel(to.family, from).ask(to, finish);
      } catch (error) {
        if (!(error instanceof Error)) throw error;
        const { outcome, reason } = failureOf(error, source);
        queueMicrotask(() => finish(outcome, reason));
        return () => undefined;
      }
    });
  }

  close(): void {
    for (const channel of this.#channels.values()) channel.close();
    this.#channels.clear();
  }

  #channel(family: Family, source: IpAddress | null): Channel {
    const key = source?.text ?? `any ${family}`;
    let channel = this.#channels.get(key);
    if (channel === undefined) {
      channel = new Channel(family, source, this.#poller, () => this.#channels.delete(key));
      this.#channels.set(key, channel);
    }
    return channel;
  }
}

interface Waiting {
  readonly to: IpAddress;
  readonly token: Uint8Array;
  readonly finish: Finish;
}

class Channel {
  readonly #family: Family;
  readonly #socket: IcmpSocket;
  readonly #poller: Poller;
  readonly #onIdle: (() => void) | null;
  readonly #identifier = randomInt(0x10000);
  readonly #waiting = new Map<number, Waiting>();
  #sequence = randomInt(0x10000);

  constructor(family: Family, source: IpAddress | null, poller: Poller, onIdle: () => void) {
    this.#family = family;
    this.#poller = poller;
    this.#onIdle = source === null ? null : onIdle;
    this.#socket = new IcmpSocket(family, {
      types: answerTypes(family),
      source: source?.bytes ?? null,
    });
    poller.add(this.#socket.fd, () =>
      this.#socket.drain((packet, from) => this.#take(packet, from)),
    );
  }

  /** Sends one request; returns what forgets it. Throws SystemError. */
  ask(to: IpAddress, finish: Finish): () => void {
    const sequence = this.#free();
    const token = randomFillSync(new Uint8Array(TOKEN_BYTES));
    this.#waiting.set(sequence, { to, token, finish });
    this.#poller.ref();
    const forget = (): void => {
      if (!this.#waiting.delete(sequence)) return;
      this.#poller.unref();
      if (this.#waiting.size > 0 || this.#onIdle === null) return;
      this.#onIdle();
      this.close();
    };
    try {
      const name = { identifier: this.#identifier, sequence };
      this.#socket.send(encodeRequest(this.#family, name, token), to.bytes);
    } catch (error) {
      forget();
      throw error;
    }
    return forget;
  }

  close(): void {
    this.#poller.remove(this.#socket.fd);
    this.#socket.close();
  }

  /** A sequence number that no request waits with; there are always fewer than 65,536 of those. */
  #free(): number {
    do this.#sequence = (this.#sequence + 1) & 0xffff;
    while (this.#waiting.has(this.#sequence));
    return this.#sequence;
  }

  #take(packet: Buffer, from: Uint8Array): void {
    const answer = decodeAnswer(this.#family, packet);
    if (answer === null || answer.identifier !== this.#identifier) return;
    const waiting = this.#waiting.get(answer.sequence);
    if (waiting === undefined) return;
    const { to, token, finish } = waiting;
    if (answer.token !== null && !same(answer.token, token)) return;
    if (answer.kind === 'reply') {
      if (answer.token !== null && same(from, to.bytes)) finish('pass', 'echo reply');
      return;
    }
    if (answer.destination === undefined || !same(answer.destination, to.bytes)) return;
    finish('fail', `${answer.reason ?? 'unreachable'}, says ${formatAddress(from)}`);
  }
}

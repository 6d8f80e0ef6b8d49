/**
 * The raw sockets of a speaker: one for each interface and family that a virtual router lives on.
 *
 * Invariant: a socket is of the interface that has its name now; one that was made anew gets
 * another socket.
 */
import type { Family } from '../../../config/address-codec.js';
import { SystemError } from '../../../../native/ffi/libc.js';
import type { Poller } from '../../../../native/ffi/poller.js';
import { RawSocket } from '../../../../native/ffi/raw-socket.js';
import type { Link } from '../../../net/wire.js';
import type { Arrival } from '../acceptance.js';
import { TRAFFIC_CLASS, VRRP_HOP_LIMIT, VRRP_PROTOCOL, vrrpGroups } from '../packet.js';

/** More than a socket's buffer holds: one turn takes all that has come. */
const MOST_PACKETS = 4096;

interface Open {
  readonly socket: RawSocket;
  readonly index: number;
  readonly name: string;
  readonly family: Family;
}

export class Sockets {
  readonly #poller: Poller;
  readonly #onReady: () => void;
  readonly #report: (subject: string, message: string | null) => void;
  readonly #open = new Map<string, Open>();

  constructor(options: {
    readonly poller: Poller;
    readonly onReady: () => void;
    readonly report: (subject: string, message: string | null) => void;
  }) {
    this.#poller = options.poller;
    this.#onReady = options.onReady;
    this.#report = options.report;
  }

  /** Has sockets for these places and no others. An interface that is null is not there. */
  want(places: readonly { name: string; family: Family; link: Link | null }[]): void {
    const wanted = new Map(places.map((place) => [`${place.name} ${place.family}`, place]));
    for (const [key, { index }] of this.#open) {
      if (wanted.get(key)?.link?.index !== index) this.#close(key);
    }
    for (const [key, { name, family, link }] of wanted) {
      if (link === null || this.#open.has(key)) continue;
      try {
        const socket = new RawSocket({
          family,
          protocol: VRRP_PROTOCOL,
          interface: { name, index: link.index },
          group: vrrpGroups[family],
          hopLimit: VRRP_HOP_LIMIT,
          trafficClass: TRAFFIC_CLASS,
        });
        this.#open.set(key, { socket, index: link.index, name, family });
        this.#poller.add(socket.fd, this.#onReady);
        this.#report(key, null);
      } catch (error) {
        if (!(error instanceof SystemError)) throw error;
        this.#report(key, `cannot listen for IPv${family} VRRP on ${name}: ${error.message}`);
      }
    }
  }

  /** Everything that has come, on all of them. */
  drain(): Arrival[] {
    const arrivals: Arrival[] = [];
    for (const [key, { socket, index, name, family }] of this.#open) {
      try {
        for (let count = 0; count < MOST_PACKETS; count += 1) {
          const packet = socket.receive();
          if (packet === null) break;
          if (packet.interfaceIndex !== index) continue;
          const { source, destination, hopLimit, data: message } = packet;
          arrivals.push({ interface: name, family, source, destination, hopLimit, message });
        }
        this.#report(key, null);
      } catch (error) {
        if (!(error instanceof SystemError)) throw error;
        // ENETDOWN is told once by a socket whose interface goes down; it hears again when it is up.
        if (error.code !== 'ENETDOWN')
          this.#report(key, `cannot hear on ${name}: ${error.message}`);
      }
    }
    return arrivals;
  }

  /** Throws SystemError, also where there is no socket. */
  send(
    { interface: name, family }: { readonly interface: string; readonly family: Family },
    { source, destination }: { readonly source: Uint8Array; readonly destination: Uint8Array },
    message: Uint8Array,
  ): void {
    const open = this.#open.get(`${name} ${family}`);
    if (open === undefined) throw new SystemError('sendmsg', ENODEV, `no socket on ${name}`);
    open.socket.send(message, source, destination);
  }

  close(): void {
    for (const key of [...this.#open.keys()]) this.#close(key);
  }

  #close(key: string): void {
    const open = this.#open.get(key);
    if (open === undefined) return;
    this.#open.delete(key);
    this.#poller.remove(open.socket.fd);
    open.socket.close();
  }
}

const ENODEV = 19;

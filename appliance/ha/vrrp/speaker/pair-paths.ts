/**
 * The heartbeats of a pair, carried out: a socket for each path, what they say handed to the engine.
 *
 * Invariant: a path whose interface or address is not there has no socket, is told as a problem, and
 * gets one as soon as both are there.
 */
import { randomBytes } from 'node:crypto';
import { SystemError } from '../../../../native/ffi/libc.js';
import type { Poller } from '../../../../native/ffi/poller.js';
import { UdpSocket } from '../../../../native/ffi/udp-socket.js';
import { formatAddress } from '../../../config/address-codec.js';
import { TRAFFIC_CLASS } from '../packet.js';
import { LONGEST_HEARTBEAT, RUN_BYTES, type Report } from '../paths/heartbeat.js';
import { Peer, type PathCounts, type PeerNews, type Sent } from '../paths/peer.js';
import type { PathSettings, PathsSettings } from '../paths/settings.js';
import type { Interfaces } from './interfaces.js';

/** More than a socket's buffer holds: one turn takes all that has come. */
const MOST_DATAGRAMS = 4096;

interface Open {
  readonly socket: UdpSocket;
  readonly index: number;
}

export interface PathStatus {
  readonly path: string;
  readonly alive: boolean;
}

export class PairPaths {
  readonly #poller: Poller;
  readonly #interfaces: Interfaces;
  readonly #onReady: () => void;
  readonly #report: (subject: string, message: string | null) => void;
  readonly #run = randomBytes(RUN_BYTES);
  readonly #open = new Map<PathSettings, Open>();
  #settings: PathsSettings | null = null;
  #peer: Peer | null = null;
  #said = '';
  #alive = '';

  constructor(options: {
    readonly poller: Poller;
    readonly interfaces: Interfaces;
    readonly onReady: () => void;
    readonly report: (subject: string, message: string | null) => void;
  }) {
    this.#poller = options.poller;
    this.#interfaces = options.interfaces;
    this.#onReady = options.onReady;
    this.#report = options.report;
  }

  /** Null: the unit has no other one. */
  configure(settings: PathsSettings | null): void {
    for (const path of [...this.#open.keys()]) this.#close(path);
    for (const path of this.#settings?.paths ?? []) this.#report(`path ${path.name}`, null);
    this.#settings = settings;
    if (settings === null) this.#peer = null;
    else if (this.#peer === null) this.#peer = new Peer(settings, this.#run);
    else this.#peer.configure(settings);
    this.follow();
  }

  /** Has sockets for the paths that can be. */
  follow(): void {
    if (this.#settings === null) return;
    const { port, paths } = this.#settings;
    for (const path of paths) {
      const link = this.#interfaces.named(path.interface);
      if (this.#open.get(path)?.index !== link?.index) this.#close(path);
      if (this.#open.has(path)) continue;
      try {
        if (link === null) throw new SystemError('bind', ENODEV, path.interface);
        const { family, local, remote } = path;
        const socket = new UdpSocket({
          ...{ family, local, remote, port, longest: LONGEST_HEARTBEAT },
          ...{ interface: path.interface, interfaceIndex: link.index, trafficClass: TRAFFIC_CLASS },
        });
        this.#open.set(path, { socket, index: link.index });
        this.#poller.add(socket.fd, this.#onReady);
        this.#report(`path ${path.name}`, null);
      } catch (error) {
        if (!(error instanceof SystemError)) throw error;
        const from = formatAddress(path.local);
        this.#report(`path ${path.name}`, `no heartbeats from ${from}: ${error.message}`);
      }
    }
  }

  /** Whether the other unit is heard at all. */
  get alive(): boolean {
    return this.#peer?.alive ?? false;
  }

  get deadline(): number {
    return this.#peer?.deadline ?? Infinity;
  }

  get leasedUntil(): number {
    return this.#peer?.leasedUntil ?? Infinity;
  }

  get counts(): PathCounts {
    return this.#peer?.counts ?? { believed: 0, foreign: 0, replayed: 0 };
  }

  heldUp(still: number, now: number): void {
    this.#peer?.heldUp(still, now);
  }

  /** Reads everything that has come; null: there is no other unit. */
  drain(report: Report, now: number): PeerNews | null {
    const peer = this.#peer;
    if (peer === null) return null;
    for (const [path, { socket }] of this.#open) {
      for (let count = 0; count < MOST_DATAGRAMS; count += 1) {
        const datagram = socket.receive();
        if (datagram === null) break;
        const answer = peer.receive(path, datagram, report, now);
        if (answer !== null) this.#transmit(answer);
      }
    }
    return peer.news(now);
  }

  /** Tells the other unit, if it is time, or if anything is different. */
  tell(report: Report, now: number): void {
    if (this.#peer === null) return;
    const said = JSON.stringify([...report]);
    if (said === this.#said && !this.#peer.due(now)) return;
    this.#said = said;
    for (const sent of this.#peer.send(report, now)) this.#transmit(sent);
  }

  get status(): readonly PathStatus[] {
    return [...(this.#peer?.paths ?? [])].map(([path, alive]) => ({ path, alive }));
  }

  /** The paths, if one has come or gone since this was last asked. */
  changes(): readonly PathStatus[] | null {
    const paths = this.status;
    const text = JSON.stringify(paths);
    if (text === this.#alive) return null;
    this.#alive = text;
    return paths;
  }

  /** One that cannot be sent is lost, and the other unit misses it. */
  #transmit({ path, datagram }: Sent): void {
    this.#open.get(path)?.socket.send(datagram);
  }

  close(): void {
    for (const path of [...this.#open.keys()]) this.#close(path);
  }

  #close(path: PathSettings): void {
    const open = this.#open.get(path);
    if (open === undefined) return;
    this.#open.delete(path);
    this.#poller.remove(open.socket.fd);
    open.socket.close();
  }
}

const ENODEV = 19;

/**
 * The listening sockets of all services: one for each worker, with SO_REUSEPORT, so that the kernel
 * spreads the connections. The daemon keeps them: a worker that dies or is replaced takes along none,
 * and what waits in their backlogs is served by whoever gets them next.
 *
 * Invariant: a socket stays as long as its service keeps its address and port, whatever else changes.
 */
import { close, SystemError } from '../../../native/ffi/libc.js';
import { sockaddr } from '../../../native/ffi/socket-address.js';
import { listenTcp } from '../../../native/ffi/tcp-socket.js';
import { writeAddress } from '../http1/proxy-protocol.js';
import type { L7Service } from '../tables.js';

/** Connections that may wait for a worker; the kernel's own limit (somaxconn) holds as well. */
export const BACKLOG = 4096;

export interface ListenProblem {
  readonly service: string;
  readonly message: string;
}

interface Sockets {
  readonly service: string;
  readonly address: string;
  readonly port: number;
  /** By index of worker. */
  readonly descriptors: number[];
}

function keyOf({ name, address, port }: L7Service): string {
  return `${name} ${address} ${port}`;
}

/** The sockaddr; the same bytes are given out again by the next call. */
function place({ address, port }: L7Service): Uint8Array {
  const v6 = address.includes(':');
  const bytes = new Uint8Array(v6 ? 16 : 4);
  writeAddress(bytes, address);
  return sockaddr(v6 ? 6 : 4, bytes, port);
}

export class Listeners {
  readonly #sockets = new Map<string, Sockets>();
  /** Of an earlier daemon, by sockaddr in hex, until the first `follow`. */
  readonly #adopted = new Map<string, number[]>();
  problems: readonly ListenProblem[] = [];

  /** A socket that listens already, for the service of this address; it becomes this object's. */
  adopt(address: string, fd: number): void {
    const known = this.#adopted.get(address);
    if (known === undefined) this.#adopted.set(address, [fd]);
    else known.push(fd);
  }

  /**
   * From now on these services have a socket for each of `workers`; those that others had are closed.
   * What could not be had is in `problems`, and tried again by the next call.
   */
  follow(services: Iterable<L7Service>, workers: number): void {
    const problems: ListenProblem[] = [];
    const wanted = new Set<string>();
    for (const service of services) {
      const key = keyOf(service);
      wanted.add(key);
      let sockets = this.#sockets.get(key);
      if (sockets === undefined) {
        const { name, address, port } = service;
        sockets = { service: name, address, port, descriptors: [] };
        this.#sockets.set(key, sockets);
      }
      for (const fd of sockets.descriptors.splice(workers)) close(fd);
      try {
        while (sockets.descriptors.length < workers) sockets.descriptors.push(this.#open(service));
      } catch (error) {
        if (!(error instanceof SystemError)) throw error;
        for (const fd of sockets.descriptors.splice(0)) close(fd);
        problems.push({ service: service.name, message: sentence(service, error) });
      }
    }
    for (const [key, { descriptors }] of this.#sockets) {
      if (wanted.has(key)) continue;
      for (const fd of descriptors) close(fd);
      this.#sockets.delete(key);
    }
    this.#closeAdopted();
    this.problems = problems;
  }

  /** The sockets of one worker, by key. */
  of(index: number): Map<string, { readonly service: string; readonly fd: number }> {
    const found = new Map<string, { service: string; fd: number }>();
    for (const [key, { service, descriptors }] of this.#sockets) {
      const fd = descriptors[index];
      if (fd !== undefined) found.set(key, { service, fd });
    }
    return found;
  }

  #open(service: L7Service): number {
    const address = place(service);
    const adopted = this.#adopted.get(Buffer.from(address).toString('hex'))?.pop();
    return adopted ?? listenTcp(address, BACKLOG);
  }

  #closeAdopted(): void {
    for (const descriptors of this.#adopted.values()) for (const fd of descriptors) close(fd);
    this.#adopted.clear();
  }

  close(): void {
    this.#closeAdopted();
    for (const { descriptors } of this.#sockets.values()) for (const fd of descriptors) close(fd);
    this.#sockets.clear();
  }
}

function sentence({ name, address, port }: L7Service, error: SystemError): string {
  const at = address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
  switch (error.code) {
    case 'EADDRINUSE':
      return `service ${name} cannot listen at ${at}: another program does; end it, or choose another port`;
    case 'EADDRNOTAVAIL':
      return `service ${name} cannot listen at ${at}: the unit does not have the address`;
    case 'EACCES':
      return `service ${name} cannot listen at ${at}: the daemon may not use this port`;
    default:
      return `service ${name} cannot listen at ${at}: ${error.message}`;
  }
}

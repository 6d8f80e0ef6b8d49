/** Frames that tell a network where addresses are now (announcement.ts), sent. */
import { readFileSync } from 'node:fs';
import { SystemError } from '../../../../native/ffi/libc.js';
import { FrameSender } from '../../../../native/ffi/packet-socket.js';
import { gratuitousArp, unsolicitedAdvertisement } from '../announcement.js';
import type { Outgoing } from '../engine.js';
import { advertisementFrame, virtualMac } from '../virtual-mac.js';
import type { Announcement } from './holding.js';
import type { Interfaces } from './interfaces.js';

export class Announcing {
  readonly #frames = new FrameSender();
  readonly #interfaces: Interfaces;
  readonly #report: (subject: string, message: string | null) => void;

  constructor(interfaces: Interfaces, report: (subject: string, message: string | null) => void) {
    this.#interfaces = interfaces;
    this.#report = report;
  }

  /** One frame for each address of the router. */
  send({ router, round }: Announcement): void {
    const link = this.#interfaces.named(router.interface);
    if (link === null || link.mac.length !== 6) return;
    const mac = router.virtualMac ? virtualMac(router) : link.mac;
    const subject = `announcing ${router.name}`;
    try {
      const forwarding = router.family === 6 && forwards(router.interface);
      for (const address of router.addresses) {
        const frame =
          router.family === 4
            ? // Some hosts take notice of one form only, so both are sent in turn.
              gratuitousArp(mac, address, round % 2 === 1 ? 'request' : 'reply')
            : unsolicitedAdvertisement(mac, address, { router: forwarding });
        this.#frames.send(link.index, frame);
      }
      this.#report(subject, null);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      this.#report(subject, `cannot announce the addresses of ${router.name}: ${error.message}`);
    }
  }

  /** An advertisement from the router's own MAC address. Throws SystemError. */
  advertise({ router, ends, message }: Outgoing): void {
    const link = this.#interfaces.named(router.interface);
    if (link === null) return;
    const mac = virtualMac(router);
    this.#frames.send(link.index, advertisementFrame(mac, router.family, ends, message));
  }

  close(): void {
    this.#frames.close();
  }
}

/** Whether the unit is a router on an interface (RFC 4861 §6.2.1, IsRouter). */
function forwards(name: string): boolean {
  try {
    return readFileSync(`/proc/sys/net/ipv6/conf/${name}/forwarding`, 'utf8').trim() !== '0';
  } catch (error) {
    // It has just gone, or there is no IPv6.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

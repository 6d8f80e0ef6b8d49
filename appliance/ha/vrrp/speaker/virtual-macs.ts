/**
 * A device for each virtual router that has a MAC address of its own (RFC 9568 §7.3): macvlan(8) above
 * the router's interface. It is up while the router is master (addresses.ts), so a backup takes no
 * frame for that address (§6.4.2), and both hosts and switches see the MAC address move.
 *
 * Invariants:
 * - Devices are known by their names, so whoever comes after a killed speaker finds what it left.
 * - The interface below answers no ARP request for an address of the device, nor asks in its name:
 *   hosts would learn the wrong MAC address. What those settings were comes back with the last device.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { SystemError } from '../../../../native/ffi/libc.js';
import { NLM_F_CREATE, NLM_F_EXCL } from '../../../../native/ffi/netlink-message.js';
import { encodeMacvlan, encodeNoLinkLocal, encodeRemoval } from '../../../net/macvlan.js';
import * as wire from '../../../net/wire.js';
import type { RouterSettings } from '../settings.js';
import { virtualMac } from '../virtual-mac.js';
import { virtualDeviceName, type Interfaces } from './interfaces.js';

/** Of the interface below (kernel Documentation/networking/ip-sysctl.rst). */
const BELOW: readonly (readonly [string, number])[] = [
  ['arp_ignore', 1],
  ['arp_announce', 2],
];

export class VirtualMacs {
  readonly #interfaces: Interfaces;
  readonly #report: (subject: string, message: string | null) => void;
  readonly #onChange: () => void;
  /** By interface; what they were before. */
  readonly #before = new Map<string, ReadonlyMap<string, string>>();
  /** Names of devices that are as they should be. */
  readonly #ready = new Set<string>();
  #wanted: readonly RouterSettings[] = [];
  #text = '';
  #work: Promise<void> = Promise.resolve();

  constructor(
    interfaces: Interfaces,
    report: (subject: string, message: string | null) => void,
    onChange: () => void,
  ) {
    this.#interfaces = interfaces;
    this.#report = report;
    this.#onChange = onChange;
  }

  /** Has devices for those of these routers that want one, and no others. */
  want(routers: readonly RouterSettings[]): Promise<void> {
    const wanted = routers.filter((router) => router.virtualMac);
    // Made anew where an interface is another one of the same name, or a device has gone.
    const text = JSON.stringify(
      wanted.map((router) => [
        router.interface,
        router.vrid,
        router.family,
        this.#interfaces.named(router.interface)?.index ?? null,
        this.#interfaces.seatOf(router)?.index ?? null,
      ]),
    );
    if (text === this.#text) return this.#work;
    this.#text = text;
    this.#wanted = wanted;
    this.#work = this.#work.then(() => this.#place());
    return this.#work;
  }

  /** Whether a router can hold addresses as it wants to. */
  has(router: RouterSettings): boolean {
    const device = this.#interfaces.seatOf(router);
    return !router.virtualMac || (device !== null && this.#ready.has(device.name));
  }

  async #place(): Promise<void> {
    const all = this.#interfaces.links.all();
    const names = new Set<string>();
    for (const router of this.#wanted) {
      const below = this.#interfaces.named(router.interface);
      if (below === null) continue;
      const name = virtualDeviceName(below.index, router);
      names.add(name);
      await this.#make(router, below, name);
    }
    for (const { index, name } of all.filter(
      (link) => isVirtualDevice(link) && !names.has(link.name),
    )) {
      this.#ready.delete(name);
      await this.#request(name, {
        type: wire.RTM_DELLINK,
        payload: encodeRemoval(index),
      });
    }
    const used = new Set(this.#wanted.map((router) => router.interface));
    for (const [name, before] of this.#before) {
      if (used.has(name)) continue;
      this.#before.delete(name);
      for (const [key, value] of before) await this.#write(`${settingsOf(4, name)}/${key}`, value);
    }
    this.#onChange();
  }

  async #make(router: RouterSettings, below: wire.Link, name: string): Promise<void> {
    if (this.#ready.has(name) && this.#interfaces.named(name) !== null) return;
    this.#ready.delete(name);
    const create = {
      type: wire.RTM_NEWLINK,
      flags: NLM_F_CREATE | NLM_F_EXCL,
      payload: encodeMacvlan({ name, mac: virtualMac(router), below: below.index }),
    };
    if (this.#interfaces.named(name) === null && !(await this.#request(name, create))) return;
    const quiet = { type: wire.RTM_NEWLINK, payload: encodeNoLinkLocal(name) };
    if (router.family === 6) {
      if (!(await this.#request(name, quiet))) return;
      if (!(await this.#write(`${settingsOf(6, name)}/accept_ra`, '0'))) return;
    } else {
      // The way back leads over the interface below, so only the loose check fits.
      if (!(await this.#write(`${settingsOf(4, name)}/rp_filter`, '2'))) return;
      if (!(await this.#write(`${settingsOf(4, name)}/arp_ignore`, '1'))) return;
      if (!(await this.#settle(below.name))) return;
    }
    this.#ready.add(name);
  }

  /** The interface below. */
  async #settle(name: string): Promise<boolean> {
    if (this.#before.has(name)) return true;
    const before = new Map<string, string>();
    for (const [key, least] of BELOW) {
      const path = `${settingsOf(4, name)}/${key}`;
      const value = (await readFile(path, 'utf8')).trim();
      if (Number(value) >= least) continue;
      if (!(await this.#write(path, String(least)))) return false;
      before.set(key, value);
    }
    this.#before.set(name, before);
    return true;
  }

  async #write(path: string, value: string): Promise<boolean> {
    try {
      await writeFile(path, value);
      this.#report(path, null);
      return true;
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === undefined) throw error;
      // Its interface has just gone, which is told.
      if (code !== 'ENOENT') this.#report(path, `a virtual MAC address needs ${path}: ${message}`);
      return false;
    }
  }

  async #request(
    name: string,
    request: Parameters<Interfaces['requests']['request']>[0],
  ): Promise<boolean> {
    const subject = `virtual MAC address ${name}`;
    try {
      await this.#interfaces.requests.request(request);
      this.#report(subject, null);
      return true;
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      const gone = request.type === wire.RTM_DELLINK && error.code === 'ENODEV';
      if (gone) return true;
      const hint =
        error.code === 'EOPNOTSUPP' ? ' (this kernel has no macvlan: leave out virtual-mac)' : '';
      this.#report(subject, `no device with a virtual MAC address: ${error.message}${hint}`);
      return false;
    }
  }
}

export function isVirtualDevice({ kind, name }: Pick<wire.Link, 'kind' | 'name'>): boolean {
  return kind === 'macvlan' && /^wv\d+\.\d+\.[46]$/.test(name);
}

function settingsOf(family: 4 | 6, name: string): string {
  return `/proc/sys/net/ipv${family}/conf/${name}`;
}

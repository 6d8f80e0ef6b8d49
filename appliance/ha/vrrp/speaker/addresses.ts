/**
 * Puts the addresses that the unit holds on its interfaces, by difference, and takes them away.
 *
 * Invariants:
 * - Only addresses with the mark of this tier (IFA_PROTO, kernel 5.18) are ever removed. So whoever
 *   comes after a speaker that was killed finds what it left, and nothing else.
 * - One change at a time; of several that wait only the last is made.
 * - An IPv6 address is this host's when it was put on: the kernel makes the route for that later, in a
 *   thread of its own that waits for a CPU like any other, so one is made here beside the address.
 */
import { formatAddress } from '../../../config/address-codec.js';
import { SystemError } from '../../../../native/ffi/libc.js';
import { NetlinkSocket } from '../../../../native/ffi/netlink.js';
import { NLM_F_CREATE, NLM_F_EXCL } from '../../../../native/ffi/netlink-message.js';
import { Poller } from '../../../../native/ffi/poller.js';
import { HELD_ORIGIN } from '../../../net/service-addresses.js';
import { encodeUp } from '../../../net/macvlan.js';
import * as wire from '../../../net/wire.js';
import type { RouterSettings } from '../settings.js';
import type { Interfaces } from './interfaces.js';
import { isVirtualDevice } from './virtual-macs.js';

type Report = (subject: string, message: string | null) => void;
interface Step {
  readonly interfaceIndex: number;
  readonly bytes: Uint8Array;
}

function request(
  type: number,
  { bytes, interfaceIndex }: Step,
): Parameters<NetlinkSocket['request']>[0] {
  const family = bytes.length === 4 ? 4 : 6;
  return {
    type,
    flags: type === wire.RTM_NEWADDR ? NLM_F_CREATE | NLM_F_EXCL : 0,
    payload: wire.encodeOwnAddress({ family, bytes }, interfaceIndex, HELD_ORIGIN),
  };
}

const isIpv6 = ({ bytes }: Step): boolean => bytes.length === 16;

function routeRequest(
  type: number,
  { bytes, interfaceIndex }: Step,
): Parameters<NetlinkSocket['request']>[0] {
  return {
    type,
    flags: type === wire.RTM_NEWROUTE ? NLM_F_CREATE | NLM_F_EXCL : 0,
    payload: wire.encodeHostRoute(bytes, interfaceIndex, HELD_ORIGIN),
  };
}

function keyOf({ interfaceIndex, bytes }: Step): string {
  return `${interfaceIndex} ${formatAddress(bytes)}`;
}

/** A route that is there already, or went with its interface, or comes with it. */
const GONE: ReadonlySet<string> = new Set(['EEXIST', 'ESRCH', 'ENODEV', 'ENETDOWN']);

export class HeldAddresses {
  readonly #interfaces: Interfaces;
  readonly #report: Report;
  /** Whose routes were made; by keyOf(). */
  readonly #routes = new Map<string, Step>();
  #wanted: readonly RouterSettings[] = [];
  #work: Promise<void> = Promise.resolve();
  #waiting: Promise<void> | null = null;

  constructor(interfaces: Interfaces, report: Report) {
    this.#interfaces = interfaces;
    this.#report = report;
  }

  /** Resolves once the kernel has the addresses of these routers and no others of this tier. */
  hold(routers: readonly RouterSettings[]): Promise<void> {
    this.#wanted = routers;
    this.#waiting ??= this.#work = this.#work.then(() => {
      this.#waiting = null;
      return this.#place();
    });
    return this.#waiting;
  }

  async #place(): Promise<void> {
    const wanted = new Map<string, Step>();
    const seats = new Set<number>();
    for (const router of this.#wanted) {
      const link = this.#interfaces.seatOf(router);
      if (link === null) continue;
      if (router.virtualMac) seats.add(link.index);
      for (const bytes of router.addresses) {
        const step = { interfaceIndex: link.index, bytes };
        wanted.set(keyOf(step), step);
      }
    }
    const there = this.#interfaces.addresses.all();
    const present = new Set(there.map(keyOf));
    for (const one of there) {
      if (!wanted.has(keyOf(one))) continue;
      const message = `${one.address} was put on this unit by somebody else, so it stays when another unit holds it`;
      this.#report(one.address, one.origin === HELD_ORIGIN ? null : message);
    }
    const add = [...wanted].filter(([key]) => !present.has(key)).map(([, step]) => step);
    const remove = there.filter(
      (address) => address.origin === HELD_ORIGIN && !wanted.has(keyOf(address)),
    );
    const unwanted = new Map([...this.#routes].filter(([key]) => !wanted.has(key)));
    for (const address of remove) unwanted.set(keyOf(address), address);
    await Promise.all([
      this.#change(wire.RTM_DELADDR, remove).then(() =>
        this.#route(wire.RTM_DELROUTE, [...unwanted.values()]),
      ),
      this.#setUp(true, (link) => !link.up && seats.has(link.index))
        .then(() => this.#route(wire.RTM_NEWROUTE, add))
        .then(() => this.#change(wire.RTM_NEWADDR, add)),
    ]);
    await this.#setUp(false, (link) => link.up && !seats.has(link.index));
  }

  /** Devices with MAC addresses of their own. */
  async #setUp(up: boolean, fits: (link: wire.Link) => boolean): Promise<void> {
    const links = this.#interfaces.links
      .all()
      .filter((link) => isVirtualDevice(link) && fits(link));
    if (links.length === 0) return;
    const answers = await this.#interfaces.requests.batch(
      links.map(({ index }) => ({ type: wire.RTM_NEWLINK, payload: encodeUp(index, up) })),
    );
    links.forEach((link, index) => {
      const answer = answers[index];
      const failed = answer instanceof SystemError && answer.code !== 'ENODEV';
      const message = failed
        ? `${link.name} cannot be set ${up ? 'up' : 'down'}: ${answer.message}`
        : null;
      this.#report(`state of ${link.name}`, message);
      // The notification comes later than the next difference may be made.
      if (!(answer instanceof SystemError)) this.#interfaces.links.set({ ...link, up });
    });
  }

  async #route(type: number, steps: readonly Step[]): Promise<void> {
    const six = steps.filter(isIpv6);
    if (six.length === 0) return;
    const adding = type === wire.RTM_NEWROUTE;
    const requests = six.map((step) => routeRequest(type, step));
    const answers = await this.#interfaces.requests.batch(requests);
    six.forEach((step, index) => {
      if (adding) this.#routes.set(keyOf(step), step);
      else this.#routes.delete(keyOf(step));
      const answer = answers[index];
      const error = answer instanceof SystemError && !GONE.has(answer.code) ? answer : null;
      const text = formatAddress(step.bytes);
      const what = adding ? 'made' : 'removed';
      const message = error && `the route of ${text} cannot be ${what}: ${error.message}`;
      this.#report(`route of ${text}`, message);
    });
  }

  async #change(type: number, steps: readonly Step[]): Promise<void> {
    if (steps.length === 0) return;
    const adding = type === wire.RTM_NEWADDR;
    const answers = await this.#interfaces.requests.batch(steps.map((step) => request(type, step)));
    steps.forEach((step, index) => {
      const answer = answers[index];
      const text = formatAddress(step.bytes);
      const done = !(answer instanceof SystemError);
      // Somebody was faster, which the notification tells.
      const harmless = done || answer.code === (adding ? 'EEXIST' : 'EADDRNOTAVAIL');
      const what = adding ? 'put on' : 'taken off';
      const name = this.#interfaces.links.get(step.interfaceIndex)?.name ?? step.interfaceIndex;
      this.#report(text, harmless ? null : `${text} cannot be ${what} ${name}: ${answer.message}`);
      if (done) this.#remember(adding, step);
    });
  }

  /** The notification comes later than the next difference may be made. */
  #remember(added: boolean, { interfaceIndex, bytes }: Step): void {
    const entry: wire.InterfaceAddress = {
      interfaceIndex,
      address: formatAddress(bytes),
      bytes,
      family: bytes.length === 4 ? 4 : 6,
      prefixLength: bytes.length * 8,
      origin: HELD_ORIGIN,
    };
    if (added) this.#interfaces.addresses.set(entry);
    else this.#interfaces.addresses.delete(entry);
  }
}

/** Takes off all addresses of this tier, or those of them that fit. Returns how many. Throws SystemError. */
export async function takeOffHeldAddresses(
  socket: NetlinkSocket,
  fits: (address: wire.InterfaceAddress) => boolean = () => true,
): Promise<number> {
  const found = await socket.dump(wire.RTM_GETADDR, wire.encodeDump(wire.RTM_GETADDR));
  const left = found
    .flatMap(({ payload }) => wire.decodeAddress(payload) ?? [])
    .filter((address) => address.origin === HELD_ORIGIN && fits(address));
  const answers = await socket.batch([
    ...left.map((step) => request(wire.RTM_DELADDR, step)),
    ...left.filter(isIpv6).map((step) => routeRequest(wire.RTM_DELROUTE, step)),
  ]);
  for (const answer of answers) {
    const gone = answer instanceof SystemError && ['EADDRNOTAVAIL', 'ESRCH'].includes(answer.code);
    if (answer instanceof SystemError && !gone) throw answer;
  }
  return left.length;
}

/** What a speaker left that did not end by itself. Returns how many. Throws SystemError. */
export async function removeHeldAddresses(): Promise<number> {
  const poller = new Poller();
  try {
    const socket = NetlinkSocket.open({ poller });
    try {
      return await takeOffHeldAddresses(socket);
    } finally {
      socket.close();
    }
  } finally {
    poller.close();
  }
}
